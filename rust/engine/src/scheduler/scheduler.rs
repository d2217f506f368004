//! The state, the events from callers and connections, and the dispatch of requests.
//!
//! Groups and lanes are in [`super::lanes`], opening and closing in [`super::connections`], time in
//! [`super::timeouts`].

use std::collections::{BTreeMap, VecDeque};

use super::cost::{Kind, REASONS, Verdict};
use super::model::{
    Action, ConnId, ConnectionState, Counters, Limits, NEVER, QueryId, Reason, RequestId, RequestState, State,
    StatementRequest,
};
use super::queues::{Queue, Queues, Requests};
use super::timeouts::{Timeouts, Timer};
use super::write_lanes::WriteLanes;

/// The pool's policy. Methods named after events return the actions to carry out, in order.
pub struct Scheduler<P, Q> {
    /// The numbers in the rules.
    pub limits: Limits,
    /// The timers.
    pub timeouts: Timeouts,
    /// Grows when all connections are to be replaced.
    pub generation: u64,
    /// No new work is taken.
    pub shutting_down: bool,
    /// Failed connects since the last that succeeded.
    pub connect_failures: u32,
    /// What was counted, here and by the pool.
    pub counters: Counters,
    /// Requests that wait or run, and queries: the pool finds its payloads and infos here.
    pub requests: Requests<P, Q>,
    pub(super) queues: Queues,
    pub(super) conns: BTreeMap<ConnId, ConnectionState>,
    /// Free connections, the longest idle first; the most recently used one is taken.
    pub(super) idle: Vec<ConnId>,
    /// Connections that run a group.
    pub(super) lanes: Vec<ConnId>,
    /// How many connections the requests that wait miss, as the last dispatch found.
    pub(super) missing_connections: usize,
    pub(super) closing: usize,
    /// The last connect was refused for good: no further attempt unless a request waits.
    pub(super) refused: bool,
    pub(super) retry_at: f64,
    /// How many lanes carry WRITEs.
    pub(super) write_lanes: WriteLanes,
    /// Seconds that a group of READs, and one of WRITEs, takes, the way there and back taken off: moving averages.
    pub(super) server_time: [f64; 2],
    /// How often answers were delivered.
    pub delivered: u64,
    /// Lanes for WRITEs that wait for the callers they have answered: with which Deliver, and how many callers.
    pub(super) awaiting_resubmit: VecDeque<(u64, usize)>,
    /// A head that has waited too long may have another lane now.
    pub(super) may_add_lane: bool,
    pub(super) last_id: u64,
    pub(super) actions: Vec<Action<P>>,
}

/// Events from callers.
impl<P, Q> Scheduler<P, Q> {
    /// A pool without connections; [`Scheduler::start`] opens the first.
    pub fn new(limits: Limits) -> Self {
        let queues = Queues::new(limits.max_write_lanes == 1);
        let write_lanes = WriteLanes::new(limits.max_write_lanes);
        Scheduler {
            limits,
            timeouts: Timeouts::default(),
            generation: 0,
            shutting_down: false,
            connect_failures: 0,
            counters: Counters::default(),
            requests: Requests::default(),
            queues,
            conns: BTreeMap::new(),
            idle: Vec::new(),
            lanes: Vec::new(),
            missing_connections: 0,
            closing: 0,
            refused: false,
            retry_at: 0.0,
            write_lanes,
            server_time: [0.0; 2],
            delivered: 0,
            awaiting_resubmit: VecDeque::new(),
            may_add_lane: false,
            last_id: 0,
            actions: Vec::new(),
        }
    }

    /// The query must not be grouped any more.
    pub fn stop_grouping(&mut self, id: QueryId) {
        if let Some(query) = self.requests.find_query(id) {
            query.groupable = false;
        }
    }

    /// A query is of another class than it seemed, or may be grouped, or no longer: the guard says so.
    pub fn regroup(&mut self, id: QueryId, verdict: Verdict, now: f64) -> Vec<Action<P>> {
        let Some(query) = self.requests.find_query(id) else { return Vec::new() };
        if query.permit(verdict, &self.limits.cost) {
            self.queues.rehome(&mut self.requests, id, now);
            self.dispatch(now);
        }
        self.take_actions()
    }

    /// A statement arrives. It is sent by the `end_of_tick` of this tick of the event loop.
    pub fn submit(
        &mut self,
        id: RequestId,
        query: QueryId,
        payload: P,
        deadline: Option<f64>,
        now: f64,
    ) -> Vec<Action<P>> {
        self.arrive(id, Some(StatementRequest { query: Some(query), payload }), deadline, now)
    }

