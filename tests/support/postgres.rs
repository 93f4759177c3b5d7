//! PostgreSQL for tests: the real server, from Debian's packages.
//!
//! Tests share one server, each with a database of its own. The first that needs the server starts it, on a socket in a
//! folder of its own, without a port; ten seconds after the last has ended it is stopped and removed.
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The databases' owner; the server asks for no password, and nobody else can reach its socket.
const USER: &str = "stead";

/// Stops the server once no test holds the file `users`.
const WATCHDOG: &str = r#"
exec 8<lock 9<users
while sleep 10; do
    flock 8
    if flock -n 9; then
        "$1/pg_ctl" -D data -m immediate stop
        rm -rf data socket log
        exit
    fi
    flock -u 8
done
"#;

/// A server in a folder.
pub(crate) struct Server {
    dir: PathBuf,
}

impl Server {
    /// The server that tests share, and the lock that keeps it alive.
    #[expect(clippy::zombie_processes, reason = "the watchdog outlives the test; init waits for it")]
    fn shared() -> (Self, File) {
        let dir = std::env::temp_dir().join("stead-test-postgres");
        let server = Self::in_folder(dir);
        let open = |name: &str| {
            File::options().create(true).append(true).open(server.dir.join(name)).expect("the tests' folder is ours")
        };
        let (lock, users) = (open("lock"), open("users"));
        lock.lock().expect("locked");
        users.lock_shared().expect("locked");
        if !server.is_up() {
            server.make();
            server.start();
            let watchdog = server.command("sh").args(["-c", WATCHDOG, "sh"]).arg(bin()).spawn();
            watchdog.expect("a shell");
        }
        (server, users)
    }

    /// A server of a test's own, to be stopped and started.
    pub(crate) fn own(dir: &Path) -> Self {
        let server = Self::in_folder(dir.to_owned());
        server.make();
        server.start();
        server
    }

    /// One as people run it: what it says is committed is on the disk.
    pub(crate) fn durable(dir: &Path) -> Self {
        let server = Self::in_folder(dir.to_owned());
        server.make();
        server.start_with("-c fsync=on -c shared_buffers=256MB");
        server
    }

    /// One that others reach over a network: at this address, from this subnet.
    pub(crate) fn at(dir: &Path, address: &str, subnet: &str) -> Self {
        use std::io::Write;
        let server = Self::in_folder(dir.to_owned());
        server.make();
        let rules = File::options().append(true).open(server.dir.join("data/pg_hba.conf"));
        writeln!(rules.expect("initdb wrote it"), "host all all {subnet} trust").expect("written");
        server.start_with(&format!("-c fsync=off -c listen_addresses={address}"));
        server
    }

    fn in_folder(dir: PathBuf) -> Self {
        if !dir.exists() {
            std::fs::create_dir_all(&dir).expect("a folder");
        }
        if is_root() {
            let chown = Command::new("chown").arg("postgres:postgres").arg(&dir).status().expect("chown");
            assert!(chown.success(), "there is no user postgres: is the package `postgresql` installed?");
        }
        std::fs::set_permissions(&dir, Permissions::from_mode(0o700)).expect("the tests' folder is ours");
        Self { dir }
    }

