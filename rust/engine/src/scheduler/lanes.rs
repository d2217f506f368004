//! Lanes and groups: how many lanes a kind of statement may have, what the next one carries, what its answer teaches.

use super::cost::Kind;
use super::model::{Action, ConnId, NEVER, QueryId, RequestId, RequestState, State};
use super::queues::Queue;
use super::scheduler::Scheduler;
use super::timeouts::Timer;

/// Serving.
impl<P, Q> Scheduler<P, Q> {
    /// Start the next lane for `kind`: its group is an even share for the free lanes, of at least `piece_min`
    /// (rule 3.3).
    pub(super) fn feed_lane(&mut self, queue: Queue, kind: Kind, now: f64) -> bool {
        let length = self.queues.of(queue).len();
        let pieces = length.div_ceil(self.limits.piece_min);
        let wanted = self.lanes_wanted(kind, queue, now).min(pieces);
        let lanes = wanted.min(self.idle.len());
        if lanes == 0 {
            self.missing_connections += wanted;
            return false;
        }
        let share = self.share(length, kind, lanes).max(self.limits.piece_min);
        let group = self.take_group(queue, share.min(self.limits.group_max), now);
        let conn = self.idle.pop().expect("bug: no idle connection");
        let known = self.conn(conn);
        (known.state, known.kind) = (State::Lane, kind);
        self.lanes.push(conn);
        self.send(conn, group, now);
        if self.queues.of(queue).is_empty() {
            // Served with fewer than it should have: the next time there are enough.
            self.missing_connections += wanted - lanes;
        }
        true
    }

    /// What one of the free `lanes` takes of a queue of so many.
    ///
    /// Of WRITEs it is an even share of all, those included that other lanes carry or wait for: else groups that were
    /// once uneven would stay so, since callers that were answered together come back together.
    fn share(&self, queued: usize, kind: Kind, lanes: usize) -> usize {
        if kind != Kind::Write {
            return queued.div_ceil(lanes);
        }
        let running = self.lanes.iter().map(|id| &self.conns[id]).filter(|conn| conn.kind == kind);
        let others =
            running.map(|lane| lane.group.len()).chain(self.awaiting_resubmit.iter().map(|(_, answered)| *answered));
        let (count, lanes) = others.fold((queued, lanes), |(count, lanes), more| (count + more, lanes + 1));
        count.div_ceil(lanes)
    }

    /// How many more lanes may carry `kind` now (rules 3.6, 3.7).
    ///
    /// A few from the start, where the server is far all connections (rule 3.12); one more when the head of the queue
    /// has waited too long for those that run. (A long queue of WRITEs is no reason as long as lanes take from it, at
    /// the pace of the disk: more commits would only make it longer.) Whether it has waited too long is asked in
    /// `handle_timeout` (and when a connection was opened for it): before it, every answer that has arrived was taken in,
    /// so a busy event loop does not look like slow lanes.
    pub(super) fn lanes_wanted(&self, kind: Kind, queue: Queue, now: f64) -> usize {
        let limits = &self.limits;
        let (mut base, most, patience) = match kind {
            Kind::Read => (limits.read_lanes, limits.max_size, limits.lane_wait),
            _ => (self.write_lanes.lanes, limits.max_write_lanes, limits.write_lane_wait),
        };
        if self.far(kind) {
            base = most.min(limits.max_size);
        }
        let running = || self.lanes.iter().map(|id| &self.conns[id]).filter(|conn| conn.kind == kind);
        let awaiting_resubmit = if kind == Kind::Write { self.awaiting_resubmit.len() } else { 0 };
        let count = running().count();
        if count + awaiting_resubmit < base {
            return base - count - awaiting_resubmit;
        }
        if awaiting_resubmit > 0 || count >= most {
            return 0;
        }
        let moving = match kind {
            Kind::Write => {
                let latest = running().map(|lane| lane.started).fold(-NEVER, f64::max);
                latest + patience.max(2.0 * self.write_lanes.took)
            }
            _ => -NEVER,
        };
        let waited = |head: &RequestId| now >= (self.requests.get(*head).enqueued + patience).max(moving);
        usize::from(self.may_add_lane && self.queues.of(queue).front().is_some_and(waited))
    }

