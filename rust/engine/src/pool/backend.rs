//! What the pool's connections lead to: the one place that knows both databases.

use std::sync::Arc;
use std::time::Duration;

use super::connection_task::Job;
use super::mobc_pool::{self, Sessions};
use crate::link::{ConnectError, CopyStream, GroupResult, Lost, Notification, Settings};
use crate::postgres::{CancelKey, Config, Group, Link};
use crate::sqlite::{self, Control, Driver};

/// How long a CancelRequest may take, connecting included.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// A database.
pub enum Backend {
    /// A PostgreSQL server.
    Postgres(Box<Config>),
    /// An SQLite database.
    Sqlite(sqlite::Config),
}

/// Opens connections.
#[derive(Clone)]
pub enum Connector {
    /// mobc makes and counts them.
    Postgres(mobc::Pool<Sessions>),
    /// Its connections share a turn to write.
    Sqlite(Arc<Driver>),
}

/// One open connection.
pub enum Session {
    /// Checked out of mobc.
    Postgres(Box<mobc::Connection<Sessions>>),
    /// On tokio's blocking threads.
    Sqlite(sqlite::Link),
}

/// What is needed to stop a connection's work from outside.
#[derive(Clone)]
pub enum Key {
    /// A CancelRequest.
    Postgres(Box<CancelKey>),
    /// An interrupt.
    Sqlite(Arc<Control>),
}

impl Backend {
    /// Whether prepared statements have names there.
    pub fn names_statements(&self) -> bool {
        matches!(self, Backend::Postgres(config) if config.max_statements > 0)
    }
}

impl From<Config> for Backend {
    fn from(config: Config) -> Self {
        Backend::Postgres(Box::new(config))
    }
}

impl From<sqlite::Config> for Backend {
    fn from(config: sqlite::Config) -> Self {
        Backend::Sqlite(config)
    }
}

impl Connector {
    /// For this database; opens nothing.
    pub fn new(backend: Backend) -> Self {
        match backend {
            Backend::Postgres(config) => Connector::Postgres(mobc_pool::new(*config)),
            Backend::Sqlite(config) => Connector::Sqlite(Driver::new(config)),
        }
    }

    /// Open a connection, with this password if there is one. To drop the future stops it.
    pub async fn open(&self, password: Option<String>) -> Result<Session, ConnectError> {
        Ok(match self {
            Connector::Postgres(sessions) => Session::Postgres(Box::new(mobc_pool::open(sessions, password).await?)),
            Connector::Sqlite(driver) => Session::Sqlite(driver.connect().await?),
        })
    }

    /// The pool is done: wait until files are closed. A server is not waited for.
    pub async fn end(&self) {
        if let Connector::Sqlite(driver) = self {
            driver.end().await;
        }
    }
}

impl Session {
    /// What is needed to stop its work.
    pub fn key(&self) -> Key {
        match self {
            Session::Postgres(link) => Key::Postgres(Box::new(link.cancel_key().clone())),
            Session::Sqlite(link) => Key::Sqlite(link.control().clone()),
        }
    }

    /// What its values depend on; of SQLite's on nothing.
    pub fn settings(&self) -> Arc<Settings> {
        match self {
            Session::Postgres(link) => link.settings().clone(),
            Session::Sqlite(_) => Arc::default(),
        }
    }

    /// Run a group.
    pub async fn run(&mut self, job: Job) -> Result<GroupResult, Lost> {
        match self {
            Session::Postgres(link) => {
                let Job { statements, revocable, checks_keys, .. } = &job;
                link.run(Group { statements, revocable: *revocable, checks_keys: *checks_keys }).await
            }
            Session::Sqlite(link) => link.run(job.statements, job.shared).await,
        }
    }

    /// Run a COPY.
    pub async fn copy(&mut self, sql: &str, stream: CopyStream<'_>) -> Result<GroupResult, Lost> {
        match self {
            Session::Postgres(link) => link.run_copy(sql, stream).await,
            Session::Sqlite(_) => Err(Lost::new("bug: COPY on SQLite")),
        }
    }

    /// Watch over it while nothing runs on it; returns with notifications, or when it is lost. A file is not.
    pub async fn watch(&mut self) -> Result<Vec<Notification>, Lost> {
        match self {
            Session::Postgres(link) => link.watch().await,
            Session::Sqlite(_) => std::future::pending().await,
        }
    }

    /// Say good-bye.
    pub async fn close(self) {
        if let Some(link) = self.into_link() {
            link.close().await;
        }
    }

    /// Take it out of mobc, which must not use it again; else it is closed here.
    pub fn into_link(self) -> Option<Link> {
        match self {
            Session::Postgres(held) => Some(held.into_inner()),
            Session::Sqlite(_) => None,
        }
    }
}

impl Key {
    /// A group of `size` statements is being sent.
    pub fn sent(&self, size: usize) {
        if let Key::Sqlite(control) = self {
            control.sent(size);
        }
    }

    /// The server's process.
    pub fn process_id(&self) -> Option<i32> {
        match self {
            Key::Postgres(key) => Some(key.process_id()),
            Key::Sqlite(_) => None,
        }
    }

    /// Nobody waits for that statement of the group any more.
    pub fn give_up(&self, number: usize) {
        if let Key::Sqlite(control) = self {
            control.give_up(number);
        }
    }

    /// Have it stop. True when a late request can no longer hit what runs next: the server has closed the connection
    /// that carried it, or it never got out. False if it is still under way.
    pub async fn cancel(&self) -> bool {
        match self {
            Key::Postgres(key) => tokio::time::timeout(CANCEL_TIMEOUT, key.cancel()).await.is_ok(),
            Key::Sqlite(control) => {
                control.cancel(CANCEL_TIMEOUT).await;
                true // an interrupt is meant for one job only
            }
        }
    }
}
