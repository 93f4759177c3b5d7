//! cloud-init's documents for the NoCloud data source: user-data and meta-data. [`super::network`] has the third.
//!
//! What a node learns this way is what it cannot do without at its first contact: its name, who may log in, and whose
//! orders it takes. The rest comes over SSH. See
//! <https://cloudinit.readthedocs.io/en/latest/reference/modules.html>.

use base64::Engine;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::context::{Context, Sink};
use super::yaml;
use crate::redact::Secret;
use crate::{Error, Result};

/// The most that user-data may be once encoded in base 64, in bytes: what the strictest providers take.
pub const MAX_USER_DATA: usize = 65_535;
/// The management user: key only, made before root is closed.
pub const MANAGEMENT_USER: &str = "stead";
/// Where a node finds out which one it is.
pub const NODE_JSON: &str = "/etc/stead/node.json";

/// The host key of a node's first contact, known before its first byte; never trusted again after that contact.
pub struct BootstrapHostKey {
    /// The private key in OpenSSH's format. The one secret that user-data may hold.
    pub private: Secret,
    /// The public key in OpenSSH's format.
    pub public: String,
}

/// Which node a machine is, and whose orders it takes; the node keeps it as [`NODE_JSON`].
#[derive(Debug, Clone, Serialize)]
pub struct NodeRecord {
    /// The fleet's id.
    pub fleet: String,
    /// The node's id.
    pub node: String,
    /// The node's mark.
    pub mark: String,
    /// The public key that envelopes are signed with, in OpenSSH's format.
    pub signer: String,
}

/// What goes into user-data.
pub struct UserData {
    /// The host name: one label.
    pub hostname: String,
    /// The DNS name, where there is one.
    pub fqdn: Option<String>,
    /// Who may log in as [`MANAGEMENT_USER`]: public keys in OpenSSH's format.
    pub authorized_keys: Vec<String>,
    /// The host key of the first contact.
    pub host_key: BootstrapHostKey,
    /// Which node this is.
    pub node: NodeRecord,
    /// Where its packages come from: Debian's archive and the security archive. Without it, cloud-init's own default; and an
    /// image whose definition names its archives keeps those.
    pub archives: Option<(String, String)>,
}

impl UserData {
    /// The document. Its text holds the bootstrap host key and is wiped from memory when dropped.
    ///
    /// # Errors
    /// Fails where a secret that the context knows is in it, where a key is not one line of text, and where the document
    /// is longer than [`MAX_USER_DATA`].
    pub fn render(&self, context: &Context) -> Result<Zeroizing<String>> {
        let private = std::str::from_utf8(self.host_key.private.expose())
            .map_err(|_| Error::failed("the bootstrap host key is not in OpenSSH's format"))?;
        for key in self.authorized_keys.iter().chain([&self.host_key.public, &self.node.signer]) {
            if key.trim().is_empty() || key.trim().contains('\n') {
                return Err(Error::failed(format!("this is not a public key in OpenSSH's format: {key:?}")));
            }
        }
        if self.authorized_keys.is_empty() {
            return Err(Error::failed("nobody could log in to this node: it has no authorized key"));
        }
        let record = serde_json::to_string_pretty(&self.node)
            .map_err(|error| Error::failed("encoding the node's record").because(error))?;
        let mut document = json!({
            "hostname": self.hostname,
            "preserve_hostname": false,
            "manage_etc_hosts": "localhost",
            // Without `default`, the distribution's own user is not made.
            "users": [{
                "name": MANAGEMENT_USER,
                "gecos": "Stead",
                "shell": "/bin/bash",
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "lock_passwd": true,
                "ssh_authorized_keys": self.authorized_keys.iter().map(|key| key.trim()).collect::<Vec<_>>(),
            }],
            "disable_root": true,
            "ssh_pwauth": false,
            // Whatever host keys the image brought are not this node's; and where `ssh_keys` is given, as below,
            // cloud-init makes none of its own (the schema refuses an empty `ssh_genkeytypes`).
            "ssh_deletekeys": true,
            "package_update": false,
            "package_upgrade": false,
            "write_files": [{
                "path": NODE_JSON,
                "owner": "root:root",
                "permissions": "0644",
                "content": format!("{record}\n"),
            }],
        });
        if let Some((archive, security)) = &self.archives {
            let of = |uri: &String| json!([{"arches": ["default"], "uri": uri}]);
            document["apt"] = json!({"primary": of(archive), "security": of(security)});
        }
        if let Some(fqdn) = &self.fqdn {
            document["fqdn"] = json!(fqdn);
            document["prefer_fqdn_over_hostname"] = json!(false);
        }
        each_text(&document, &mut |text| context.refuse_values("user-data", text, Sink::UserData))?;

        // The host key comes last, and never into a value that is not wiped.
        let mut text = Zeroizing::new(String::with_capacity(MAX_USER_DATA));
        text.push_str("#cloud-config\n");
        text.push_str(&yaml::write(&document));
        text.push_str("ssh_keys:\n  ed25519_private: ");
        text.push_str(&Zeroizing::new(yaml::quoted(private)));
        text.push_str("\n  ed25519_public: ");
        text.push_str(&yaml::quoted(self.host_key.public.trim()));
        text.push('\n');
        check_size(&text)?;
        Ok(text)
    }
}

