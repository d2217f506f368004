//! What connections tell: opened, answered, lost; and what becomes of their statements.

use std::sync::Arc;
use std::time::Duration;

use super::actor::Actor;
use super::member::{Event, Job};
use super::{Completion, Trouble};
use crate::rules::{Action, ConnId, ItemId};
use crate::wire::{Answer, Described, Lost, Outcome, ServerError, Types};

/// How often a statement is prepared again before its error is reported.
const MOST_RETRIES: u32 = 3;

impl Actor {
    pub(super) fn handle(&mut self, conn: ConnId, event: Event) {
        let now = self.now();
        let actions = match event {
            Event::Opened(key) => {
                if let Some(member) = self.members.get_mut(&conn) {
                    member.key = Some(key);
                }
                let lifetime = self.lifetime * (0.9 + 0.2 * self.draw());
                self.scheduler.opened(conn, now, lifetime)
            }
            Event::OpenFailed(error) => {
                self.counters.connect_failures += 1;
                self.members.remove(&conn);
                let permanent = error.permanent;
                self.trouble = Some(Arc::new(Trouble::Connect(error)));
                let jitter = self.draw();
                self.scheduler.open_failed(conn, now, permanent, jitter)
            }
            Event::CancelClosed(None) => self.scheduler.cancel_closed(conn, now),
            Event::CancelClosed(Some(token)) => return self.batch.push(Completion::Stopped(token)),
            // What follows comes from a connection that may have been given up meanwhile.
            _ if !self.members.contains_key(&conn) => return,
            Event::Ran(answer) => return self.answered(conn, answer),
            Event::Described(answer, elapsed) => return self.described(conn, answer, elapsed),
            Event::ResetDone => self.scheduler.reset_done(conn, now),
            Event::Lost(lost) => self.lost(conn, lost, now),
        };
        self.perform(actions);
    }

    pub(super) fn lost(&mut self, conn: ConnId, lost: Lost, now: f64) -> Vec<Action> {
        self.counters.lost += 1;
        let member = self.members.remove(&conn).expect("bug: a connection that is not there");
        self.trouble = Some(Arc::new(Trouble::Lost(lost.clone())));
        let actions = self.scheduler.lost(conn, now, lost.sent && member.sent, lost.retires());
        self.end_group(&member.group);
        if let Some(token) = member.token {
            self.batch.push(Completion::Ran(token, Err(lost.clone())));
        }
        if member.lent {
            self.batch.push(Completion::LentLost(conn, lost));
        }
        actions
    }

    /// ReadyForQuery: what was run is final.
    pub(super) fn answered(&mut self, conn: ConnId, answer: Answer) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        if member.group.is_empty() {
            if let Some(token) = member.token.take() {
                self.batch.push(Completion::Ran(token, Ok(answer)));
            }
            return;
        }
        if let [item] = member.group[..]
            && let [Outcome::Failed(error)] = &answer.outcomes[..]
            && error.is_stale_plan()
            && self.heal(conn, item, error.code() == "42P05", error.code() == "26000")
        {
            return;
        }
        let group = self.members[&conn].group.clone();
        let (ok, elapsed, largest) = (answer.ok, answer.elapsed.as_secs_f64(), answer.largest);
        for (item, outcome) in group.into_iter().zip(answer.outcomes) {
            if let Some(result) = self.result(item, outcome) {
                self.results.insert(item, result);
            }
        }
        self.finish(conn, ok, elapsed, largest);
    }

    pub(super) fn result(&mut self, item: ItemId, outcome: Outcome) -> Option<Completion> {
        match outcome {
            Outcome::Skipped => None,
            Outcome::Failed(error) => Some(Completion::Failed(item, error)),
            Outcome::Done { tag, rows, columns } => {
                let text = self.payloads[&item].text;
                let shape = match columns {
                    None => self.texts.described(text).filter(|known| !known.columns.is_empty()).cloned(),
                    Some(columns) => {
                        if self.texts.info(text).preparable && self.texts.described(text).is_none() {
                            self.texts.describe(text, Vec::new(), columns.clone());
                        }
                        let sql = self.texts.info(text).sql.clone();
                        Some(Arc::new(Described::new(String::new(), sql, Vec::new(), columns)))
                    }
                };
                Some(Completion::Done { item, tag, rows, shape })
            }
        }
    }

    /// A statement alone that failed since its plan is out of date is prepared anew and sent once more.
    pub(super) fn heal(&mut self, conn: ConnId, item: ItemId, taken: bool, unknown: bool) -> bool {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        let again = member.retries > 0;
        if member.retries >= MOST_RETRIES || (again && !taken && !unknown) {
            return false;
        }
        member.retries += 1;
        let text = self.payloads[&item].text;
        if let Some(old) = self.texts.outdated(text) {
            self.members[&conn].send(Job::Discard(old.name.clone()));
        }
        if taken || (again && unknown) {
            self.texts.give_up_names(); // a proxy deals statements out to other connections: names mean nothing there
        }
        self.start(conn);
        true
    }

    /// The server told the types of the text that `conn` is to run.
    pub(super) fn described(&mut self, conn: ConnId, answer: Result<Types, ServerError>, took: Duration) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        if member.group.is_empty() {
            if let Some(token) = member.token.take() {
                self.batch.push(Completion::Described(token, Ok(answer)));
            }
            return;
        }
        self.scheduler.measured(took.as_secs_f64());
        let Some(item) = self.undescribed(conn) else {
            return self.start(conn); // the types came on another connection meanwhile
        };
        match answer {
            Ok((params, columns)) => {
                let text = self.payloads[&item].text;
                self.texts.describe(text, params, columns);
                self.start(conn);
            }
            Err(error) => {
                self.results.insert(item, Completion::Failed(item, error));
                self.finish(conn, false, took.as_secs_f64(), 0);
            }
        }
    }

    /// The first statement of the group of `conn` whose types are not known.
    pub(super) fn undescribed(&self, conn: ConnId) -> Option<ItemId> {
        let unknown = |item: &&ItemId| {
            let payload = &self.payloads[*item];
            payload.with_args && self.texts.described(payload.text).is_none()
        };
        self.members[&conn].group.iter().find(unknown).copied()
    }

    /// The group of `conn` is answered.
    pub(super) fn finish(&mut self, conn: ConnId, ok: bool, seconds: f64, largest: usize) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        let group = std::mem::take(&mut member.group);
        if ok || group.len() == 1 {
            self.counters.groups += 1;
            self.counters.statements += group.len() as u64;
        }
        for item in &group {
            self.awaiting.remove(item); // before it may be sent again, and asked for again
        }
        let actions = self.scheduler.finished(conn, ok, self.now(), seconds, largest as f64);
        self.perform(actions);
        for item in &group {
            self.results.remove(item);
        }
        self.prune(&group);
    }

    /// The connection of a group is gone; what the scheduler sends again starts anew.
    pub(super) fn end_group(&mut self, group: &[ItemId]) {
        for item in group {
            self.awaiting.remove(item);
        }
        self.prune(group);
    }

    pub(super) fn prune(&mut self, items: &[ItemId]) {
        for item in items {
            if !self.scheduler.knows(*item)
                && let Some(payload) = self.payloads.remove(item)
            {
                self.texts.release(payload.text);
            }
        }
    }
}
