//! How the pool reaches the thread that does a connection's work: to stop the work, or to leave some of it out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::InterruptHandle;
use tokio::sync::watch;

/// Looked at between statements and between slices of waiting.
#[derive(Default)]
pub struct Stop {
    cancelled: AtomicBool,
    waiting: AtomicBool,
    interrupted: AtomicBool,
    handle: Mutex<Option<InterruptHandle>>,
}

impl Stop {
    /// Nothing of what begins now was asked to stop.
    pub fn renew(&self) {
        self.cancelled.store(false, Ordering::Relaxed);
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// What runs is to stop; `interrupt` has to follow, again and again: one that comes between two statements is lost.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether what runs is to stop.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether the work is held up by another process: that is no stall, and to send it again alone would not help.
    pub fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// See [`Stop::waiting`].
    pub fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Have the running statement fail. Without effect if none is running at this moment.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        if let Some(handle) = &*self.handle() {
            handle.interrupt();
        }
    }

    /// Whether anything was interrupted since this was asked last.
    pub fn take_interrupted(&self) -> bool {
        self.interrupted.swap(false, Ordering::Relaxed)
    }

    /// The connection was opened, perhaps in the place of another.
    pub fn set_handle(&self, handle: InterruptHandle) {
        *self.handle() = Some(handle);
    }

    fn handle(&self) -> MutexGuard<'_, Option<InterruptHandle>> {
        self.handle.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Default)]
struct Progress {
    /// Jobs that were sent to the connection, by number; at most one is unanswered.
    sent: u64,
    /// The last one that the connection took.
    taken: u64,
    /// It is on its way to a thread: it does not wait for the write lock any more.
    running: bool,
    /// How many statements the one that was sent has, and which of them no caller waits for.
    size: usize,
    given_up: Vec<usize>,
}

/// One connection's work, as the pool sees it.
pub struct Control {
    pub(super) stop: Stop,
    progress: Mutex<Progress>,
    /// Jobs up to this one are to stop, and jobs up to this one have ended.
    stopped: watch::Sender<u64>,
    ended: watch::Sender<u64>,
}

impl Default for Control {
    fn default() -> Self {
        let (stop, progress) = Default::default();
        Control { stop, progress, stopped: watch::Sender::new(0), ended: watch::Sender::new(0) }
    }
}

impl Control {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A group of `size` statements is being sent.
    pub fn sent(&self, size: usize) {
        let mut progress = self.progress();
        progress.sent += 1;
        progress.size = size;
        progress.running = false;
        progress.given_up.clear();
    }

    /// No caller waits for that statement of the group any more: it is left out if it has not begun.
    pub fn give_up(&self, number: usize) {
        self.progress().given_up.push(number);
    }

    /// Interrupt what runs; what still waits for the write lock is given up, unless others of the group want it.
    ///
    /// Returns when it has ended or `timeout` has passed. The next group cannot be hit: it is only taken when this one
    /// has ended.
    pub async fn cancel(&self, timeout: Duration) {
        let mut ended = self.ended.subscribe();
        let job = {
            let progress = self.progress();
            if !progress.running && progress.size > 1 && progress.given_up.len() < progress.size {
                return;
            }
            progress.sent
        };
        self.stopped.send_replace(job);
        let _ = tokio::time::timeout(timeout, ended.wait_for(|last| *last >= job)).await;
    }

    /// The connection takes the next job: its number.
    pub(super) fn take(&self) -> u64 {
        self.stop.renew();
        let mut progress = self.progress();
        progress.taken += 1;
        progress.taken
    }

    /// The job begins: which of its statements are to be left out.
    pub(super) fn begin(&self) -> Vec<usize> {
        let mut progress = self.progress();
        progress.running = true;
        std::mem::take(&mut progress.given_up)
    }

    /// Returns when the job is to stop.
    pub(super) async fn stopped(&self, job: u64) {
        let mut stopped = self.stopped.subscribe();
        let _ = stopped.wait_for(|last| *last >= job).await; // the sender is here as long as we are
    }

    /// The job has ended.
    pub(super) fn end(&self, job: u64) {
        self.ended.send_replace(job);
    }
}
