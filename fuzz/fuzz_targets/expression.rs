//! Expressions and templates: a value, text, or an error.
#![no_main]

use stead::wire::expr::{Engine, Scope};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (engine, scope) = (Engine::new(), Scope::default());
    let _ = engine.check(text);
    let _ = engine.value(text, &scope);
    let _ = engine.render(text, &scope);
});
