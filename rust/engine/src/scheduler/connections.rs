//! The connections of one pool: opening, closing, ageing, and the pause between failed connects.

use super::cost::Kind;
use super::model::{Action, ConnId, ConnectionState, NEVER, QueryId, Reason, RequestId, State};
use super::scheduler::Scheduler;
use super::timeouts::Timer;

/// How quickly the average time of a group follows.
const RATE: f64 = 0.1;

/// Events.
impl<P, Q> Scheduler<P, Q> {
    /// Open the first `min_size` connections.
    pub fn start(&mut self, now: f64) -> Vec<Action<P>> {
        self.grow(now);
        self.take_actions()
    }

    /// A connection is ready; it is to be replaced after `lifetime` seconds.
    ///
    /// `round_trip` is what a first round trip took, in which the server had next to nothing to do; None if there was
    /// none.
    pub fn opened(&mut self, conn: ConnId, now: f64, lifetime: f64, round_trip: Option<f64>) -> Vec<Action<P>> {
        match self.conns.get_mut(&conn) {
            Some(known) if known.state == State::Opening => {
                known.expires = now + lifetime;
                known.failures = self.connect_failures;
                // So long that no pause is missed, however often it happens.
                known.probation_until = now + self.limits.backoff_max;
                known.round_trip = round_trip.unwrap_or(known.round_trip);
            }
            _ => return vec![Action::Close(conn)], // the pool was terminated meanwhile
        }
        self.connect_failures = 0;
        self.refused = false;
        self.make_idle(conn, now);
        self.dispatch_late(now);
        self.take_actions()
    }

    /// A connect failed. Without any connection to wait for, requests are answered with the cause now (rule 5.7).
    ///
    /// That is: all if trying again cannot help (`permanent`), else those that came before this attempt began. `jitter`
    /// in 0..1 spreads the next attempt.
    pub fn open_failed(&mut self, conn: ConnId, now: f64, permanent: bool, jitter: f64) -> Vec<Action<P>> {
        let began = match self.conns.get(&conn) {
            Some(known) if known.state == State::Opening => known.began,
            _ => return self.closed(conn, now),
        };
        self.forget(conn);
        self.refused = permanent;
        self.pause_connects(self.connect_failures + 1, now, jitter);
        if self.alive() == 0 {
            self.fail_waiters(self.queues.all(&self.requests), if permanent { NEVER } else { began });
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// A connection that was to be closed is closed: its place is free.
    pub fn closed(&mut self, conn: ConnId, now: f64) -> Vec<Action<P>> {
        self.forget(conn);
        self.dispatch(now);
        self.take_actions()
    }

    /// Other bounds: surplus idle connections close now, busy ones when they are free.
    pub fn resize(&mut self, now: f64, min_size: usize, max_size: usize) -> Vec<Action<P>> {
        (self.limits.min_size, self.limits.max_size) = (min_size, max_size);
        while self.alive() > max_size && !self.idle.is_empty() {
            self.close(self.idle[0]);
        }
        self.age(now);
        self.dispatch(now);
        self.take_actions()
    }

    /// Replace every connection as soon as it is free.
    pub fn expire(&mut self, now: f64) -> Vec<Action<P>> {
        self.evict_all();
        self.dispatch(now);
        self.take_actions()
    }

    /// Take no new work; finish what is there; close connections as they become free.
    pub fn shut_down(&mut self, now: f64) -> Vec<Action<P>> {
        self.shutting_down = true;
        self.dispatch(now);
        self.take_actions()
    }

    /// Answer every request with CLOSED and close every connection now.
    pub fn terminate(&mut self) -> Vec<Action<P>> {
        self.shutting_down = true;
        for request in self.queues.all(&self.requests) {
            self.fail_queued(request, Reason::Closed);
        }
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.fail_group(conn, Reason::Closed);
            if self.conn(conn).state != State::Closing {
                self.close(conn);
            }
        }
        self.take_actions()
    }
}

/// What others ask.
impl<P, Q> Scheduler<P, Q> {
    /// Connections that exist for the server: opening and closing ones included.
    pub fn size(&self) -> usize {
        self.conns.len()
    }

