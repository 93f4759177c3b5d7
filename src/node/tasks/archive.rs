//! `archive`.

use std::io::{BufRead, BufReader, Cursor};

use super::{check_path, content};
use crate::error::Context;
use crate::node::archive::record::{Record, What};
use crate::node::machine::{Change, Content, Converge, Inputs, Machine};
use crate::node::made::Made;
use crate::node::{archive, contents, files};
use crate::wire::action::{Action, Archive, Presence};
use crate::{Error, Result};

impl Converge for Archive {
    fn changes(&self, machine: &Machine, inputs: &Inputs) -> Result<Vec<Change>> {
        let path = check_path(&self.path)?.as_str().trim_end_matches('/').to_owned();
        let place = machine.paths.at(&path);
        let record = Record::load(&machine.paths, &path)?;
        if self.state == Presence::Absent {
            let Some(record) = record else { return Ok(Vec::new()) };
            return Ok(vec![Change::new(format!("remove what was unpacked to {path}"), move |machine, _| {
                archive::remove(&place, &record.brought)?;
                record.forget(&machine.paths)
            })]);
        }
        let creates = self.creates.as_deref().map(check_path).transpose()?.map(|path| machine.paths.at(path));
        if creates.as_ref().is_some_and(|path| path.symlink_metadata().is_ok()) {
            return Ok(Vec::new());
        }
        let found = place.symlink_metadata().ok();
        if found.as_ref().is_some_and(|found| !found.is_dir()) {
            return Err(Error::failed(format!("{path} is there and is not a folder"))
                .hint("remove it with a `file` task and `state: absent` first"));
        }
        let (owner, group) = (self.owner.as_deref(), self.group.as_deref());
        let attributes = content::attributes(machine, None, owner, group, None, 0o755)?;
        let name = if inputs.content.is_some() { "the fleet's archive" } else { &self.source };
        let message = format!("unpack {name} to {path}");
        let Some(sha256) = self.hash(machine, inputs)? else {
            return Ok(vec![Change::new(message, |_, _| Ok(()))]);
        };
        let what = attributes.map(|given| What { sha256, strip: self.strip, uid: given.uid, gid: given.gid });
        let is_there = found.is_some() && record.as_ref().map(|record| &record.what) == what.as_ref();
        if is_there && what.is_some() && creates.is_none() {
            return Ok(Vec::new());
        }
        let (content, source, name) = (inputs.content.clone(), machine.paths.at(&self.source), name.to_owned());
        let needs = match &content {
            Some(Content::Apart(content)) => Some(content.clone()),
            _ => None,
        };
        let change = Change::new(message, move |machine, _| {
            let gone = || Error::failed("its owner is not there");
            let (attributes, what) = attributes.zip(what).ok_or_else(gone)?;
            let from: Box<dyn BufRead> = match content {
                Some(Content::Held(content)) => Box::new(Cursor::new(content)),
                Some(Content::Apart(content)) => Box::new(BufReader::new(contents::open(&machine.paths, &content)?)),
                None => Box::new(BufReader::new(fs_err::File::open(source)?)),
            };
            let ours = record.map(|record| record.brought).unwrap_or_default();
            let brought = archive::unpack(from, &place, what.strip as usize, attributes, ours)
                .with_context(|| format!("unpacking {name}"))?;
            Record::new(&path, what, brought).save(&machine.paths)?;
            match creates {
                Some(creates) if creates.symlink_metadata().is_err() => {
                    Err(Error::failed(format!("{name} does not bring {creates}"))
                        .hint("look at `creates`, `path` and `strip`: it would be unpacked at every run"))
                }
                _ => Ok(()),
            }
        });
        Ok(vec![change.needing(needs.as_ref())])
    }

    fn makes(&self) -> Vec<Made> {
        let removal = Archive { path: self.path.clone(), state: Presence::Absent, ..Archive::default() };
        let makes = self.state == Presence::Present;
        makes.then(|| Made::Task(Box::new(Action::Archive(removal)))).into_iter().collect()
    }
}

impl Archive {
    /// The archive's SHA-256; in a check, `None` for one that an earlier task may bring.
    fn hash(&self, machine: &Machine, inputs: &Inputs) -> Result<Option<String>> {
        if inputs.content.is_some() {
            return Ok(self.blob().map(str::to_owned));
        }
        let place = machine.paths.at(check_path(&self.source)?);
        let file = match fs_err::File::open(&place) {
            Ok(file) => Ok(file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && machine.may_come() => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::failed(format!("there is no archive {} on the node", self.source)).hint(
                    "bring it with a `download` or `file` task before this one; where it goes once it is unpacked, say \
                     `creates`",
                ))
            }
            Err(error) => Err(error.into()),
        };
        let hash = files::copy(&mut file?, &mut std::io::sink());
        hash.map(Some).with_context(|| format!("reading {}", self.source))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sha2::{Digest, Sha256};

    use super::super::testing::Bench;
    use super::*;
    use crate::node::exec::Output;

