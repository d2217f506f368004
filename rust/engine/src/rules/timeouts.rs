//! What time does: deadlines, groups that stall, servers that are silent, connections that age.

use super::NEVER;
use super::actions::{Action, ConnId, ItemId, Reason};
use super::items::Place;
use super::queues::STATEMENTS;
use super::scheduler::Scheduler;

impl Scheduler {
    pub(super) fn expire_waiters(&mut self, now: f64) {
        while self.deadlines.peek().is_some_and(|entry| entry.at <= now) {
            let item = self.deadlines.pop().expect("bug: the heap lost its head").item;
            self.expire_waiter(item, now);
        }
        if let Some(entry) = self.deadlines.peek() {
            self.wake = self.wake.min(entry.at);
        }
        for queue in STATEMENTS {
            while let Some(head) = self.queues.of(queue).front().copied() {
                if self.items.get(head).enqueued + self.limits.acquire_timeout > now {
                    break;
                }
                self.fail_queued(head, Reason::Timeout);
            }
        }
    }

    pub(super) fn expire_waiter(&mut self, item: ItemId, now: f64) {
        match self.items.find(item).map(|known| (known.place, known.conn)) {
            Some((Place::Queued, _)) => self.fail_queued(item, Reason::Timeout),
            Some((Place::Sent, conn)) => {
                self.items.get_mut(item).place = Place::Done;
                self.actions.push(Action::Fail { item, reason: Reason::Timeout, sent: true });
                self.ask_to_stop(conn, now); // alone: stop it; in a group: break the group up
            }
            _ => {}
        }
    }

    pub(super) fn due(&mut self, at: f64, now: f64, conn: ConnId) {
        if now >= at {
            self.ask_to_stop(conn, now); // breaks the group up: the server rolls it back, each goes alone
        } else {
            self.wake = self.wake.min(at);
        }
    }

    /// Ask the server to stop what runs on `conn`, unless it was asked before.
    pub(super) fn ask_to_stop(&mut self, conn: ConnId, now: f64) {
        let known = self.conn(conn);
        if known.cancel_at == NEVER {
            (known.cancel_at, known.ask_at) = (now, now);
            self.press(conn, now);
        }
    }

    /// The server was asked to stop the group: ask again where it took no notice, give up in the end.
    pub(super) fn press(&mut self, conn: ConnId, now: f64) {
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
                self.retire(); // a link that is slow to react may be silent, and so may those that idle
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
        self.wake = self.wake.min(until);
    }

    /// It does not even react to a cancel: the link is silent. Others that idle may be as dead.
    pub(super) fn declare_dead(&mut self, conn: ConnId) {
        self.fail_group(conn, Reason::Lost);
        self.close(conn);
        self.retire();
    }

    pub(super) fn fail_group(&mut self, conn: ConnId, reason: Reason) {
        let known = self.conn(conn);
        known.cancel_at = NEVER;
        for item in std::mem::take(&mut known.group) {
            self.fail_sent(item, reason);
        }
    }

    /// What was sent gets no answer of the server's.
    pub(super) fn fail_sent(&mut self, item: ItemId, reason: Reason) {
        if self.items.get(item).place == Place::Sent {
            self.actions.push(Action::Fail { item, reason, sent: true });
        }
        self.items.remove(item);
    }

    pub(super) fn fail_queued(&mut self, item: ItemId, reason: Reason) {
        self.queues.remove(&mut self.items, item);
        self.actions.push(Action::Fail { item, reason, sent: false });
    }

    /// Close what is idle for too long, above `min_size`, and what has reached its lifetime.
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
            self.wake = self.wake.min(expires).min(if until > now { until } else { NEVER });
        }
    }
}