    /// Connections that are not on their way out.
    pub fn alive(&self) -> usize {
        self.conns.len() - self.closing
    }

    /// No request waits and no connection is left.
    pub fn is_drained(&self) -> bool {
        self.queues.waiting == 0 && self.conns.is_empty()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.queues.waiting
    }

    /// How many requests, and how many queries, the scheduler keeps.
    pub fn kept(&self) -> (usize, usize) {
        self.requests.counts()
    }

    /// The state of each connection, and how many statements run on it.
    pub fn states(&self) -> impl Iterator<Item = (ConnId, State, usize)> + '_ {
        self.conns.iter().map(|(id, conn)| (*id, conn.state, conn.group.len()))
    }
}

/// How far the server is.
impl<P, Q> Scheduler<P, Q> {
    /// The group of a lane was answered after `seconds`: how much of that was not the way there and back.
    pub(super) fn served(&mut self, conn: ConnId, seconds: f64) {
        let known = &self.conns[&conn];
        let average = &mut self.server_time[usize::from(known.kind == Kind::Write)];
        *average += (f64::max(seconds - known.round_trip, 0.0) - *average) * RATE;
    }

    /// Whether the way is longer than what the server takes for a group of `kind` (rule 3.12).
    ///
    /// It is, if so on every connection where it is known: one that was opened while its thread was busy looks further
    /// away than it is.
    pub(super) fn far(&self, kind: Kind) -> bool {
        let longer = f64::max(self.limits.far, self.server_time[usize::from(kind == Kind::Write)]);
        let mut known = false;
        for conn in self.conns.values() {
            if conn.round_trip <= longer {
                return false;
            }
            known = known || conn.round_trip != NEVER;
        }
        known
    }
}

