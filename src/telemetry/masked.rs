//! Stderr for logs, with every secret value masked that the process holds.
//!
//! Whose value it is can be somebody who means ill: `WARN`, or `level`. So only what an event tells is masked, not what this program
//! itself says of it.

use std::borrow::Cow;
use std::io::{self, Stderr, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::redact::mask;

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lines {
    Text,
    Json,
}

/// Where logs are written to. The formatter hands a whole line over in one write, so no value is cut in two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masked<M> {
    pub(super) to: M,
    pub(super) lines: Lines,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Masked<M> {
    type Writer = Masked<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Masked { to: self.to.make_writer(), lines: self.lines }
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match (std::str::from_utf8(line), self.lines) {
            (Ok(text), Lines::Text) => {
                let (ours, told) = text.split_at(told(text));
                self.to.write_all(&[ours.as_bytes(), mask(told).as_bytes()].concat())?;
            }
            (Ok(text), Lines::Json) => self.to.write_all(json(text).as_bytes())?,
            (Err(_), _) => self.to.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Stderr, masked.
pub(super) fn stderr(lines: Lines) -> Masked<fn() -> Stderr> {
    Masked { to: io::stderr, lines }
}

/// Where in a line of text it begins what an event tells: behind its time and level.
fn told(line: &str) -> usize {
    // As far as the two reach, with colours.
    let head = &line[..line.floor_char_boundary(64)];
    let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"];
    levels.iter().filter_map(|level| head.find(level).map(|at| at + level.len())).min().unwrap_or_default()
}

/// A line of JSON with the strings masked that are values, save for what this program itself says: keys, numbers, and the
/// structure stay whatever a value is.
fn json(line: &str) -> Cow<'_, str> {
    const OURS: [&str; 3] = [r#""timestamp""#, r#""level""#, r#""target""#];
    let bytes = line.as_bytes();
    let (mut masked, mut done) = (String::new(), 0);
    let (mut at, mut depth, mut key) = (0, 0_usize, "");
    while at < bytes.len() {
        let begin = at;
        at += 1;
        match bytes[begin] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                at = string_end(bytes, at);
                let string = &line[begin..at];
                if bytes.get(at) == Some(&b':') {
                    key = string;
                } else if (depth > 1 || !OURS.contains(&key))
                    && let Some(string) = json_string(string)
                {
                    masked.push_str(&line[done..begin]);
                    masked.push_str(&string);
                    done = at;
                }
            }
            _ => {}
        }
    }
    if done == 0 {
        return Cow::Borrowed(line);
    }
    masked.push_str(&line[done..]);
    Cow::Owned(masked)
}

/// Where the string ends whose first character is here.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// A string of JSON, masked; none where there is nothing in it to mask.
fn json_string(string: &str) -> Option<String> {
    let text: String = serde_json::from_str(string).ok()?;
    match mask(&text) {
        Cow::Borrowed(_) => None,
        Cow::Owned(masked) => Some(serde_json::Value::from(masked).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use serde_json::Value;
    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::Error;
    use crate::redact::Secret;

    /// What is logged by `work`, as text and as JSON.
    fn logged(work: impl Fn()) -> [String; 2] {
        let collected = |lines: Lines| {
            let written = Arc::new(Mutex::new(Vec::new()));
            let into = written.clone();
            let layer = fmt::layer().with_writer(Masked { to: move || Into(into.clone()), lines });
            let registry = tracing_subscriber::registry();
            match lines {
                Lines::Json => tracing::subscriber::with_default(registry.with(layer.json()), &work),
                Lines::Text => {
                    let layer = layer.with_ansi(false).with_target(false);
                    tracing::subscriber::with_default(registry.with(layer), &work);
                }
            }
            String::from_utf8(written.lock().unwrap().clone()).unwrap()
        };
        [collected(Lines::Text), collected(Lines::Json)]
    }

    struct Into(Arc<Mutex<Vec<u8>>>);

    impl Write for Into {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_error_that_holds_a_secret_is_logged_without_it() {
        let secret = Secret::new(b"pass \"word\"\nof two lines".to_vec());
        let value = std::str::from_utf8(secret.expose()).unwrap();
        let error = Error::failed(format!("the server refused {value}"));
        let [text, json] = logged(|| {
            let _span = tracing::info_span!("asking", with = value).entered();
            tracing::warn!(error = error.one_line(), debug = ?value, bare = %value, "it said {value}");
        });
        for log in [&text, &json] {
            assert!(!log.contains("word") && !log.contains("two lines"), "{log}");
            assert!(log.contains("the server refused [secret]") && log.contains("it said [secret]"), "{log}");
        }
        let json: Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(json["span"]["with"], "[secret]");
        assert_eq!(json["fields"]["bare"], "[secret]");
    }

    #[test]
    fn a_value_does_not_change_what_the_program_says() {
        let work = || tracing::warn!(count = 123_456, done = true, "level WARN and 123456");
        let year = chrono::Utc::now().format("%Y-").to_string();
        let secrets = ["WARN", "level", "true", "123456", "message", "timestamp", "fields", "\":\"", year.as_str()];
        let _secrets = secrets.map(|text| Secret::new(text.into()));
        let [text, json] = logged(work);
        assert!(text.starts_with(&year) && text.contains("  WARN [secret] [secret] and [secret]"), "{text}");
        let json: Value = serde_json::from_str(json.trim()).unwrap();
        assert!(json["timestamp"].as_str().unwrap().starts_with(&year), "{json}");
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["target"], module_path!());
        let fields = serde_json::json!({"count": 123_456, "done": true, "message": "[secret] [secret] and [secret]"});
        assert_eq!(json["fields"], fields);
    }

    /// A document without its strings.
    fn form(value: &Value) -> Value {
        match value {
            Value::String(_) => "".into(),
            Value::Array(values) => values.iter().map(form).collect(),
            Value::Object(pairs) => pairs.iter().map(|(key, value)| (key.clone(), form(value))).collect(),
            other => other.clone(),
        }
    }

    proptest! {
        /// Whatever piece of a line is somebody's secret, or whatever else.
        #[test]
        fn a_line_of_json_keeps_its_form(from in 0..600_usize, length in 4..40_usize, other in "\\PC{4,12}") {
            let [_, line] = logged(|| {
                let _outer = tracing::info_span!("outer", a = "b\",\"c", level = "ERROR").entered();
                let _inner = tracing::info_span!("inner", number = 12_345, text = "{\"a\":[true]}").entered();
                tracing::info!(debug = ?["a \"quoted\" \\ text", "é\n"], flag = false, "a message: {}", r#""level":"INFO""#);
            });
            let begin = line.floor_char_boundary(from);
            let piece = &line[begin..line.floor_char_boundary(begin + length)];
            let _secrets = [piece, &other].map(|text| Secret::new(text.into()));
            let masked: Value = serde_json::from_str(&json(&line)).unwrap();
            let line: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(form(&masked), form(&line));
            for ours in ["timestamp", "level", "target"] {
                prop_assert_eq!(&masked[ours], &line[ours]);
            }
        }
    }
}
