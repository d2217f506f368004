//! Events from callers and connections, and how waiters are served. The upkeep is in [`super::upkeep`].

use std::collections::{BTreeMap, BinaryHeap};

use super::NEVER;
use super::actions::{Action, ConnId, ItemId, Reason, TextId};
use super::conn::{Conn, State};
use super::cost::{Kind, Text};
use super::items::{Items, Place};
use super::limits::Limits;
use super::queues::{Queue, Queues};
use super::upkeep::Deadline;

/// The pool's policy. Methods named after events return the actions to carry out, in order.
pub struct Scheduler {
    /// The numbers in the rules.
    pub limits: Limits,
    /// When `tick` is next needed, at the latest.
    pub wake: f64,
    /// The shortest answer seen: what every statement costs on this link, whatever it does.
    pub round_trip: f64,
    /// Grows when all connections are to be replaced.
    pub generation: u64,
    /// No new work is taken.
    pub shutting_down: bool,
    /// Failed connects since the last that succeeded.
    pub connect_failures: u32,
    /// Groups that were rolled back and sent again, statement by statement.
    pub broken_up: u64,
    /// The statements of those groups.
    pub resent: u64,
    pub(super) items: Items,
    pub(super) queues: Queues,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    /// Free connections, the longest idle first; the most recently used one is taken.
    pub(super) idle: Vec<ConnId>,
    /// Connections that run a group.
    pub(super) lanes: Vec<ConnId>,
    /// How many connections the waiters miss, as the last dispatch found.
    pub(super) shortage: usize,
    pub(super) closing: usize,
    /// The last connect was refused for good: no further attempt unless somebody waits.
    pub(super) refused: bool,
    pub(super) retry_at: f64,
    /// A head that has waited too long may have another lane now.
    pub(super) ticking: bool,
    pub(super) last_id: u64,
    pub(super) deadlines: BinaryHeap<Deadline>,
    pub(super) deadlines_most: usize,
    pub(super) actions: Vec<Action>,
}

/// Events from callers.
impl Scheduler {
    /// A pool without connections; [`Scheduler::start`] opens the first.
    pub fn new(limits: Limits) -> Self {
        Scheduler {
            limits,
            wake: NEVER,
            round_trip: NEVER,
            generation: 0,
            shutting_down: false,
            connect_failures: 0,
            broken_up: 0,
            resent: 0,
            items: Items::default(),
            queues: Queues::default(),
            conns: BTreeMap::new(),
            idle: Vec::new(),
            lanes: Vec::new(),
            shortage: 0,
            closing: 0,
            refused: false,
            retry_at: 0.0,
            ticking: false,
            last_id: 0,
            deadlines: BinaryHeap::new(),
            deadlines_most: 1000,
            actions: Vec::new(),
        }
    }

    /// The pool came to know a text; statements refer to it by `id`.
    pub fn add_text(&mut self, id: TextId, text: Text) {
        self.items.add_text(id, text);
    }

    /// The pool does not know the text any more; it goes with its last statement.
    pub fn forget_text(&mut self, id: TextId) {
        self.items.forget_text(id);
    }

    /// A statement arrives. It is sent by the `turn` that ends this turn of the event loop.
    pub fn submit(&mut self, id: ItemId, text: TextId, deadline: Option<f64>, now: f64) -> Vec<Action> {
        self.arrive(id, Some(text), deadline, now)
    }

    /// Somebody wants a connection to himself.
    pub fn acquire(&mut self, id: ItemId, deadline: Option<f64>, now: f64) -> Vec<Action> {
        self.arrive(id, None, deadline, now)
    }

    fn arrive(&mut self, id: ItemId, text: Option<TextId>, deadline: Option<f64>, now: f64) -> Vec<Action> {
        if let Some(reason) = self.refusal() {
            return vec![Action::Fail { item: id, reason, sent: false }];
        }
        self.queues.add(&mut self.items, id, text, deadline, now);
        if let Some(deadline) = deadline {
            self.remember_deadline(id, deadline);
        }
        Vec::new()
    }

