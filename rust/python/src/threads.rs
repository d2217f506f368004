//! The threads on which pools live.
//!
//! Each is a tokio runtime of one thread, and a pool lives on one of them: its tasks never wait for each other's locks,
//! and wake each other without the help of the operating system. Several pools are dealt out over the threads, and a
//! thread ends with its last pool.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;

/// How long threads for blocking work may take to end. Those that are idle do at once.
const PARTING: Duration = Duration::from_millis(200);

/// A thread, which ends with the last reference to it.
pub struct Thread {
    pub handle: Handle,
    stop: Arc<Notify>,
    ended: ManuallyDrop<JoinHandle<()>>,
    process: u32,
}

impl Drop for Thread {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            return; // a forked child has none of its parent's threads
        }
        self.stop.notify_one();
        // SAFETY: taken here only.
        let ended = unsafe { ManuallyDrop::take(&mut self.ended) };
        let _ = ended.join(); // it never waits for the GIL; what it panicked of was told to its pools
    }
}

static THREADS: Mutex<(Vec<Weak<Thread>>, usize)> = Mutex::new((Vec::new(), 0));

/// The thread for one more pool, of `most` at most; each may start `blocking` threads for blocking work.
pub fn assign(most: usize, blocking: usize) -> PyResult<Arc<Thread>> {
    let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let (known, next) = &mut *threads;
    let alive: Vec<Arc<Thread>> = known.iter().filter_map(Weak::upgrade).filter(|one| one.is_here()).collect();
    if alive.len() >= most {
        *next += 1;
        return Ok(alive[*next % alive.len()].clone());
    }
    let thread = Arc::new(Thread::start(blocking)?);
    *known = alive.iter().chain([&thread]).map(Arc::downgrade).collect();
    Ok(thread)
}

impl Thread {
    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    fn start(blocking: usize) -> PyResult<Thread> {
        let failed = |error: std::io::Error| PyRuntimeError::new_err(format!("no thread for the pool: {error}"));
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(blocking)
            .thread_name("db_pool_rs-blocking")
            .build()
            .map_err(failed)?;
        let (handle, stop) = (runtime.handle().clone(), Arc::new(Notify::new()));
        let stopped = stop.clone();
        let run = move || {
            runtime.block_on(stopped.notified());
            runtime.shutdown_timeout(PARTING); // a name that is still being looked up is not waited for
        };
        let ended =
            ManuallyDrop::new(std::thread::Builder::new().name("db_pool_rs".into()).spawn(run).map_err(failed)?);
        Ok(Thread { handle, stop, ended, process: std::process::id() })
    }
}
