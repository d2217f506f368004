//! SQLite's locks, waited for by tasks instead of by threads.
//!
//! SQLite lets one connection write at a time, and makes the others poll with a sleeping thread. Within one pool that
//! is not needed: a connection that is going to write takes the write lock first. Connections that wait for it do so in
//! the order of arrival, without a thread, and can stop waiting at any moment.
//!
//! - In WAL mode only writers take the lock: a reader is not in the way.
//! - Without WAL a reader and a writer exclude each other, so that readers take it too: any number of them together, or
//!   one writer.
//!
//! No wait is for ever: a connection that was kept waiting by one and the same holder for `patience` is refused. That
//! is what happens to a program that waits, inside its own write transaction, for another connection to write. A long
//! queue that moves is no reason.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

/// It took too long.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused;

struct Request {
    id: u64,
    exclusive: bool,
    granted: oneshot::Sender<()>,
}

struct State {
    holders: HashSet<u64>,
    exclusive: bool,
    queue: VecDeque<Request>,
    /// When the holders last changed.
    moved: Instant,
    last: u64,
}

/// Fair shared and exclusive access.
pub struct WriteLock {
    patience: Duration,
    state: Mutex<State>,
}

/// The write lock, held until this is dropped.
pub struct Claim {
    lock: Arc<WriteLock>,
    id: u64,
    exclusive: bool,
}

impl Claim {
    /// Whether it is held alone.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lock.leave(self.id);
    }
}

impl WriteLock {
    /// A lock that is free.
    pub fn new(patience: Duration) -> Arc<Self> {
        let (holders, queue) = Default::default();
        let state = State { holders, exclusive: false, queue, moved: Instant::now(), last: 0 };
        Arc::new(WriteLock { patience, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// How long one holder may keep others waiting.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Take the lock, alone or together with others that do not want it alone. To stop waiting, drop the future.
    pub async fn take(self: &Arc<Self>, exclusive: bool) -> Result<Claim, Refused> {
        let since = Instant::now();
        let (claim, granted) = self.queue(exclusive);
        let Some(mut granted) = granted else { return Ok(claim) };
        loop {
            let late = self.state().moved.max(since) + self.patience;
            tokio::select! {
                biased;
                _ = &mut granted => return Ok(claim),
                () = sleep_until(late) => if self.state().moved.max(since) + self.patience <= Instant::now() {
                    return Err(Refused); // and the claim is dropped
                }
            }
        }
    }

    /// Take the lock or a place in the queue for it; what has come of it is given up with the claim.
    fn queue(self: &Arc<Self>, exclusive: bool) -> (Claim, Option<oneshot::Receiver<()>>) {
        let mut state = self.state();
        state.last += 1;
        let id = state.last;
        let claim = Claim { lock: self.clone(), id, exclusive };
        if state.queue.is_empty() && state.free(exclusive) {
            state.grant(id, exclusive);
            return (claim, None);
        }
        let (granted, receiver) = oneshot::channel();
        state.queue.push_back(Request { id, exclusive, granted });
        (claim, Some(receiver))
    }

    fn leave(&self, id: u64) {
        let mut state = self.state();
        if state.holders.remove(&id) {
            state.moved = Instant::now();
        } else {
            state.queue.retain(|request| request.id != id);
        }
        state.serve();
    }
}

impl State {
    fn free(&self, exclusive: bool) -> bool {
        self.holders.is_empty() || !(exclusive || self.exclusive)
    }

    fn grant(&mut self, id: u64, exclusive: bool) {
        self.holders.insert(id);
        self.exclusive = exclusive;
    }

    /// Readers may have waited behind a writer.
    fn serve(&mut self) {
        while let Some(first) = self.queue.front()
            && self.free(first.exclusive)
        {
            let request = self.queue.pop_front().expect("bug: the queue lost its head");
            self.grant(request.id, request.exclusive);
            let _ = request.granted.send(()); // a receiver that is gone drops its claim
        }
    }
}
