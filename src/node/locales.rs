//! Locales that the C library finds, told without running a program.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::Result;
use crate::error::Context;
use crate::node::Paths;

/// Where the C library keeps them: a folder for each, and one archive for many.
const FOLDER: &str = "/usr/lib/locale";
/// What the archive begins with, in the machine's byte order (glibc, `locale/locarchive.h`).
const MAGIC: u32 = 0xde02_0109;
/// A name is no longer, in bytes.
const LONGEST: usize = 64;

/// Whether the C library finds a locale: it is built in, or was generated.
///
/// # Errors
/// Fails where the archive cannot be read.
pub(crate) fn is_there(paths: &Paths, name: &str) -> Result<bool> {
    let name = normal(name);
    if matches!(name.as_str(), "C" | "POSIX" | "C.utf8") || paths.at(FOLDER).join(&name).is_dir() {
        return Ok(true);
    }
    let archive = paths.at(FOLDER).join("locale-archive");
    match File::open(&archive) {
        Ok(file) => archived(&file, &name).with_context(|| format!("reading {archive}")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("opening {archive}")),
    }
}

/// A name as the C library spells it: the character set in small letters and digits alone, `en_US.utf8`.
pub(crate) fn normal(name: &str) -> String {
    let (rest, modifier) = name.split_once('@').map_or((name, None), |(rest, modifier)| (rest, Some(modifier)));
    let (language, charset) = rest.split_once('.').map_or((rest, None), |(language, set)| (language, Some(set)));
    let mut normal = language.to_owned();
    if let Some(charset) = charset {
        let plain: String =
            charset.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let is_number = plain.bytes().all(|byte| byte.is_ascii_digit());
        normal.push_str(if is_number { ".iso" } else { "." });
        normal.push_str(&plain);
    }
    if let Some(modifier) = modifier {
        normal.push('@');
        normal.push_str(modifier);
    }
    normal
}

/// Whether an archive has a locale. Its header says where the table of names lies; an entry of that (hash, name, record)
/// is in use where it names something. What does not fit is not there: the C library would not find it either.
fn archived(file: &File, name: &str) -> std::io::Result<bool> {
    let length = file.metadata()?.len();
    let words = |at: u64, count: usize| -> std::io::Result<Vec<u32>> {
        let mut bytes = vec![0; count * 4];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect())
    };
    if length < 20 {
        return Ok(false);
    }
    // Magic, serial number; then offset, entries in use and size of the table of names.
    let [MAGIC, _, table, _, size] = words(0, 5)?[..] else { return Ok(false) };
    if u64::from(table) + u64::from(size) * 12 > length {
        return Ok(false);
    }
    for entry in words(table.into(), size as usize * 3)?.chunks(3) {
        let at = entry[1];
        if at == 0 {
            continue;
        }
        let mut text = [0; LONGEST];
        let read = file.read_at(&mut text, at.into())?;
        let own = text[..read].split(|&byte| byte == 0).next().unwrap_or_default();
        if own == name.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with one name, as localedef(1) lays it out.
    fn archive(name: &str) -> Vec<u8> {
        let (table, size): (u32, u32) = (56, 3);
        let names = table + size * 12;
        let header = [MAGIC, 1, table, 1, size, names, 8, 64, 0, 0, 0, 0, 0, 0];
        let entries = [0, 0, 0, 77, names, 99, 0, 0, 0];
        let mut bytes: Vec<u8> = header.iter().chain(&entries).flat_map(|word| word.to_ne_bytes()).collect();
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn locales_are_found_built_in_in_folders_and_in_the_archive() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(camino::Utf8PathBuf::from_path_buf(root.path().to_owned()).unwrap());
        let is_there = |name: &str| super::is_there(&paths, name).unwrap();
        assert!(is_there("C") && is_there("POSIX") && is_there("C.UTF-8") && !is_there("en_US.UTF-8"));
        std::fs::create_dir_all(paths.at("/usr/lib/locale/de_DE.utf8")).unwrap();
        assert!(is_there("de_DE.UTF-8") && !is_there("de_DE"));
        let place = paths.at("/usr/lib/locale/locale-archive");
        std::fs::write(&place, archive("en_US.utf8")).unwrap();
        assert!(is_there("en_US.UTF-8") && is_there("en_US.utf8") && !is_there("en_US"));
        for broken in [&b""[..], &archive("en_US.utf8")[..40], &[7; 100]] {
            std::fs::write(&place, broken).unwrap();
            assert!(!is_there("en_US.UTF-8"));
        }
    }

    #[test]
    fn names_are_spelled_as_the_c_library_does() {
        for (name, expected) in [
            ("en_US.UTF-8", "en_US.utf8"),
            ("de_DE.ISO-8859-15@euro", "de_DE.iso885915@euro"),
            ("ca_ES@valencia", "ca_ES@valencia"),
            ("x.8859-1", "x.iso88591"),
        ] {
            assert_eq!(normal(name), expected);
        }
    }
}
