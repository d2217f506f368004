//! Types that are not built in: what they are made of is asked for once in a pool, before arguments of them are encoded
//! and before rows of them are read (rule 4.7).

use std::fmt::Write;
use std::sync::Arc;

use super::Completion;
use super::actor::Actor;
use super::connection_task::Job;
use crate::link::{Described, Execute, Outcome, Rows};
use crate::scheduler::{ConnId, RequestId};

/// Seconds for which the fields of a composite are taken for what they were, as in `db_pool_rs/types/catalog.py`.
const FRESH: f64 = 60.0;

impl Actor {
    /// Whether the server is being asked about types of these statements, which the caller was not told of yet.
    pub(super) fn looks_up(&mut self, conn: ConnId, missing: &[(RequestId, Arc<Described>)]) -> bool {
        let unknown = self.unknown(missing.iter().flat_map(|(_, text)| &text.foreign));
        if !self.asks_about(conn, unknown) {
            return false;
        }
        for (request, _) in missing {
            self.payload(*request).awaiting = None; // its arguments are asked for when the types are known
        }
        let task = self.task(conn);
        (task.looked_up, task.missing) = (true, 0);
        true
    }

    /// A group is answered: whether the server is being asked about types of its columns, which the caller was not told
    /// of yet.
    pub(super) fn looks_up_columns(&mut self, conn: ConnId, seconds: f64, largest: usize) -> bool {
        let requests = &self.scheduler.requests;
        let results = self.tasks[&conn].group.iter().map(|request| &requests.statement(*request).payload.result);
        let (mut named, mut within) = (Vec::new(), Vec::new());
        for (rows, shape) in results.filter_map(rows_of) {
            named.extend(&shape.foreign_columns);
            if shape.has_records {
                within.append(&mut self.sink.types_in(rows, shape));
            }
        }
        let unknown = self.unknown(named.iter().copied().chain(&within));
        if !self.asks_about(conn, unknown) {
            return false;
        }
        self.task(conn).reading = Some((seconds, largest));
        true
    }

    /// Those that the caller was not told of, each once.
    fn unknown<'a>(&self, oids: impl Iterator<Item = &'a u32>) -> Vec<u32> {
        let (now, mut unknown) = (self.now(), Vec::new());
        for oid in oids {
            if self.types.get(oid).is_none_or(|until| *until <= now) && !unknown.contains(oid) {
                unknown.push(*oid);
            }
        }
        unknown
    }

    /// Ask the server about these types, if there are any.
    fn asks_about(&mut self, conn: ConnId, unknown: Vec<u32>) -> bool {
        let Some(query) = self.options.types_query.clone().filter(|_| !unknown.is_empty()) else { return false };
        let mut list = String::from("'{");
        for (number, oid) in unknown.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(list, "{comma}{oid}").expect("bug: writing to memory failed");
        }
        list.push_str("}'");
        let statements = vec![Execute::Direct(query.replace("$1", &list).into())];
        let task = self.task(conn);
        task.looking_up = unknown;
        task.send(Job { statements, revocable: true, ..Job::default() });
        true
    }

    /// Arguments of a statement do not fit: true if the server is asked about its types once more, since they may have
    /// changed after the caller was told of them.
    pub(super) fn looks_up_again(&mut self, conn: ConnId, request: RequestId) -> bool {
        let under = self.payload(request).under.clone();
        let Some(under) = under.filter(|under| !under.foreign.is_empty()) else { return false };
        if self.task(conn).looked_up || self.options.types_query.is_none() {
            return false;
        }
        self.forget_types(&under);
        self.start(conn);
        true
    }

    /// The server has told.
    pub(super) fn looked_up(&mut self, conn: ConnId, asked: Vec<u32>, outcomes: Vec<Outcome>) {
        let reading = self.task(conn).reading.take();
        match outcomes.into_iter().next() {
            Some(Outcome::Done { rows, .. }) => {
                let (mut oids, mut composite) = (asked.clone(), false);
                let read = rows.read(|_, column, value| match (column, value) {
                    (0, Some(oid)) => oids.extend(str::from_utf8(oid).ok().and_then(|oid| oid.parse::<u32>().ok())),
                    (2, Some(kind)) => composite |= kind == b"c",
                    _ => {}
                });
                let until = if composite { self.now() + FRESH } else { f64::INFINITY };
                self.types.extend(oids.into_iter().map(|oid| (oid, until)));
                if read.is_err() {
                    self.types.clear();
                }
                self.batch.push(Completion::Types(asked, rows));
                match reading {
                    Some((seconds, largest)) => self.finish(conn, true, seconds, largest),
                    None => self.start(conn),
                }
            }
            // Rows of these types cannot be read then, but nothing else has failed.
            _ if let Some((seconds, largest)) = reading => self.finish(conn, true, seconds, largest),
            Some(Outcome::Failed(error)) => {
                let task = self.task(conn);
                let request = task.group[task.at];
                self.payload(request).result = Some(Completion::Failed(request, error));
                self.finish(conn, false, 0.0, 0);
            }
            _ => self.finish(conn, false, 0.0, 0),
        }
    }

    /// What the caller was told of the types of a text may be out of date.
    pub(super) fn forget_types(&mut self, described: &Described) {
        for oid in described.foreign.iter().chain(&described.foreign_columns) {
            self.types.remove(oid);
        }
    }
}

/// The rows of a statement, and how they are read.
fn rows_of(result: &Option<Completion>) -> Option<(&Rows, &Arc<Described>)> {
    match result {
        Some(Completion::Done { rows, shape, .. }) => shape.as_ref().map(|shape| (rows, shape)),
        _ => None,
    }
}
