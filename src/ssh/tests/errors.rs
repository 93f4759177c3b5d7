//! What a user sees; the addresses are those for documentation (RFC 5737).

use ssh_key::private::Ed25519Keypair;

use super::*;
use crate::Error;

fn fixed(seed: u8) -> PublicKey {
    PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32])).public_key().clone()
}

#[test]
fn every_error_says_the_way_out() {
    let at = || "203.0.113.7:22".to_owned();
    let unreachable = std::io::Error::from(std::io::ErrorKind::HostUnreachable);
    let errors = [
        ConnectError::Refused { at: at() },
        ConnectError::TimedOut { at: at(), seconds: 5, step: "connecting" },
        ConnectError::Unreachable { at: at(), source: unreachable },
        ConnectError::Dropped { at: at(), step: "greeting" },
        ConnectError::WrongHostKey {
            at: at(),
            presented: Box::new(fixed(1)),
            expected: vec![keypair::fingerprint(&fixed(2)), keypair::fingerprint(&fixed(3))],
        },
        ConnectError::UserKeyRefused { at: at(), user: "stead".into(), fingerprint: keypair::fingerprint(&fixed(4)) },
        ConnectError::Protocol { at: at(), source: Box::new(russh::Error::Version) },
        ConnectError::Hop { hop: "ops@bastion:22".into(), source: Box::new(ConnectError::Refused { at: at() }) },
        ConnectError::NotForwarded { at: at(), hop: "ops@bastion:22".into(), is_unreachable: true },
        ConnectError::NotForwarded { at: at(), hop: "ops@bastion:22".into(), is_unreachable: false },
        ConnectError::Agent { socket: "/run/agent".into(), error: "it holds no key".into() },
        ConnectError::NoAddress,
    ];
    let shown: Vec<_> = errors.into_iter().map(|error| format!("{:?}\n", Error::from(error))).collect();
    insta::assert_snapshot!(shown.join("\n"));
}
