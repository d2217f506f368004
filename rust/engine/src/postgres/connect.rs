//! Opening a session: every host and address in turn, every failure told.
//!
//! Order and limits are libpq's: hosts as written (or shuffled, `load_balance_hosts`), of each host every address that
//! its name has, each with `connect_timeout`. Unlike libpq, a failure of any kind moves on to the next host, but a
//! server that has turned the login down is not asked again at the host's other addresses.

use std::hash::{BuildHasher, RandomState};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::address::{Address, addresses};
use super::auth::Login;
use super::cancel::CancelKey;
use super::config::{Config, Host, SslMode, TargetAttrs};
use super::connection::Connection;
use super::messages::message;
use super::stream::Stream;
use super::tls;
use crate::link::{ConnectError, Fields, Lost, Malformed, NO_HBA_ENTRY, ServerError, TELLING};

/// Open a session; `password` takes the place of the hosts'.
///
/// The error lists one line for each address tried; its `sqlstate` is that of the most telling one, and it is permanent
/// if every one of them is.
pub async fn connect(config: &Config, password: Option<&str>) -> Result<Connection, ConnectError> {
    let mut failures = Vec::new();
    let first = if config.target == TargetAttrs::PreferStandby { TargetAttrs::Standby } else { config.target };
    if let Some(link) = try_all(config, password, first, &mut failures).await {
        return Ok(link);
    }
    if config.target == TargetAttrs::PreferStandby {
        let mut again = Vec::new();
        if let Some(link) = try_all(config, password, TargetAttrs::Any, &mut again).await {
            return Ok(link);
        }
    }
    Err(summary(failures))
}

async fn try_all(
    config: &Config,
    password: Option<&str>,
    target: TargetAttrs,
    failures: &mut Vec<(String, ConnectError)>,
) -> Option<Connection> {
    for host in in_order(config, config.hosts.iter()) {
        let resolving = async { addresses(host).await.map_err(ConnectError::from) };
        let found = match in_time(config, resolving).await {
            Ok(found) => found,
            Err(error) => {
                failures.push((host.to_string(), error));
                continue;
            }
        };
        for address in in_order(config, found.into_iter()) {
            let attempt = Attempt { config, host, address: &address, password, target };
            match in_time(config, attempt.run()).await {
                Ok(link) => return Some(link),
                Err(error) => {
                    let refused = error.is_login_refused();
                    failures.push((shown(host, &address), error));
                    if refused {
                        break;
                    }
                }
            }
        }
    }
    None
}

/// As they are, or (`load_balance_hosts`) in any order.
fn in_order<T>(config: &Config, items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<(u64, T)> = items.map(|item| (0, item)).collect();
    if config.shuffled {
        let random = RandomState::new();
        (0_u64..).zip(&mut items).for_each(|(number, (key, _))| *key = random.hash_one(number));
        items.sort_by_key(|(key, _)| *key);
    }
    items.into_iter().map(|(_, item)| item).collect()
}

async fn in_time<T>(config: &Config, work: impl Future<Output = Result<T, ConnectError>>) -> Result<T, ConnectError> {
    let Some(limit) = config.connect_timeout else { return work.await };
    let late = || ConnectError::new(format!("not done within {} s (connect_timeout)", limit.as_secs_f64()));
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late()))
}

fn shown(host: &Host, address: &Address) -> String {
    match address {
        Address::Tcp(address) if address.ip().to_string() != host.host => format!("{host} ({})", address.ip()),
        _ => host.to_string(),
    }
}

fn summary(failures: Vec<(String, ConnectError)>) -> ConnectError {
    let rank = |error: &ConnectError| {
        let code = error.sqlstate.as_deref();
        code.map_or(TELLING.len() + 1, |code| {
            TELLING.iter().position(|class| code.starts_with(class)).unwrap_or(TELLING.len())
        })
    };
    let permanent = !failures.is_empty() && failures.iter().all(|(_, error)| error.permanent);
    let attempts = failures.iter().map(|(place, error)| format!("{place}: {error}")).collect();
    let sqlstate = failures
        .iter()
        .map(|(_, error)| error)
        .min_by_key(|error| rank(error))
        .and_then(|error| error.sqlstate.clone());
    ConnectError { attempts, sqlstate, permanent, ..ConnectError::new("could not connect to PostgreSQL") }
}

/// Ask for TLS on a new connection; whether the server agrees.
pub async fn asks_for_tls(stream: &mut Stream) -> Result<bool, ConnectError> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    // One byte and not more: whatever follows in clear must not be taken for something that came over TLS.
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    match answer[0] {
        b'S' => Ok(true),
        b'N' => Ok(false),
        _ => Err(Malformed("no answer to the question for TLS").into()),
    }
}

/// One attempt at one address.
struct Attempt<'a> {
    config: &'a Config,
    host: &'a Host,
    address: &'a Address,
    password: Option<&'a str>,
    target: TargetAttrs,
}