    /// The event loop's turn ends: what was collected in it is sent.
    pub fn turn(&mut self, now: f64) -> Vec<Action> {
        self.dispatch(now);
        self.take_actions()
    }

    /// The caller no longer waits. Queued: taken out. Sent: its answer is dropped, neighbours never notice.
    pub fn cancel(&mut self, id: ItemId, now: f64) -> Vec<Action> {
        match self.items.find(id).map(|item| (item.place, item.conn)) {
            Some((Place::Queued, _)) => self.queues.remove(&mut self.items, id),
            Some((Place::Sent, conn)) => {
                self.items.get_mut(id).place = Place::Done;
                if self.conns[&conn].group.iter().all(|one| self.items.get(*one).place == Place::Done) {
                    self.ask_to_stop(conn, now);
                }
            }
            _ => {}
        }
        self.take_actions()
    }
}

/// Events from connections.
impl Scheduler {
    /// ReadyForQuery came for the group of `conn`: all of it is committed, or all of it is rolled back.
    ///
    /// `seconds` is the time from sending to the answer, `size` the largest result in bytes.
    pub fn finished(&mut self, conn: ConnId, ok: bool, now: f64, seconds: f64, size: f64) -> Vec<Action> {
        let running = self.conn(conn);
        let stalled = running.cancel_at != NEVER;
        let group = std::mem::take(&mut running.group);
        running.cancel_at = NEVER;
        self.withdraw(conn);
        let last = ok || group.len() == 1;
        if ok {
            self.observe(&group, seconds, size, now);
        } else if last {
            self.failed_alone(group[0], seconds, now);
        } else {
            self.send_alone(&group, now, stalled);
        }
        self.settle(conn, now);
        self.dispatch(now); // the server gets its next group before the answers of this one are handed out
        if last {
            self.deliver(group);
        }
        self.take_actions()
    }

    /// The group is answered: those who still wait get their results.
    fn deliver(&mut self, mut group: Vec<ItemId>) {
        group.retain(|id| {
            let awaited = self.items.get(*id).place == Place::Sent;
            self.items.remove(*id);
            awaited
        });
        if !group.is_empty() {
            self.actions.push(Action::Deliver(group));
        }
    }

    /// A round trip in which the server had next to nothing to do took `seconds`.
    pub fn measured(&mut self, seconds: f64) {
        if seconds < self.round_trip {
            self.round_trip = seconds;
        }
    }

    /// The server closed the CancelRequest's connection: it can no longer hit a later statement.
    pub fn cancel_closed(&mut self, conn: ConnId, now: f64) -> Vec<Action> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.cancelling = false;
            if !known.group.is_empty() {
                self.wake = self.wake.min(known.ask_at);
            }
            self.settle(conn, now);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// The session is clean again.
    pub fn reset_done(&mut self, conn: ConnId, now: f64) -> Vec<Action> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.resetting = false;
            self.settle(conn, now);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// A session was given back, already clean; `healthy` is false if it must not be used again.
    pub fn released(&mut self, conn: ConnId, now: f64, healthy: bool) -> Vec<Action> {
        assert!(self.conn(conn).state == State::Session, "bug: {conn:?} released");
        if healthy {
            self.settle(conn, now);
        } else {
            self.close(conn);
        }
        self.dispatch(now);
        self.take_actions()
    }

    /// The connection is gone. What was not executed for certain is sent elsewhere, unnoticed.
    ///
    /// The rest fails, its outcome unknown: nothing is repeated that may be committed.
    pub fn lost(&mut self, conn: ConnId, now: f64, sent: bool, retire: bool) -> Vec<Action> {
        let group = self.conns.get_mut(&conn).map(|known| std::mem::take(&mut known.group)).unwrap_or_default();
        self.forget(conn);
        if retire {
            self.retire();
        }
        let (again, over): (Vec<_>, Vec<_>) = group.into_iter().partition(|id| {
            let item = self.items.get(*id);
            let repeats = self.limits.retry_reads && self.items.text_of(*id).kind == Kind::Read && !item.alone;
            item.place != Place::Done && (!sent || repeats)
        });
        for id in &again {
            let item = self.items.get_mut(*id);
            item.alone = item.alone || sent;
        }
        self.queues.put_back(&mut self.items, &again, now);
        for id in over {
            self.fail_sent(id, Reason::Lost);
        }
        self.dispatch(now);
        self.take_actions()
    }
}

