//! The secret values that this process holds now, so that its logs and traces never show one.
//!
//! A value is known from when its [`Secret`] is made until that is dropped. Masking costs one atomic read while none is known.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::{MASK, Secret, parts};

/// How a value may have been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// As it is, or as Rust's `Debug` has it.
    Plainly,
    /// Within strings of JSON. Nothing else is masked there: a value with quotes could otherwise eat the document's own.
    InJson,
}

/// A value that is known.
struct Value {
    number: u64,
    plain: Vec<Zeroizing<String>>,
    json: Vec<Zeroizing<String>>,
}

static VALUES: Mutex<Vec<Value>> = Mutex::new(Vec::new());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);

fn values() -> MutexGuard<'static, Vec<Value>> {
    // The list is whole whatever happened to whoever held it.
    VALUES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That a value is known; dropping it forgets the value.
pub(super) struct Known(Option<u64>);

impl Known {
    /// Learns a value. One that is too short to be masked is not kept.
    pub(super) fn learn(value: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(value) else { return Self(None) };
        let mut plain: Vec<Zeroizing<String>> = Vec::new();
        for part in parts(text) {
            push(&mut plain, Zeroizing::new(part.to_owned()));
            let mut debug = Zeroizing::new(String::with_capacity(6 * part.len() + 2));
            // Writing to a string does not fail.
            let _ = write!(debug, "{part:?}");
            push(&mut plain, Zeroizing::new(debug[1..debug.len() - 1].to_owned()));
        }
        if plain.is_empty() {
            return Self(None);
        }
        let mut json = Vec::new();
        for text in &plain {
            let quoted = Zeroizing::new(serde_json::Value::from(text.as_str()).to_string());
            push(&mut json, Zeroizing::new(quoted[1..quoted.len() - 1].to_owned()));
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut values = values();
        values.push(Value { number, plain, json });
        COUNT.store(values.len(), Ordering::Release);
        Self(Some(number))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        let Some(number) = self.0 else { return };
        let mut values = values();
        if let Some(at) = values.iter().position(|value| value.number == number) {
            values.swap_remove(at);
        }
        COUNT.store(values.len(), Ordering::Release);
    }
}

fn push(list: &mut Vec<Zeroizing<String>>, text: Zeroizing<String>) {
    if !list.contains(&text) {
        list.push(text);
    }
}

/// The text with every value that is known now replaced by [`MASK`].
pub fn mask(text: &str, written: Written) -> Cow<'_, str> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Cow::Borrowed(text);
    }
    let values = values();
    let forms = values.iter().flat_map(|value| match written {
        Written::Plainly => &value.plain,
        Written::InJson => &value.json,
    });
    let mut found: Vec<&str> = forms.map(|form| form.as_str()).filter(|form| text.contains(form)).collect();
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    // Longest first: a value that contains another is masked whole.
    found.sort_by_key(|form| std::cmp::Reverse(form.len()));
    Cow::Owned(found.into_iter().fold(text.to_owned(), |text, form| text.replace(form, MASK)))
}

/// Knows a value for as long as the program runs: one that a library holds a copy of, as the database's password.
pub fn keep(secret: Secret) {
    static KEPT: Mutex<Vec<Secret>> = Mutex::new(Vec::new());
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(secret);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plainly(text: &str) -> String {
        mask(text, Written::Plainly).into_owned()
    }

    #[test]
    fn a_value_is_masked_while_it_lives() {
        let text = "the answer held correct-horse, it said";
        let secret = Secret::new(b"correct-horse\n".to_vec());
        let again = Secret::new(b"correct-horse".to_vec());
        assert_eq!(plainly(text), "the answer held [secret], it said");
        drop(secret);
        assert_eq!(plainly(text), "the answer held [secret], it said", "somebody else holds it still");
        drop(again);
        assert_eq!(plainly(text), text);
    }

    #[test]
    fn every_way_of_writing_it_is_masked() {
        let _secret = Secret::new(b"first \"quoted\" line\nback\\slash line\n".to_vec());
        assert_eq!(plainly("a first \"quoted\" line\nback\\slash line b"), "a [secret] b");
        assert_eq!(plainly(&format!("{:?}", "a first \"quoted\" line")), "\"a [secret]\"");
        assert_eq!(plainly("only back\\slash line"), "only [secret]");
        for text in ["first \"quoted\" line", "first \"quoted\" line\nback\\slash line"] {
            let json = serde_json::json!({"error": text, "debug": format!("{text:?}")}).to_string();
            assert_eq!(mask(&json, Written::InJson), r#"{"debug":"\"[secret]\"","error":"[secret]"}"#);
        }
    }

    #[test]
    fn a_document_keeps_its_form() {
        let _secret = Secret::new(br#"":"b","c"#.to_vec());
        let json = r#"{"a":"b","c":"d"}"#;
        assert_eq!(mask(json, Written::InJson), json);
    }

    #[test]
    fn short_values_are_left() {
        let _secrets = [Secret::new(b"abc".to_vec()), Secret::new(Vec::new()), Secret::new(vec![0xff; 8])];
        assert_eq!(plainly("abc"), "abc");
    }
}