impl Attempt<'_> {
    /// With or without TLS, as `sslmode` says; sockets have none.
    async fn run(&self) -> Result<Connection, ConnectError> {
        if matches!(self.address, Address::Unix(_)) {
            return self.open(false).await;
        }
        let (first, second) = match self.config.ssl.mode {
            SslMode::Disable => return self.open(false).await,
            SslMode::Allow => (false, true),
            SslMode::Prefer => (true, false),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => return self.open(true).await,
        };
        match self.open(first).await {
            // A wrong password is as wrong on another kind of link.
            Err(error) if error.sqlstate.as_deref().is_none_or(|code| code == NO_HBA_ENTRY) => {
                self.open(second).await.map_err(|other| if other.sqlstate.is_some() { other } else { error })
            }
            result => result,
        }
    }

    async fn open(&self, encrypt: bool) -> Result<Connection, ConnectError> {
        let ssl = &self.config.ssl;
        let mut stream = Stream::open(self.address).await?;
        stream.keep_alive(&self.config.keepalive)?;
        if encrypt {
            if !ssl.direct && !asks_for_tls(&mut stream).await? {
                if ssl.mode >= SslMode::Require {
                    return Err(ConnectError::permanent("server does not support SSL, but SSL was required"));
                }
            } else {
                stream = tls::handshake(stream, ssl, &self.host.host).await?;
            }
        }
        let link = self.log_in(stream).await?;
        self.configured(link).await
    }

    async fn log_in(&self, stream: Stream) -> Result<Connection, ConnectError> {
        let mut login = Login::new(&self.config.user, self.password.or(self.host.password.as_deref()));
        login.tls = stream.is_tls();
        login.end_point = tls::end_point(&stream);
        login.binding = self.config.channel_binding;
        login.methods = self.config.auth_methods.clone();
        // A configuration that names methods means it.
        let allowed = self.config.allow_cleartext_password || login.methods.is_some();
        login.cleartext_allowed = login.tls || self.address.is_local() || allowed;
        let tls = stream.is_tls().then(|| (self.config.ssl.clone(), self.host.host.clone()));
        let key = CancelKey { address: self.address.clone(), tls, process_id: 0, secret: 0 };
        let mut link = Connection::new(stream, key, self.config.max_statements);
        frontend::startup_message(self.startup(), link.output())?;
        loop {
            let (kind, body) = link.receive().await.map_err(turned_away)?;
            match kind {
                b'R' => {
                    let mut answer = BytesMut::new();
                    login.answer(&body, &mut answer).await?;
                    link.output().extend_from_slice(&answer);
                }
                b'K' => {
                    let mut fields = Fields(&body);
                    link.set_cancel_key(fields.number()?, fields.number()?);
                }
                b'Z' => {
                    return if login.is_accepted() {
                        link.begin();
                        Ok(link)
                    } else {
                        Err(Malformed("a session without login").into())
                    };
                }
                b'v' => {} // a newer protocol was not asked for
                b'E' => return Err(ConnectError::refused(&ServerError::parse(&body))),
                _ => return Err(Malformed("an unexpected message before the session began").into()),
            }
        }
    }

    fn startup(&self) -> impl Iterator<Item = (&str, &str)> {
        let config = self.config;
        [("user", &*config.user), ("database", &*config.dbname), ("client_encoding", "UTF8")]
            .into_iter()
            .chain(config.settings.iter().map(|(name, value)| (&**name, &**value)))
    }

    /// Whether it is the kind of session that is wanted.
    async fn configured(&self, mut link: Connection) -> Result<Connection, ConnectError> {
        match link.parameter("client_encoding").as_deref() {
            None | Some("UTF8" | "UNICODE") => {}
            Some(other) => {
                let message = format!("the server insists on client_encoding {other}, UTF8 was asked for");
                return Err(ConnectError::new(message));
            }
        }
        if link.parameter("standard_conforming_strings").as_deref() == Some("off") {
            return Err(ConnectError::permanent(
                "standard_conforming_strings is off, under which a backslash in a literal means something else: \
                 set it on for the role, or in server_settings",
            ));
        }
        let (setting, sql, wanted, what) = match self.target {
            TargetAttrs::Any | TargetAttrs::PreferStandby => return Ok(link),
            TargetAttrs::ReadWrite => (None, "SHOW transaction_read_only", "off", "read-only"),
            TargetAttrs::ReadOnly => (None, "SHOW transaction_read_only", "on", "not read-only"),
            TargetAttrs::Primary => (Some("in_hot_standby"), STANDBY, "off", "in hot standby mode"),
            TargetAttrs::Standby => (Some("in_hot_standby"), STANDBY, "on", "not in hot standby mode"),
        };
        let found = match setting.and_then(|name| link.parameter(name)) {
            Some(value) => value,
            None => ask(&mut link, sql).await?,
        };
        if found == wanted { Ok(link) } else { Err(ConnectError::new(format!("the session is {what}"))) }
    }
}

/// For servers before 14, which do not report `in_hot_standby`.
const STANDBY: &str = "SELECT CASE WHEN pg_is_in_recovery() THEN 'on' ELSE 'off' END";

fn turned_away(lost: Lost) -> ConnectError {
    match &lost.cause {
        Some(error) => ConnectError::refused(error),
        None => ConnectError::new(lost.message),
    }
}

/// One value, by the simple protocol.
async fn ask(link: &mut Connection, sql: &str) -> Result<String, ConnectError> {
    message(link.output(), b'Q', |out| {
        out.extend_from_slice(sql.as_bytes());
        out.extend_from_slice(b"\0");
    });
    let mut answer = String::new();
    loop {
        let (kind, body) = link.receive().await.map_err(turned_away)?;
        match kind {
            b'D' => {
                let mut fields = Fields(&body);
                fields.count()?;
                answer = String::from_utf8_lossy(fields.value()?.unwrap_or_default()).into_owned();
            }
            b'E' => return Err(ConnectError::refused(&ServerError::parse(&body))),
            b'Z' => return Ok(answer),
            _ => {}
        }
    }
}
