//! `line`.

use super::{check_path, content};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::wire::action::{FileCommon, Line, Presence};
use crate::{Error, Result};

impl Converge for Line {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        if self.line.contains('\n') {
            return Err(Error::input("a `line` task looks after one line").hint("use one task for each line"));
        }
        let place = machine.paths.at(check_path(&self.path)?);
        let text = match fs_err::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if self.state == Presence::Absent {
                    return Ok(Vec::new());
                }
                if !self.create && !machine.may_come() {
                    return Err(Error::failed(format!("{} is not there", self.path)).hint("say `create: true`"));
                }
                String::new()
            }
            Err(error) => return Err(error.into()),
        };
        let edited = self.edit(&text);
        if edited == text && place.exists() {
            return Ok(Vec::new());
        }
        content::changes(machine, &self.path, Some(edited.as_bytes()), &FileCommon::default())
    }
}

impl Line {
    fn edit(&self, text: &str) -> String {
        let start = self.starts_with.as_deref();
        let matches = |line: &str| start.is_some_and(|start| line.trim_start().starts_with(start));
        let mut lines: Vec<&str> = text.lines().collect();
        match self.state {
            Presence::Absent => lines.retain(|line| *line != self.line && !matches(line)),
            Presence::Present if lines.contains(&self.line.as_str()) => return text.to_owned(),
            Presence::Present => match lines.iter().rposition(|line| matches(line)) {
                Some(at) => lines[at] = &self.line,
                None => lines.push(&self.line),
            },
        }
        if lines == text.lines().collect::<Vec<_>>() {
            return text.to_owned();
        }
        lines.iter().flat_map(|line| [*line, "\n"]).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Bench;

    #[test]
    fn a_line_is_added_replaced_and_removed() {
        let bench = Bench::new();
        std::fs::write(bench.at("/etc/a"), "x 1\n  UMASK 022\ny 2").unwrap();
        bench.apply(json!({"line": {"path": "/etc/a", "line": "UMASK 027", "starts_with": "UMASK"}})).unwrap();
        assert_eq!(bench.read("/etc/a"), "x 1\nUMASK 027\ny 2\n");
        bench.apply(json!({"line": {"path": "/etc/a", "line": "z"}})).unwrap();
        assert_eq!(bench.read("/etc/a"), "x 1\nUMASK 027\ny 2\nz\n");
        bench.apply(json!({"line": {"path": "/etc/a", "line": "z", "state": "absent"}})).unwrap();
        assert_eq!(bench.read("/etc/a"), "x 1\nUMASK 027\ny 2\n");
        assert!(bench.apply(json!({"line": {"path": "/etc/new", "line": "z"}})).is_err());
        bench.apply(json!({"line": {"path": "/etc/new", "line": "z", "create": true}})).unwrap();
        assert_eq!(bench.read("/etc/new"), "z\n");
    }
}
