//! The packet filter: its rules as they are written, and the kernel's, asked and told through `nft`.

use std::collections::BTreeSet;

use crate::node::Machine;
use crate::node::exec::Run;
use crate::{Error, Result};

/// What `nft` calls its input.
const INPUT: &str = "/dev/stdin";
/// Families of tables; a table without one is `ip`'s (nft(8)).
const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// Rules as they are written, and what can be told of them without the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    text: String,
    /// The tables that are there once the rules are loaded, with their family: `inet stead`.
    pub(crate) tables: BTreeSet<String>,
    /// Those that the rules flush or delete themselves.
    cleared: BTreeSet<String>,
    /// They begin with nothing of what was there (`flush ruleset`).
    alone: bool,
    /// Some of them stand elsewhere.
    includes: bool,
}

impl Rules {
    /// Reads the outermost statements; whether all of it is right is for nft to say.
    pub(crate) fn read(text: &str) -> Self {
        let mut rules = Self { text: text.to_owned(), ..Self::default() };
        for statement in statements(text) {
            let words: Vec<&str> = statement.iter().map(String::as_str).collect();
            match words[..] {
                ["flush", "ruleset", ..] => {
                    rules.alone = true;
                    rules.tables.clear();
                }
                ["include", ..] => rules.includes = true,
                ["flush", "table", ref name @ ..] => {
                    rules.cleared.extend(table(name));
                }
                ["delete" | "destroy", "table", ref name @ ..] => {
                    if let Some(name) = table(name) {
                        rules.tables.remove(&name);
                        rules.cleared.insert(name);
                    }
                }
                ["table", ref name @ ..] | ["add" | "create", "table", ref name @ ..] => {
                    rules.tables.extend(table(name));
                }
                _ => {}
            }
        }
        rules
    }

    /// What is given to nft: the rules, and before them, in the same transaction, the end of the tables that they replace.
    /// On one line with their first, so that nft's line numbers are theirs.
    fn script(&self, before: &BTreeSet<String>) -> String {
        let replaced = self.tables.difference(&self.cleared).chain(before.difference(&self.tables));
        // One that is not there cannot be deleted, but can be made first.
        let end = |name: &String| format!("table {name}; delete table {name}; ");
        let ends: String = if self.alone { String::new() } else { replaced.map(end).collect() };
        format!("{ends}{}\n", self.text.trim_end())
    }

    /// Has nft check the rules, which are those of `path` and take the place of the tables `before`.
    ///
    /// # Errors
    /// Fails where nft finds something wrong, or is not there.
    pub(crate) fn check(&self, machine: &Machine, path: &str, before: &BTreeSet<String>) -> Result<()> {
        let mut run = Run::new(["nft", "-c", "-f", "-"]);
        run.stdin = Some(self.script(before).into_bytes());
        let output = match machine.commands.run(&run) {
            Ok(output) => output,
            Err(_) if machine.may_come() => return Ok(()),
            Err(error) => return Err(error.hint("bring it with a `package` task before this one: nftables")),
        };
        // An image's kernel is not the one at hand: what that one cannot do says nothing about the rules.
        let is_wrong = |line: &str| line.starts_with(INPUT) && !line.contains("Could not process rule");
        if output.status == 0 || (machine.image && !output.stderr.lines().any(is_wrong)) {
            return Ok(());
        }
        let said = output.tail().replace(INPUT, path);
        Err(Error::failed(format!("the new rules for {path} were found wrong, and the old ones stay: {said}"))
            .hint("they were checked with `nft -c -f`"))
    }

    /// Has the kernel take the rules, all of them or none.
    ///
    /// # Errors
    /// Fails where the kernel refuses them.
    pub(crate) fn load(&self, machine: &Machine, path: &str, before: &BTreeSet<String>) -> Result<()> {
        let mut run = Run::new(["nft", "-f", "-"]);
        run.stdin = Some(self.script(before).into_bytes());
        let output = machine.commands.run(&run)?;
        if output.status == 0 {
            return Ok(());
        }
        let said = output.tail().replace(INPUT, path);
        Err(Error::failed(format!("the kernel refused the new rules for {path}, and the old ones stay: {said}"))
            .hint("a kernel module that they need may be missing: `journalctl -k` on the node"))
    }

    /// Whether the kernel has every table of theirs. Rules within a table are not compared: a program may have added some.
    ///
    /// # Errors
    /// Fails where nft cannot be asked.
    pub(crate) fn are_there(&self, machine: &Machine) -> Result<bool> {
        let output = match machine.commands.must(&Run::new(["nft", "list", "tables"])) {
            Ok(output) => output,
            Err(_) if machine.may_come() => return Ok(false),
            Err(error) => return Err(error.hint("nft must be there (the package nftables), and have root's rights")),
        };
        let there: BTreeSet<String> =
            output.stdout.lines().filter_map(|line| line.strip_prefix("table ").map(str::to_owned)).collect();
        // Of what is included it is not known what it defines, but that it defines something.
        let is_flushed = self.tables.is_empty() && self.includes && there.is_empty();
        Ok(self.tables.is_subset(&there) && !is_flushed)
    }
}

/// A table's name with its family, from the words behind `table`.
fn table(words: &[&str]) -> Option<String> {
    match words {
        [family, name, ..] if FAMILIES.contains(family) => Some(format!("{family} {name}")),
        [name, ..] => Some(format!("ip {name}")),
        [] => None,
    }
}

