//! Package URLs (<https://github.com/package-url/purl-spec>): one name for a package that all tools know.

use super::Package;
use crate::image::definition::Suite;

/// The package URL of a package of a Debian release.
pub(super) fn purl(package: &Package, suite: Suite) -> String {
    deb(&package.name, &package.version, &package.architecture, suite)
}

/// As [`purl`], of a package of which no more is known.
pub(super) fn deb(name: &str, version: &str, architecture: &str, suite: Suite) -> String {
    let release = match suite {
        Suite::Bookworm => "12",
        Suite::Trixie => "13",
    };
    let [name, version, architecture] = [name, version, architecture].map(encoded);
    format!("pkg:deb/debian/{name}@{version}?arch={architecture}&distro=debian-{release}")
}

/// Percent-encoded: all but letters, digits, `.`, `-`, `_`, `~`, and the colon, which a purl keeps as it is.
fn encoded(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b".-_~:".contains(&byte);
    text.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_packageurl_python_writes_them() {
        assert_eq!(
            deb("libstdc++6", "1:12.2.0-14+deb12u1~bpo1", "amd64", Suite::Trixie),
            "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1~bpo1?arch=amd64&distro=debian-13"
        );
    }
}
