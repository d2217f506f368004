//! What connections tell: opened, answered, lost; and what becomes of their statements.

use std::sync::Arc;

use super::actor::{Actor, Stage};
use super::member::Event;
use super::sending::fetches;
use super::{Completion, Ran, Source};
use crate::scheduler::{Action, ConnId, ItemId};
use crate::wire::{Answer, Column, Described, Lost, Notification, Outcome, Settings};

/// Why a connection is given up.
const CANCEL_UNDER_WAY: &str = "a cancel request was not taken in in time: it might hit the next statement";

impl Actor {
    pub(super) fn handle(&mut self, conn: ConnId, event: Event) {
        let now = self.now();
        let actions = match event {
            Event::CancelClosed(None, true) => self.scheduler.cancel_closed(conn, now),
            Event::CancelClosed(Some(token), closed) => return self.batch.push(Completion::Stopped(token, closed)),
            // What follows comes from a connection that may have been given up meanwhile.
            _ if !self.members.contains_key(&conn) => return,
            Event::CancelClosed(None, false) => self.lost(conn, Lost::new(CANCEL_UNDER_WAY), false, now),
            Event::Opened(key, settings) => {
                let greets = self.options.greets;
                let member = self.member(conn);
                (member.key, member.plain) = (Some(key), settings.is_plain());
                if greets {
                    (member.lent, member.stage) = (true, Stage::Greeting);
                    return self.batch.push(Completion::Greet(conn));
                }
                self.opened(conn, now, None)
            }
            Event::OpenFailed(error) => {
                let permanent = error.permanent;
                self.batch.push(Completion::NotOpened(error));
                self.not_opened(conn, permanent, now)
            }
            Event::Ran(answer) => return self.answered(conn, answer, now),
            Event::CopyTurn(piece) => {
                if let Some(token) = self.members[&conn].token {
                    self.batch.push(Completion::CopyTurn(token, piece));
                }
                return;
            }
            Event::Notified(notifications) => return self.notified(conn, notifications),
            Event::Lost(lost) => {
                let retire = lost.retires();
                self.lost(conn, lost, retire, now)
            }
        };
        self.perform(actions);
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: f64, round_trip: Option<f64>) -> Vec<Action> {
        self.batch.push(Completion::Opened(conn));
        let lifetime = self.options.lifetime * (0.9 + 0.2 * self.draw());
        self.scheduler.opened(conn, now, lifetime, round_trip)
    }

    pub(super) fn not_opened(&mut self, conn: ConnId, permanent: bool, now: f64) -> Vec<Action> {
        self.counters.connect_failures += 1;
        self.members.remove(&conn);
        let jitter = self.draw();
        self.scheduler.open_failed(conn, now, permanent, jitter)
    }

