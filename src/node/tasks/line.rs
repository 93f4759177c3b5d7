//! `line`.

use super::text::{self, Edit, Lines};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::wire::action::{Line, Presence, regexp};
use crate::{Error, Result};

/// Tells some lines from others.
type Matcher<'a> = Box<dyn Fn(&str) -> bool + 'a>;

impl Converge for Line {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        if self.line.as_ref().is_some_and(|line| line.contains(['\n', '\r'])) {
            return Err(Error::input("a `line` task looks after one line")
                .hint("use one task for each line, or `block_in_file`"));
        }
        let wanted =
            Edit { path: &self.path, create: self.create, validate: self.validate.as_ref(), state: self.state };
        text::changes(machine, &wanted, |lines| self.edit(lines))
    }
}

impl Line {
    fn edit(&self, lines: &mut Lines) -> Result<()> {
        let matches = self.matcher()?;
        let Some(line) = self.line.as_deref().filter(|_| self.state == Presence::Present) else {
            lines.retain(|other| Some(other) != self.line.as_deref() && !matches(other));
            return Ok(());
        };
        // A line that fits what it replaces is the last of them afterwards. One that does not would replace one more each
        // time, if it did not count wherever it stands.
        if !matches(line) && lines.contains(line) {
            return Ok(());
        }
        let last = lines.bodies().rposition(&matches);
        match last {
            Some(at) => lines.replace(at, line),
            None => {
                let at = lines.place(self.insert_after.as_deref(), self.insert_before.as_deref())?;
                lines.splice(at..at, &[line]);
            }
        }
        Ok(())
    }

