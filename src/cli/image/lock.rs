//! `stead image lock`.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use super::check_name;
use crate::cli::env::{Env, Place};
use crate::cli::printer::GOOD;
use crate::cli::work;
use crate::error::Context;
use crate::image::audit::{kit, openscap};
use crate::image::changelog;
use crate::image::debs::Debs;
use crate::image::lock::changes::Changes;
use crate::image::lock::resolve::resolve;
use crate::image::sources::Sources;
use crate::image::{Definition, Lock, tools};
use crate::{Error, Result, atomic_file, ownership};

/// Writes an image's lock: every package with version and hash, from all pockets of the archives
///
/// Packages that the lock has already stay at their versions, unless --update is given. The lock lies in
/// images/NAME/lock.ARCH.json and belongs into the fleet's repository. The name `tools` stands for what disks are
/// made with, `auditors` for what they are audited with, and `scap` for OpenSCAP, which Debian 12 has content for.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The image
    name: String,
    /// Take the newest version of every package, and tell what that changes
    #[arg(long)]
    update: bool,
    /// Only tell what would change; exit code 3 where something would
    #[arg(long)]
    check: bool,
}

#[derive(Serialize)]
struct Done {
    name: String,
    path: Utf8PathBuf,
    packages: usize,
    /// The sum of the packages' sizes, in bytes.
    size: u64,
    changes: Changes,
}

/// Runs the command.
///
/// # Errors
/// Fails where an archive does not answer, a package is not known, or the lock cannot be written.
pub(super) async fn run(args: &Args, env: &Env) -> Result<()> {
    let place = env.place()?;
    let path = Lock::path(&args.name, &definition(&place, &args.name)?.arch);
    let (lock, changes) = renewed(env, &place, &args.name, args.update).await?;
    let text = format!("{GOOD}{}{GOOD:#} {} packages, {}", args.name, lock.packages.len(), changes.summary());
    let done =
        Done { name: args.name.clone(), path: path.clone(), packages: lock.packages.len(), size: lock.size(), changes };
    let pending = args.check && !done.changes.is_empty();
    if !args.check {
        write(&place.dir, &path, &lock)?;
    }
    env.printer.data(&done, [text].into_iter().chain(done.changes.lines()).collect::<Vec<_>>().join("\n"))?;
    if pending {
        return Err(Error::new(crate::Kind::Pending, format!("{path} would change")));
    }
    Ok(())
}

/// What an image's lock would be now, and what that changes; with `update`, the newest of all packages.
///
/// # Errors
/// As [`run`].
pub(in crate::cli) async fn renewed(env: &Env, place: &Place, name: &str, update: bool) -> Result<(Lock, Changes)> {
    let definition = definition(place, name)?;
    let path = Lock::path(&definition.name, &definition.arch);
    let old = place.desired.files.get(&path).map(|bytes| Lock::parse(&path, bytes)).transpose();
    // One that cannot be read is no reason not to make a new one, where that is asked for.
    let old = if update { old.unwrap_or_default() } else { old? };
    let keep = if update { None } else { old.clone() };
    let sources = definition.clone();
    let mut lock = resolved(env, definition, keep).await?;
    let mut changes = Changes::between(old.as_ref(), &lock);
    if update && !changes.changed.is_empty() {
        changes = with_changelogs(env, sources, &lock, changes).await?;
    }
    if let Some(old) = old.filter(|old| changes.is_empty() && old.requested == lock.requested) {
        // The archives' date alone makes no other image.
        lock.date = old.date;
    }
    Ok((lock, changes))
}

/// Adds what the changed packages' changelogs say. That is news for people: without it the lock is as good.
async fn with_changelogs(env: &Env, definition: Definition, lock: &Lock, changes: Changes) -> Result<Changes> {
    let (debs, lock, mut read) = (Debs::new(&env.config.cache_dir), lock.clone(), changes.clone());
    let done = work::on_thread(env.printer, &definition.name.clone(), "Stopping.", move |stop, progress| {
        let read_them = changelog::read(&mut read, &lock, &debs, || Sources::of(&definition), &stop, progress);
        // Ctrl-C is no reason to go on without.
        stop.check()?;
        Ok(read_them.map(|()| read))
    })
    .await?;
    Ok(done.unwrap_or_else(|error| {
        env.printer.warn(error.context("what the changelogs say of security is not known").one_line());
        changes
    }))
}

/// Makes the locks that these images lack; with `disk`, also that of the tools for disks.
///
/// # Errors
/// Fails as [`run`] does, and where a lock is there that is not its definition's.
pub(in crate::cli) async fn ensure<'a>(
    env: &Env,
    place: &mut Place,
    images: impl IntoIterator<Item = &'a str>,
    disk: bool,
) -> Result<()> {
    let mut made = false;
    let images: Vec<String> = images.into_iter().map(str::to_owned).collect();
    let mut needed = Vec::new();
    for name in &images {
        let definition = definition(place, name)?;
        if disk && definition.disk.is_some() && !needed.contains(&tools::NAME.to_owned()) {
            needed.push(tools::NAME.to_owned());
        }
        needed.push(name.clone());
    }
    for name in needed {
        let definition = definition(place, &name)?;
        if Lock::find(&place.desired.files, &definition)?.is_some() {
            continue;
        }
        let path = Lock::path(&name, &definition.arch);
        let lock = resolved(env, definition, None).await?;
        write(&place.dir, &path, &lock)?;
        made = true;
        let count = lock.packages.len();
        env.printer.say(format_args!("{name:<16} locked {count} packages in {path}: commit it with the fleet"));
    }
    if made {
        *place = env.place()?;
    }
    Ok(())
}

/// A definition by its name, or that of a folder of programs.
pub(super) fn definition(place: &Place, name: &str) -> Result<Definition> {
    match name {
        tools::NAME => return Ok(tools::definition()),
        kit::NAME => return Ok(kit::definition()),
        openscap::NAME => return Ok(openscap::definition()),
        _ => {}
    }
    check_name(&place.desired.files, name)?;
    Definition::load(&place.desired.files, name)
}

async fn resolved(env: &Env, definition: Definition, keep: Option<Lock>) -> Result<Lock> {
    let (cache, name) = (env.config.cache_dir.clone(), definition.name.clone());
    work::on_thread(env.printer, &name, "Stopping.", move |stop, progress| {
        resolve(&cache, &definition, keep.as_ref(), &stop, progress)
    })
    .await
    .with_context(|| format!("locking the packages of image {name:?}"))
}

/// Writes the lock into the fleet's folder, for its owner.
pub(in crate::cli) fn write(fleet: &Utf8Path, path: &Utf8Path, lock: &Lock) -> Result<()> {
    let full = fleet.join(path);
    for dir in [Utf8Path::new("images"), path.parent().unwrap_or(path)] {
        if !fleet.join(dir).is_dir() {
            fs_err::create_dir(fleet.join(dir))?;
            ownership::inherit(&fleet.join(dir))?;
        }
    }
    atomic_file::write(&full, lock.to_json()?.as_bytes(), 0o644)?;
    ownership::inherit(&full)
}
