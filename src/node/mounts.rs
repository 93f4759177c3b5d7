//! Mounts: what `/etc/fstab` wants, and what the kernel has; both read by ourselves.

use std::os::linux::fs::MetadataExt;

use camino::{Utf8Path, Utf8PathBuf};

use crate::node::Paths;
use crate::{Error, Result};

/// What is mounted somewhere (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// The device, as major and minor number; the first is 0 where there is no real device behind it.
    pub(crate) device: (u32, u32),
    /// The type of its file system.
    pub(crate) fstype: String,
    /// What the file system lies on.
    pub(crate) source: String,
}

/// What this process sees mounted at a path, the one on top last.
///
/// # Errors
/// Fails where the kernel does not tell.
pub(crate) fn mounted(paths: &Paths, path: &str) -> Result<Vec<Mounted>> {
    let text = fs_err::read(paths.at("/proc/self/mountinfo"))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(|line| parse(line, path)).collect())
}

fn parse(line: &str, path: &str) -> Option<Mounted> {
    let (before, after) = line.split_once(" - ")?;
    let mut before = before.split(' ').skip(2);
    let (major, minor) = before.next()?.split_once(':')?;
    if unescaped(before.nth(1)?) != path {
        return None;
    }
    let mut after = after.split(' ');
    Some(Mounted {
        device: (major.parse().ok()?, minor.parse().ok()?),
        fstype: after.next()?.to_owned(),
        source: unescaped(after.next()?),
    })
}

/// The device that a source names, as major and minor number; none where it is no device, or not there.
pub(crate) fn device(paths: &Paths, source: &str) -> Option<(u32, u32)> {
    let place = match source.split_once('=') {
        // udev makes these links (udev(7), by 60-persistent-storage.rules).
        Some((tag @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"), name)) => {
            let folder = format!("/dev/disk/by-{}", tag.to_ascii_lowercase());
            paths.at(folder).join(name.trim_matches('"'))
        }
        _ if source.starts_with('/') => paths.at(source),
        _ => return None,
    };
    let found = place.metadata().ok()?;
    let is_device = std::os::unix::fs::FileTypeExt::is_block_device(&found.file_type());
    is_device.then(|| (rustix::fs::major(found.st_rdev()), rustix::fs::minor(found.st_rdev())))
}

/// A line of fstab(5), without its last two fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What is mounted.
    pub(crate) source: String,
    /// The type of its file system.
    pub(crate) fstype: String,
    /// How it is mounted.
    pub(crate) options: String,
}

/// The entry of a path among fstab's lines: its line, what it says, and its last two fields.
///
/// # Errors
/// Fails where several lines speak of the path.
pub(crate) fn entry<'a>(lines: impl Iterator<Item = &'a str>, path: &str) -> Result<Option<(usize, Entry, String)>> {
    let mut found = Vec::new();
    for (at, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
        if fields.first().is_none_or(|first| first.starts_with('#')) {
            continue;
        }
        let field = |index: usize, default: &str| unescaped(fields.get(index).copied().unwrap_or(default));
        let own = field(1, "");
        // `/srv/` is `/srv`; what is no path (`none`) is not ours either.
        if own.starts_with('/') && Utf8Path::new(&own) == path {
            let rest = format!("{} {}", field(4, "0"), field(5, "0"));
            let entry = Entry { source: field(0, ""), fstype: field(2, "auto"), options: field(3, "defaults") };
            found.push((at, entry, rest));
        }
    }
    match &found[..] {
        [(one, ..), .., (other, ..)] => {
            Err(Error::failed(format!("/etc/fstab speaks of {path} in the lines {} and {}", one + 1, other + 1))
                .hint("take all but one of them out by hand"))
        }
        _ => Ok(found.pop()),
    }
}

impl Entry {
    /// The line that says so.
    pub(crate) fn line(&self, path: &str, rest: &str) -> String {
        let fields = [&self.source, path, &self.fstype, &self.options].map(escaped);
        format!("{} {rest}", fields.join(" "))
    }
}

/// A path as the kernel and fstab spell it: without a `/` at its end, or two in a row.
pub(crate) fn plain(path: &Utf8Path) -> String {
    path.components().collect::<Utf8PathBuf>().into_string()
}

/// A field with its blanks written as octal numbers, since blanks end a field.
fn escaped(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

/// A field as it was meant: `\` with three octal digits is a byte.
fn unescaped(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut meant = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digits =
            bytes.get(at + 1..at + 4).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|digits| !digits.starts_with('+')).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                meant.push(escaped);
                at += 4;
            }
            None => {
                meant.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&meant).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_kernel_has_is_read() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";
        let expected = Mounted { device: (98, 0), fstype: "ext3".into(), source: "/dev/root".into() };
        assert_eq!(parse(line, "/mnt 2"), Some(expected));
        assert_eq!(parse(line, "/mnt"), None);
        assert_eq!(parse("36 35", "/mnt"), None);
        assert!(!mounted(&Paths::default(), "/proc").unwrap().is_empty());
    }

    #[test]
    fn an_entry_is_found_by_its_path() {
        let fstab = "# /srv is ours\n\nUUID=a\t/srv/\text4\tnoatime 0 2\nnone none swap sw 0 0\n/dev/b /a\\040b xfs\n";
        let (at, found, rest) = entry(fstab.lines(), "/srv").unwrap().unwrap();
        assert_eq!((at, found.source.as_str(), rest.as_str()), (2, "UUID=a", "0 2"));
        let (_, found, rest) = entry(fstab.lines(), "/a b").unwrap().unwrap();
        assert_eq!(found.line("/a b", &rest), r"/dev/b /a\040b xfs defaults 0 0");
        assert!(entry(fstab.lines(), "/none").unwrap().is_none());
        let twice = format!("{fstab}{fstab}");
        assert!(entry(twice.lines(), "/srv").unwrap_err().to_string().contains("3 and 8"));
    }

    #[test]
    fn devices_are_told_by_their_numbers() {
        assert_eq!(device(&Paths::default(), "/dev/null"), None, "not a disk");
        assert_eq!(device(&Paths::default(), "tmpfs"), None);
        assert_eq!(plain("/srv//data/".into()), "/srv/data");
    }

    proptest! {
        #[test]
        fn fields_survive(source in r"[^\x00]{1,20}", options in r"[ -~]{1,20}") {
            prop_assume!(!source.starts_with('#'));
            let wanted = Entry { source, fstype: "ext4".into(), options };
            let line = wanted.line("/a b", "0 0");
            let (_, found, _) = entry([line.as_str()].into_iter(), "/a b").unwrap().unwrap();
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn any_line_is_read_without_a_panic(line in r"[0-9: /\\a-]{0,60}") {
            parse(&line, "/a");
            let _ = entry([line.as_str()].into_iter(), "/a");
        }
    }
}
