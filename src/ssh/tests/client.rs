use std::time::Instant;

use tokio::net::TcpListener;

use super::*;
use crate::ssh::process::Process;

#[tokio::test]
async fn a_command_gives_back_all_that_it_said() {
    let machine = Machine::on();
    let client = machine.log_in().await;
    let output = client.exec("cat; echo problem >&2; exit 3", "input").await.unwrap();
    assert_eq!((output.status, &output.stdout[..], &output.stderr[..]), (Some(3), &b"input"[..], "problem"));
    assert_eq!(client.exec("kill -9 $$", "").await.unwrap().status, None);
    // More in both directions than the pipes in between hold.
    let much = vec![b'x'; 8 << 20];
    assert_eq!(client.exec("cat", much.clone()).await.unwrap().stdout, much);
    // A command that does not read its input is no error of the connection.
    assert_eq!(client.exec("exit 0", much).await.unwrap().status, Some(0));
    let error = client.exec("head -c 20M /dev/zero", "").await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
    assert_eq!(client.host_key().key_data(), machine.host_key().key_data());
    client.close().await;
}

#[tokio::test]
async fn a_stream_longer_than_the_window_comes_through() {
    let machine = Machine::on();
    let client = machine.log_in().await;
    let mut process = Process::start(&client, "head -c 40M /dev/zero").await.unwrap();
    let mut total = 0;
    while process.receive(1 << 20).await.unwrap() {
        total += process.stdout().split().len();
    }
    assert_eq!(total, 40 << 20);
}

#[tokio::test]
async fn a_lost_connection_is_named_as_such() {
    let machine = Machine::on();
    let client = machine.log_in().await;
    // The command's grandparent is the sshd of this connection.
    let error = client.exec("kill -9 $(ps -o ppid= -p $PPID) $PPID; sleep 10", "").await.unwrap_err();
    assert!(error.to_string().contains("connection was lost"), "{error:?}");
}

#[tokio::test]
async fn another_host_key_stops_everything_at_once() {
    let mut machine = Machine::on();
    machine.log_in().await;
    let known = machine.host_key();
    // Someone else on the same address and port.
    machine.switch_off();
    machine.set_host_key(&keypair::generate("impostor").unwrap());
    machine.switch_on();
    machine.log_in().await;
    let start = Instant::now();
    match machine.connect(HostKeys::one(known.clone())).await.map(|_| ()).unwrap_err() {
        ConnectError::WrongHostKey { presented, expected, .. } => {
            assert_eq!(presented.key_data(), machine.host_key().key_data());
            assert_eq!(expected, [keypair::fingerprint(&known)]);
        }
        error => panic!("{error}"),
    }
    assert!(start.elapsed() < Duration::from_secs(5), "it does not try again");
    let log = std::fs::read_to_string(machine.dir.join("log")).unwrap();
    assert_eq!(log.matches("Accepted publickey").count(), 1, "nothing was sent to it: {log}");
}

#[tokio::test]
async fn a_host_key_of_another_kind_is_a_wrong_one_too() {
    let mut machine = Machine::new();
    let known = machine.host_key();
    std::fs::remove_file(machine.host_key_file()).unwrap();
    let path = machine.host_key_file();
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ecdsa", "-N", "", "-f", path.as_str()]).status();
    assert!(made.unwrap().success());
    machine.switch_on();
    let error = machine.connect(HostKeys::one(known)).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::WrongHostKey { .. }), "{error}");
}

#[tokio::test]
async fn a_key_that_is_not_let_in_is_named() {
    let machine = Machine::on();
    machine.log_in().await;
    let stranger = keypair::generate("stranger").unwrap();
    let accepted = HostKeys::one(machine.host_key());
    let error = Client::connect(&machine.target(), &stranger.clone().into(), &accepted, &Timeouts::default()).await;
    let error = error.map(|_| ()).unwrap_err();
    let ConnectError::UserKeyRefused { user, fingerprint, .. } = &error else { panic!("{error}") };
    assert_eq!((user.as_str(), fingerprint), ("root", &keypair::fingerprint(stranger.public_key())));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn waits_for_a_machine_that_boots() {
    let mut machine = Machine::new();
    let accepted = HostKeys::one(machine.host_key());
    let error = Client::connect(&machine.target(), &machine.login(), &accepted, &Timeouts::default()).await;
    let error = error.map(|_| ()).unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }) && error.is_transient(), "{error}");
    let (target, key) = (machine.target(), machine.login());
    let waiting = tokio::spawn(async move {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        Client::connect_when_up(&target, &key, &accepted, &Timeouts::default(), deadline).await
    });
    tokio::time::sleep(Duration::from_millis(400)).await;
    machine.switch_on();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_peer_that_hangs_or_hangs_up_is_told_apart() {
    let (key, accepted) = (
        Login::from(keypair::generate("x").unwrap()),
        HostKeys::one(keypair::generate("y").unwrap().public_key().clone()),
    );
    let timeouts = Timeouts { handshake: Duration::from_millis(300), ..Timeouts::default() };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target::new(vec![Ipv4Addr::LOCALHOST.into()], port, "root");
    let connect = || async { Client::connect(&target, &key, &accepted, &timeouts).await.map(|_| ()).unwrap_err() };

    let silent = connect().await;
    assert!(matches!(silent, ConnectError::TimedOut { .. }) && silent.is_transient(), "{silent}");
    drop(listener.accept().await.unwrap());
    let (dropped, _) = tokio::join!(connect(), async { drop(listener.accept().await.unwrap()) });
    assert!(matches!(dropped, ConnectError::Dropped { .. }) && dropped.is_transient(), "{dropped}");
}

#[test]
fn its_futures_can_run_on_any_thread() {
    fn send<T: Send>(_: &T) {}
    let (target, timeouts) = (Target::new(Vec::new(), 22, "x"), Timeouts::default());
    let key = keypair::generate("x").unwrap();
    let accepted = HostKeys::one(key.public_key().clone());
    let login = key.clone().into();
    send(&Client::connect_when_up(&target, &login, &accepted, &timeouts, tokio::time::Instant::now()));
    fn session(session: &mut crate::ssh::NodeSession) {
        send(&session.request(crate::wire::message::Request::Facts, &mut |_| {}));
    }
    let _ = session;
}