    /// Take the next group from the head of `queue`: at most `size` statements and `group_time` expected (rule 3.5).
    ///
    /// Where there is one writer, the queue also holds WRITEs that must not share: each is a group to itself.
    pub(super) fn take_group(&mut self, queue: Queue, size: usize, now: f64) -> Vec<RequestId> {
        let mut group = Vec::with_capacity(size.min(self.queues.of(queue).len()));
        let mut expected = 0.0;
        let mixed = self.queues.one_writer && queue == Queue::Writes;
        while let Some(head) = self.queues.of(queue).front() {
            let alone = mixed && !self.requests.may_share(*head, now);
            let cost = if alone { NEVER } else { self.requests.query_of(*head).mean };
            if group.len() >= size || (!group.is_empty() && expected + cost > self.limits.group_time) {
                break;
            }
            expected += cost;
            group.push(self.queues.pop(&self.requests, queue));
        }
        group
    }

    pub(super) fn send(&mut self, conn: ConnId, group: Vec<RequestId>, now: f64) {
        for id in &group {
            let request = self.requests.get_mut(*id);
            (request.state, request.conn) = (RequestState::Sent, conn);
        }
        let concurrency = self.conns.len() - self.idle.len();
        let known = self.conn(conn);
        known.group.clone_from(&group);
        known.started = now;
        known.concurrency = concurrency;
        if group.len() > 1 && self.limits.breaks_stalls {
            self.timeouts.arm(Timer::Stall, now + self.limits.stall);
        }
        self.actions.push(Action::Send(conn, group));
    }

    /// A group was rolled back: each of its statements is sent again alone, so no group is visible in a result
    /// (rule 2.3).
    ///
    /// If it was broken up since it stalled, its queries count as failed: they are not grouped for a while.
    pub(super) fn send_alone(&mut self, group: &[RequestId], now: f64, stalled: bool) {
        self.counters.broken_up += 1;
        let mut queries: Vec<QueryId> = Vec::new();
        for id in group.iter().filter(|_| stalled) {
            let query = self.requests.query_id(*id);
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        let mut again = Vec::with_capacity(group.len());
        for id in group {
            let request = self.requests.get_mut(*id);
            if request.state == RequestState::Done {
                self.requests.remove(*id);
            } else {
                request.alone = true;
                again.push(*id);
            }
        }
        self.counters.resent += again.len() as u64;
        for query in queries {
            let limits = &self.limits.cost;
            if self.requests.find_query(query).is_some_and(|known| known.stalled(now, limits)) {
                self.queues.rehome(&mut self.requests, query, now);
            }
        }
        self.queues.put_back(&mut self.requests, &again, now);
    }

    /// Each statement's share of the service time goes to its query (rule 3.4).
    ///
    /// A commit with its fsync is paid once, however many share it, so a WRITE is spared the time of one.
    pub(super) fn observe(&mut self, group: &[RequestId], conn: ConnId, seconds: f64, size: f64, now: f64) {
        let writes = self.requests.query_of(group[0]).kind == Kind::Write;
        let common = self.network_time(conn, seconds) + if writes { self.limits.cost.commit_time } else { 0.0 };
        let share = f64::max(seconds - common, 0.0) / (group.len() * self.conn(conn).concurrency) as f64;
        let mut counts: Vec<(QueryId, u64)> = Vec::new();
        for id in group {
            let query = self.requests.query_id(*id);
            match counts.iter_mut().find(|(known, _)| *known == query) {
                Some((_, count)) => *count += 1,
                None => counts.push((query, 1)),
            }
        }
        for (query, count) in counts {
            if self.requests.observe(query, count, share, size, &self.limits.cost) {
                self.queues.rehome(&mut self.requests, query, now);
            }
        }
    }

    /// How much of `seconds` until an answer went by on the way.
    ///
    /// An answer may show that the way is shorter than was known, but never how long it is: it may just be slow.
    fn network_time(&mut self, conn: ConnId, seconds: f64) -> f64 {
        if self.conn(conn).round_trip == NEVER {
            return 0.0;
        }
        self.measured(conn, seconds);
        self.conn(conn).round_trip
    }

    /// A statement failed by itself. One that was stopped since nothing waited for it counts as slow.
    pub(super) fn failed_alone(&mut self, id: RequestId, conn: ConnId, seconds: f64, now: f64) {
        let query = self.requests.query_id(id);
        if self.requests.get(id).state == RequestState::Sent {
            if self.requests.query_mut(query).failed(now, &self.limits.cost) {
                self.queues.rehome(&mut self.requests, query, now);
            }
            return;
        }
        let (service, concurrency) = (seconds - self.network_time(conn, seconds), self.conn(conn).concurrency);
        let known = self.requests.query_mut(query);
        if service > known.mean * concurrency as f64 {
            let size = known.size; // it would have taken at least as long
            self.observe(&[id], conn, seconds, size, now);
        }
    }
}
