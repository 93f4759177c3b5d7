//! Whatever is imported, what comes out is a playbook, or the file is refused as the user's mistake.

use camino::Utf8Path;
use proptest::prelude::*;

use super::ansible;

const SAMPLES: [&str; 2] = [
    include_str!("../../../tests/cases/cli/import-a-playbook/site.yml"),
    include_str!("../../../tests/cases/cli/import-complaints/complaints.yml"),
];

proptest! {
    #[test]
    fn what_is_made_of_any_file_loads(
        sample in 0..SAMPLES.len(), without in prop::collection::vec(0..140_usize, 0..12), from in "[a-z'{}:|]{1,3}", to in "[a-z'{}:|,\\[\\] -]{0,3}"
    ) {
        let kept = SAMPLES[sample].lines().enumerate().filter(|(at, _)| !without.contains(at));
        let text: String = kept.flat_map(|(_, line)| [line, "\n"]).collect();
        for text in [text.replacen(&from, &to, 3), text] {
            if let Err(error) = ansible(Utf8Path::new("t.yml"), &text, 1) {
                prop_assert_eq!(error.kind(), crate::Kind::Input, "{:?}\n{}", error, text);
            }
        }
    }
}
