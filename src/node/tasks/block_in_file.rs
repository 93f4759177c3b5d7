//! `block_in_file`.

use super::text::{self, Edit, Lines};
use crate::node::machine::{Change, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::wire::action::{Action, BlockInFile, Presence};
use crate::{Error, Result};

impl Converge for BlockInFile {
    fn changes(&self, machine: &Machine, _: &Inputs) -> Result<Vec<Change>> {
        let wanted =
            Edit { path: &self.path, create: self.create, validate: self.validate.as_ref(), state: self.state };
        text::changes(machine, &wanted, |lines| self.edit(lines))
    }

    fn makes(&self) -> Vec<Made> {
        let removal = BlockInFile {
            path: self.path.clone(),
            marker: self.marker.clone(),
            state: Presence::Absent,
            ..BlockInFile::default()
        };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::BlockInFile(removal)))).into_iter().collect()
    }
}

impl BlockInFile {
    fn edit(&self, lines: &mut Lines) -> Result<()> {
        let [begin, end] = self.markers()?;
        let found = find(lines, &begin, &end)?;
        if self.state == Presence::Absent {
            if let Some((first, last)) = found {
                lines.splice(first..last + 1, &[]);
            }
            return Ok(());
        }
        let content: Vec<&str> = self.content.as_deref().unwrap_or_default().lines().collect();
        if let Some(marker) = content.iter().find(|line| [&begin, &end].contains(&&(**line).to_owned())) {
            return Err(Error::input(format!("the block's content has its marker {marker:?} in it"))
                .hint("give the task a `marker` of its own"));
        }
        match found {
            Some((first, last)) => lines.splice(first + 1..last, &content),
            None => {
                let at = lines.place(self.insert_after.as_deref(), self.insert_before.as_deref())?;
                let block: Vec<&str> = [begin.as_str()].into_iter().chain(content).chain([end.as_str()]).collect();
                lines.splice(at..at, &block);
            }
        }
        Ok(())
    }
}

/// Where a block begins and ends.
fn find(lines: &Lines, begin: &str, end: &str) -> Result<Option<(usize, usize)>> {
    let all = |marker: &str| -> Vec<usize> {
        lines.bodies().enumerate().filter(|(_, line)| *line == marker).map(|(at, _)| at).collect()
    };
    let (begins, ends) = (all(begin), all(end));
    match (&begins[..], &ends[..]) {
        ([], []) => Ok(None),
        ([first], [last]) if first < last => Ok(Some((*first, *last))),
        _ => Err(Error::failed(format!("it has {begin:?} {}, and {end:?} {}", told(&begins), told(&ends)))
            .hint("mend the markers by hand: one line that begins the block, and one behind it that ends it")),
    }
}

/// Where lines are, for people.
fn told(lines: &[usize]) -> String {
    let numbers: Vec<String> = lines.iter().map(|at| (at + 1).to_string()).collect();
    match &numbers[..] {
        [] => "nowhere".to_owned(),
        [one] => format!("in line {one}"),
        many => format!("in lines {}", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Bench;
    use crate::node::exec::Output;

    fn block(fields: Value) -> Value {
        let mut task = json!({"path": "/etc/a"});
        task.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"block_in_file": task})
    }

    /// What `/etc/a` becomes by a task with these fields, which is told by a check, and done only once.
    fn edited(text: &str, fields: Value) -> String {
        let bench = Bench::new();
        std::fs::write(bench.at("/etc/a"), text).unwrap();
        let told = bench.check(block(fields.clone())).unwrap();
        assert_eq!(bench.read("/etc/a"), text, "a check changes nothing");
        assert_eq!(bench.apply(block(fields)).unwrap(), told);
        bench.read("/etc/a")
    }

    #[test]
    fn a_block_is_put_in_changed_and_taken_out() {
        let content = json!({"content": "x\ny\n"});
        let with = "a\n# BEGIN stead block\nx\ny\n# END stead block\n";
        assert_eq!(edited("a", content.clone()), with);
        assert_eq!(edited(with, content.clone()), with);
        let old = "a\r\n# BEGIN stead block\r\nold\n# END stead block";
        let new = "a\r\n# BEGIN stead block\r\nx\r\ny\r\n# END stead block";
        assert_eq!(edited(old, content), new, "what stands around keeps its ends");
        assert_eq!(edited(old, json!({"state": "absent"})), "a\r\n");
        assert_eq!(edited("a", json!({"content": ""})), "a\n# BEGIN stead block\n# END stead block\n");
    }

    #[test]
    fn a_new_block_finds_its_place_and_every_marker_has_its_own() {
        let one = edited("a\nb", json!({"content": "x", "insert_before": "^b"}));
        assert_eq!(one, "a\n# BEGIN stead block\nx\n# END stead block\nb");
        let two = edited(&one, json!({"content": "y", "marker": "; {mark} mine", "insert_after": "^a"}));
        assert_eq!(two, "a\n; BEGIN mine\ny\n; END mine\n# BEGIN stead block\nx\n# END stead block\nb");
        assert_eq!(edited(&two, json!({"marker": "; {mark} mine", "state": "absent"})), one);
    }

    #[test]
    fn markers_that_do_not_pair_are_told_by_their_lines() {
        let (begin, end) = ("# BEGIN stead block\n", "# END stead block\n");
        for (text, says) in [
            (format!("a\n{begin}"), "in line 2, and \"# END stead block\" nowhere"),
            (format!("{end}{begin}"), "in line 2, and \"# END stead block\" in line 1"),
            (format!("{begin}{begin}{end}"), "in lines 1, 2, and"),
        ] {
            let bench = Bench::new();
            std::fs::write(bench.at("/etc/a"), &text).unwrap();
            for task in [json!({"content": "x"}), json!({"state": "absent"})] {
                let error = bench.apply(block(task)).unwrap_err();
                assert!(error.one_line().contains(says) && !error.hints().is_empty(), "{error:?}");
            }
            assert_eq!(bench.read("/etc/a"), text);
        }
    }

    #[test]
    fn what_is_found_wrong_is_not_put_in_place() {
        let bench = Bench::answering(|_| Output { status: 1, ..Output::default() });
        let task = block(json!({"content": "x", "create": true, "validate": "checker %s"}));
        assert!(bench.apply(task).is_err());
        assert!(!bench.at("/etc/a").exists());
    }

    #[test]
    fn mistakes_are_told() {
        let bench = Bench::new();
        for (wrong, hint) in [
            (json!({}), "absent"),
            (json!({"content": "x"}), "create"),
            (json!({"content": "x", "marker": "# block", "create": true}), "{mark}"),
            (json!({"content": "a\n# END stead block", "create": true}), "marker"),
        ] {
            let error = bench.apply(block(wrong)).unwrap_err();
            assert!(error.hints()[0].contains(hint), "{error:?}");
        }
        assert!(bench.apply(block(json!({"state": "absent"}))).unwrap().is_empty());
    }
}
