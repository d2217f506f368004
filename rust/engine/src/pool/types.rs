//! Types that are not built in: what they are made of is asked for once in a pool, before arguments of them are encoded
//! (rule 4.7).

use std::fmt::Write;
use std::sync::Arc;

use super::Completion;
use super::actor::Actor;
use super::connection_task::Job;
use crate::link::{Described, Execute, Outcome};
use crate::scheduler::{ConnId, RequestId};

impl Actor {
    /// Whether the server is being asked about types of these statements, which the caller was not told of yet.
    pub(super) fn looks_up(&mut self, conn: ConnId, missing: &[(RequestId, Arc<Described>)]) -> bool {
        let Some(query) = self.options.types_query.clone() else { return false };
        let mut unknown: Vec<u32> = Vec::new();
        for oid in missing.iter().flat_map(|(_, text)| &text.foreign) {
            if !self.types.contains(oid) && !unknown.contains(oid) {
                unknown.push(*oid);
            }
        }
        if unknown.is_empty() {
            return false;
        }
        let mut list = String::from("'{");
        for (number, oid) in unknown.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(list, "{comma}{oid}").expect("bug: writing to memory failed");
        }
        list.push_str("}'");
        let statements = vec![Execute::Direct(query.replace("$1", &list).into())];
        for (request, _) in missing {
            self.payload(*request).awaiting = None; // its arguments are asked for when the types are known
        }
        let task = self.task(conn);
        (task.looking_up, task.looked_up, task.missing) = (unknown, true, 0);
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
        match outcomes.into_iter().next() {
            Some(Outcome::Done { rows, .. }) => {
                self.types.extend(&asked);
                let parts = &mut self.types; // rows tell of what these are made of, too: the type comes first
                let read = rows.read(|_, column, value| {
                    let oid =
                        value.filter(|_| column == 0).and_then(|text| str::from_utf8(text).ok()?.parse::<u32>().ok());
                    parts.extend(oid);
                });
                if read.is_err() {
                    self.types.clear();
                }
                self.batch.push(Completion::Types(asked, rows));
                self.start(conn);
            }
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
        for oid in &described.foreign {
            self.types.remove(oid);
        }
    }
}