fn check_size(text: &str) -> Result<()> {
    let encoded = base64::encoded_len(text.len(), true).unwrap_or(usize::MAX);
    if encoded <= MAX_USER_DATA {
        return Ok(());
    }
    Err(Error::input(format!(
        "user-data is {encoded} bytes long in base 64, and providers take at most {MAX_USER_DATA}"
    ))
    .hint("authorize fewer keys"))
}

fn each_text(value: &serde_json::Value, check: &mut impl FnMut(&str) -> Result<()>) -> Result<()> {
    match value {
        serde_json::Value::String(text) => check(text),
        serde_json::Value::Array(items) => items.iter().try_for_each(|item| each_text(item, check)),
        serde_json::Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            check(key)?;
            each_text(value, check)
        }),
        _ => Ok(()),
    }
}

/// meta-data: which instance this is. A machine with another instance id applies its user-data anew.
pub fn meta_data(instance_id: &str, hostname: &str) -> String {
    yaml::write(&json!({"instance-id": instance_id, "local-hostname": hostname}))
}

/// Data in base 64, as APIs take user-data.
pub fn encode(text: &str) -> Zeroizing<String> {
    Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(text))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    pub(in super::super) fn sample() -> UserData {
        UserData {
            hostname: "acme".into(),
            fqdn: Some("acme.agents.example.com".into()),
            authorized_keys: vec![format!("{PUBLIC} fleet\n")],
            host_key: BootstrapHostKey {
                private: Secret::new(
                    b"-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----\n".to_vec(),
                ),
                public: PUBLIC.into(),
            },
            node: NodeRecord {
                fleet: "fl_0192f0c1".into(),
                node: "nd_01h455vb4pex5vsknk084sn02q".into(),
                mark: "st-0192f0c1-01h455vb4pex5vsknk084sn02q".into(),
                signer: PUBLIC.into(),
            },
            archives: Some(("http://one.invalid/debian".into(), "http://one.invalid/debian-security".into())),
        }
    }

    #[test]
    fn user_data() {
        insta::assert_snapshot!(sample().render(&Context::new()).unwrap().as_str());
    }

    #[test]
    fn meta_data_is_quoted() {
        assert_eq!(meta_data("1e3", "on"), "instance-id: \"1e3\"\nlocal-hostname: \"on\"\n");
    }

    #[test]
    fn a_secret_cannot_get_in() {
        let mut context = Context::new();
        context.insert_secret("API_KEY", Secret::new(b"sk-live-1234567".to_vec())).unwrap();
        let mut data = sample();
        data.authorized_keys.push("ssh-ed25519 AAAA sk-live-1234567".into());
        let error = data.render(&context).unwrap_err();
        assert!(error.to_string().contains("user-data holds a secret's value"), "{error}");
    }

    #[test]
    fn a_document_that_is_too_long_is_refused() {
        let mut data = sample();
        data.authorized_keys = vec![PUBLIC.to_owned(); 700];
        assert!(data.render(&Context::new()).unwrap_err().to_string().contains("65535"));
        let fits = "x".repeat(MAX_USER_DATA / 4 * 3);
        assert!(check_size(&fits).is_ok());
        assert!(check_size(&format!("{fits}x")).is_err());
        assert!(encode(&fits).len() <= MAX_USER_DATA);
    }

    #[test]
    fn a_node_without_a_key_to_log_in_is_refused() {
        let mut data = sample();
        data.authorized_keys.clear();
        assert!(data.render(&Context::new()).is_err());
        data.authorized_keys = vec![format!("{PUBLIC}\nssh-rsa injected")];
        assert!(data.render(&Context::new()).is_err());
    }
}
