//! What may be shown of a secret: a keyed, salted fingerprint, and the tail of a long value.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// The length of a fingerprint's key, in bytes.
pub const KEY_LEN: usize = 32;
/// The length of a fingerprint's salt, in bytes.
pub const SALT_LEN: usize = 16;
/// Values up to this length, in characters, show no tail.
const TAIL_FROM: usize = 16;
/// How many characters of a longer value are shown.
const TAIL_LEN: usize = 4;

/// The first 16 hexadecimal digits (64 bits) of HMAC-SHA-256 (RFC 2104) over salt and value.
///
/// The key keeps those who see the fingerprint from guessing short values; the salt, new with every version, keeps equal
/// values from being seen as equal. The salt's fixed length keeps salt and value apart.
pub fn fingerprint(key: &[u8; KEY_LEN], salt: &[u8; SALT_LEN], value: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(salt);
    mac.update(value);
    hex::encode(&mac.finalize().into_bytes()[..8])
}

/// The last four characters of a value of more than 16, for people to tell keys apart; `None` for shorter values, and
/// for values that are not text.
pub fn masked_tail(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim_end();
    let length = text.chars().count();
    if length <= TAIL_FROM {
        return None;
    }
    let tail: String = text.chars().skip(length - TAIL_LEN).collect();
    (!tail.chars().any(char::is_control)).then_some(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_salt_and_value_each_count() {
        let of = |key: u8, salt: u8, value: &[u8]| fingerprint(&[key; KEY_LEN], &[salt; SALT_LEN], value);
        let fingerprint = of(1, 2, b"value");
        assert_eq!(fingerprint.len(), 16);
        assert_eq!(fingerprint, of(1, 2, b"value"));
        assert_ne!(fingerprint, of(9, 2, b"value"));
        assert_ne!(fingerprint, of(1, 9, b"value"));
        assert_ne!(fingerprint, of(1, 2, b"valuf"));
    }

    #[test]
    fn only_long_values_show_a_tail() {
        assert_eq!(masked_tail(b"sixteen-letters!"), None);
        assert_eq!(masked_tail(b"seventeen-letters"), Some("ters".into()));
        assert_eq!(masked_tail("a-long-value-ends-in-äöü€\n".as_bytes()), Some("äöü€".into()));
        assert_eq!(masked_tail(&[0xff; 40]), None);
    }
}
