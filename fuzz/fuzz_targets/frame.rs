//! Frames from a peer that is none of ours: an error, never a panic, and no more memory than a frame may take.
#![no_main]

use stead::wire::frame;
use stead::wire::message::{Hello, Reply, Request};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = frame::decode::<Hello>(bytes);
    let _ = frame::decode::<Request>(bytes);
    let _ = frame::decode::<Reply>(bytes);
    let _ = frame::read::<serde_json::Value>(&mut &bytes[..]);
});