    /// What tells the lines that `line` takes the place of.
    fn matcher(&self) -> Result<Matcher<'_>> {
        Ok(match (&self.starts_with, &self.regexp) {
            (None, None) => Box::new(|_| false),
            (Some(start), None) if start.is_empty() => {
                return Err(Error::input("every line starts with an empty `starts_with`").hint("leave it out"));
            }
            (Some(start), None) => Box::new(move |line| line.trim_start().starts_with(start)),
            (None, Some(expression)) => {
                let expression = regexp(expression)?;
                Box::new(move |line| expression.is_match(line))
            }
            (Some(_), Some(_)) => return Err(Error::input("give `starts_with` or `regexp`, not both")),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;

    /// A bench whose `/etc/a` is this text.
    fn bench(text: &[u8]) -> Bench {
        let bench = Bench::new();
        std::fs::write(bench.at("/etc/a"), text).unwrap();
        bench
    }

    /// What `/etc/a` becomes by a task with these fields, which is told by a check, and done only once.
    fn edited(text: &str, fields: Value) -> String {
        let bench = bench(text.as_bytes());
        let mut task = json!({"path": "/etc/a"});
        task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let task = json!({"line": task});
        let told = bench.check(task.clone()).unwrap();
        assert_eq!(bench.read("/etc/a"), text, "a check changes nothing");
        assert_eq!(bench.apply(task).unwrap(), told);
        bench.read("/etc/a")
    }

    #[test]
    fn a_line_is_added_replaced_and_removed() {
        let umask = json!({"line": "UMASK 027", "starts_with": "UMASK"});
        assert_eq!(edited("x 1\n  UMASK 022\ny 2", umask), "x 1\nUMASK 027\ny 2");
        assert_eq!(edited("x 1\ny 2", json!({"line": "z"})), "x 1\ny 2\nz\n");
        assert_eq!(edited("x 1\nz\r\ny 2", json!({"line": "z"})), "x 1\nz\r\ny 2");
        assert_eq!(edited("z\nx 1\nz", json!({"line": "z", "state": "absent"})), "x 1\n");
    }

    #[test]
    fn the_last_line_that_matches_is_replaced() {
        let port = json!({"line": "Port 22", "regexp": "^#?Port "});
        assert_eq!(edited("Port 1\n#Port 2\r\nend", port.clone()), "Port 1\nPort 22\r\nend");
        assert_eq!(edited("Port 22\nPort 1\n", port.clone()), "Port 22\nPort 22\n");
        assert_eq!(edited("x\n", port), "x\nPort 22\n");
    }

    #[test]
    fn a_line_that_does_not_fit_its_expression_is_put_there_once() {
        let uncommented = json!({"line": "Port 22", "regexp": "^#Port"});
        assert_eq!(edited("#Port 1\n#Port 2\n", uncommented.clone()), "#Port 1\nPort 22\n");
        assert_eq!(edited("Port 22\n#Port 2\n", uncommented), "Port 22\n#Port 2\n");
    }

    #[test]
    fn a_new_line_finds_its_place() {
        let hosts = "[a]\none\n[b]\none";
        assert_eq!(edited(hosts, json!({"line": "two", "insert_after": "^one"})), "[a]\none\n[b]\none\ntwo\n");
        assert_eq!(edited(hosts, json!({"line": "two", "insert_before": "^one"})), "[a]\ntwo\none\n[b]\none");
        assert_eq!(edited(hosts, json!({"line": "two", "insert_before": "none"})), "[a]\none\n[b]\none\ntwo\n");
        let known = json!({"line": "two", "regexp": "^one", "insert_before": "a"});
        assert_eq!(edited(hosts, known), "[a]\none\n[b]\ntwo\n");
    }

    #[test]
    fn every_line_that_matches_is_removed() {
        let gone = json!({"regexp": "^x", "line": "y", "state": "absent"});
        assert_eq!(edited("x1\r\na\r\nx2\ny\ny2", gone), "a\r\ny2");
        assert_eq!(edited("  x1\nax\n", json!({"starts_with": "x", "state": "absent"})), "ax\n");
    }

    #[test]
    fn what_cannot_be_edited_is_told_and_left_as_it_is() {
        let bench = bench(b"a\n\xff\n");
        let fails = |fields: Value| bench.apply(json!({"line": fields})).unwrap_err();
        let error = fails(json!({"path": "/etc/a", "line": "z"}));
        assert!(error.to_string().contains("line 2") && !error.hints().is_empty(), "{error}");
        assert_eq!(std::fs::read(bench.at("/etc/a")).unwrap(), b"a\n\xff\n");
        std::os::unix::fs::symlink("a", bench.at("/etc/link")).unwrap();
        assert!(fails(json!({"path": "/etc/link", "line": "z"})).hints()[0].ends_with(": a"));
        assert!(fails(json!({"path": "/etc/new", "line": "z"})).hints()[0].contains("create"));
        assert!(fails(json!({"path": "/none/new", "line": "z", "create": true})).hints()[0].contains("directory"));
        for wrong in [
            json!({"path": "/etc/b", "create": true}),
            json!({"path": "/etc/b", "create": true, "line": "two\nlines"}),
            json!({"path": "/etc/b", "state": "absent"}),
            json!({"path": "/etc/b", "create": true, "line": "x", "starts_with": ""}),
            json!({"path": "/etc/b", "create": true, "line": "x", "regexp": "("}),
            json!({"path": "/etc/b", "create": true, "line": "x", "regexp": "a", "starts_with": "b"}),
        ] {
            assert_eq!(fails(wrong.clone()).kind(), crate::Kind::Input, "{wrong}");
        }
        assert!(!bench.at("/etc/b").exists());
    }

    #[test]
    fn a_missing_file_is_made_where_that_was_said() {
        let bench = Bench::new();
        bench.apply(json!({"line": {"path": "/etc/new", "line": "z", "create": true}})).unwrap();
        assert_eq!(bench.read("/etc/new"), "z\n");
        assert!(
            bench.apply(json!({"line": {"path": "/etc/none", "line": "z", "state": "absent"}})).unwrap().is_empty()
        );
    }
}
