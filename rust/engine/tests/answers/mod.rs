//! A pool, and the queue of its answers.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use db_pool_engine::link::Described;
use db_pool_engine::pool::{Backend, Completion, Options, Pool, Sink};
use db_pool_engine::scheduler::Limits;
use tokio::runtime::{Builder, Runtime};

/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

struct Teller(Sender<Completion>);

impl Sink for Teller {
    fn formats(&self, _: &mut Described) {}
    fn complete(&self, batch: Vec<Completion>) {
        for one in batch {
            let _ = self.0.send(one); // a test that has ended does not listen
        }
    }
}

/// What a pool answers, and the threads on which it lives.
pub struct Answers {
    receiver: Receiver<Completion>,
    _runtime: Runtime,
}

impl Answers {
    /// Open a pool.
    pub fn of(backend: impl Into<Backend>, limits: Limits) -> (Pool, Answers) {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (sender, receiver) = channel();
        let pool = Pool::open(runtime.handle(), backend, limits, Options::default(), Arc::new(Teller(sender)));
        (pool, Answers { receiver, _runtime: runtime })
    }

    /// The next one.
    pub fn next(&self) -> Completion {
        self.receiver.recv_timeout(PATIENCE).expect("no answer in time")
    }
}
