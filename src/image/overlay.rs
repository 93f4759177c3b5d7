//! An overlay over an image's layers, seen by this process and its children only.
//!
//! The mount lies in a mount namespace of its own, so that it is gone with the last process that uses it, however that
//! one ended: there is nothing to unmount and nothing to leak.

use std::os::fd::AsRawFd;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use crate::error::Context;
use crate::{Error, Result};

/// Leaves the host's mount namespace and mounts `layers` (topmost first) at `target`, with what is written going to
/// `upper`. `work` is the kernel's own scratch folder, on the same file system as `upper`.
///
/// Only a process with a single thread may call this; it is for small helper processes, not for the operator's command.
///
/// # Errors
/// Fails without root, where the kernel has no overlayfs, or where `upper` lies on a file system that cannot carry one.
pub fn enter(layers: &[Utf8PathBuf], upper: &Utf8Path, work: &Utf8Path, target: &Utf8Path) -> Result<()> {
    // SAFETY: unshare(CLONE_NEWNS) touches no file descriptor and no memory; the requirement of a single thread is
    // documented above and checked by the kernel (EINVAL for CLONE_FS is not asked for here).
    #[expect(unsafe_code, reason = "rustix marks unshare as unsafe for flags that are not used here")]
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .map_err(std::io::Error::from)
        .context("leaving the host's mount namespace")?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
        .map_err(std::io::Error::from)
        .context("making mounts private")?;

    // Options are separated by commas and layers by colons, and a user's folder may contain either: so the kernel is
    // given descriptors' paths instead of names.
    let open = |path: &Utf8Path| {
        rustix::fs::open(path.as_str(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| Error::from(std::io::Error::from(error)).context(format!("opening {path}")))
    };
    let lower = layers.iter().map(|layer| open(layer)).collect::<Result<Vec<_>>>()?;
    let (upper_fd, work_fd) = (open(upper)?, open(work)?);
    let name = |fd: &rustix::fd::OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower = lower.iter().map(name).collect::<Vec<_>>().join(":");
    let options = format!("lowerdir={lower},upperdir={},workdir={}", name(&upper_fd), name(&work_fd));
    let options = std::ffi::CString::new(options).map_err(|error| Error::failed("mount options").because(error))?;
    rustix::mount::mount("overlay", target.as_str(), "overlay", MountFlags::NODEV, options.as_c_str())
        .map_err(|error| {
            Error::failed(format!("mounting the image's layers at {target}"))
                .because(std::io::Error::from(error))
                .hint("the fleet's folder and the cache must lie on a file system that can carry an overlay (ext4, xfs, btrfs; not another overlay, not NFS)")
        })
}
