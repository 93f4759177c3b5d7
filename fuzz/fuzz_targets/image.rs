//! What builds of images read that others may have written: definitions, locks, and the data of Debian's security tracker.
#![no_main]

use stead::fleet::FileSet;
use stead::fleet::files::File;
use stead::image::record::{package, vulnerabilities};
use stead::image::{Definition, Lock};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let file = File { content: bytes.into(), executable: false };
    let files = FileSet::with_shipped([("images/fuzzed/image.yaml".into(), file)]);
    let _ = Definition::load(&files, "fuzzed");
    let _ = Lock::parse("images/fuzzed/lock.amd64.json".into(), bytes);
    let status = "Package: openssl\nStatus: install ok installed\nVersion: 3.5.4-1\nArchitecture: amd64\n\n";
    let _ = vulnerabilities::find(bytes, "trixie", &package::packages(status));
});
