//! Patterns of file names: `*` is any run of characters within one name, `?` any one character.

use camino::Utf8Path;

/// Whether a pattern holds a wildcard.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Whether a path matches a pattern, folder by folder.
pub fn matches(pattern: &Utf8Path, path: &Utf8Path) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.iter().collect(), path.iter().collect());
    pattern.len() == path.len() && pattern.iter().zip(&path).all(|(pattern, name)| name_matches(pattern, name))
}

/// Whether one name matches one name's pattern. Backtracks to the last `*` only, so it takes at most the product of the
/// two lengths.
pub fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            p += 1;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            p = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_folder() {
        for (pattern, path, expected) in [
            ("tiers.yaml", "tiers.yaml", true),
            ("customers/*.yaml", "customers/acme.yaml", true),
            ("customers/*.yaml", "customers/eu/acme.yaml", false),
            ("*/*.yaml", "customers/acme.yaml", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.yaml", "é.yaml", true),
            ("*", "", false),
        ] {
            assert_eq!(matches(pattern.into(), path.into()), expected, "{pattern} {path}");
        }
    }
}
