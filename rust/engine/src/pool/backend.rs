//! What the pool's connections lead to: the one place that knows both databases.

use std::sync::Arc;
use std::time::Duration;

use super::connection_task::Job;
use super::mobc_pool::{self, Sessions};
use crate::link::{ConnectError, CopyStream, GroupResult, Lost, Notification, SessionInfo, Settings};
use crate::postgres::{CancelKey, Config, Connection, Group};
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
    /// Its connections share a write lock.
    Sqlite(Arc<Driver>),
}

/// One open connection.
pub enum ServerConnection {
    /// Checked out of mobc.
    Postgres(Box<mobc::Connection<Sessions>>),
    /// On tokio's blocking threads.
    Sqlite(sqlite::Connection),
}

/// What is needed to stop a connection's work from outside.
#[derive(Clone)]
pub enum CancelHandle {
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
    pub async fn open(&self, password: Option<String>) -> Result<ServerConnection, ConnectError> {
        Ok(match self {
            Connector::Postgres(sessions) => {
                ServerConnection::Postgres(Box::new(mobc_pool::open(sessions, password).await?))
            }
            Connector::Sqlite(driver) => ServerConnection::Sqlite(driver.connect().await?),
        })
    }

    /// The pool is done: wait until files are closed. A server is not waited for.
    pub async fn end(&self) {
        if let Connector::Sqlite(driver) = self {
            driver.end().await;
        }
    }
}

impl ServerConnection {
    /// What is needed to stop its work.
    pub fn cancel_handle(&self) -> CancelHandle {
        match self {
            ServerConnection::Postgres(link) => CancelHandle::Postgres(Box::new(link.cancel_key().clone())),
            ServerConnection::Sqlite(link) => CancelHandle::Sqlite(link.control().clone()),
        }
    }

    /// What the server tells of the session; None where there is no server.
    pub fn session_info(&self) -> Option<SessionInfo> {
        match self {
            ServerConnection::Postgres(link) => Some(link.session_info()),
            ServerConnection::Sqlite(_) => None,
        }
    }

    /// What its values depend on; of SQLite's on nothing.
    pub fn settings(&self) -> Arc<Settings> {
        match self {
            ServerConnection::Postgres(link) => link.settings().clone(),
            ServerConnection::Sqlite(_) => Arc::default(),
        }
    }

    /// Run a group.
    pub async fn run(&mut self, job: Job) -> Result<GroupResult, Lost> {
        match self {
            ServerConnection::Postgres(link) => {
                let Job { statements, revocable, checks_keys, .. } = &job;
                link.run(Group { statements, revocable: *revocable, checks_keys: *checks_keys }).await
            }
            ServerConnection::Sqlite(link) => link.run(job.statements, job.shared).await,
        }
    }

    /// Run a COPY.
    pub async fn copy(&mut self, sql: &str, stream: CopyStream<'_>) -> Result<GroupResult, Lost> {
        match self {
            ServerConnection::Postgres(link) => link.run_copy(sql, stream).await,
            ServerConnection::Sqlite(_) => Err(Lost::new("bug: COPY on SQLite")),
        }
    }

    /// Watch over it while nothing runs on it; returns with notifications, or when it is lost. A file is not.
    pub async fn watch(&mut self) -> Result<Vec<Notification>, Lost> {
        match self {
            ServerConnection::Postgres(link) => link.watch().await,
            ServerConnection::Sqlite(_) => std::future::pending().await,
        }
    }

    /// Say good-bye.
    pub async fn close(self) {
        if let Some(link) = self.into_link() {
            link.close().await;
        }
    }

    /// Take it out of mobc, which must not use it again; else it is closed here.
    pub fn into_link(self) -> Option<Connection> {
        match self {
            ServerConnection::Postgres(held) => Some(held.into_inner()),
            ServerConnection::Sqlite(_) => None,
        }
    }
}

impl CancelHandle {
    /// A group of `size` statements is being sent.
    pub fn sent(&self, size: usize) {
        if let CancelHandle::Sqlite(control) = self {
            control.sent(size);
        }
    }

    /// The server's process.
    pub fn process_id(&self) -> Option<i32> {
        match self {
            CancelHandle::Postgres(cancel_handle) => Some(cancel_handle.process_id()),
            CancelHandle::Sqlite(_) => None,
        }
    }

    /// No caller waits for that statement of the group any more.
    pub fn give_up(&self, number: usize) {
        if let CancelHandle::Sqlite(control) = self {
            control.give_up(number);
        }
    }

    /// Have it stop. True when a late request can no longer hit what runs next: the server has closed the connection
    /// that carried it, or it never got out. False if it is still under way.
    pub async fn cancel(&self) -> bool {
        match self {
            CancelHandle::Postgres(cancel_handle) => {
                tokio::time::timeout(CANCEL_TIMEOUT, cancel_handle.cancel()).await.is_ok()
            }
            CancelHandle::Sqlite(control) => {
                control.cancel(CANCEL_TIMEOUT).await;
                true // an interrupt is meant for one job only
            }
        }
    }
}
