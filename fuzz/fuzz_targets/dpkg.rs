//! dpkg's record of packages, whatever it holds.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    stead::node::dpkg::parse(text);
});
