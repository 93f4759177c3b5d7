//! A machine's NoCloud seed: a small disk with the label that cloud-init looks for.
//!
//! See cloud-init's documentation of the data source NoCloud ("a drive labelled CIDATA").

use camino::{Utf8Path, Utf8PathBuf};

use crate::Result;
use crate::image::stop::Stop;
use crate::image::tools::Tools;

/// The disk's size in bytes: more than user-data may be.
const SIZE: u64 = 4 << 20;

/// Writes the seed as `seed.img` into `dir`, readable for its owner only: it holds the bootstrap host key.
///
/// # Errors
/// Fails as the tools and the file system do.
pub fn write(dir: &Utf8Path, user_data: &str, meta_data: &str, tools: &Tools, stop: &Stop) -> Result<Utf8PathBuf> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    let private =
        |path: &Utf8Path| fs_err::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let image = dir.join("seed.img");
    private(&image)?.set_len(SIZE)?;
    let mut command = tools.command("usr/sbin/mkfs.fat");
    command.args(["-n", "CIDATA", image.as_str()]);
    tools.run(&mut command, stop)?;
    for (name, text) in [("user-data", user_data), ("meta-data", meta_data)] {
        let file = dir.join(name);
        std::io::Write::write_all(&mut private(&file)?, text.as_bytes())?;
        let mut command = tools.command("usr/bin/mcopy");
        command.args(["-i", image.as_str(), file.as_str(), &format!("::{name}")]);
        tools.run(&mut command, stop)?;
        fs_err::remove_file(&file)?;
    }
    Ok(image)
}
