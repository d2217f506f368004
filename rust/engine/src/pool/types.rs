//! Types that are not built in: what they are made of is asked for once in a pool, before arguments of them are encoded
//! (rule 4.7).

use std::fmt::Write;
use std::sync::Arc;

use super::Completion;
use super::actor::Actor;
use super::member::Job;
use crate::scheduler::{ConnId, ItemId};
use crate::wire::{Described, Execute, Outcome};

impl Actor {
    /// Whether the server is being asked about types of these statements, which the caller was not told of yet.
    pub(super) fn looks_up(&mut self, conn: ConnId, missing: &[(ItemId, Arc<Described>)]) -> bool {
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
        let member = self.member(conn);
        member.looking_up = unknown;
        member.missing = 0;
        member.send(Job { statements, revocable: true, ..Job::default() });
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
                let member = self.member(conn);
                let item = member.group[member.at];
                self.results.insert(item, Completion::Failed(item, error));
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