/// Serving.
impl Scheduler {
    /// Give connections to waiters, first come, first served, and open what is missing.
    pub(super) fn dispatch(&mut self, now: f64) {
        self.shortage = 0;
        let mut served = self.queues.waiting > 0;
        while served {
            // Once one was served, another head may be the oldest: look again.
            served = self.queues.heads(&self.items).any(|queue| self.serve(queue, now));
        }
        if self.shutting_down && self.queues.waiting == 0 {
            self.close_idle();
        }
        self.grow(now);
    }

    /// Serve the head of `queue` if a connection is there for it.
    fn serve(&mut self, queue: Queue, now: f64) -> bool {
        match queue {
            Queue::Reads => return self.feed_lane(queue, Kind::Read, now),
            Queue::Writes => return self.feed_lane(queue, Kind::Write, now),
            Queue::Alone | Queue::Sessions => {}
        }
        let Some(conn) = self.idle.pop() else {
            self.shortage += self.queues.of(queue).len();
            return false;
        };
        let head = self.queues.pop(queue);
        if queue == Queue::Alone {
            let dirties = self.items.text_of(head).dirties;
            let known = self.conn(conn);
            (known.state, known.unclean) = (State::Alone, dirties);
            self.send(conn, vec![head], now);
        } else {
            self.items.remove(head); // its caller has what he asked for
            self.conn(conn).state = State::Session;
            self.actions.push(Action::Lend(conn, head));
        }
        true
    }

    /// Start the next lane for `kind`: its group is an even share for the free lanes, of at least `piece_min`.
    fn feed_lane(&mut self, queue: Queue, kind: Kind, now: f64) -> bool {
        let length = self.queues.of(queue).len();
        let pieces = length.div_ceil(self.limits.piece_min);
        let wanted = self.lanes_wanted(kind, queue, now).min(pieces);
        let lanes = wanted.min(self.idle.len());
        if lanes == 0 {
            self.shortage += wanted;
            return false;
        }
        let share = length.div_ceil(lanes).max(self.limits.piece_min);
        let group = self.take_group(queue, share.min(self.limits.group_max));
        let conn = self.idle.pop().expect("bug: no idle connection");
        let known = self.conn(conn);
        (known.state, known.kind) = (State::Lane, kind);
        self.lanes.push(conn);
        self.send(conn, group, now);
        if self.queues.of(queue).is_empty() {
            self.shortage += wanted - lanes; // served with fewer than it should have: the next time there are enough
        }
        true
    }

    /// How many more lanes may carry `kind` now.
    ///
    /// A few from the start; one more when the head of the queue has waited too long for those that run, or is bound to
    /// since the link is that slow. Whether it has waited too long is asked in `tick` (and when a connection was opened
    /// for it): before it, every answer that has arrived was taken in, so a busy event loop does not look like slow
    /// lanes.
    fn lanes_wanted(&self, kind: Kind, queue: Queue, now: f64) -> usize {
        let limits = &self.limits;
        let (base, most, patience) = match kind {
            Kind::Read => (limits.read_lanes, limits.max_size, limits.lane_wait),
            _ => (limits.write_lanes, limits.max_write_lanes, limits.write_lane_wait),
        };
        let running = || self.lanes.iter().map(|id| &self.conns[id]).filter(|conn| conn.kind == kind);
        let count = running().count();
        if count < base {
            return base - count;
        }
        if count >= most {
            return 0;
        }
        let waited = |head: &ItemId| now - self.items.get(*head).enqueued >= patience;
        if self.ticking && self.queues.of(queue).front().is_some_and(waited) {
            return 1;
        }
        let answered = running().map(|lane| lane.started).fold(NEVER, f64::min) + self.round_trip;
        usize::from(self.round_trip != NEVER && answered - now > patience)
    }

