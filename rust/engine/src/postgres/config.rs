//! A resolved target: it depends on no environment variable, service or password file any more. Python resolves it
//! (`db_pool_rs/conninfo/__init__.py`), so that every engine reads connection strings alike.

use std::fmt;
use std::time::Duration;

use super::methods::AuthMethods;

/// How much TLS is asked for: libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never.
    Disable,
    /// Only if the server refuses a plain connection.
    Allow,
    /// If the server offers it.
    Prefer,
    /// Always; the certificate is checked if there is a root certificate.
    Require,
    /// Always, by a known authority.
    VerifyCa,
    /// Always, by a known authority and for this host.
    VerifyFull,
}

/// TLS in libpq's terms; a path that is None means there is no file.
#[derive(Clone)]
pub struct Ssl {
    /// `sslmode`.
    pub mode: SslMode,
    /// `sslnegotiation=direct`: TLS from the first byte.
    pub direct: bool,
    /// `sslcert`, PEM.
    pub cert: Option<String>,
    /// `sslkey`, PEM.
    pub key: Option<String>,
    /// `sslpassword`, of the key; never shown.
    pub password: Option<String>,
    /// `sslrootcert`, PEM, or "system".
    pub rootcert: Option<String>,
    /// `sslcrl`, PEM.
    pub crl: Option<String>,
    /// `sslcrldir`: a folder of such files.
    pub crldir: Option<String>,
    /// `sslsni`.
    pub sni: bool,
    /// Nothing below TLS 1.3.
    pub only_tls13: bool,
    /// Nothing above TLS 1.2.
    pub only_tls12: bool,
}

impl Default for Ssl {
    fn default() -> Self {
        Ssl {
            mode: SslMode::Prefer,
            direct: false,
            cert: None,
            key: None,
            password: None,
            rootcert: None,
            crl: None,
            crldir: None,
            sni: true,
            only_tls13: false,
            only_tls12: false,
        }
    }
}

/// One host to try.
#[derive(Clone)]
pub struct Host {
    /// A name, an address, or the folder of a unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its address, which saves resolving the name.
    pub hostaddr: Option<String>,
    /// Never shown.
    pub password: Option<String>,
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

/// What kind of session is wanted: libpq's `target_session_attrs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAttrs {
    /// Any.
    Any,
    /// One that may write.
    ReadWrite,
    /// One that may not.
    ReadOnly,
    /// On a server that is no standby.
    Primary,
    /// On a standby.
    Standby,
    /// On a standby if there is one.
    PreferStandby,
}

/// How the system finds out that the other end of a TCP connection is gone, though it says nothing: libpq's `keepalives`
/// and what belongs to it. None is the system's default.
#[derive(Clone, Debug)]
pub struct Keepalive {
    /// `keepalives`: whether it asks at all.
    pub enabled: bool,
    /// `keepalives_idle`: after so long a silence.
    pub idle: Option<Duration>,
    /// `keepalives_interval`: again after so long.
    pub interval: Option<Duration>,
    /// `keepalives_count`: so many times.
    pub count: Option<u32>,
    /// `tcp_user_timeout`: how long what was sent may stay unacknowledged.
    pub user_timeout: Option<Duration>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Keepalive { enabled: true, idle: None, interval: None, count: None, user_timeout: None }
    }
}

/// A resolved PostgreSQL target.
#[derive(Clone)]
pub struct Config {
    /// In the order in which they are tried.
    pub hosts: Vec<Host>,
    /// `load_balance_hosts`: they, and the addresses of each, are tried in any order.
    pub shuffled: bool,
    /// The user that logs in.
    pub user: String,
    /// Where.
    pub dbname: String,
    /// TLS.
    pub ssl: Ssl,
    /// What kind of session.
    pub target: TargetAttrs,
    /// For each host and address.
    pub connect_timeout: Option<Duration>,
    /// How a dead peer is found out.
    pub keepalive: Keepalive,
    /// `application_name`, `options` and settings: sent in the startup message.
    pub settings: Vec<(String, String)>,
    /// `channel_binding`: Some(true) is "require", Some(false) "disable".
    pub channel_binding: Option<bool>,
    /// `require_auth`.
    pub auth_methods: Option<AuthMethods>,
    /// A password may be sent in clear over an unencrypted link that leaves this machine.
    pub allow_cleartext_password: bool,
    /// Prepared statements kept on each connection; 0 for none.
    pub max_statements: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hosts: Vec::new(),
            shuffled: false,
            user: String::new(),
            dbname: String::new(),
            ssl: Ssl::default(),
            target: TargetAttrs::Any,
            connect_timeout: Some(Duration::from_secs(10)),
            keepalive: Keepalive::default(),
            settings: Vec::new(),
            channel_binding: None,
            auth_methods: None,
            allow_cleartext_password: false,
            max_statements: 256,
        }
    }
}