    /// A program as the server's own user, in its folder, in a session of its own: it outlives the test.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("setsid");
        command.arg("--wait");
        if is_root() {
            command.args(["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        command.arg(program).current_dir(&self.dir).env("LC_ALL", "C");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn is_up(&self) -> bool {
        let status = self.command(bin().join("pg_ctl")).args(["-D", "data", "status"]).status();
        status.is_ok_and(|status| status.success()) && self.dir.join("socket/.s.PGSQL.5432").exists()
    }

    fn make(&self) {
        for name in ["data", "socket"] {
            let _ = std::fs::remove_dir_all(self.dir.join(name));
        }
        let initdb = self
            .command(bin().join("initdb"))
            .args(["-D", "data", "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .status();
        assert!(initdb.expect("initdb").success(), "initdb failed in {}", self.dir.display());
        assert!(self.command("mkdir").args(["-m", "700", "socket"]).status().expect("mkdir").success());
    }

    /// Starts it; returns when it answers.
    pub(crate) fn start(&self) {
        // Nothing here outlives the machine, so nothing is synced; what was committed outlives the server all the same.
        self.start_with("-c fsync=off");
    }

    fn start_with(&self, options: &str) {
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=200 {options}",
            self.dir.join("socket").display()
        );
        let started = self
            .command(bin().join("pg_ctl"))
            .args(["-D", "data", "-l", "log", "-w", "-o", &options, "start"])
            .status();
        let log = || std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        assert!(started.expect("pg_ctl").success(), "{}", log());
    }

    /// Stops it, as from a pulled plug.
    pub(crate) fn stop(&self) {
        let stopped = self.command(bin().join("pg_ctl")).args(["-D", "data", "-m", "immediate", "stop"]).status();
        assert!(stopped.expect("pg_ctl").success());
    }

    fn psql(&self, database: &str, sql: &str) {
        let psql = Command::new(bin().join("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", USER, "-d", database, "-c", sql, "-h"])
            .arg(self.dir.join("socket"))
            .stdin(Stdio::null())
            .output()
            .expect("psql");
        assert!(psql.status.success(), "{sql}: {}", String::from_utf8_lossy(&psql.stderr));
    }
}

/// A pooler (<https://www.pgbouncer.org>) in front of a server, until it is dropped.
pub(crate) struct Pooler {
    dir: PathBuf,
    child: std::process::Child,
}

impl Pooler {
    /// One that pools sessions, or transactions; with more settings, each a line.
    pub(crate) fn new(database: &Database, pools: &str, more: &str) -> Self {
        let server = &database.server;
        let dir = server.dir.join(format!("{pools}-{}", database.name));
        let _ = std::fs::remove_dir_all(&dir);
        assert!(server.command("mkdir").args(["-m", "700"]).arg(&dir).status().expect("mkdir").success());
        let settings = format!(
            "[databases]\n* = host={0} user={USER}\n[pgbouncer]\nauth_type = any\npool_mode = {pools}\n\
             unix_socket_dir = {1}\npidfile = {1}/process\nlisten_port = 5432\n{more}\n",
            server.dir.join("socket").display(),
            dir.display(),
        );
        std::fs::write(dir.join("settings"), settings).expect("the tests' folder is ours");
        let child = server.command("pgbouncer").arg(dir.join("settings")).spawn().expect("the package `pgbouncer`");
        let pooler = Self { dir, child };
        for _ in 0..200 {
            if pooler.dir.join(".s.PGSQL.5432").exists() {
                return pooler;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("the pooler did not begin");
    }

    /// Where the database is, through it.
    pub(crate) fn url(&self, database: &Database) -> String {
        format!("postgres://{USER}@localhost/{}?host={}", database.name, self.dir.display())
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // The child is what gave it a user and a session of its own, and ends with it.
        let process = std::fs::read_to_string(self.dir.join("process")).ok().and_then(|text| text.trim().parse().ok());
        if let Some(process) = process.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A database of a test's own, empty at first.
pub(crate) struct Database {
    server: Server,
    name: String,
    /// Keeps a shared server alive; none where the server is the test's own, and goes with it.
    shared: Option<File>,
}

impl Database {
    /// One in the server that tests share.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (server, users) = Server::shared();
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // A test that was killed may have left one of this name.
        server.psql("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        server.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { server, name, shared: Some(users) }
    }

    /// One in a server of the test's own.
    pub(crate) fn in_own(server: Server) -> Self {
        server.psql("postgres", "CREATE DATABASE test TEMPLATE template0");
        Self { server, name: "test".into(), shared: None }
    }

    /// The server, to stop and start it.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("postgres://{USER}@localhost/{}?host={}", self.name, self.server.dir.join("socket").display())
    }

    /// Does to it what no part of Stead would do.
    pub(crate) fn meddle(&self, sql: &str) {
        self.server.psql(&self.name, sql);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match self.shared {
            Some(_) => self.server.psql("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name)),
            None => self.server.stop(),
        }
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where the newest server's programs lie; Debian keeps each version's apart.
fn bin() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.max_by_key(|entry| entry.file_name().to_string_lossy().parse::<u32>().unwrap_or_default());
    newest.expect("the package `postgresql` is installed: scripts/test.sh does that").path().join("bin")
}
