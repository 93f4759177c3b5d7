//! Playbooks: any text is a plan or a list of mistakes.
#![no_main]

use stead::fleet::FileSet;
use stead::fleet::files::File;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = File { content: bytes.into(), executable: false };
    let files = FileSet::with_shipped([("playbooks/fuzzed.yaml".into(), file)]);
    let _ = stead::playbook::compile(&files, &["fuzzed".to_owned()], Default::default());
});
