//! Requests: whatever bytes stand in path, query, head and body, the API has an answer, and none of a program that failed.
#![no_main]

use std::sync::LazyLock;

use camino::Utf8PathBuf;
use tokio::runtime::Runtime;

#[path = "../../tests/support/asked.rs"]
mod asked;
#[path = "../../tests/support/control.rs"]
mod control;

use asked::{Asked, check};

/// Made once, and left to the system to clean up with its folder for temporary files.
static API: LazyLock<(Runtime, Asked)> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let dir = Utf8PathBuf::try_from(tempfile::tempdir().expect("a folder").keep()).expect("UTF-8");
    let asked = runtime.block_on(Asked::new(&dir));
    (runtime, asked)
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (runtime, asked) = &*API;
    if let Some(answer) = runtime.block_on(asked.ask(bytes)) {
        check(&answer);
    }
});
