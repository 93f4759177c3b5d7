//! Every folder of `tests/cases/fleet` is a fleet; `expected.txt` in it is what a user reads who loads it: all mistakes,
//! or `ok` and the workspaces. `UPDATE_CASES=1` writes the files anew.

use camino::Utf8PathBuf;
use stead::fleet::{FileSet, load};

fn told(dir: &Utf8PathBuf) -> String {
    match FileSet::read(dir).and_then(|files| load(&files)) {
        Ok(fleet) => format!("ok: {}\n", fleet.workspaces.into_keys().collect::<Vec<_>>().join(", ")),
        Err(error) => {
            assert_eq!(error.kind(), stead::Kind::Input, "{dir}: {error:?}");
            let hints: String = error.hints().iter().map(|hint| format!("hint: {hint}\n")).collect();
            format!("{error}\n{hints}")
        }
    }
}

#[test]
fn every_case_tells_what_is_expected() {
    let root = Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/fleet"));
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let mut failures = Vec::new();
    let mut count = 0;
    for entry in root.read_dir_utf8().unwrap() {
        let dir = entry.unwrap().into_path();
        let told = told(&dir);
        let expected = dir.join("expected.txt");
        if update {
            std::fs::write(&expected, &told).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != told {
            failures.push(format!("{}:\n{told}", dir.file_name().unwrap_or_default()));
        }
        count += 1;
    }
    assert!(count > 20, "the cases are found");
    assert!(failures.is_empty(), "these tell something else than expected:\n\n{}", failures.join("\n"));
}
