//! One pool: the rules and the connections to one database, put together on tokio.
//!
//! A [`Pool`] is a handle for the caller's thread. Its calls put [`Command`]s into an inbox and return at once; the one
//! task that owns the scheduler (`actor`) is woken by [`Pool::flush`], once for everything that was called in one tick
//! of the caller's event loop. Each connection has a task of its own (`connection_task`), so that reading, writing and
//! deciding never wait for each other. Results go to the [`Sink`], one batch for whatever was decided at once.
//!
//! Arguments are encoded by the caller, which alone can read them. Where the types of a text are not known (or no
//! longer right), the pool asks the server on the connection that the statement was given, and the caller for the
//! arguments ([`Completion::NeedsParams`]); the statement keeps its place meanwhile.

mod acquired;
mod actor;
mod backend;
mod commands;
mod connection_task;
mod descriptions;
mod events;
mod healing;
mod measures;
mod mobc_pool;
mod protocol;
mod requests;
mod types;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use backend::Backend;
pub use measures::{Gauges, Histogram, Measures, Rate};
pub use protocol::{Call, Command, Completion, Experience, Options, Params, QueryInfo, Ran, Sink, Source};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::scheduler::{Counters, Limits};

/// What the handle and the actor share.
struct Shared {
    inbox: Mutex<Vec<Command>>,
    wake: Notify,
    /// The callers of so many groups have run.
    acknowledged: AtomicU64,
    figures: Mutex<(Gauges, Counters)>,
    measures: Mutex<Measures>,
    epoch: std::time::Instant,
}

/// A handle for the caller's thread. To drop it terminates the pool.
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool on this runtime; its first connections are being opened.
    pub fn open(
        runtime: &Handle,
        backend: impl Into<Backend>,
        limits: Limits,
        options: Options,
        sink: Arc<dyn Sink>,
    ) -> Pool {
        let opening = limits.min_size as u64;
        let gauges = Gauges { size: opening, opening, healthy: true, ..Gauges::default() };
        let figures = Mutex::new((gauges, Counters::default()));
        let (inbox, wake, acknowledged) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        let (measures, epoch) = (Mutex::default(), std::time::Instant::now());
        let shared = Arc::new(Shared { inbox, wake, acknowledged, figures, measures, epoch });
        let serving = runtime.spawn(actor::run(shared.clone(), backend.into(), limits, options, sink.clone()));
        runtime.spawn(async move {
            if serving.await.is_err_and(|error| error.is_panic()) {
                sink.complete(vec![Completion::Broken]);
            }
        });
        Pool { shared }
    }

    /// Put a command into the inbox; it is looked at after the next [`Pool::flush`].
    pub fn call(&self, command: Command) {
        self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(command);
    }

    /// Put all of them into the inbox.
    pub fn call_all(&self, commands: &mut Vec<Command>) {
        self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).append(commands);
    }

    /// The callers of so many groups ([`Completion::Delivered`]) have run: what they called is in the inbox.
    pub fn acknowledge(&self, groups: u64) {
        self.shared.acknowledged.store(groups, Ordering::Release);
    }

    /// The caller's tick ends: have what was called looked at.
    pub fn flush(&self) {
        self.shared.wake.notify_one();
    }

    /// Seconds on the pool's clock.
    pub fn now(&self) -> f64 {
        self.shared.epoch.elapsed().as_secs_f64()
    }

    /// How the pool stands.
    pub fn gauges(&self) -> Gauges {
        self.figures().0
    }

    /// What it has counted until then.
    pub fn counters(&self) -> Counters {
        self.figures().1
    }

    fn figures(&self) -> (Gauges, Counters) {
        self.shared.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What was measured of statements on shared connections.
    pub fn measures(&self) -> Measures {
        self.shared.measures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.call(Command::Terminate);
        self.flush();
    }
}
