//! Debian's order of versions (Policy 5.6.12), as `dpkg --compare-versions` has it.

use std::cmp::Ordering;

/// Compares two versions. Any text has its place; versions that mean the same (`1.0`, `0:1.0-0`) are equal.
pub fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, upstream_a, revision_a), (epoch_b, upstream_b, revision_b)) = (parts(a), parts(b));
    numbers(epoch_a.as_bytes(), epoch_b.as_bytes())
        .then_with(|| texts(upstream_a.as_bytes(), upstream_b.as_bytes()))
        .then_with(|| texts(revision_a.as_bytes(), revision_b.as_bytes()))
}

/// Epoch, upstream version and Debian revision; empty where there is none, which counts as zero.
fn parts(version: &str) -> (&str, &str, &str) {
    let version = version.trim();
    let (epoch, rest) = match version.split_once(':') {
        Some((epoch, rest)) if epoch.bytes().all(|byte| byte.is_ascii_digit()) => (epoch, rest),
        _ => ("", version),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Compares in turn what is no digits, letter by letter, and what is digits, as a number.
fn texts(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let ((words_a, rest_a), (words_b, rest_b)) =
            (split(a, |byte| !byte.is_ascii_digit()), split(b, |byte| !byte.is_ascii_digit()));
        let words = words(words_a, words_b);
        let ((digits_a, rest_a), (digits_b, rest_b)) =
            (split(rest_a, u8::is_ascii_digit), split(rest_b, u8::is_ascii_digit));
        let order = words.then_with(|| numbers(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

fn split(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len()))
}

/// Letters sort before all else, and a tilde before everything, even the end.
fn words(a: &[u8], b: &[u8]) -> Ordering {
    let weight = |text: &[u8], at: usize| match text.get(at) {
        None => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    };
    let longer = a.len().max(b.len());
    (0..longer).map(|at| weight(a, at).cmp(&weight(b, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Compares numbers of any length.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Policy's own examples, what dpkg's tests look at, and versions as Debian has them.
    const KNOWN: [(&str, Ordering, &str); 34] = [
        ("1.0", Ordering::Equal, "1.0"),
        ("0:1.0", Ordering::Equal, "1.0"),
        ("1.0-0", Ordering::Equal, "1.0"),
        ("1.0", Ordering::Equal, "1.00"),
        ("1.01", Ordering::Equal, "1.1"),
        ("00:1", Ordering::Equal, "1"),
        ("0-0", Ordering::Equal, "0"),
        ("1:1.0", Ordering::Greater, "2.0"),
        ("2:0", Ordering::Greater, "1:9"),
        ("10:1", Ordering::Greater, "9:1"),
        ("1.9", Ordering::Less, "1.10"),
        ("1.0-9", Ordering::Less, "1.0-10"),
        ("1.0", Ordering::Less, "1.0-1"),
        ("1.0-1", Ordering::Less, "1.0-1.1"),
        ("1.0-1", Ordering::Less, "1.0-1+b1"),
        ("1.0-1", Ordering::Less, "1.0-1+deb13u1"),
        ("1.0-1~bpo12+1", Ordering::Less, "1.0-1"),
        ("1.0~rc1", Ordering::Less, "1.0"),
        ("1.0~rc1-5", Ordering::Less, "1.0-1"),
        ("1.0~~", Ordering::Less, "1.0~~a"),
        ("1.0~~a", Ordering::Less, "1.0~"),
        ("1.0~", Ordering::Less, "1.0"),
        ("1.0", Ordering::Less, "1.0a"),
        ("1.0a", Ordering::Less, "1.0+"),
        ("1.0+", Ordering::Less, "1.0."),
        ("1.0a1", Ordering::Less, "1.0a2"),
        ("1.0Z", Ordering::Less, "1.0a"),
        ("1.2-3-4", Ordering::Greater, "1.2-3"),
        ("1.a", Ordering::Less, "1.+"),
        ("0.0.0-9", Ordering::Less, "0.0.1-1"),
        ("2.36-9+deb12u9", Ordering::Less, "2.36-9+deb12u14"),
        ("6.1.158-1", Ordering::Less, "6.12.48-1"),
        ("20230311+deb12u1", Ordering::Less, "20240203"),
        ("99999999999999999999998", Ordering::Less, "99999999999999999999999"),
    ];

    #[test]
    fn known_pairs() {
        for (a, order, b) in KNOWN {
            assert_eq!((compare(a, b), compare(b, a)), (order, order.reverse()), "{a} {b}");
        }
    }

    #[test]
    fn rooted_dpkg_judges_the_known_pairs_alike() {
        for (a, order, b) in KNOWN {
            let operator = match order {
                Ordering::Less => "lt",
                Ordering::Equal => "eq",
                Ordering::Greater => "gt",
            };
            let status = Command::new("dpkg").args(["--compare-versions", a, operator, b]).status().unwrap();
            assert!(status.success(), "{a} {operator} {b}");
        }
    }

    const VERSION: &str = "([0-9]{1,2}:)?[0-9a-c.+~-]{1,6}";

    proptest! {
        #[test]
        fn one_order_of_all(a in VERSION, b in VERSION, c in VERSION) {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            let mut sorted = [a, b, c];
            sorted.sort_by(|a, b| compare(a, b));
            prop_assert!(compare(&sorted[0], &sorted[2]).is_le(), "{:?}", sorted);
            if compare(&sorted[0], &sorted[1]).is_eq() {
                prop_assert_eq!(compare(&sorted[0], &sorted[2]), compare(&sorted[1], &sorted[2]));
            }
        }

        #[test]
        fn a_tilde_goes_before_the_end_and_all_else_behind(a in "[0-9][0-9a-c.+~]{0,6}", tail in "[a-c.+][0-9a-c.+~]{0,3}") {
            prop_assert_eq!(compare(&format!("{a}~{tail}"), &a), Ordering::Less);
            prop_assert_eq!(compare(&format!("{a}{tail}"), &a), Ordering::Greater);
        }

        #[test]
        fn any_text_has_its_place(a in ".{0,20}", b in ".{0,20}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
