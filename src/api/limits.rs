//! How often one may ask: the generic cell rate algorithm, for each address and each caller. In memory: with several programs
//! each counts for itself.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use ipnet::IpNet;

use super::Problem;
use crate::config::control::Limits;

/// When more keys than this are remembered, those that have not asked for long are forgotten.
const MANY: usize = 10_000;
/// One address may ask for so many links to one mail address at once, and for one more after each such time.
const LINKS: NonZeroU32 = NonZeroU32::new(5).unwrap();
const LINK: Duration = Duration::from_secs(180);
const MINUTELY: Quota = Quota::per_minute(NonZeroU32::MIN);

pub(super) struct Limiter {
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    sign_ins: DefaultKeyedRateLimiter<IpAddr>,
    links: DefaultKeyedRateLimiter<(IpAddr, String)>,
    by_caller: DefaultKeyedRateLimiter<String>,
}

impl Limiter {
    pub(super) fn new(limits: &Limits) -> Self {
        let quota = |per_minute: u32| Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN));
        Self {
            by_address: RateLimiter::keyed(quota(limits.per_address)),
            sign_ins: RateLimiter::keyed(quota(limits.sign_ins)),
            links: RateLimiter::keyed(Quota::with_period(LINK).unwrap_or(MINUTELY).allow_burst(LINKS)),
            by_caller: RateLimiter::keyed(quota(limits.per_token)),
        }
    }

    /// Counts a request from an address.
    pub(super) fn address(&self, address: IpAddr) -> Result<(), Problem> {
        count(&self.by_address, address)
    }

    /// Counts a link to a mail address that was asked for from an address. Who asks for somebody else's again and again is held
    /// up before they are.
    pub(super) fn sign_in(&self, address: IpAddr, email: &str) -> Result<(), Problem> {
        count(&self.sign_ins, address)?;
        count_key(&self.links, (network(address), email.to_owned()))
    }

    /// Counts a program that wants to sign in.
    pub(super) fn login(&self, address: IpAddr) -> Result<(), Problem> {
        count(&self.sign_ins, address)
    }

    /// Counts a request of a caller.
    pub(super) fn caller(&self, actor: &str) -> Result<(), Problem> {
        count_key(&self.by_caller, actor.to_owned())
    }
}

/// Counts an address.
fn count(limiter: &DefaultKeyedRateLimiter<IpAddr>, address: IpAddr) -> Result<(), Problem> {
    count_key(limiter, network(address))
}

/// Of IPv6 a customer has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
        },
        v4 @ IpAddr::V4(_) => v4,
    }
}

fn count_key<K: Hash + Eq + Clone>(limiter: &DefaultKeyedRateLimiter<K>, key: K) -> Result<(), Problem> {
    if limiter.len() > MANY {
        limiter.retain_recent();
    }
    limiter.check_key(&key).map_err(|until| too_many(until.wait_time_from(DefaultClock::default().now())))
}

fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "that was too many requests in a short time")
        .hint(format!("try again in {seconds} s"))
        .retry_after(seconds)
}

/// Whose request it is: the peer's, or, where the peer is a proxy that is trusted, whoever that says. What stands further left
/// in the header, anybody may have written.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer;
    let said = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let said: Vec<&str> = said.flat_map(|value| value.split(',')).collect();
    for hop in said.iter().rev() {
        if !is_trusted(&client) {
            break;
        }
        let Ok(hop) = hop.trim().parse() else { break };
        client = hop;
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let trusted = ["10.0.0.0/8".parse::<IpNet>().unwrap()];
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", text.parse().unwrap());
            headers
        };
        let forged = said("1.2.3.4");
        assert_eq!(client(address("192.0.2.1"), &forged, &trusted), address("192.0.2.1"), "nobody's proxy");
        assert_eq!(client(address("10.0.0.1"), &forged, &trusted), address("1.2.3.4"));
        let chain = said("9.9.9.9, 1.2.3.4, 10.0.0.2");
        assert_eq!(
            client(address("10.0.0.1"), &chain, &trusted),
            address("1.2.3.4"),
            "the first that nobody vouches for"
        );
        assert_eq!(client(address("10.0.0.1"), &said("garbage"), &trusted), address("10.0.0.1"));
        assert_eq!(client(address("10.0.0.1"), &forged, &[]), address("10.0.0.1"));
    }

    #[test]
    fn who_asks_too_often_is_told_when_to_ask_again() {
        let limiter = Limiter::new(&Limits { per_address: 2, per_token: 1, sign_ins: 1 });
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for of_one_customer in ["2001:db8::1", "2001:db8::2"] {
            limiter.address(address(of_one_customer)).unwrap();
        }
        let problem = limiter.address(address("2001:db8::3")).unwrap_err();
        assert_eq!((problem.status, problem.kind.as_str()), (429, "/problems/too-many-requests"));
        limiter.address(address("2001:db8:0:1::1")).unwrap();
        limiter.caller("token:a").unwrap();
        limiter.caller("token:a").unwrap_err();
        limiter.caller("token:b").unwrap();
    }
}
