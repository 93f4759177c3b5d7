//! A package's licences: from its machine-readable `copyright` file
//! (<https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/>) to an SPDX expression.

use std::collections::{BTreeMap, BTreeSet};

use super::deb822;

/// Licences that SPDX has under the same name, but perhaps in another case.
const SAME: &str = "0BSD AFL-2.1 Apache-2.0 Artistic-2.0 Beerware BSD-1-Clause BSD-2-Clause BSD-3-Clause BSD-4-Clause \
    BSL-1.0 bzip2-1.0.6 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 curl FSFAP FSFUL FSFULLR FTL \
    ISC MIT MPL-1.1 MPL-2.0 OFL-1.1 OpenSSL Sleepycat Unlicense WTFPL Zlib";
/// Debian's names for licences that SPDX calls otherwise. `Artistic` is Perl's, as in `/usr/share/common-licenses`.
const OTHERWISE: [(&str, &str); 6] = [
    ("Apache-2", "Apache-2.0"),
    ("Artistic", "Artistic-1.0-Perl"),
    ("CC0", "CC0-1.0"),
    ("Expat", "MIT"),
    ("MPL-2", "MPL-2.0"),
    ("OpenLDAP-2.8", "OLDAP-2.8"),
];
/// How much of a licence's name is kept, in characters: some authors write the licence itself there.
const NAME_LEN: usize = 60;

/// What a package says of its licences.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Declared {
    /// The SPDX expression.
    pub(super) expression: String,
    /// The names of licences that SPDX does not know, by the reference (`LicenseRef-…`) that stands in the expression.
    pub(super) references: BTreeMap<String, String>,
}

/// Reads a package's `copyright` file; `None` where it is not machine-readable or names no licence.
pub(super) fn declared(package: &str, copyright: &str) -> Option<Declared> {
    let mut stanzas = deb822::stanzas(copyright);
    let header = stanzas.next()?;
    let format = [header.folded("Format"), header.folded("Format-Specification")].concat().to_lowercase();
    if !["copyright-format", "dep5", "dep-5"].iter().any(|known| format.contains(known)) {
        return None;
    }
    // The same name stands for another text in another package: a reference belongs to its package.
    let mut references = BTreeMap::new();
    let mut term = |name: &str| {
        spdx(name).unwrap_or_else(|| {
            let name: String = name.chars().take(NAME_LEN).collect();
            let words = name.replace(|c: char| c.is_whitespace() || c == '_', "-");
            let id = format!("LicenseRef-{}-{}", idstring(package), idstring(&words));
            references.insert(id.clone(), name);
            id
        })
    };
    let files = stanzas.filter(|stanza| !stanza.folded("Files").is_empty());
    let all: BTreeSet<String> =
        files.filter_map(|stanza| stanza.line("License")).map(|name| expression(name, &mut term)).collect();
    let mut all: Vec<_> = all.into_iter().collect();
    if all.len() > 1 {
        all.iter_mut().filter(|one| one.contains(" OR ")).for_each(|one| *one = format!("({one})"));
    }
    (!all.is_empty()).then(|| Declared { expression: all.join(" AND "), references })
}

/// One license field as an expression. Of Debian's syntax that is `A or B and C`, which binds as in SPDX; where commas or
/// exceptions take part, the whole is one licence of its own.
fn expression(name: &str, mut term: impl FnMut(&str) -> String) -> String {
    let words: Vec<_> = name.split_whitespace().collect();
    let operator = |word: &str| match word {
        "or" => Some("OR"),
        "and" => Some("AND"),
        _ => None,
    };
    let alternating = words.len() % 2 == 1
        && words.iter().enumerate().all(|(at, word)| operator(word).is_some() == (at % 2 == 1) && !word.contains(','));
    if !alternating {
        return term(name);
    }
    let parts: Vec<_> = words.iter().map(|word| operator(word).map_or_else(|| term(word), str::to_owned)).collect();
    parts.join(" ")
}

/// The SPDX identifier of one licence.
fn spdx(name: &str) -> Option<String> {
    let same = SAME.split(' ').find(|id| id.eq_ignore_ascii_case(name));
    let other = || OTHERWISE.iter().find(|(debian, _)| debian.eq_ignore_ascii_case(name)).map(|(_, id)| *id);
    same.or_else(other).map(str::to_owned).or_else(|| gnu(name))
}

/// `GPL-2+` is `GPL-2.0-or-later`, `LGPL-2.1` is `LGPL-2.1-only`.
fn gnu(name: &str) -> Option<String> {
    let (family, version) = name.split_once('-')?;
    let (version, which) = match version.strip_suffix('+') {
        Some(version) => (version, "or-later"),
        None => (version, "only"),
    };
    let version = version.strip_suffix(".0").unwrap_or(version);
    let zero = match (family, version) {
        ("GPL", "1" | "2" | "3") | ("LGPL", "2" | "3") | ("AGPL", "3") => ".0",
        ("LGPL", "2.1") | ("GFDL", "1.1" | "1.2" | "1.3") => "",
        _ => return None,
    };
    Some(format!("{family}-{version}{zero}-{which}"))
}

/// A text within an SPDX id, where letters, digits, `.` and `-` may stand. What else stands in names is written as `X2B`,
/// which no two names share as long as neither has an X before two such digits.
pub(super) fn idstring(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("X{byte:02X}") }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::image::record) const COPYRIGHT: &str = "\
        Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
        Files: *\nLicense: GPL-3+\n This program is free software.\n\n\
        Files: gnu/*\nLicense: GPL-3+ with Bison exception\n\n\
        Files: debian/*\nLicense: GPL-1+ or Artistic\n\n\
        Files: a\n b\nLicense: Jam and Expat\n\nLicense: GPL-2\n Only a text that others refer to.\n";

    #[test]
    fn known_licences_get_spdx_names_and_others_references() {
        let declared = declared("tar", COPYRIGHT).unwrap();
        assert_eq!(
            declared.expression,
            "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND GPL-3.0-or-later AND LicenseRef-tar-GPL-3X2B-with-Bison-exception \
             AND LicenseRef-tar-Jam AND MIT"
        );
        assert_eq!(declared.references["LicenseRef-tar-Jam"], "Jam");
        assert_eq!(declared.references.len(), 2);
    }

    #[test]
    fn a_file_for_people_declares_nothing() {
        assert_eq!(declared("x", "This package was debianized by somebody.\n\nLicense: GPL-2\n"), None);
        assert_eq!(declared("x", "Format: copyright-format/1.0\n\nLicense: GPL-2\n"), None);
        assert_eq!(declared("x", ""), None);
    }

    #[test]
    fn every_name_is_on_spdxs_list() {
        let schema = include_str!("../../../tests/data/schemas/spdx.schema.json");
        let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
        let list = schema["enum"].as_array().unwrap();
        let debian =
            ["GPL-1", "GPL-2+", "GPL-3", "LGPL-2", "LGPL-2.1+", "LGPL-3.0", "AGPL-3+", "GFDL-1.1", "GFDL-1.3+"];
        for name in SAME.split(' ').chain(OTHERWISE.map(|(debian, _)| debian)).chain(debian) {
            let id = spdx(name).unwrap();
            assert!(list.contains(&id.clone().into()), "{id}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(Files: [*]|License:|Format: dep5|[a-zA-Z]| or | and |,|[+]| |\n|\u{e9}){0,60}") {
            if let Some(declared) = declared("p", &text) {
                let legal = |c: char| c.is_ascii_alphanumeric() || "-. ()".contains(c);
                prop_assert!(declared.expression.chars().all(legal), "{}", declared.expression);
            }
        }
    }
}
