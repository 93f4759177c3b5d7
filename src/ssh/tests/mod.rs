//! Against a real sshd on the loopback address, with a configuration of its own.
//!
//! They need root, since the agent's folder is put in a mount namespace of that sshd's.

mod agent;
mod client;
mod errors;
#[cfg(feature = "node")]
mod swap;
mod way;

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use camino::Utf8PathBuf;

use super::{Client, ConnectError, HostKeys, Login, Target, Timeouts};
use crate::keypair::{self, PrivateKey, PublicKey};

const SSHD: &str = "/usr/sbin/sshd";

/// A machine of sorts: its folder stands for `/`, its sshd serves the keys in there.
struct Machine {
    dir: Utf8PathBuf,
    port: u16,
    /// Where its sshd listens.
    listen: String,
    user_key: PrivateKey,
    sshd: Option<Child>,
    _guard: tempfile::TempDir,
}

impl Machine {
    /// A machine with a host key, switched off.
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests need root");
        assert!(std::path::Path::new(SSHD).exists(), "these tests need sshd: apt-get install openssh-server");
        let guard = tempfile::tempdir().unwrap();
        let dir = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        for folder in ["etc/ssh", "var/lib"] {
            std::fs::create_dir_all(dir.join(folder)).unwrap();
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let user_key = keypair::generate("operator").unwrap();
        std::fs::write(dir.join("authorized_keys"), keypair::public_text(user_key.public_key()).unwrap()).unwrap();
        let listen = format!("127.0.0.1:{port}");
        let machine = Self { dir, port, listen, user_key, sshd: None, _guard: guard };
        machine.set_host_key(&keypair::generate("bootstrap").unwrap());
        machine
    }

    fn on() -> Self {
        let mut machine = Self::new();
        machine.switch_on();
        machine
    }

    fn host_key_file(&self) -> Utf8PathBuf {
        self.dir.join("etc/ssh/ssh_host_ed25519_key")
    }

    fn set_host_key(&self, key: &PrivateKey) {
        keypair::write(&self.host_key_file(), key).unwrap();
    }

    fn host_key(&self) -> PublicKey {
        keypair::read_existing(&self.host_key_file()).unwrap().public_key().clone()
    }

    fn switch_on(&mut self) {
        let config = format!(
            "ListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPasswordAuthentication no\n",
            self.listen,
            self.host_key_file(),
            self.dir.join("authorized_keys"),
        );
        std::fs::write(self.dir.join("sshd_config"), config).unwrap();
        // What sshd insists on; Debian's unit makes it.
        std::fs::create_dir_all("/run/sshd").unwrap();
        // Its /var/lib is the machine's: no test leaves an agent on this host.
        let script = format!("mount --bind {0}/var/lib /var/lib && exec {SSHD} -D -e -f {0}/sshd_config", self.dir);
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "sh", "-c", &script]).stdin(Stdio::null()).stderr(log);
        self.sshd = Some(unshare.spawn().expect("unshare is part of util-linux"));
    }

    fn switch_off(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            sshd.kill().unwrap();
            sshd.wait().unwrap();
        }
    }

    /// Has sshd read its host keys anew, as `systemctl reload ssh` does.
    fn reload(&self) {
        let pid = self.sshd.as_ref().unwrap().id();
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    fn target(&self) -> Target {
        Target::new(vec![Ipv4Addr::LOCALHOST.into()], self.port, "root")
    }

    fn login(&self) -> Login {
        self.user_key.clone().into()
    }

    /// Waits for sshd, then connects with exactly these accepted keys.
    async fn connect(&self, accepted: HostKeys) -> Result<Client, ConnectError> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        Client::connect_when_up(&self.target(), &self.login(), &accepted, &Timeouts::default(), deadline).await
    }

    async fn log_in(&self) -> Client {
        match self.connect(HostKeys::one(self.host_key())).await {
            Ok(client) => client,
            Err(error) => panic!("{error}\n{}", std::fs::read_to_string(self.dir.join("log")).unwrap()),
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.switch_off();
    }
}
