//! What time does: deadlines, groups that stall, servers that take no notice of a cancel. The scheduler's timers.
//!
//! Each reason to be woken has a [`Timer`]; [`Timeouts::arm`] is the only place where a moment is noted. A timer that
//! was armed for something that no longer matters goes off for nothing: `handle_timeout` looks at everything that waits,
//! and arms anew what still does.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::model::{Action, ConnId, NEVER, Reason, RequestId, RequestState};
use super::queues::{Queue, STATEMENTS};
use super::scheduler::Scheduler;

/// Why the scheduler is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The deadline of a request (rule 5.2).
    Deadline,
    /// A statement without a deadline has waited for its turn as long as it may.
    Queue,
    /// The head of a queue has waited too long for the lanes that run (rule 3.6).
    Lane,
    /// A lane for WRITEs has waited long enough for the callers that it answered (rule 3.7).
    Gather,
    /// A group runs too long (rule 2.5).
    Stall,
    /// A server was asked to stop a group, and takes no notice (rule 5.4).
    Cancel,
    /// The next connect may be tried (rule 5.7).
    Connect,
    /// A connection was idle for long enough, or is old enough (rule 6.5).
    Age,
}

/// The timers of one pool.
pub struct Timeouts {
    /// The timer that goes off first.
    pub timer: Option<Timer>,
    next: f64,
    /// Deadlines, those of answered requests included.
    deadlines: BinaryHeap<Deadline>,
    deadlines_most: usize,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { timer: None, next: NEVER, deadlines: BinaryHeap::new(), deadlines_most: 1000 }
    }
}

impl Timeouts {
    /// `handle_timeout` is needed at `at` for the reason `timer`, unless another timer goes off earlier.
    pub(super) fn arm(&mut self, timer: Timer, at: f64) {
        if at < self.next {
            (self.timer, self.next) = (Some(timer), at);
        }
    }

    /// When `handle_timeout` is next needed, at the latest.
    pub fn next_timeout(&self) -> f64 {
        self.next
    }
}

/// An entry of the heap of deadlines: the earliest is the greatest, since the heap gives the greatest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deadline {
    pub(super) at: f64,
    ticket: u64,
    pub(super) request: RequestId,
}

