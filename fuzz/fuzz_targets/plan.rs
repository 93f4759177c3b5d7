//! Plans: what is read is written and read again as the same.
#![no_main]

use stead::wire::plan::Plan;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(plan) = serde_json::from_slice::<Plan>(bytes) {
        let text = serde_json::to_vec(&plan).expect("a plan is JSON");
        let again: Plan = serde_json::from_slice(&text).expect("what was written is read");
        assert_eq!(plan.digest(), again.digest());
    }
});
