//! What connections emit: opened, answered, lost; and what becomes of their statements.

use std::sync::Arc;

use super::actor::{Actor, Payload, Phase};
use super::connection_task::Event;
use super::requests::fetches;
use super::{Completion, Ran};
use crate::link::{Column, Described, GroupResult, Lost, Notification, Outcome, Settings};
use crate::scheduler::model::Request;
use crate::scheduler::{Action, ConnId, QueryId, RequestId, RequestState, StatementRequest};

/// Why a connection is given up.
const CANCEL_UNDER_WAY: &str = "a cancel request was not taken in in time: it might hit the next statement";

impl Actor {
    pub(super) fn handle(&mut self, conn: ConnId, event: Event) {
        let now = self.now();
        let actions = match event {
            Event::CancelClosed(None, true) => self.scheduler.cancel_closed(conn, now),
            Event::CancelClosed(Some(token), closed) => return self.batch.push(Completion::Stopped(token, closed)),
            // What follows comes from a connection that may have been given up meanwhile.
            _ if !self.tasks.contains_key(&conn) => return,
            Event::CancelClosed(None, false) => self.lost(conn, Lost::new(CANCEL_UNDER_WAY), false, now),
            Event::Opened(cancel_handle, settings, info) => {
                let initializes = self.options.initializes;
                let task = self.task(conn);
                (task.cancel_handle, task.iso_styles, task.info) = (Some(cancel_handle), settings.iso_styles(), info);
                if initializes {
                    (task.acquired, task.phase) = (true, Phase::Initializing);
                    return self.batch.push(Completion::Initialize(conn));
                }
                self.opened(conn, now, None)
            }
            Event::OpenFailed(error) => {
                let permanent = error.permanent;
                self.batch.push(Completion::NotOpened(error));
                self.not_opened(conn, permanent, now)
            }
            Event::Ran(answer) => return self.answered(conn, answer, now),
            Event::DataRequest(piece) => {
                if let Some(token) = self.tasks[&conn].token {
                    self.batch.push(Completion::DataRequest(token, piece));
                }
                return;
            }
            Event::Notified(notifications) => return self.notified(conn, notifications),
            Event::Lost(lost) => {
                let evict_all = lost.evicts_all();
                self.lost(conn, lost, evict_all, now)
            }
        };
        self.perform(actions);
    }

    pub(super) fn opened(&mut self, conn: ConnId, now: f64, round_trip: Option<f64>) -> Vec<Action<Payload>> {
        self.batch.push(Completion::Opened(conn));
        let lifetime = self.options.lifetime * (0.9 + 0.2 * self.draw());
        self.scheduler.opened(conn, now, lifetime, round_trip)
    }

    pub(super) fn not_opened(&mut self, conn: ConnId, permanent: bool, now: f64) -> Vec<Action<Payload>> {
        self.scheduler.counters.connect_failures += 1;
        self.tasks.remove(&conn);
        let jitter = self.draw();
        self.scheduler.open_failed(conn, now, permanent, jitter)
    }

    pub(super) fn lost(&mut self, conn: ConnId, mut lost: Lost, evict_all: bool, now: f64) -> Vec<Action<Payload>> {
        self.scheduler.counters.lost += 1;
        let task = self.tasks.remove(&conn).expect("bug: a connection that is not there");
        lost.sent |= task.at > 0 && !task.group.is_empty(); // a part of the group is done
        let jitter = self.draw();
        let actions = match task.phase {
            Phase::Initializing => Vec::new(), // the caller that initializes it gets the loss, and reports it
            _ => {
                self.batch.push(Completion::Gone(lost.clone()));
                self.scheduler.lost(conn, now, lost.sent && task.sent, evict_all, jitter)
            }
        };
        self.end_group(&task.group);
        if let Some(token) = task.token {
            self.batch.push(Completion::Ran(token, Err(lost.clone())));
        }
        if task.acquired {
            self.batch.push(Completion::AcquiredLost(conn, lost));
        }
        actions
    }

    /// ReadyForQuery: what was run is final.
    fn answered(&mut self, conn: ConnId, answer: GroupResult, now: f64) {
        let GroupResult {
            ok,
            outcomes,
            elapsed,
            largest,
            in_transaction,
            settings,
            notices,
            notifications,
            no_grouping,
        } = answer;
        self.notified(conn, notifications);
        self.batch.extend(notices.into_iter().map(|notice| Completion::Notice(conn, notice)));
        let task = self.task(conn);
        (task.iso_styles, task.in_transaction) = (settings.iso_styles(), in_transaction);
        if std::mem::take(&mut task.probing) {
            return self.probed(conn, &outcomes);
        }
        let asked = std::mem::take(&mut task.looking_up);
        if !asked.is_empty() {
            return self.looked_up(conn, asked, outcomes);
        }
        if task.group.is_empty() {
            return self.was_reset(conn, ok, now);
        }
        let (run, asked, describing) = (task.run, task.asked.take(), task.describing);
        let sent: Vec<RequestId> = task.group[task.at..task.at + run].iter().copied().chain(asked).collect();
        task.at += if ok { run } else { 0 };
        if no_grouping {
            self.stop_grouping(&sent);
        }
        for (request, outcome) in sent.into_iter().zip(outcomes) {
            self.take_result(request, outcome, &settings, describing);
        }
        self.changed.clear();
        if ok && self.acquits(conn) {
            return self.finish(conn, false, elapsed.as_secs_f64(), largest);
        }
        let task = self.task(conn);
        if ok && !describing && (asked.is_some() || task.at < task.group.len()) {
            self.scheduler.measured(conn, elapsed.as_secs_f64());
            self.start(conn);
        } else {
            let goes_on =
                if ok { self.looks_up_columns(conn, elapsed.as_secs_f64(), largest) } else { self.heal(conn) };
            if !goes_on {
                self.finish(conn, ok, elapsed.as_secs_f64(), largest);
            }
        }
    }