    /// A caller wants a connection of its own (rule 6.1).
    pub fn acquire(&mut self, id: RequestId, deadline: Option<f64>, now: f64) -> Vec<Action<P>> {
        self.arrive(id, None, deadline, now)
    }

    fn arrive(
        &mut self,
        id: RequestId,
        statement: Option<StatementRequest<P>>,
        deadline: Option<f64>,
        now: f64,
    ) -> Vec<Action<P>> {
        if let Some(reason) = self.refusal() {
            return vec![Action::Fail { request: id, enqueued: now, reason, sent: false }];
        }
        self.queues.add(&mut self.requests, id, statement, now);
        if let Some(deadline) = deadline {
            self.remember_deadline(id, deadline);
        }
        Vec::new()
    }

    /// The event loop's tick ends: what was collected in it is sent (rule 3.2).
    ///
    /// Comes whenever a tick ends in which there were calls, and after each Deliver, once its callers have run: those
    /// of the first `acknowledged` Delivers have.
    pub fn end_of_tick(&mut self, now: f64, acknowledged: u64) -> Vec<Action<P>> {
        while self.awaiting_resubmit.front().is_some_and(|(number, _)| *number <= acknowledged) {
            self.awaiting_resubmit.pop_front();
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// The caller no longer waits (rule 5.1). Queued: taken out. Sent: its answer is dropped.
    pub fn cancel(&mut self, id: RequestId, now: f64) -> Vec<Action<P>> {
        match self.requests.find(id).map(|known| (known.state, known.conn)) {
            Some((RequestState::Queued, _)) => {
                self.queues.remove(&mut self.requests, id);
                if self.shutting_down {
                    self.dispatch(now); // it may have been the last one that needed a connection
                }
            }
            Some((RequestState::Sent, conn)) => {
                self.requests.get_mut(id).state = RequestState::Done;
                if self.conns[&conn].group.iter().all(|one| self.requests.get(*one).state == RequestState::Done) {
                    self.ask_to_stop(conn, now);
                }
            }
            _ => {}
        }
        self.take_actions()
    }
}

/// Events from connections.
impl<P, Q> Scheduler<P, Q> {
    /// ReadyForQuery came for the group of `conn`: all of it is committed, or all of it is rolled back (rule 2.2).
    ///
    /// `seconds` is the time from sending to the answer, `size` the largest result in bytes.
    pub fn finished(&mut self, conn: ConnId, ok: bool, now: f64, seconds: f64, size: f64) -> Vec<Action<P>> {
        let running = self.conn(conn);
        let stalled = running.cancel_at != NEVER;
        let group = std::mem::take(&mut running.group);
        let (lane, kind) = (running.state == State::Lane, running.kind);
        running.cancel_at = NEVER;
        running.probation_until = -NEVER;
        self.remove_from_pool(conn);
        let last = ok || group.len() == 1;
        if ok && lane {
            self.served(conn, seconds);
            if kind == Kind::Write {
                self.written(&group, seconds, now);
            }
        }
        if ok {
            self.observe(&group, conn, seconds, size, now);
        } else if last {
            self.failed_alone(group[0], conn, seconds, now);
        } else {
            self.send_alone(&group, now, stalled);
        }
        self.release_if_idle(conn, now);
        self.dispatch(now); // the server gets its next group before the answers of this one are handed out
        if last {
            self.deliver(&group);
        }
        self.take_actions()
    }

    /// WRITEs are committed: their lane may have to wait for their callers, until their `end_of_tick` (rule 3.7).
    fn written(&mut self, group: &[RequestId], seconds: f64, now: f64) {
        self.write_lanes.carried(group.len(), seconds, now);
        let awaited = group.iter().filter(|id| self.requests.get(**id).state == RequestState::Sent).count();
        if awaited > 0 && self.write_lanes.gathers && self.queues.of(Queue::Writes).len() < self.limits.group_max {
            self.awaiting_resubmit.push_back((self.delivered + 1, awaited));
            self.timeouts.arm(Timer::Gather, now + self.limits.write_lane_wait); // should the callers take their time
        }
    }

    /// The group is answered: callers that still wait get their results.
    fn deliver(&mut self, group: &[RequestId]) {
        let mut payloads = Vec::with_capacity(group.len());
        for id in group {
            let awaited = self.requests.get(*id).state == RequestState::Sent;
            payloads.extend(self.requests.remove(*id).filter(|_| awaited));
        }
        if !payloads.is_empty() {
            self.delivered += 1;
            self.actions.push(Action::Deliver(payloads));
        }
    }

    /// A round trip in which the server had next to nothing to do took `seconds`.
    pub fn measured(&mut self, conn: ConnId, seconds: f64) {
        let known = self.conn(conn);
        known.round_trip = known.round_trip.min(seconds);
    }

    /// The server closed the CancelRequest's connection: it can no longer hit a later statement.
    pub fn cancel_closed(&mut self, conn: ConnId, now: f64) -> Vec<Action<P>> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.cancelling = false;
            if !known.group.is_empty() {
                self.timeouts.arm(Timer::Cancel, known.ask_at);
            }
            self.release_if_idle(conn, now);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// The session is clean again.
    pub fn reset_done(&mut self, conn: ConnId, now: f64) -> Vec<Action<P>> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.resetting = false;
            self.release_if_idle(conn, now);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// A session was given back, already clean; `healthy` is false if it must not be used again.
    pub fn released(&mut self, conn: ConnId, now: f64, healthy: bool) -> Vec<Action<P>> {
        assert!(self.conn(conn).state == State::Session, "bug: {conn:?} released");
        if healthy {
            self.conn(conn).probation_until = -NEVER;
            self.release_if_idle(conn, now);
        } else {
            self.close(conn);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// The connection is gone (rule 5.5). What was not executed for certain is sent elsewhere, unnoticed.
    ///
    /// The rest fails, its outcome unknown: nothing is repeated that may be committed. If the connection was lost as
    /// soon as it was opened, that is one more attempt to open one that came to nothing (see `open_failed`).
    pub fn lost(&mut self, conn: ConnId, now: f64, sent: bool, evict_all: bool, jitter: f64) -> Vec<Action<P>> {
        let known = self.conn(conn);
        let group = std::mem::take(&mut known.group);
        let (began, failures, probation_until) = (known.began, known.failures, known.probation_until);
        let used = sent || known.state == State::Session;
        self.forget(conn);
        if evict_all {
            self.evict_all();
        }
        let (again, over): (Vec<_>, Vec<_>) = group.into_iter().partition(|id| {
            let request = self.requests.get(*id);
            let repeats = self.limits.retry_reads && self.requests.query_of(*id).kind == Kind::Read && !request.alone;
            request.state != RequestState::Done && (!sent || repeats)
        });
        for id in &again {
            let request = self.requests.get_mut(*id);
            request.alone = request.alone || sent;
        }
        self.queues.put_back(&mut self.requests, &again, now);
        for id in over {
            self.fail_sent(id, Reason::Lost);
        }
        if now < probation_until {
            self.pause_connects(self.connect_failures.max(failures + 1), now, jitter);
            if !used {
                // else its user may be the cause
                let waiting = if self.alive() > 0 { again } else { self.queues.all(&self.requests) };
                self.fail_waiters(waiting, began);
            }
        }
        self.dispatch(now);
        self.take_actions()
    }
}

/// Serving.
impl<P, Q> Scheduler<P, Q> {
    /// Give connections to requests, first come, first served (rule 3.9), and open what is missing.
    pub(super) fn dispatch(&mut self, now: f64) {
        self.missing_connections = 0;
        let mut served = self.queues.waiting > 0;
        while served {
            // Once one was served, another head may be the oldest: look again.
            served = self.queues.heads(&self.requests).any(|queue| self.serve(queue, now));
        }
        if self.shutting_down && self.queues.waiting == 0 {
            self.close_unneeded();
        }
        self.grow(now);
    }

    /// Serve the head of `queue` if a connection is there for it.
    pub(super) fn serve(&mut self, queue: Queue, now: f64) -> bool {
        match queue {
            Queue::Reads => return self.feed_lane(queue, Kind::Read, now),
            Queue::Writes => return self.feed_lane(queue, Kind::Write, now),
            Queue::Alone | Queue::Sessions => {}
        }
        let Some(conn) = self.idle.pop() else {
            self.missing_connections += self.queues.of(queue).len();
            return false;
        };
        let head = self.queues.pop(&self.requests, queue);
        if queue == Queue::Alone {
            let query = self.requests.query_of(head);
            let (dirties, why) = (query.dirties, if query.groupable { REASONS - 1 } else { query.why });
            self.counters.alone[why] += 1;
            let known = self.conn(conn);
            (known.state, known.unclean) = (State::Alone, dirties);
            self.send(conn, vec![head], now);
        } else {
            self.requests.remove(head); // its caller has what it asked for
            self.conn(conn).state = State::Session;
            self.actions.push(Action::Lend(conn, head));
        }
        true
    }
}
