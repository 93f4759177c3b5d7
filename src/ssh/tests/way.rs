//! Ways that lead through other machines, over IPv6, and with keys that an SSH agent holds.

use std::net::Ipv6Addr;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::ssh::target::Hop;

/// An SSH agent that holds these keys.
struct Agent {
    process: Child,
    socket: Utf8PathBuf,
    _dir: tempfile::TempDir,
}

impl Agent {
    fn with(keys: &[&PrivateKey]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
        let socket = path.join("socket");
        let mut agent = Command::new("ssh-agent");
        let process = agent.args(["-D", "-a", socket.as_str()]).stdout(Stdio::null()).spawn().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
        for (number, key) in keys.iter().enumerate() {
            let file = path.join(number.to_string());
            keypair::write(&file, key).unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let mut add = Command::new("ssh-add");
            assert!(add.arg("-q").arg(&file).env("SSH_AUTH_SOCK", &socket).status().unwrap().success());
        }
        Self { process, socket, _dir: dir }
    }

    fn login(&self) -> Login {
        Login::Agent(self.socket.clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// This machine as one on the way to another.
fn hop(machine: &Machine, host_keys: HostKeys) -> Hop {
    Hop { host: "localhost".into(), port: machine.port, user: "root".into(), host_keys, login: machine.login() }
}

async fn connect(target: &Target, login: &Login, machine: &Machine) -> Result<Client, ConnectError> {
    Client::connect(target, login, &HostKeys::one(machine.host_key()), &Timeouts::default()).await
}

#[tokio::test]
async fn an_agent_signs_with_the_key_that_fits() {
    let machine = Machine::on();
    machine.log_in().await;
    let stranger = keypair::generate("stranger").unwrap();
    let agent = Agent::with(&[&stranger, &machine.user_key]);
    let client = connect(&machine.target(), &agent.login(), &machine).await.unwrap();
    assert_eq!(client.exec("echo in", "").await.unwrap().stdout, b"in\n");
    let error = connect(&machine.target(), &Agent::with(&[&stranger]).login(), &machine).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::UserKeyRefused { .. }), "{error}");
    for login in [Agent::with(&[]).login(), Login::Agent("/nowhere".into())] {
        let error = connect(&machine.target(), &login, &machine).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::Agent { .. }) && !error.is_transient(), "{error}");
    }
}

#[tokio::test]
async fn hops_lead_on_and_each_proves_its_own_key() {
    let (first, second, machine) = (Machine::on(), Machine::on(), Machine::on());
    for machine in [&first, &second, &machine] {
        machine.log_in().await;
    }
    let known = |machine: &Machine| hop(machine, HostKeys::one(machine.host_key()));
    let through = |via: Vec<Hop>| Target { via, ..machine.target() };
    let client = connect(&through(vec![known(&first), known(&second)]), &machine.login(), &machine).await.unwrap();
    // What it runs is run there, beyond both.
    assert_eq!(client.exec("echo $SSH_CONNECTION", "").await.unwrap().stdout.split(|c| *c == b' ').count(), 4);
    assert_eq!(client.host_key().key_data(), machine.host_key().key_data());
    let much = vec![b'x'; 8 << 20];
    assert_eq!(client.exec("cat", much.clone()).await.unwrap().stdout, much);

    let impostor = hop(&second, HostKeys::one(first.host_key()));
    let error = connect(&through(vec![known(&first), impostor]), &machine.login(), &machine).await;
    let error = error.map(|_| ()).unwrap_err();
    let ConnectError::Hop { source, .. } = &error else { panic!("{error}") };
    assert!(matches!(**source, ConnectError::WrongHostKey { .. }) && !error.is_transient(), "{error}");
    // The hop is itself no node: what it leads to must prove the node's key.
    let mut wrong = through(vec![known(&first)]);
    wrong.port = second.port;
    let error = connect(&wrong, &machine.login(), &machine).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::WrongHostKey { .. }), "{error}");
    // Nothing listens there.
    wrong.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let error = connect(&wrong, &machine.login(), &machine).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::NotForwarded { is_unreachable: true, .. }), "{error}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_node_may_have_an_address_of_either_kind() {
    let mut machine = Machine::new();
    machine.listen = format!("[::1]:{}", machine.port);
    machine.switch_on();
    let mut target = machine.target();
    // The first address does not answer.
    target.addresses.push(Ipv6Addr::LOCALHOST.into());
    let accepted = HostKeys::one(machine.host_key());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let client = Client::connect_when_up(&target, &machine.login(), &accepted, &Timeouts::default(), deadline).await;
    assert_eq!(client.unwrap().to_string(), format!("root@[::1]:{}", machine.port));
}