    /// Notifications are for the caller that holds the connection; on a shared one they are dropped.
    fn notified(&mut self, conn: ConnId, notifications: Vec<Notification>) {
        if self.tasks[&conn].acquired && !notifications.is_empty() {
            self.batch.push(Completion::Notified(conn, notifications));
        }
    }

    fn was_reset(&mut self, conn: ConnId, ok: bool, now: f64) {
        let actions = match ok {
            true => {
                let task = self.task(conn);
                task.exact = task.exact_at_start;
                self.scheduler.reset_done(conn, now)
            }
            false => {
                let lost = Lost { sent: false, ..Lost::new("the session could not be reset") };
                self.lost(conn, lost, false, now)
            }
        };
        self.perform(actions);
    }

    fn take_result(&mut self, request: RequestId, outcome: Outcome, settings: &Arc<Settings>, describing: bool) {
        let result = match outcome {
            Outcome::Skipped => return,
            Outcome::Described((params, columns)) => {
                let sql = self.sql(request);
                if describing {
                    let types = (params.clone(), columns.clone());
                    self.payload(request).result = Some(Completion::Described(request, types));
                }
                match self.scheduler.requests.statement(request).query {
                    Some(query) if !fetches(&sql) => self.learn(query, params, columns),
                    _ => {
                        let mut described = Described::new(String::new(), sql, params, columns);
                        self.sink.formats(&mut described);
                        self.payload(request).under = Some(Arc::new(described));
                    }
                }
                return;
            }
            Outcome::Failed(error) => Completion::Failed(request, error),
            Outcome::Done { tag, rows, shape: Some(shape), .. } => {
                Completion::Done { request, tag, rows, shape: Some(shape), settings: settings.clone() }
            }
            Outcome::Done { tag, rows, columns, shape: None } => match self.shape(request, columns) {
                Ok(shape) => Completion::Done { request, tag, rows, shape, settings: settings.clone() },
                Err(()) => Completion::Changed(request),
            },
        };
        self.payload(request).result = Some(result);
    }

    /// WRITEs must not share transactions from now on.
    fn stop_grouping(&mut self, group: &[RequestId]) {
        self.no_grouping = true;
        for request in group {
            if let Some(query) = self.scheduler.requests.statement(*request).query {
                self.scheduler.stop_grouping(query);
            }
        }
    }

    /// How to read the rows of a statement: as described, or as what they are where the columns were told with them.
    fn shape(&mut self, request: RequestId, columns: Option<Vec<Column>>) -> Result<Option<Arc<Described>>, ()> {
        let StatementRequest { query, payload } = self.scheduler.requests.statement(request);
        let query = *query;
        let Some(under) = payload.under.clone() else {
            let columns = columns.unwrap_or_default();
            return Ok((!columns.is_empty()).then(|| Arc::new(self.direct(request, query, columns))));
        };
        match columns {
            Some(columns) if !as_described(&columns, &under) => {
                if let (Some(query), false) = (query, same_columns(&columns, &under.columns)) {
                    self.outdated(query, &under);
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
    fn direct(&mut self, request: RequestId, query: Option<QueryId>, columns: Vec<Column>) -> Described {
        if let Some(query) = query {
            let known = self.known(query);
            if known.preparable && known.described.is_none() {
                self.describe_as(query, Vec::new(), columns.clone());
            }
        }
        let mut described = Described::new(String::new(), self.sql(request), Vec::new(), columns);
        self.sink.formats(&mut described);
        described.result_formats.fill(0);
        described
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
        let task = self.task(conn);
        let group = std::mem::take(&mut task.group);
        let (in_transaction, token) = (task.in_transaction, task.token.take());
        if let Some(token) = token {
            let requests = &mut self.scheduler.requests;
            let results =
                group.iter().map(|request| requests.remove(*request).and_then(|payload| payload.result)).collect();
            self.batch.push(Completion::Ran(token, Ok(Ran { ok, seconds, in_transaction, results })));
        } else {
            if ok || group.len() == 1 {
                self.measure(&group, seconds, now);
            } else {
                self.start_anew(&group);
            }
            let actions = self.scheduler.finished(conn, ok, now, seconds, largest as f64);
            self.perform(actions);
        }
    }

    fn measure(&mut self, group: &[RequestId], seconds: f64, now: f64) {
        let count = group.len() as u64;
        self.scheduler.counters.groups += 1;
        self.scheduler.counters.statements += count;
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
    pub(super) fn end_group(&mut self, group: &[RequestId]) {
        for request in group {
            let held = |request: &Request<Payload>| request.state == RequestState::Held;
            if self.scheduler.requests.find(*request).is_some_and(held) {
                self.scheduler.requests.remove(*request);
            }
        }
        self.start_anew(group);
    }

    /// Those of them that are still there will be sent again: what they have come to so far does not count.
    fn start_anew(&mut self, group: &[RequestId]) {
        for request in group {
            if let Some(payload) = self.scheduler.requests.find_payload(*request) {
                (payload.awaiting, payload.result) = (None, None);
            }
        }
    }
}

/// Whether they have the same names and types.
pub(super) fn same_columns(one: &[Column], other: &[Column]) -> bool {
    let same = |(a, b): (&Column, &Column)| (a.oid, a.modifier, &a.name) == (b.oid, b.modifier, &b.name);
    one.len() == other.len() && one.iter().zip(other).all(same)
}

fn as_described(columns: &[Column], under: &Described) -> bool {
    same_columns(columns, &under.columns)
        && columns.iter().map(|one| one.format).eq(under.result_formats.iter().copied())
}