/// The words of each outermost statement, up to its braces. Comments end with their line, strings are one word.
fn statements(text: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut depth = 0_usize;
    let mut word = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_end = match c {
            '"' => {
                word.push(c);
                for c in chars.by_ref() {
                    word.push(c);
                    if c == '"' {
                        break;
                    }
                }
                continue;
            }
            '#' => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                false
            }
            '\\' if chars.next_if_eq(&'\n').is_some() => false,
            '\n' | ';' | '{' | '}' => true,
            _ if c.is_whitespace() => false,
            _ => {
                word.push(c);
                continue;
            }
        };
        let word = std::mem::take(&mut word);
        if depth == 0 {
            if !word.is_empty()
                && let Some(last) = found.last_mut()
            {
                last.push(word);
            }
            if is_end {
                found.push(Vec::new());
            }
        }
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    if depth == 0
        && let Some(last) = found.last_mut()
        && !word.is_empty()
    {
        last.push(word);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::exec::{Commands, System};
    use crate::node::tasks::testing::Bench;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// In a network namespace of this thread's own, with the kernel's own packet filter; needs root.
    #[test]
    fn the_kernel_takes_rules_whole_and_again() {
        // SAFETY: only this thread gets another network, which it ends with; UnshareFlags::FILES is not among the flags.
        let alone = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
        let mut bench = Bench::new();
        bench.machine.commands = Box::new(System);
        let nft = |args: &[&str]| System.must(&Run::new(["nft"].into_iter().chain(args.iter().copied())));
        if alone.is_err() || nft(&["list", "tables"]).is_err() {
            return;
        }
        let machine = &bench.machine;
        nft(&["add", "table", "inet", "theirs"]).unwrap();
        let first = Rules::read("table inet a {\n chain c {\n  tcp dport 22 accept\n }\n}\ntable inet b {}");
        let second = Rules::read(&first.text.replace("table inet b {}", "").replace("22", "2222"));
        assert!(!first.are_there(machine).unwrap());
        let none = BTreeSet::new();
        for (rules, before) in [(&first, &none), (&first, &none), (&second, &first.tables), (&second, &first.tables)] {
            rules.check(machine, "/etc/nftables.conf", before).unwrap();
            rules.load(machine, "/etc/nftables.conf", before).unwrap();
            assert!(rules.are_there(machine).unwrap());
        }
        let all = nft(&["list", "ruleset"]).unwrap().stdout;
        assert!(all.contains("inet theirs") && !all.contains("inet b"), "{all}");
        assert_eq!((all.matches("dport 2222").count(), all.matches("dport 22 ").count()), (1, 0), "{all}");

        let shipped = Rules::read(include_str!("../../templates/nftables.conf.tera"));
        shipped.load(machine, "/etc/nftables.conf", &second.tables).unwrap();
        assert!(shipped.are_there(machine).unwrap() && !second.are_there(machine).unwrap());
        for (text, place) in [
            ("#\ntable inet a {\n chain {\n}\n", "conf:3:"),
            ("\ntable inet a { chain c { jump none\n }\n }", "conf:2:"),
        ] {
            let rules = Rules::read(text);
            let error = rules.check(machine, "/etc/nftables.conf", &none).unwrap_err();
            assert!(error.to_string().contains(place), "{error}");
            assert!(rules.load(machine, "/etc/nftables.conf", &none).is_err() && shipped.are_there(machine).unwrap());
        }
        nft(&["flush", "ruleset"]).unwrap();
        assert!(!shipped.are_there(machine).unwrap());
        bench.machine.image = true;
        let syntax = Rules::read("table inet a {");
        assert!(syntax.check(&bench.machine, "/etc/nftables.conf", &none).is_err());
        let kernels = Rules::read("table inet a { chain c { jump none\n }\n }");
        kernels.check(&bench.machine, "/etc/nftables.conf", &none).unwrap();
    }

    #[test]
    fn tables_are_found_in_what_is_written() {
        let rules = Rules::read(
            "#!/usr/sbin/nft -f\n# table inet commented {}\ndefine ports = { 22, 80 }\ntable inet a\ndelete table inet a\n\
             table inet a {\n  chain c { type filter hook input priority 0; comment \"table x { #\"; }\n  table t { }\n}\n\
             table b { }; add table ip6 \\\n c\nflush table ip6 c\ntable inet old; destroy table inet old\n",
        );
        assert_eq!(rules.tables, set(&["inet a", "ip b", "ip6 c"]));
        assert_eq!(rules.cleared, set(&["inet a", "inet old", "ip6 c"]));
        assert!(!rules.alone && !rules.includes);
        let script = rules.script(&set(&["inet a", "inet gone"]));
        assert!(
            script.starts_with("table ip b; delete table ip b; table inet gone; delete table inet gone; #!"),
            "{script}"
        );
        let alone = Rules::read("flush ruleset\ninclude \"/etc/nftables.d/*.conf\"\ntable inet a {}");
        assert!(alone.alone && alone.includes && alone.tables == set(&["inet a"]));
        assert!(alone.script(&set(&["inet gone"])).starts_with("flush"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(table|delete|flush|ruleset|inet|[a-z]|[{};\"#\\\\ \n]){0,40}") {
            Rules::read(&text);
        }
    }
}