    pub(super) fn lost(&mut self, conn: ConnId, mut lost: Lost, retire: bool, now: f64) -> Vec<Action> {
        self.counters.lost += 1;
        let member = self.members.remove(&conn).expect("bug: a connection that is not there");
        lost.sent |= member.at > 0 && !member.group.is_empty(); // a part of the group is done
        let jitter = self.draw();
        let actions = match member.stage {
            Stage::Greeting => Vec::new(), // whoever greets it hears of it, and tells
            _ => {
                self.batch.push(Completion::Gone(lost.clone()));
                self.scheduler.lost(conn, now, lost.sent && member.sent, retire, jitter)
            }
        };
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
    fn answered(&mut self, conn: ConnId, answer: Answer, now: f64) {
        let Answer { ok, outcomes, elapsed, largest, in_transaction, settings, notices, notifications, apart } = answer;
        self.notified(conn, notifications);
        self.batch.extend(notices.into_iter().map(Completion::Notice));
        let member = self.member(conn);
        (member.plain, member.in_transaction) = (settings.is_plain(), in_transaction);
        if std::mem::take(&mut member.probing) {
            return self.probed(conn, &outcomes);
        }
        let asked = std::mem::take(&mut member.looking_up);
        if !asked.is_empty() {
            return self.looked_up(conn, asked, outcomes);
        }
        if member.group.is_empty() {
            return self.was_reset(conn, ok, now);
        }
        let (run, asked, describing) = (member.run, member.asked.take(), member.describing);
        let sent: Vec<ItemId> = member.group[member.at..member.at + run].iter().copied().chain(asked).collect();
        member.at += if ok { run } else { 0 };
        if apart {
            self.keep_apart(&sent);
        }
        for (item, outcome) in sent.into_iter().zip(outcomes) {
            self.take_result(item, outcome, &settings);
        }
        self.changed.clear();
        if ok && self.acquits(conn) {
            return self.finish(conn, false, elapsed.as_secs_f64(), largest);
        }
        let member = self.member(conn);
        if ok && !describing && (asked.is_some() || member.at < member.group.len()) {
            self.scheduler.measured(conn, elapsed.as_secs_f64());
            self.start(conn);
        } else if ok || !self.heal(conn) {
            self.finish(conn, ok, elapsed.as_secs_f64(), largest);
        }
    }

    /// Who holds the connection listens, or nobody.
    fn notified(&mut self, conn: ConnId, notifications: Vec<Notification>) {
        if self.members[&conn].lent && !notifications.is_empty() {
            self.batch.push(Completion::Notified(conn, notifications));
        }
    }

    fn was_reset(&mut self, conn: ConnId, ok: bool, now: f64) {
        let actions = match ok {
            true => {
                let member = self.member(conn);
                member.exact = member.told;
                self.scheduler.reset_done(conn, now)
            }
            false => {
                let lost = Lost { sent: false, ..Lost::new("the session could not be reset") };
                self.lost(conn, lost, false, now)
            }
        };
        self.perform(actions);
    }

    fn take_result(&mut self, item: ItemId, outcome: Outcome, settings: &Arc<Settings>) {
        let result = match outcome {
            Outcome::Skipped => return,
            Outcome::Described((params, columns)) => {
                let payload = self.payloads.get_mut(&item).expect("bug: a statement that is not there");
                match &payload.source {
                    Source::Known(text) if fetches(&self.texts.info(*text).sql) => {
                        let sql = self.texts.info(*text).sql.clone();
                        let mut described = Described::new(String::new(), sql, params, columns);
                        self.sink.formats(&mut described);
                        payload.under = Some(Arc::new(described));
                    }
                    Source::Known(text) => self.texts.learn(*text, params, columns),
                    Source::Plain(sql) => {
                        let mut described = Described::new(String::new(), sql.clone(), params, columns);
                        self.sink.formats(&mut described);
                        payload.under = Some(Arc::new(described));
                    }
                }
                return;
            }
            Outcome::Failed(error) => Completion::Failed(item, error),
            Outcome::Done { tag, rows, shape: Some(shape), .. } => {
                Completion::Done { item, tag, rows, shape: Some(shape), settings: settings.clone() }
            }
            Outcome::Done { tag, rows, columns, shape: None } => match self.shape(item, columns) {
                Ok(shape) => Completion::Done { item, tag, rows, shape, settings: settings.clone() },
                Err(()) => Completion::Changed(item),
            },
        };
        self.results.insert(item, result);
    }

    /// WRITEs must not share transactions from now on.
    fn keep_apart(&mut self, group: &[ItemId]) {
        self.apart = true;
        for item in group {
            if let Source::Known(text) = self.payloads[item].source {
                self.scheduler.keep_apart(text);
            }
        }
    }

    /// How to read the rows of a statement: as described, or as what they are where the columns were told with them.
    fn shape(&mut self, item: ItemId, columns: Option<Vec<Column>>) -> Result<Option<Arc<Described>>, ()> {
        let payload = &self.payloads[&item];
        let source = payload.source.clone();
        let Some(under) = payload.under.clone() else {
            let columns = columns.unwrap_or_default();
            return Ok((!columns.is_empty()).then(|| Arc::new(self.direct(source, columns))));
        };
        match columns {
            Some(columns) if !as_described(&columns, &under) => {
                if let (Source::Known(text), false) = (source, same_columns(&columns, &under.columns)) {
                    self.texts.outdated(text, &under);
                }
                let actual = self.as_it_is(&under, columns);
                self.changed.push((under, actual.clone()));
                actual.map(Some)
            }
            None if self.changed.iter().any(|(old, _)| Arc::ptr_eq(old, &under)) => {
                let (_, actual) =
                    self.changed.iter().find(|(old, _)| Arc::ptr_eq(old, &under)).expect("bug: it was there");
                actual.clone().map(Some)
            }
            _ => Ok((!under.columns.is_empty()).then_some(under)),
        }
    }

    /// Rows of a text that was run without asking first came in text; the pool knows it from now on.
    fn direct(&mut self, source: Source, columns: Vec<Column>) -> Described {
        let sql = match source {
            Source::Plain(sql) => sql,
            Source::Known(text) => {
                if self.texts.info(text).preparable && self.texts.described(text).is_none() {
                    self.texts.describe(text, Vec::new(), columns.clone());
                }
                self.texts.info(text).sql.clone()
            }
        };
        Described::new(String::new(), sql, Vec::new(), columns)
    }

    /// The result has other columns, or another format, than when the text was described; an error if its columns
    /// cannot be read in the format that was asked for.
    fn as_it_is(&self, under: &Arc<Described>, columns: Vec<Column>) -> Result<Arc<Described>, ()> {
        let mut actual = Described::new(String::new(), under.sql.clone(), Vec::new(), columns);
        self.sink.formats(&mut actual);
        for (format, column) in actual.result_formats.iter_mut().zip(&actual.columns) {
            if column.format == 1 && *format == 0 {
                return Err(());
            }
            *format = column.format;
        }
        Ok(Arc::new(actual))
    }

    /// The group of `conn` is answered.
    pub(super) fn finish(&mut self, conn: ConnId, ok: bool, seconds: f64, largest: usize) {
        let now = self.now();
        let member = self.member(conn);
        let group = std::mem::take(&mut member.group);
        let (in_transaction, token) = (member.in_transaction, member.token.take());
        for item in &group {
            self.awaiting.remove(item); // before it may be sent again, and asked for again
        }
        if let Some(token) = token {
            let results = group.iter().map(|item| self.results.remove(item)).collect();
            self.batch.push(Completion::Ran(token, Ok(Ran { ok, seconds, in_transaction, results })));
        } else {
            if ok || group.len() == 1 {
                self.measure(&group, seconds, now);
            }
            let actions = self.scheduler.finished(conn, ok, now, seconds, largest as f64);
            self.perform(actions);
            for item in &group {
                self.results.remove(item);
            }
        }
        self.prune(&group);
    }

    fn measure(&mut self, group: &[ItemId], seconds: f64, now: f64) {
        let count = group.len() as u64;
        self.counters.groups += 1;
        self.counters.statements += count;
        let mut measures = self.shared.measures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        measures.group_size.record(count as f64, 1);
        measures.run.record(seconds, count);
        measures.rate.add(count, now);
        drop(measures);
        if count == 1 && self.options.slow.is_some_and(|slow| seconds >= slow) {
            self.batch.push(Completion::Slow(self.sql(group[0]), seconds));
        }
    }

    /// The connection of a group is gone; what the scheduler sends again starts anew.
    pub(super) fn end_group(&mut self, group: &[ItemId]) {
        for item in group {
            self.awaiting.remove(item);
            self.results.remove(item);
        }
        self.prune(group);
    }

    pub(super) fn prune(&mut self, items: &[ItemId]) {
        for item in items {
            if self.scheduler.knows(*item) {
                continue;
            }
            self.arrived.remove(item);
            if let Some(Source::Known(text)) = self.payloads.remove(item).map(|payload| payload.source) {
                self.texts.release(text);
            }
        }
    }
}

/// Whether they have the same names and types.
pub(super) fn same_columns(one: &[Column], other: &[Column]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| (a.oid, &a.name) == (b.oid, &b.name))
}

fn as_described(columns: &[Column], under: &Described) -> bool {
    same_columns(columns, &under.columns)
        && columns.iter().map(|one| one.format).eq(under.result_formats.iter().copied())
}
