//! The scheduler's upkeep: opening, closing, ageing and time-outs.

use std::cmp::Ordering;

use super::NEVER;
use super::actions::{Action, ConnId, ItemId, Reason, TextId};
use super::conn::{Conn, State};
use super::items::Place;
use super::queues::{Queue, STATEMENTS};
use super::scheduler::Scheduler;

/// An entry of the heap of deadlines: the earliest is the greatest, since the heap gives the greatest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Deadline {
    pub(super) at: f64,
    ticket: u64,
    pub(super) item: ItemId,
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

/// Events.
impl Scheduler {
    /// Open the first `min_size` connections.
    pub fn start(&mut self, now: f64) -> Vec<Action> {
        self.grow(now);
        self.take_actions()
    }

    /// A connection is ready; it is to be replaced after `lifetime` seconds.
    ///
    /// `round_trip` is what a first round trip took, in which the server had next to nothing to do; None if there was
    /// none.
    pub fn opened(&mut self, conn: ConnId, now: f64, lifetime: f64, round_trip: Option<f64>) -> Vec<Action> {
        match self.conns.get_mut(&conn) {
            Some(known) if known.state == State::Opening => {
                known.expires = now + lifetime;
                known.failures = self.connect_failures;
                known.unproven = now + self.limits.backoff_max; // then no pause is missed, however often it happens
                known.round_trip = round_trip.unwrap_or(known.round_trip);
            }
            _ => return vec![Action::Close(conn)], // the pool was terminated meanwhile
        }
        self.connect_failures = 0;
        self.refused = false;
        self.free(conn, now);
        self.dispatch_late(now);
        self.take_actions()
    }

    /// A connect failed. Without any connection to wait for, waiters hear the cause now.
    ///
    /// That is: all if trying again cannot help (`permanent`), else those who came before this attempt began: a call
    /// waits for at most one attempt that began after it did. `jitter` in 0..1 spreads the next attempt.
    pub fn open_failed(&mut self, conn: ConnId, now: f64, permanent: bool, jitter: f64) -> Vec<Action> {
        let began = match self.conns.get(&conn) {
            Some(known) if known.state == State::Opening => known.began,
            _ => return self.closed(conn, now),
        };
        self.forget(conn);
        self.refused = permanent;
        self.pause_connects(self.connect_failures + 1, now, jitter);
        if self.alive() == 0 {
            self.tell_cause(self.queues.all(&self.items), if permanent { NEVER } else { began });
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// A connection that was to be closed is closed: its place is free.
    pub fn closed(&mut self, conn: ConnId, now: f64) -> Vec<Action> {
        self.forget(conn);
        self.dispatch(now);
        self.take_actions()
    }

    /// Other bounds: surplus idle connections close now, busy ones when they are free.
    pub fn resize(&mut self, now: f64, min_size: usize, max_size: usize) -> Vec<Action> {
        (self.limits.min_size, self.limits.max_size) = (min_size, max_size);
        while self.alive() > max_size && !self.idle.is_empty() {
            self.close(self.idle[0]);
        }
        self.age(now);
        self.dispatch(now);
        self.take_actions()
    }

    /// Replace every connection as soon as it is free.
    pub fn expire(&mut self, now: f64) -> Vec<Action> {
        self.retire();
        self.dispatch(now);
        self.take_actions()
    }

    /// Take no new work; finish what is there; close connections as they become free.
    pub fn shut_down(&mut self, now: f64) -> Vec<Action> {
        self.shutting_down = true;
        self.dispatch(now);
        self.take_actions()
    }

    /// Answer every waiter with CLOSED and close every connection now.
    pub fn terminate(&mut self) -> Vec<Action> {
        self.shutting_down = true;
        for item in self.queues.all(&self.items) {
            self.fail_queued(item, Reason::Closed);
        }
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.fail_group(conn, Reason::Closed);
            if self.conn(conn).state != State::Closing {
                self.close(conn);
            }
        }
        self.take_actions()
    }

    /// Time has passed: deadlines, stalls, silence, ageing, retries.
    pub fn tick(&mut self, now: f64) -> Vec<Action> {
        self.wake = NEVER;
        self.gathering.clear();
        self.expire_waiters(now);
        for lane in self.lanes.clone() {
            let known = self.conn(lane);
            if known.group.len() > 1 && self.limits.breaks_stalls {
                let at = self.conn(lane).started + self.limits.stall;
                self.due(at, now, lane);
            }
        }
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            if self.conn(conn).cancel_at != NEVER {
                self.press(conn, now);
            }
        }
        self.age(now);
        self.dispatch_late(now);
        self.take_actions()
    }
}