    /// Take the next group from the head of `queue`: at most `size` statements and `group_time` expected.
    fn take_group(&mut self, queue: Queue, size: usize) -> Vec<ItemId> {
        let mut group = Vec::with_capacity(size.min(self.queues.of(queue).len()));
        let mut expected = 0.0;
        while let Some(head) = self.queues.of(queue).front() {
            let cost = self.items.text_of(*head).mean;
            if group.len() >= size || (!group.is_empty() && expected + cost > self.limits.group_time) {
                break;
            }
            expected += cost;
            group.push(self.queues.pop(queue));
        }
        group
    }

    fn send(&mut self, conn: ConnId, group: Vec<ItemId>, now: f64) {
        for id in &group {
            let item = self.items.get_mut(*id);
            (item.place, item.conn) = (Place::Sent, conn);
        }
        let known = self.conn(conn);
        known.group.clone_from(&group);
        known.started = now;
        if group.len() > 1 && self.limits.breaks_stalls {
            self.wake = self.wake.min(now + self.limits.stall);
        }
        self.actions.push(Action::Send(conn, group));
    }

    /// A group was rolled back: each of its statements is sent again alone, so no group is visible in a result.
    ///
    /// If it was broken up since it stalled, its texts count as failed: they are not grouped for a while.
    fn send_alone(&mut self, group: &[ItemId], now: f64, stalled: bool) {
        self.broken_up += 1;
        let mut texts: Vec<TextId> = Vec::new();
        for id in group.iter().filter(|_| stalled) {
            let text = self.items.text_id(*id);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let mut again = Vec::with_capacity(group.len());
        for id in group {
            let item = self.items.get_mut(*id);
            if item.place == Place::Done {
                self.items.remove(*id);
            } else {
                item.alone = true;
                again.push(*id);
            }
        }
        self.resent += again.len() as u64;
        for text in texts {
            let limits = &self.limits.cost;
            if self.items.find_text(text).is_some_and(|known| known.stalled(now, limits)) {
                self.queues.rehome(&self.items, text, now);
            }
        }
        self.queues.put_back(&mut self.items, &again, now);
    }

    /// Each statement's share of the service time goes to its text.
    ///
    /// A commit with its fsync is paid once, however many share it, so a WRITE is spared the time of one.
    fn observe(&mut self, group: &[ItemId], seconds: f64, size: f64, now: f64) {
        self.measured(seconds);
        let writes = self.items.text_of(group[0]).kind == Kind::Write;
        let common = self.round_trip + if writes { self.limits.cost.commit_time } else { 0.0 };
        let share = f64::max(seconds - common, 0.0) / group.len() as f64;
        let mut counts: Vec<(TextId, u64)> = Vec::new();
        for id in group {
            let text = self.items.text_id(*id);
            match counts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, count)) => *count += 1,
                None => counts.push((text, 1)),
            }
        }
        for (text, count) in counts {
            if self.items.observe(text, count, share, size, &self.limits.cost) {
                self.queues.rehome(&self.items, text, now);
            }
        }
    }

    /// A statement failed by itself. If it was stopped because nobody waited, that is no fault of its text.
    fn failed_alone(&mut self, id: ItemId, seconds: f64, now: f64) {
        let text = self.items.text_id(id);
        let awaited = self.items.get(id).place == Place::Sent;
        let known = self.items.text_mut(text);
        if awaited {
            if known.failed(now, &self.limits.cost) {
                self.queues.rehome(&self.items, text, now);
            }
        } else if seconds - self.round_trip > known.mean {
            let size = known.size; // it would have taken at least as long
            self.observe(&[id], seconds, size, now);
        }
    }

    /// Once nothing runs, no cancel is under way and the session is clean, the connection is free.
    fn settle(&mut self, conn: ConnId, now: f64) {
        let known = self.conn(conn);
        if !known.group.is_empty() || known.cancelling || known.resetting || known.state == State::Closing {
            return;
        }
        if known.unclean {
            (known.unclean, known.resetting) = (false, true);
            self.actions.push(Action::Reset(conn));
            return;
        }
        self.free(conn, now);
    }
}
