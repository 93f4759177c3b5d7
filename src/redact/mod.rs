//! Values that must not be seen, and masking by value.

#[cfg(feature = "control")]
mod register;

use std::fmt;

use zeroize::Zeroizing;

#[cfg(feature = "control")]
pub use register::{keep, mask};

/// What stands where a secret was.
pub const MASK: &str = "[secret]";

/// Shorter values would mask ordinary text.
const SHORTEST: usize = 4;

/// A secret value: wiped from memory when dropped, and never shown by `Debug`. While it lives, the program's logs and traces
/// mask the value wherever it appears in them.
///
/// It has no `Display`, no `Serialize` and no `Clone`; whoever needs the bytes says so with [`Secret::expose`].
pub struct Secret {
    value: Zeroizing<Vec<u8>>,
    #[cfg(feature = "control")]
    _known: register::Known,
}

impl Secret {
    /// Takes the value over.
    pub fn new(value: Vec<u8>) -> Self {
        let value = Zeroizing::new(value);
        Self {
            #[cfg(feature = "control")]
            _known: register::Known::learn(&value),
            value,
        }
    }

    /// The value itself.
    pub fn expose(&self) -> &[u8] {
        &self.value
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// What of a value is masked: all of it, and each of its lines on its own as well, since a log splits text at line ends.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let all = std::iter::once(value.trim()).chain(value.lines().map(str::trim));
    all.filter(|part| part.len() >= SHORTEST)
}

/// Masks known secret values wherever they appear in text, and leaves the rest readable.
#[derive(Default)]
pub struct Redactor(Vec<Zeroizing<String>>);

impl Redactor {
    /// Learns a value.
    pub fn learn(&mut self, secret: &Secret) {
        let Ok(text) = std::str::from_utf8(secret.expose()) else { return };
        for part in parts(text) {
            if !self.0.iter().any(|known| known.as_str() == part) {
                self.0.push(Zeroizing::new(part.to_owned()));
            }
        }
        // Longest first: a value that contains another is masked whole.
        self.0.sort_by_key(|value| std::cmp::Reverse(value.len()));
    }

    /// The text with every known value replaced by [`MASK`].
    pub fn apply(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, value| {
            if text.contains(value.as_str()) { text.replace(value.as_str(), MASK) } else { text }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_by_value_and_keeps_the_rest() {
        let mut redactor = Redactor::default();
        redactor.learn(&Secret::new(b"sk-abcdef\n".to_vec()));
        redactor.learn(&Secret::new(b"sk-abcdef-long".to_vec()));
        assert_eq!(redactor.apply("key sk-abcdef-long or sk-abcdef!"), "key [secret] or [secret]!");
        assert_eq!(format!("{:?}", Secret::new(b"x".to_vec())), MASK);
    }
}