/// What others ask.
impl Scheduler {
    /// Connections that exist for the server: opening and closing ones included.
    pub fn size(&self) -> usize {
        self.conns.len()
    }

    /// Connections that are not on their way out.
    pub fn alive(&self) -> usize {
        self.conns.len() - self.closing
    }

    /// Nobody waits and nothing runs.
    pub fn drained(&self) -> bool {
        self.queues.waiting == 0 && self.conns.is_empty()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queues.waiting
    }

    /// Whether a statement or waiter has a place in a queue or on a connection.
    pub fn knows(&self, item: ItemId) -> bool {
        self.items.find(item).is_some()
    }

    /// How many statements and waiters, and how many texts, the scheduler keeps.
    pub fn kept(&self) -> (usize, usize) {
        self.items.counts()
    }

    /// The state of each connection, and how many statements run on it.
    pub fn states(&self) -> impl Iterator<Item = (ConnId, State, usize)> + '_ {
        self.conns.iter().map(|(id, conn)| (*id, conn.state, conn.group.len()))
    }
}

/// Inner workings.
impl Scheduler {
    /// When an item that is there arrived.
    pub fn enqueued(&self, item: ItemId) -> f64 {
        self.items.get(item).enqueued
    }

    /// What runs in groups or alone: since when, and the first statement.
    pub fn running(&self) -> impl Iterator<Item = (f64, ItemId)> + '_ {
        let running = |conn: &&Conn| matches!(conn.state, State::Alone | State::Lane);
        self.conns.values().filter(running).filter_map(|conn| Some((conn.started, *conn.group.first()?)))
    }

    /// What is known of a text that is there: how often it was answered, its expected seconds, whether it is grouped now.
    pub fn experience(&mut self, text: TextId, now: f64) -> (u64, f64, bool) {
        let text = self.items.text_mut(text);
        (text.seen(), text.mean, text.fast && now >= text.held_until)
    }

    pub(super) fn conn(&mut self, conn: ConnId) -> &mut Conn {
        self.conns.get_mut(&conn).expect("bug: a connection that is not there")
    }

    /// Dispatch at a moment when a head that has waited too long may have another lane.
    pub(super) fn dispatch_late(&mut self, now: f64) {
        self.ticking = true;
        self.dispatch(now);
        self.ticking = false;
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn refusal(&self) -> Option<Reason> {
        if self.shutting_down {
            return Some(Reason::Closed);
        }
        (self.queues.waiting >= self.limits.max_waiting).then_some(Reason::Overloaded)
    }

    /// No connection opened until now is used again: idle ones close, busy ones when they are free.
    pub(super) fn retire(&mut self) {
        self.generation += 1;
        self.close_idle();
    }

    pub(super) fn remember_deadline(&mut self, item: ItemId, at: f64) {
        if self.deadlines.len() >= self.deadlines_most {
            let items = &self.items; // do not keep what was answered long before its deadline
            self.deadlines.retain(|entry| items.find(entry.item).is_some_and(|one| one.place != Place::Done));
            self.deadlines_most = 1000 + 2 * self.deadlines.len();
        }
        let ticket = self.items.get(item).ticket;
        self.deadlines.push(Deadline { at, ticket, item });
        self.wake = self.wake.min(at);
    }

    /// Open what is missing: for those who wait, and to keep `min_size`.
    pub(super) fn grow(&mut self, now: f64) {
        if self.queues.waiting > 0 {
            self.remember_queues(now);
        }
        let kept = if self.shutting_down || self.refused { 0 } else { self.limits.min_size };
        if self.shortage == 0 && self.alive() >= kept {
            return;
        }
        for _ in 0..self.missing(now, kept as i64) {
            self.last_id += 1;
            let conn = ConnId(self.last_id);
            self.conns.insert(conn, Conn::new(self.generation, now));
            self.actions.push(Action::Open(conn));
        }
    }

    /// How many connections to open now; not positive for none.
    pub(super) fn missing(&mut self, now: f64, kept: i64) -> i64 {
        let opening = self.conns.values().filter(|conn| conn.state == State::Opening).count() as i64;
        let (alive, size, shortage) = (self.alive() as i64, self.size() as i64, self.shortage as i64);
        let wanted = (shortage - opening).max(kept - alive);
        let wanted = wanted.min(self.limits.max_size as i64 - size).min((alive - opening).max(2) - opening);
        if wanted <= 0 || self.connect_failures == 0 {
            return wanted;
        }
        if now < self.retry_at {
            self.wake = self.wake.min(self.retry_at); // after a failure: one attempt at a time, after a pause
            return 0;
        }
        i64::from(opening == 0)
    }

    /// So many attempts in a row came to nothing: the next one is made after a growing, random pause.
    pub(super) fn pause_connects(&mut self, failures: u32, now: f64, jitter: f64) {
        self.connect_failures = failures;
        let doubled = self.limits.backoff * 2f64.powi((failures - 1).min(16) as i32);
        self.retry_at = now + doubled.min(self.limits.backoff_max) * (0.8 + 0.4 * jitter);
    }

    /// An attempt that `began` then came to nothing: who waited already hears the cause.
    pub(super) fn tell_cause(&mut self, waiting: Vec<ItemId>, began: f64) {
        for item in waiting {
            if self.items.get(item).enqueued <= began {
                self.fail_queued(item, Reason::ConnectFailed);
            }
        }
    }

    /// While somebody waits: his time-out, and whether he should get a lane after all.
    pub(super) fn remember_queues(&mut self, now: f64) {
        for queue in STATEMENTS {
            if let Some(head) = self.queues.of(queue).front() {
                self.wake = self.wake.min(self.items.get(*head).enqueued + self.limits.acquire_timeout);
            }
        }
        let room = !self.idle.is_empty() || self.size() < self.limits.max_size;
        if !room || self.lanes.is_empty() {
            return;
        }
        for (queue, patience) in [(Queue::Reads, self.limits.lane_wait), (Queue::Writes, self.limits.write_lane_wait)] {
            if let Some(head) = self.queues.of(queue).front() {
                let over = self.items.get(*head).enqueued + patience;
                self.wake = self.wake.min(if over > now { over } else { now + patience });
            }
        }
    }

    /// A connection has nothing to do: it is idle, unless it is too old or too many.
    pub(super) fn free(&mut self, conn: ConnId, now: f64) {
        let crowded = self.alive() > self.limits.max_size;
        let (generation, idle_timeout) = (self.generation, self.limits.idle_timeout);
        let known = self.conn(conn);
        if known.generation != generation || now >= known.expires || crowded {
            self.close(conn);
            return;
        }
        (known.state, known.since) = (State::Idle, now);
        let expires = known.expires;
        self.idle.push(conn);
        self.wake = self.wake.min(now + idle_timeout).min(expires);
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.withdraw(conn);
        self.conn(conn).state = State::Closing;
        self.closing += 1;
        self.actions.push(Action::Close(conn));
    }

    pub(super) fn close_idle(&mut self) {
        for conn in self.idle.clone() {
            self.close(conn);
        }
    }

    pub(super) fn forget(&mut self, conn: ConnId) {
        self.withdraw(conn);
        if self.conns.remove(&conn).is_some_and(|known| known.state == State::Closing) {
            self.closing -= 1;
        }
    }

    /// It is neither free nor a lane any more.
    pub(super) fn withdraw(&mut self, conn: ConnId) {
        self.idle.retain(|id| *id != conn);
        self.lanes.retain(|id| *id != conn);
    }
}
