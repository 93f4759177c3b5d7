//! The secret values that this process holds now, so that its logs and traces never show one.
//!
//! A value is known from when its [`Secret`] is made until that is dropped. Values come from tenants, so that neither may grow with
//! what they send: of a value's lines the first [`LINES`] are known, and a text is looked through once, however many values there are.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock, RwLockWriteGuard};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{MASK, SHORTEST, Secret, parts};

/// How many lines of a value are masked where they stand alone. The value in one piece is masked however many it has.
const LINES: usize = 64;

/// A way of writing a value, or a part of it.
type Text = Arc<Zeroizing<String>>;

/// A value that is known, once, however many hold a copy of it.
struct Value {
    holders: usize,
    forms: Vec<Text>,
}

/// A text that is masked, and how many values are written so.
struct Form {
    text: Text,
    values: usize,
}

/// All that is known.
#[derive(Default)]
struct Register {
    /// By digest, so that no more copies are kept than need be.
    values: HashMap<[u8; 32], Value>,
    /// By how they begin; those that begin alike with the longest first.
    forms: HashMap<[u8; SHORTEST], Vec<Form>>,
}

static REGISTER: LazyLock<RwLock<Register>> = LazyLock::new(RwLock::default);
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn register() -> RwLockWriteGuard<'static, Register> {
    // It is whole whatever happened to whoever held it.
    REGISTER.write().unwrap_or_else(PoisonError::into_inner)
}

/// How a form begins; none where it is too short to be one.
fn beginning(text: &[u8]) -> Option<[u8; SHORTEST]> {
    text.first_chunk().copied()
}

impl Register {
    fn add(&mut self, digest: [u8; 32], forms: Vec<Text>) {
        match self.values.entry(digest) {
            Entry::Occupied(mut known) => known.get_mut().holders += 1,
            Entry::Vacant(free) => {
                for text in &forms {
                    let Some(beginning) = beginning(text.as_bytes()) else { continue };
                    let alike = self.forms.entry(beginning).or_default();
                    match find(alike, text) {
                        Ok(at) => alike[at].values += 1,
                        Err(at) => alike.insert(at, Form { text: text.clone(), values: 1 }),
                    }
                }
                free.insert(Value { holders: 1, forms });
            }
        }
        COUNT.store(self.values.len(), Ordering::Release);
    }

    fn remove(&mut self, digest: [u8; 32]) {
        let Entry::Occupied(mut value) = self.values.entry(digest) else { return };
        value.get_mut().holders -= 1;
        if value.get().holders > 0 {
            return;
        }
        for text in value.remove().forms {
            let Some(beginning) = beginning(text.as_bytes()) else { continue };
            let Entry::Occupied(mut alike) = self.forms.entry(beginning) else { continue };
            if let Ok(at) = find(alike.get(), &text) {
                alike.get_mut()[at].values -= 1;
                if alike.get()[at].values == 0 {
                    alike.get_mut().remove(at);
                }
            }
            if alike.get().is_empty() {
                alike.remove();
            }
        }
        COUNT.store(self.values.len(), Ordering::Release);
    }

    /// Where the longest form ends that begins here.
    fn ends(&self, text: &[u8], begin: usize) -> Option<usize> {
        let text = &text[begin..];
        let alike = self.forms.get(&beginning(text)?)?;
        let form = alike.iter().find(|form| text.starts_with(form.text.as_bytes()))?;
        Some(begin + form.text.len())
    }
}

/// Where a form is among those that begin alike, or belongs.
fn find(alike: &[Form], text: &Text) -> Result<usize, usize> {
    alike.binary_search_by(|form| text.len().cmp(&form.text.len()).then_with(|| form.text.as_str().cmp(text.as_str())))
}

/// How a value may be written: as it is, or as Rust's `Debug` has it, in one piece or as one of its lines.
fn forms(value: &str) -> Vec<Text> {
    let mut forms: Vec<Zeroizing<String>> = Vec::new();
    for part in parts(value).take(1 + LINES) {
        let mut debug = Zeroizing::new(String::with_capacity(6 * part.len()));
        debug.extend(part.escape_debug());
        forms.extend([Zeroizing::new(part.to_owned()), debug]);
    }
    forms.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    forms.dedup();
    forms.into_iter().map(Arc::new).collect()
}

/// That a value is known; dropping it forgets the value.
pub(super) struct Known(Option<[u8; 32]>);

