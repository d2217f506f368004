//! A PostgreSQL server of the tests' own: made in a folder of its own, stopped and removed with its last user.
//!
//! The binaries are looked for in `PG_BIN`, in /usr/lib/postgresql and on PATH. PostgreSQL refuses to run as root: then
//! it runs as the user `postgres`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use db_pool_engine::postgres::{Config, Host, Ssl, SslMode};

static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());

const HBA: &str = "\
local all all trust
host all plain 127.0.0.1/32 password
host all hashed 127.0.0.1/32 md5
hostssl all onlytls 127.0.0.1/32 trust
hostssl all certified 127.0.0.1/32 cert
host all scram 127.0.0.1/32 scram-sha-256
host all postgres 127.0.0.1/32 trust
";
const ROLES: &str = "\
CREATE ROLE plain LOGIN PASSWORD 'secret';
SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'secret'; RESET password_encryption;
CREATE ROLE scram LOGIN PASSWORD 'secret';
CREATE ROLE onlytls LOGIN; CREATE ROLE certified LOGIN;
";

/// A running server.
pub struct Server {
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
}

impl Server {
    /// The server that other tests of this process use, or a new one.
    pub fn shared() -> Arc<Server> {
        let mut running = RUNNING.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Server::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Server {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = std::env::temp_dir().join(format!("db-pool-engine-{}-{port}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let server = Server { port, folder };
        server.certificates();
        let data = server.path("data");
        server.give();
        server.postgres("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]);
        std::fs::write(server.path("data/pg_hba.conf"), HBA).unwrap();
        server.give();
        let options = format!(
            "-p {port} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c ssl=on -c ssl_cert_file={} -c ssl_key_file={} \
             -c ssl_ca_file={}",
            server.path(""),
            server.path("server.crt"),
            server.path("server.key"),
            server.path("ca.crt"),
        );
        server.postgres("pg_ctl", &["-D", &data, "-w", "-s", "-l", &server.path("log"), "-o", &options, "start"]);
        let port = port.to_string();
        server.postgres("psql", &["-X", "-q", "-h", &server.path(""), "-p", &port, "-U", "postgres", "-c", ROLES]);
        server
    }

    /// A path in the server's folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// How to reach it as this user, without TLS.
    pub fn config(&self, user: &str) -> Config {
        let password = Some("secret".to_owned());
        let host = Host { host: "127.0.0.1".to_owned(), port: self.port, hostaddr: None, password };
        let ssl = Ssl { mode: SslMode::Disable, ..Ssl::default() };
        Config { hosts: vec![host], user: user.to_owned(), dbname: "postgres".to_owned(), ssl, ..Config::default() }
    }

    /// An authority, a certificate of the server for `localhost`, and one of the user `certified`.
    fn certificates(&self) {
        self.openssl(&format!(
            "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout {} -out {}",
            self.path("ca.key"),
            self.path("ca.crt")
        ));
        for (name, subject) in [("server", "localhost"), ("client", "certified")] {
            let (key, request, crt) = (
                self.path(&format!("{name}.key")),
                self.path(&format!("{name}.csr")),
                self.path(&format!("{name}.crt")),
            );
            let extensions = self.path(&format!("{name}.ext"));
            std::fs::write(&extensions, format!("subjectAltName=DNS:{subject}\nbasicConstraints=CA:FALSE\n")).unwrap();
            self.openssl(&format!("req -newkey rsa:2048 -nodes -subj /CN={subject} -keyout {key} -out {request}"));
            let (ca, ca_key) = (self.path("ca.crt"), self.path("ca.key"));
            self.openssl(&format!(
                "x509 -req -days 2 -in {request} -CA {ca} -CAkey {ca_key} -CAcreateserial -extfile {extensions} -out {crt}"
            ));
        }
    }

    fn openssl(&self, arguments: &str) {
        run(Command::new("openssl").args(arguments.split(' ')));
    }

    /// The files become the server's. Not while it runs: its files come and go.
    fn give(&self) {
        if is_root() {
            run(Command::new("chown").args(["-R", "postgres", &self.path("")]));
        }
    }

    fn postgres(&self, program: &str, arguments: &[&str]) {
        let program = binary(program);
        if is_root() {
            run(Command::new("runuser").args(["-u", "postgres", "--"]).arg(program).args(arguments).current_dir("/"));
        } else {
            run(Command::new(program).args(arguments));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.postgres("pg_ctl", &["-D", &self.path("data"), "-w", "-s", "-m", "immediate", "stop"]);
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

fn binary(program: &str) -> PathBuf {
    let mut folders: Vec<PathBuf> = std::env::var_os("PG_BIN").map(PathBuf::from).into_iter().collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.map(|version| version.unwrap().path().join("bin")));
    }
    let found = folders.iter().map(|folder: &PathBuf| folder.join(program)).find(|path: &PathBuf| Path::exists(path));
    found.unwrap_or_else(|| PathBuf::from(program))
}
