//! Typed identifiers and the mark.
//!
//! An id is a [TypeID](https://github.com/jetify-com/typeid) (specification 0.3): a prefix, `_`, and a UUIDv7 (RFC 9562)
//! in 26 characters of lower-case Crockford base 32. It sorts by time of creation, and no id of one kind is taken for
//! another's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::Error;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SUFFIX_LEN: usize = 26;

pub(crate) fn encode(uuid: Uuid) -> String {
    let bits = uuid.as_u128();
    (0..SUFFIX_LEN).map(|i| ALPHABET[(bits >> (125 - 5 * i) & 31) as usize] as char).collect()
}

pub(crate) fn decode(suffix: &str) -> Option<Uuid> {
    // 26 characters hold 130 bits: the first may use only the lower three of its five.
    if suffix.len() != SUFFIX_LEN || suffix.as_bytes()[0] > b'7' {
        return None;
    }
    suffix
        .bytes()
        .try_fold(0u128, |bits, c| {
            let digit = ALPHABET.iter().position(|&a| a == c)?;
            Some(bits << 5 | digit as u128)
        })
        .map(Uuid::from_u128)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What stands before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, made of the present time and randomness.
            #[expect(clippy::new_without_default, reason = "every call gives another value, which Default must not")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The id without its prefix.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }

            /// The id that [`Self::uuid`] gave.
            pub const fn of_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The 26 characters after the prefix.
            pub fn suffix(&self) -> String {
                encode(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}_{}", Self::PREFIX, encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                text.strip_prefix(concat!($prefix, "_")).and_then(decode).map(Self).ok_or_else(|| {
                    Error::input(format!("{text:?} is not an id of the form {}_…", $prefix))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A customer's tenancy.
    WorkspaceId = "ws",
    /// The machine that serves a workspace; a rebuild gives the workspace a node with another id.
    NodeId = "nd",
    /// A durable sequence of steps.
    WorkflowId = "wf",
    /// An immutable snapshot of the fleet's files.
    RevisionId = "rv",
    /// A build of an image.
    ImageId = "im",
    /// A named value for one node.
    SecretId = "se",
    /// A token of an operator or a machine.
    TokenId = "tk",
    /// Somebody who signs in.
    PersonId = "pe",
    /// A browser that is signed in.
    SessionId = "sn",
    /// What somebody is asked to become.
    InvitationId = "iv",
    /// One of a workspace's AI agents.
    AgentId = "ag",
    /// A channel through which people reach an agent.
    AgentChannelId = "ch",
    /// An entry of the audit log.
    AuditId = "au",
}

/// The operator's declared platform. Minted by `stead init`, kept in `stead.yaml`, never changed.
///
/// Minted ids are TypeIDs; from 8 characters on, ids given by people are taken as well, since a fleet's id is only ever
/// compared and printed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct FleetId(String);

impl FleetId {
    /// A new id.
    pub fn mint() -> Self {
        Self(format!("fl_{}", encode(Uuid::now_v7())))
    }

    /// The id as text, with its prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands after `fl_`.
    pub fn suffix(&self) -> &str {
        &self.0[3..]
    }

    /// Eight hexadecimal digits that stand for the fleet where names are short (interfaces, nftables tables).
    pub fn short(&self) -> String {
        use sha2::{Digest, Sha256};
        hex::encode(&Sha256::digest(self.0.as_bytes())[..4])
    }
}

impl FromStr for FleetId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let suffix = text.strip_prefix("fl_").unwrap_or_default();
        let legal = (8..=SUFFIX_LEN).contains(&suffix.len())
            && suffix.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        legal.then(|| Self(text.to_owned())).ok_or_else(|| {
            Error::input(format!("{text:?} is not a fleet id"))
                .hint("a fleet id is fl_ and 8 to 26 lower-case letters and digits; `stead init` mints one")
        })
    }
}

impl<'de> Deserialize<'de> for FleetId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FleetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fleet id and node id in one word, carried by everything that Stead makes outside its store: a machine's name, a DNS
/// record's comment. It is a legal host name label (RFC 1123: at most 63 characters), so that any provider takes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(String);

impl Mark {
    /// The mark of one node of one fleet.
    pub fn new(fleet: &FleetId, node: NodeId) -> Self {
        Self(format!("{}{}", Self::fleet_prefix(fleet), node.suffix()))
    }

    /// What every mark of this fleet begins with.
    pub fn fleet_prefix(fleet: &FleetId) -> String {
        format!("st-{}-", fleet.suffix())
    }

    /// The mark as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node that a name speaks of, if the name is a mark of this fleet.
    pub fn parse(fleet: &FleetId, name: &str) -> Option<(Mark, NodeId)> {
        let node = decode(name.strip_prefix(&Self::fleet_prefix(fleet))?).map(NodeId)?;
        Some((Mark(name.to_owned()), node))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typeid_test_vector() {
        // From the specification's valid.yml.
        let uuid = Uuid::parse_str("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        assert_eq!(encode(uuid), "01h455vb4pex5vsknk084sn02q");
        assert_eq!(decode("01h455vb4pex5vsknk084sn02q"), Some(uuid));
    }

    #[test]
    fn ids_survive_text_and_refuse_other_kinds() {
        let node = NodeId::new();
        assert_eq!(node.to_string().parse::<NodeId>().unwrap(), node);
        assert!(node.to_string().parse::<WorkspaceId>().is_err());
        assert!("nd_8zzzzzzzzzzzzzzzzzzzzzzzzz".parse::<NodeId>().is_err(), "overflows 128 bits");
    }

    #[test]
    fn a_mark_is_a_host_name_and_names_its_node() {
        let (fleet, node) = (FleetId::mint(), NodeId::new());
        let mark = Mark::new(&fleet, node);
        assert!(mark.as_str().len() <= 63);
        assert!(mark.as_str().bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'));
        assert_eq!(Mark::parse(&fleet, mark.as_str()), Some((mark.clone(), node)));
        assert_eq!(Mark::parse(&FleetId::mint(), mark.as_str()), None);
    }
}