impl Known {
    /// Learns a value. One that is too short to be masked is not kept.
    pub(super) fn learn(value: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(value) else { return Self(None) };
        let digest: [u8; 32] = Sha256::digest(text).into();
        if let Some(value) = register().values.get_mut(&digest) {
            value.holders += 1;
            return Self(Some(digest));
        }
        // Aside: every line that is logged waits while the register is written to.
        let forms = forms(text);
        if forms.is_empty() {
            return Self(None);
        }
        register().add(digest, forms);
        Self(Some(digest))
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        if let Some(digest) = self.0 {
            register().remove(digest);
        }
    }
}

/// The text with every value that is known now replaced by [`MASK`]. Values that overlap are masked as one.
pub fn mask(text: &str) -> Cow<'_, str> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Cow::Borrowed(text);
    }
    let register = REGISTER.read().unwrap_or_else(PoisonError::into_inner);
    let bytes = text.as_bytes();
    let (mut masked, mut done, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let begin = at;
        at += 1;
        let Some(mut end) = register.ends(bytes, begin) else { continue };
        while at < end {
            end = register.ends(bytes, at).map_or(end, |further| end.max(further));
            at += 1;
        }
        masked.push_str(&text[done..begin]);
        masked.push_str(MASK);
        done = end;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[done..]);
    Cow::Owned(masked)
}

/// Knows a value for as long as the program runs: one that a library holds a copy of, as the database's password.
pub fn keep(secret: Secret) {
    static KEPT: Mutex<Vec<Secret>> = Mutex::new(Vec::new());
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(secret);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_masked_while_it_lives() {
        let text = "the answer held correct-horse, it said";
        let secret = Secret::new(b"correct-horse\n".to_vec());
        let again = [Secret::new(b"correct-horse".to_vec()), Secret::new(b"correct-horse".to_vec())];
        assert_eq!(mask(text), "the answer held [secret], it said");
        drop(secret);
        let [one, other] = again;
        drop(one);
        assert_eq!(mask(text), "the answer held [secret], it said", "somebody else holds it still");
        drop(other);
        assert_eq!(mask(text), text);
        assert!(!register().forms.contains_key(b"corr"), "nothing of it stays");
    }

    #[test]
    fn every_way_of_writing_it_is_masked() {
        let _secret = Secret::new(b"first \"quoted\" line\nback\\slash line\n".to_vec());
        assert_eq!(mask("a first \"quoted\" line\nback\\slash line b"), "a [secret] b");
        assert_eq!(mask(&format!("{:?}", "a first \"quoted\" line")), "\"a [secret]\"");
        assert_eq!(mask("only back\\slash line"), "only [secret]");
    }

    #[test]
    fn what_overlaps_is_masked_whole() {
        let _secrets = ["sk-abcdef", "sk-abcdef-long", "long-word", "secret"].map(|text| Secret::new(text.into()));
        assert_eq!(mask("sk-abcdef-long sk-abcdefsk-abcdef"), "[secret] [secret][secret]");
        assert_eq!(mask("é sk-abcdef-long-word é"), "é [secret] é");
        assert_eq!(mask("a secret"), "a [secret]", "the mask is not masked again");
    }

    #[test]
    fn short_values_are_left() {
        let _secrets = [Secret::new(b"abc".to_vec()), Secret::new(Vec::new()), Secret::new(vec![0xff; 8])];
        assert_eq!(mask("abc"), "abc");
    }

    #[test]
    fn a_value_of_many_lines_is_no_burden() {
        let text = |n: usize| (0..12_000).map(|line| format!("{n:x}{line:04x}\n")).collect::<String>();
        let secrets: Vec<_> = (0..16).map(|n| Secret::new(text(n).into_bytes())).collect();
        let copies: Vec<_> = (0..200).map(|_| Secret::new(text(0).into_bytes())).collect();
        assert!(register().forms.values().flatten().count() <= 16 * (2 + LINES));
        assert_eq!(mask(&format!("{} and", text(3))), "[secret]\n and", "all of it is known");
        assert_eq!(mask("30000 30fff"), "[secret] 30fff", "and the first lines alone");
        assert_eq!(
            register().values.values().map(|value| value.holders).sum::<usize>(),
            16 + 200,
            "copies are counted"
        );
        drop((secrets, copies));
    }
}
