//! Applying a plan inside an image's root: no SSH, no running systemd, the very same tasks.

use std::io::{Read, Write};

use camino::Utf8Path;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::thread::UnshareFlags;

use crate::error::Context;
use crate::node::{Machine, Paths, files, session};
use crate::wire::frame;
use crate::wire::message::{Reply, Request};
use crate::wire::plan::ApplyOptions;
use crate::{Error, Result};

/// Where Debian's maintainer scripts ask whether they may start a service (Debian's invoke-rc.d, policy-rc.d(8)).
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// What apt resolves names with.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Takes one [`Request::Apply`] from `input`, applies its plan inside `root`, and writes events, what content it lacks, and
/// a closing reply.
/// The process is inside that root for the rest of its life.
///
/// # Errors
/// Fails where the stream breaks. Whatever else goes wrong is told in the closing reply.
pub fn apply(root: &Utf8Path, input: &mut impl Read, output: &mut impl Write) -> Result<()> {
    let reply = match answer(root, input, output) {
        Ok(reply) => reply,
        Err(error) => Reply::Failed { message: error.one_line(), hints: error.hints().to_vec() },
    };
    frame::write(output, &reply)
}

fn answer(root: &Utf8Path, input: &mut impl Read, output: &mut impl Write) -> Result<Reply> {
    let (plan, options) = match frame::read::<Request>(input)? {
        Some(Request::Apply { plan, options }) => (plan, ApplyOptions { image: true, ..options }),
        _ => return Err(Error::input("`image-apply` takes one plan, and nothing else")),
    };
    let _inside = Inside::enter(root)?;
    let paths = Paths::default();
    session::apply_to(&Machine::new(paths, &options)?, &plan, &options, input, output)
}

/// Being inside an image's root. The mounts are this process's own and end with it; files that were put into the root
/// are taken out again on drop, and by the next run where this one was killed.
struct Inside {
    /// The root had no resolv.conf, and was given an empty one to mount over.
    made_resolv_conf: bool,
}

impl Inside {
    fn enter(root: &Utf8Path) -> Result<Self> {
        if !root.join("usr/bin").is_dir() || root == "/" {
            return Err(Error::input(format!("{root} is not the root of an image")));
        }
        let resolver = fs_err::read(RESOLV_CONF).unwrap_or_default();
        // SAFETY: this program has one thread at this point, and UnshareFlags::FILES is not among the flags.
        unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
            .map_err(std::io::Error::from)
            .context("making a mount namespace")
            .map_err(|error| error.hint("applying a plan inside an image's root needs root's rights"))?;
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mounted("/", rustix::mount::mount_change("/", private))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        for (kind, place, flags) in [
            ("proc", "proc", flags),
            ("sysfs", "sys", flags | MountFlags::RDONLY),
            ("tmpfs", "run", MountFlags::NOSUID | MountFlags::NODEV),
        ] {
            let place = root.join(place);
            mounted(place.as_str(), rustix::mount::mount(kind, place.as_str(), kind, flags, None))?;
        }
        let dev = root.join("dev");
        mounted(dev.as_str(), rustix::mount::mount_bind_recursive("/dev", dev.as_str()))?;
        rustix::process::chroot(root.as_str()).map_err(std::io::Error::from).context("entering the image's root")?;
        std::env::set_current_dir("/")?;
        let mut inside = Self { made_resolv_conf: false };
        files::make_folder("/run/lock".into(), 0o1777)?;
        let policy = files::Attributes { uid: 0, gid: 0, mode: 0o755 };
        files::write(POLICY.into(), b"#!/bin/sh\nexit 101\n", policy)?;
        inside.lend_resolver(&resolver)?;
        Ok(inside)
    }

    /// Lets apt resolve names as this host does, without leaving the host's resolver in the image.
    fn lend_resolver(&mut self, resolver: &[u8]) -> Result<()> {
        let lent = Utf8Path::new("/run/stead-resolv.conf");
        files::replace(lent, resolver, 0o644)?;
        let place = Utf8Path::new(RESOLV_CONF);
        match place.symlink_metadata() {
            Ok(found) if found.is_symlink() => {
                // Most often a link into /run, which is our own here; a link to elsewhere is left alone.
                let target = fs_err::read_link(place)?;
                let target = place.parent().unwrap_or(place).as_std_path().join(target);
                if let Some(target) = target.to_str().map(Utf8Path::new)
                    && let Some(folder) = target.parent()
                    && (target.starts_with("/run") || target.starts_with("/etc/../run"))
                {
                    files::make_folder(folder, 0o755)?;
                    files::replace(target, resolver, 0o644)?;
                }
                return Ok(());
            }
            Ok(_) => {}
            Err(_) => {
                fs_err::write(place, "")?;
                self.made_resolv_conf = true;
            }
        }
        mounted(RESOLV_CONF, rustix::mount::mount_bind(lent.as_str(), RESOLV_CONF))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // The image must not keep these; the next run or the build's own clean-up removes what does not go now.
        let _ = std::fs::remove_file(POLICY);
        if rustix::mount::unmount(RESOLV_CONF, UnmountFlags::DETACH).is_ok() && self.made_resolv_conf {
            let _ = std::fs::remove_file(RESOLV_CONF);
        }
    }
}

fn mounted(place: &str, result: rustix::io::Result<()>) -> Result<()> {
    result.map_err(std::io::Error::from).with_context(|| format!("mounting {place}"))
}