/// Inner workings.
impl<P, Q> Scheduler<P, Q> {
    /// What runs in groups or alone: since when, and the first statement.
    pub fn running(&self) -> impl Iterator<Item = (f64, RequestId)> + '_ {
        let running = |conn: &&ConnectionState| matches!(conn.state, State::Alone | State::Lane);
        self.conns.values().filter(running).filter_map(|conn| Some((conn.started, *conn.group.first()?)))
    }

    /// What is known of a text that is there: how often it was answered, its expected seconds, whether it is grouped
    /// now.
    pub fn experience(&mut self, query: QueryId, now: f64) -> (u64, f64, bool) {
        let query = self.requests.query_mut(query);
        (query.seen(), query.mean, query.fast && now >= query.held_until)
    }

    pub(super) fn conn(&mut self, conn: ConnId) -> &mut ConnectionState {
        self.conns.get_mut(&conn).expect("bug: a connection that is not there")
    }

    /// Dispatch at a moment when a head that has waited too long may have another lane.
    pub(super) fn dispatch_late(&mut self, now: f64) {
        self.may_add_lane = true;
        self.dispatch(now);
        self.may_add_lane = false;
    }

    pub(super) fn take_actions(&mut self) -> Vec<Action<P>> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn refusal(&self) -> Option<Reason> {
        if self.shutting_down {
            return Some(Reason::Closed);
        }
        (self.queues.waiting >= self.limits.max_waiting).then_some(Reason::Overloaded)
    }

    /// No connection opened until now is used again: idle ones close, busy ones when they are free.
    pub(super) fn evict_all(&mut self) {
        self.generation += 1;
        self.close_idle();
    }

    /// Open what is missing: for requests that wait, and to keep `min_size` (rules 3.8, 3.11).
    pub(super) fn grow(&mut self, now: f64) {
        if self.queues.waiting > 0 {
            self.remember_queues(now);
        }
        let kept = if self.shutting_down || self.refused { 0 } else { self.limits.min_size };
        if self.missing_connections == 0 && self.alive() >= kept {
            return;
        }
        for _ in 0..self.missing_now(now, kept as i64) {
            self.last_id += 1;
            let conn = ConnId(self.last_id);
            self.conns.insert(conn, ConnectionState::new(self.generation, now));
            self.actions.push(Action::Open(conn));
        }
    }

    /// How many connections to open now; not positive for none.
    pub(super) fn missing_now(&mut self, now: f64, kept: i64) -> i64 {
        let opening = self.conns.values().filter(|conn| conn.state == State::Opening).count() as i64;
        let (alive, size, missing_connections) =
            (self.alive() as i64, self.size() as i64, self.missing_connections as i64);
        let wanted = (missing_connections - opening).max(kept - alive);
        let wanted = wanted.min(self.limits.max_size as i64 - size).min((alive - opening).max(2) - opening);
        if wanted <= 0 || self.connect_failures == 0 {
            return wanted;
        }
        if now < self.retry_at {
            self.timeouts.arm(Timer::Connect, self.retry_at); // after a failure: one attempt at a time, after a pause
            return 0;
        }
        i64::from(opening == 0)
    }

    /// So many attempts in a row came to nothing: the next one is made after a growing, random pause (rule 5.7).
    pub(super) fn pause_connects(&mut self, failures: u32, now: f64, jitter: f64) {
        self.connect_failures = failures;
        let doubled = self.limits.backoff * 2f64.powi((failures - 1).min(16) as i32);
        self.retry_at = now + doubled.min(self.limits.backoff_max) * (0.8 + 0.4 * jitter);
    }

    /// A connection has nothing to do: it is idle, unless it is too old or too many.
    pub(super) fn make_idle(&mut self, conn: ConnId, now: f64) {
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
        self.timeouts.arm(Timer::Age, expires.min(now + idle_timeout));
    }

    pub(super) fn close(&mut self, conn: ConnId) {
        self.remove_from_pool(conn);
        self.conn(conn).state = State::Closing;
        self.closing += 1;
        self.actions.push(Action::Close(conn));
    }

    pub(super) fn close_idle(&mut self) {
        for conn in self.idle.clone() {
            self.close(conn);
        }
    }

    /// No request waits, and none will: close what serves none, those included that are being opened (rule 5.9).
    pub(super) fn close_unneeded(&mut self) {
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            if matches!(self.conn(conn).state, State::Idle | State::Opening) {
                self.close(conn);
            }
        }
    }

    pub(super) fn forget(&mut self, conn: ConnId) {
        self.remove_from_pool(conn);
        if self.conns.remove(&conn).is_some_and(|known| known.state == State::Closing) {
            self.closing -= 1;
        }
    }

    /// It is neither free nor a lane any more.
    pub(super) fn remove_from_pool(&mut self, conn: ConnId) {
        self.idle.retain(|id| *id != conn);
        self.lanes.retain(|id| *id != conn);
    }

    /// Once nothing runs, no cancel is under way and the session is clean, the connection is idle (rules 5.4, 6.3).
    pub(super) fn release_if_idle(&mut self, conn: ConnId, now: f64) {
        let known = self.conn(conn);
        if !known.group.is_empty() || known.cancelling || known.resetting || known.state == State::Closing {
            return;
        }
        if known.unclean {
            (known.unclean, known.resetting) = (false, true);
            self.actions.push(Action::Reset(conn));
            return;
        }
        self.make_idle(conn, now);
    }

    /// Close what is idle for too long, above `min_size`, and what has reached its lifetime (rule 6.5).
    pub(super) fn age(&mut self, now: f64) {
        for conn in self.idle.clone() {
            let alive = self.alive();
            let (since, expires) = (self.conn(conn).since, self.conn(conn).expires);
            let idle_too_long = now >= since + self.limits.idle_timeout && alive > self.limits.min_size;
            if idle_too_long || now >= expires {
                self.close(conn);
                continue;
            }
            let until = since + self.limits.idle_timeout;
            self.timeouts.arm(Timer::Age, expires.min(if until > now { until } else { NEVER }));
        }
    }

    pub(super) fn fail_group(&mut self, conn: ConnId, reason: Reason) {
        let known = self.conn(conn);
        known.cancel_at = NEVER;
        for request in std::mem::take(&mut known.group) {
            self.fail_sent(request, reason);
        }
    }
}
