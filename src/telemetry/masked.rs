//! Stderr for logs, with every secret value masked that the process holds.

use std::io::{self, Stderr, Write};

use tracing_subscriber::fmt::MakeWriter;

use crate::redact::{Written, mask};

/// Where logs are written to. The formatter hands a whole line over in one write, so no value is cut in two.
#[derive(Debug, Clone, Copy)]
pub(super) struct Masked<M> {
    pub(super) to: M,
    pub(super) written: Written,
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Masked<M> {
    type Writer = Masked<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Masked { to: self.to.make_writer(), written: self.written }
    }
}

impl<W: Write> Write for Masked<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(line) {
            Ok(text) => self.to.write_all(mask(text, self.written).as_bytes())?,
            Err(_) => self.to.write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Stderr, masked.
pub(super) fn stderr(written: Written) -> Masked<fn() -> Stderr> {
    Masked { to: io::stderr, written }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::Error;
    use crate::redact::Secret;

    /// What is logged by `work`, as text and as JSON.
    fn logged(work: impl Fn()) -> [String; 2] {
        let collected = |json: bool| {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let into = lines.clone();
            let to = move || Into(into.clone());
            let registry = tracing_subscriber::registry();
            if json {
                let layer = fmt::layer().json().with_writer(Masked { to, written: Written::InJson });
                tracing::subscriber::with_default(registry.with(layer), &work);
            } else {
                let layer = fmt::layer().with_ansi(false).with_writer(Masked { to, written: Written::Plainly });
                tracing::subscriber::with_default(registry.with(layer), &work);
            }
            String::from_utf8(lines.lock().unwrap().clone()).unwrap()
        };
        [collected(false), collected(true)]
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
        let json: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(json["span"]["with"], "[secret]");
        assert_eq!(json["fields"]["bare"], "[secret]");
    }
}
