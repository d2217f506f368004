//! One database: how its connections are opened, and what they share.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, spawn_blocking};

use super::config::Config;
use super::connection::{Abandoned, Connection, Inner};
use super::control::Control;
use super::database::Database;
use super::write_lock::WriteLock;
use crate::link::ConnectError;

/// How long connections may take to close at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the connections of one pool share.
pub struct Driver {
    pub(super) config: Arc<Config>,
    pub(super) write_lock: Arc<WriteLock>,
    pub(super) threads: Arc<Semaphore>,
    /// Whether readers take the write lock too; known when the first connection is open.
    pub(super) one_lock: AtomicBool,
    /// Held while a connection is opened: the first one may have to convert the file to WAL, which wants it alone.
    /// Keeps an in-memory database alive while no connection is open.
    anchor: tokio::sync::Mutex<Option<Inner>>,
    /// Each open connection has a copy of the sender.
    open: Mutex<Option<mpsc::Sender<Infallible>>>,
    closed: tokio::sync::Mutex<mpsc::Receiver<Infallible>>,
}

impl Driver {
    /// A database of which nothing is open.
    pub fn new(config: Config) -> Arc<Self> {
        let (open, closed) = mpsc::channel(1);
        Arc::new(Driver {
            write_lock: WriteLock::new(config.patience),
            threads: Arc::new(Semaphore::new(config.threads)),
            one_lock: AtomicBool::new(config.memory()),
            anchor: tokio::sync::Mutex::default(),
            open: Mutex::new(Some(open)),
            closed: tokio::sync::Mutex::new(closed),
            config: Arc::new(config),
        })
    }

    /// Open a connection. To drop the future stops it.
    pub async fn connect(self: &Arc<Self>) -> Result<Connection, ConnectError> {
        let mut anchor = self.anchor.lock().await;
        if self.config.memory() && anchor.is_none() {
            *anchor = Some(self.open(&Arc::default()).await?);
        }
        let control = Arc::<Control>::default();
        let inner = self.open(&control).await?;
        self.one_lock.store(inner.database.one_lock, Ordering::Relaxed);
        Ok(Connection::new(self.clone(), control, inner))
    }

    async fn open(&self, control: &Arc<Control>) -> Result<Inner, ConnectError> {
        let Some(open) = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone() else {
            return Err(ConnectError::new("the pool is closed"));
        };
        let (config, stop, alive) = (self.config.clone(), control.clone(), Arc::new(()));
        let abandoned = Abandoned::new(control, &alive);
        let opening = spawn_blocking(move || {
            let database = Database::open(&config, &stop.stop)?;
            Ok(Inner { database, claim: None, alive, _open: open })
        });
        let opened = opening.await;
        abandoned.came_back();
        opened.map_err(|error| ConnectError::permanent(panicked(&error)))?
    }

    /// Wait until what was open is closed. No connection is opened any more.
    pub async fn end(&self) {
        drop(self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        let mut closed = self.closed.lock().await;
        let all = async {
            let anchor = self.anchor.lock().await.take();
            let _ = spawn_blocking(move || drop(anchor)).await;
            closed.recv().await
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all).await;
    }
}

/// A thread ended without a result.
pub fn panicked(error: &JoinError) -> String {
    format!("bug: work on a database ended early: {error}")
}