    fn tar(names: &[&str]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for name in names {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(name.len() as u64);
            builder.append_data(&mut header, name, name.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn bench() -> Bench {
        let bench = Bench::new();
        std::fs::write(bench.at("/root/a.tar"), tar(&["app-1/bin", "app-1/conf/x"])).unwrap();
        bench
    }

    fn task(more: Value) -> Value {
        let mut fields = json!({"source": "/root/a.tar", "path": "/opt/app"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"archive": fields})
    }

    #[test]
    fn an_archive_is_unpacked_once() {
        let bench = bench();
        let told = ["unpack /root/a.tar to /opt/app"];
        assert_eq!(bench.check(task(json!({}))).unwrap(), told);
        assert!(!bench.at("/opt").exists());
        assert_eq!(bench.apply(task(json!({"owner": "me"}))).unwrap(), told);
        assert_eq!(bench.read("/opt/app/app-1/bin"), "app-1/bin");
        // Another archive, another owner, other names, the folder gone: each is unpacked anew.
        assert_eq!(bench.apply(task(json!({"strip": 1}))).unwrap(), told);
        assert_eq!(bench.read("/opt/app/conf/x"), "app-1/conf/x");
        std::fs::write(bench.at("/root/a.tar"), tar(&["app-2/bin"])).unwrap();
        assert_eq!(bench.apply(task(json!({"strip": 1}))).unwrap(), told);
        assert_eq!(bench.read("/opt/app/bin"), "app-2/bin");
        std::fs::remove_dir_all(bench.at("/opt/app")).unwrap();
        assert_eq!(bench.apply(task(json!({"strip": 1, "path": "/opt/app/"}))).unwrap(), told);

        std::fs::write(bench.at("/opt/app/theirs"), "").unwrap();
        let gone = task(json!({"state": "absent"}));
        assert_eq!(bench.apply(gone.clone()).unwrap(), ["remove what was unpacked to /opt/app"]);
        assert!(!bench.at("/opt/app/bin").exists() && bench.at("/opt/app/theirs").exists());
        assert_eq!(std::fs::read_dir(bench.at("/var/lib/stead/archives")).unwrap().count(), 0);
    }

    #[test]
    fn what_it_creates_is_all_that_counts_where_it_is_said() {
        let bench = bench();
        let creates = task(json!({"creates": "/opt/app/app-1/bin"}));
        assert_eq!(bench.apply(creates.clone()).unwrap().len(), 1);
        std::fs::remove_file(bench.at("/root/a.tar")).unwrap();
        assert!(bench.check(creates).unwrap().is_empty(), "the archive need not stay");
        let bench = self::bench();
        let error = bench.apply(task(json!({"creates": "/opt/app/none"}))).unwrap_err();
        assert!(error.hints()[0].contains("strip"), "{error:?}");
    }

    #[test]
    fn an_archive_of_the_fleets_is_in_the_plan() {
        let bench = bench();
        let content = tar(&["x"]);
        let source = hex::encode(Sha256::digest(&content));
        let action: Action = serde_json::from_value(task(json!({"source": source}))).unwrap();
        assert!(matches!(action.content(), Some(crate::wire::action::Content::Raw(hash)) if hash == source));
        let inputs = Inputs { content: Some(Content::Held(content)), timeout: None };
        let changes = super::super::changes(&action, &bench.machine, &inputs).unwrap();
        assert_eq!(changes[0].message, "unpack the fleet's archive to /opt/app");
        changes.into_iter().for_each(|change| change.apply(&bench.machine, &mut Output::default()).unwrap());
        assert_eq!(bench.read("/opt/app/x"), "x");
        assert!(super::super::changes(&action, &bench.machine, &inputs).unwrap().is_empty());
        let template: Action = serde_json::from_value(task(json!({"source": "{{ dir }}/a.tar"}))).unwrap();
        assert_eq!(template.content(), None);
    }

    #[test]
    fn what_is_missing_is_told_with_a_way_out_unless_it_may_come() {
        let mut bench = bench();
        let missing = task(json!({"source": "/root/b.tar"}));
        assert!(bench.check(missing.clone()).unwrap_err().hints()[0].contains("download"));
        assert_eq!(bench.check(task(json!({"source": "b.tar"}))).unwrap_err().kind(), crate::Kind::Input);
        std::fs::write(bench.at("/etc/file"), "").unwrap();
        assert!(bench.check(task(json!({"path": "/etc/file"}))).is_err());
        std::fs::write(bench.at("/root/c.tar"), "hello").unwrap();
        let error = bench.apply(task(json!({"source": "/root/c.tar"}))).unwrap_err();
        assert_eq!(error.one_line(), "unpacking /root/c.tar: it is no archive that we know");
        assert!(!bench.at("/opt/app").exists());
        bench.machine.check = true;
        bench.machine.note_change();
        assert_eq!(bench.check(missing).unwrap(), ["unpack /root/b.tar to /opt/app"]);
    }
}