impl Eq for Deadline {}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.ticket.cmp(&self.ticket))
    }
}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The timers.
impl<P, Q> Scheduler<P, Q> {
    /// Time has passed: deadlines, stalls, silence, ageing, retries.
    pub fn handle_timeout(&mut self, now: f64) -> Vec<Action<P>> {
        (self.timeouts.timer, self.timeouts.next) = (None, NEVER);
        self.awaiting_resubmit.clear();
        self.expire_waiters(now);
        for lane in self.lanes.clone() {
            let known = self.conn(lane);
            if known.group.len() > 1 && self.limits.breaks_stalls {
                let at = self.conn(lane).started + self.limits.stall;
                self.stall(at, now, lane);
            }
        }
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            if self.conn(conn).cancel_at != NEVER {
                self.escalate_cancel(conn, now);
            }
        }
        self.age(now);
        self.dispatch_late(now);
        self.take_actions()
    }

    pub(super) fn remember_deadline(&mut self, request: RequestId, at: f64) {
        if self.timeouts.deadlines.len() >= self.timeouts.deadlines_most {
            let requests = &self.requests; // do not keep what was answered long before its deadline
            self.timeouts
                .deadlines
                .retain(|entry| requests.find(entry.request).is_some_and(|one| one.state != RequestState::Done));
            self.timeouts.deadlines_most = 1000 + 2 * self.timeouts.deadlines.len();
        }
        let ticket = self.requests.get(request).ticket;
        self.timeouts.deadlines.push(Deadline { at, ticket, request });
        self.timeouts.arm(Timer::Deadline, at);
    }

    /// While statements wait: their time in the queue, and whether they should get a lane after all.
    pub(super) fn remember_queues(&mut self, now: f64) {
        for queue in STATEMENTS {
            if let Some(head) = self.queues.of(queue).front() {
                self.timeouts.arm(Timer::Queue, self.requests.get(*head).enqueued + self.limits.acquire_timeout);
            }
        }
        let room = !self.idle.is_empty() || self.size() < self.limits.max_size;
        if !room || self.lanes.is_empty() {
            return;
        }
        for (queue, patience) in [(Queue::Reads, self.limits.lane_wait), (Queue::Writes, self.limits.write_lane_wait)] {
            if let Some(head) = self.queues.of(queue).front() {
                let over = self.requests.get(*head).enqueued + patience;
                self.timeouts.arm(Timer::Lane, if over > now { over } else { now + patience });
            }
        }
    }

    /// An attempt that `began` then came to nothing: requests that waited already get the cause (rule 5.7).
    pub(super) fn fail_waiters(&mut self, waiting: Vec<RequestId>, began: f64) {
        for request in waiting {
            if self.requests.get(request).enqueued <= began {
                self.fail_queued(request, Reason::ConnectFailed);
            }
        }
    }

    pub(super) fn expire_waiters(&mut self, now: f64) {
        while self.timeouts.deadlines.peek().is_some_and(|entry| entry.at <= now) {
            let request = self.timeouts.deadlines.pop().expect("bug: the heap lost its head").request;
            self.expire_waiter(request, now);
        }
        if let Some(entry) = self.timeouts.deadlines.peek() {
            let at = entry.at;
            self.timeouts.arm(Timer::Deadline, at);
        }
        for queue in STATEMENTS {
            while let Some(head) = self.queues.of(queue).front().copied() {
                if self.requests.get(head).enqueued + self.limits.acquire_timeout > now {
                    break;
                }
                self.fail_queued(head, Reason::Timeout);
            }
        }
    }

    pub(super) fn expire_waiter(&mut self, request: RequestId, now: f64) {
        match self.requests.find(request).map(|known| (known.state, known.conn)) {
            Some((RequestState::Queued, _)) => self.fail_queued(request, Reason::Timeout),
            Some((RequestState::Sent, conn)) => {
                self.requests.get_mut(request).state = RequestState::Done;
                let enqueued = self.requests.get(request).enqueued;
                self.actions.push(Action::Fail { request, enqueued, reason: Reason::Timeout, sent: true });
                self.ask_to_stop(conn, now); // alone: stop it; in a group: break the group up
            }
            _ => {}
        }
    }

    /// Break the group up if it has run too long: the server rolls it back, each statement goes alone (rule 2.5).
    fn stall(&mut self, at: f64, now: f64, conn: ConnId) {
        if now >= at {
            self.ask_to_stop(conn, now);
        } else {
            self.timeouts.arm(Timer::Stall, at);
        }
    }

    /// Ask the server to stop what runs on `conn`, unless it was asked before.
    pub(super) fn ask_to_stop(&mut self, conn: ConnId, now: f64) {
        let known = self.conn(conn);
        if known.cancel_at == NEVER {
            (known.cancel_at, known.ask_at) = (now, now);
            self.escalate_cancel(conn, now);
        }
    }

    /// The server was asked to stop the group: ask again where it took no notice, give up in the end (rule 5.4).
    pub(super) fn escalate_cancel(&mut self, conn: ConnId, now: f64) {
        let (grace, pause) = (self.limits.cancel_grace, self.limits.cancel_pause);
        let (breaks_stalls, suspect, generation) = (self.limits.breaks_stalls, self.limits.suspect, self.generation);
        let known = self.conn(conn);
        let mut until = if breaks_stalls { known.cancel_at + grace } else { NEVER };
        if now >= until {
            self.declare_dead(conn);
            return;
        }
        if until != NEVER && known.generation == generation {
            let suspect = known.cancel_at + suspect;
            if now >= suspect {
                self.evict_all(); // the link may be silent, and so may those that idle (rule 5.8)
            } else {
                until = suspect;
            }
        }
        let known = self.conn(conn);
        if !known.cancelling {
            if now >= known.ask_at {
                known.ask_at = now + f64::max(pause, now - known.cancel_at);
                known.cancelling = true;
                self.actions.push(Action::Cancel(conn));
            } else {
                until = until.min(known.ask_at);
            }
        }
        self.timeouts.arm(Timer::Cancel, until);
    }

    /// The server does not even react to a cancel: the link is silent. Others that idle may be as dead.
    pub(super) fn declare_dead(&mut self, conn: ConnId) {
        self.fail_group(conn, Reason::Lost);
        self.close(conn);
        self.evict_all();
    }

    /// What was sent gets no answer of the server's.
    pub(super) fn fail_sent(&mut self, request: RequestId, reason: Reason) {
        let known = self.requests.get(request);
        if known.state == RequestState::Sent {
            self.actions.push(Action::Fail { request, enqueued: known.enqueued, reason, sent: true });
        }
        self.requests.remove(request);
    }

    pub(super) fn fail_queued(&mut self, request: RequestId, reason: Reason) {
        let enqueued = self.requests.get(request).enqueued;
        self.queues.remove(&mut self.requests, request);
        self.actions.push(Action::Fail { request, enqueued, reason, sent: false });
    }
}
