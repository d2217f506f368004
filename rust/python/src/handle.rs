//! The engine's pool as the module holds it: gone in a forked child, and told in order of queries that are forgotten.

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use db_pool_engine::pool::{self, Command};
use db_pool_engine::scheduler::QueryId;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::threads::Thread;

/// The engine's pool, as long as this is the process that opened it: in a forked child its thread does not exist, and
/// its locks may be held for ever.
pub struct Handle {
    pub pool: ManuallyDrop<pool::Pool>,
    pub thread: ManuallyDrop<Mutex<Option<Arc<Thread>>>>,
    process: u32,
    began: Instant,
    /// When tables were last changed, in nanoseconds after `began`.
    altered: AtomicU64,
    /// What is known of types that are not built in: `db_pool_rs.types.catalog.Catalog`, made for the first of them, and
    /// the callable that makes it.
    catalog: PyOnceLock<Py<PyAny>>,
    make_catalog: PyOnceLock<Py<PyAny>>,
    /// Queries to be forgotten after what was asked for before: that may still name them.
    forgotten: Mutex<Vec<QueryId>>,
}

impl Handle {
    pub fn new(pool: pool::Pool, thread: Arc<Thread>) -> Arc<Self> {
        let (pool, thread) = (ManuallyDrop::new(pool), ManuallyDrop::new(Mutex::new(Some(thread))));
        let (process, began, altered) = (std::process::id(), Instant::now(), AtomicU64::new(0));
        Arc::new(Handle {
            pool,
            thread,
            process,
            began,
            altered,
            catalog: PyOnceLock::new(),
            make_catalog: PyOnceLock::new(),
            forgotten: Mutex::default(),
        })
    }

    /// What is known of types that are not built in.
    pub fn catalog<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let make = || match self.make_catalog.get(py) {
            Some(make) => make.call0(py),
            None => Ok(py.import("db_pool_rs.types.catalog")?.getattr("Catalog")?.call0()?.unbind()),
        };
        self.catalog.get_or_try_init(py, make).map(|catalog| catalog.bind(py))
    }

    /// This makes what is known of them, once.
    pub fn use_catalog(&self, py: Python<'_>, make: Py<PyAny>) {
        let _ = self.make_catalog.set(py, make); // it is always the same
    }

    /// Counts what has changed in what is known of types.
    pub fn catalog_version(&self, py: Python<'_>) -> PyResult<u64> {
        match self.catalog.get(py) {
            Some(catalog) => catalog.bind(py).getattr(intern!(py, "version"))?.extract(),
            None => Ok(0),
        }
    }

    /// A type may have changed: the server is to be asked about all of them again.
    pub fn forget_types(&self) {
        self.call(Command::ForgetTypes);
    }

    pub fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    pub fn call(&self, command: Command) {
        if self.is_here() {
            self.pool.call(command);
        }
    }

    /// A query is not referred to any more: it is forgotten when commands are next handed over.
    pub fn forget(&self, query: QueryId) {
        if self.is_here() {
            self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).push(query);
        }
    }

    /// Queries that were forgotten since the last call.
    pub fn take_forgotten(&self) -> Vec<QueryId> {
        std::mem::take(&mut *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The moment so many seconds from now.
    pub fn deadline(&self, timeout: Option<f64>) -> Option<f64> {
        timeout.map(|seconds| self.pool.now() + seconds)
    }

    /// Before this, what was learned of texts may be out of date.
    pub fn altered(&self) -> Instant {
        self.began + Duration::from_nanos(self.altered.load(Ordering::Relaxed))
    }

    pub fn schema_changed(&self) {
        self.altered.store(self.began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        self.call(Command::ForgetTypes);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.is_here() {
            // SAFETY: dropped here only, and never used again.
            unsafe {
                ManuallyDrop::drop(&mut self.pool);
                ManuallyDrop::drop(&mut self.thread);
            }
        }
    }
}
