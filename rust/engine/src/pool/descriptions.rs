//! What the pool knows of queries beyond their cost: what the server told of them, and the names of prepared
//! statements.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::actor::Actor;
use crate::link::{Column, Described};
use crate::scheduler::QueryId;

/// The pool's part of a query.
pub(super) struct KnownQuery {
    pub(super) sql: Arc<str>,
    /// Whether a group with it begins with the check of deferred keys (rule 8.3).
    pub(super) keys: bool,
    /// Whether it is worth preparing.
    pub(super) preparable: bool,
    /// Whether its types must be asked for even where it comes without arguments.
    pub(super) asks: bool,
    /// Whether it may change how floats are written.
    pub(super) names_digits: bool,
    /// Its types, if they are known.
    pub(super) described: Option<Arc<Described>>,
}

/// How prepared statements are named.
pub(super) struct Names {
    /// They have names. Given up where a proxy turns out to mix up server connections.
    named: bool,
    /// A name was taken, and it is not known yet how that could be.
    pub(super) doubted: bool,
    /// Tells a query prepared again, after a change of its tables, from the one before.
    version: u64,
}

impl Names {
    /// With names (`named`), or without.
    pub(super) fn new(named: bool) -> Self {
        Names { named, doubted: false, version: 0 }
    }

    /// Made from the text itself, so that behind a proxy which shares server connections between programs equal names
    /// mean equal texts.
    fn name(&self, sql: &str) -> String {
        if !self.named {
            return String::new();
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, sql.as_bytes());
        let mut name = String::from("dbp_");
        for byte in &digest.as_ref()[..9] {
            write!(name, "{byte:02x}").expect("bug: writing to memory failed");
        }
        write!(name, "_{}", self.version).expect("bug: writing to memory failed");
        name
    }
}

impl Actor {
    /// The server told the types of a query; what is known of it stays if it is still right.
    pub(super) fn learn(&mut self, id: QueryId, params: Vec<u32>, columns: Vec<Column>) {
        if let Some(known) = self.known(id).described.clone() {
            if known.param_oids == params && known.columns == columns {
                return;
            }
            self.outdated(id, &known);
        }
        self.describe_as(id, params, columns);
    }

    /// These are its types.
    pub(super) fn describe_as(&mut self, id: QueryId, params: Vec<u32>, columns: Vec<Column>) {
        let sql = self.known(id).sql.clone();
        let mut described = Described::new(self.names.name(&sql), sql, params, columns);
        self.sink.formats(&mut described);
        self.scheduler.requests.query_mut(id).info.described = Some(Arc::new(described));
    }

    /// What was known as `described` is out of date; its next name is another one.
    pub(super) fn outdated(&mut self, id: QueryId, described: &Arc<Described>) {
        let known = &mut self.scheduler.requests.query_mut(id).info;
        if known.described.as_ref().is_some_and(|current| Arc::ptr_eq(current, described)) {
            known.described = None;
            self.names.version += 1;
        }
    }

    /// A name was taken on a connection: until it is known whether a proxy deals statements out to other connections,
    /// none is used. The next names cannot be guessed.
    pub(super) fn doubt_names(&mut self) {
        let names = &mut self.names;
        names.doubted = names.doubted || names.named;
        names.version = names.version.wrapping_add(RandomState::new().hash_one(names.version) >> 8);
        self.name_anew(false);
    }

    /// Whether a connection leads to the process that it was opened to. If not, names mean nothing there.
    pub(super) fn judge_names(&mut self, direct: bool) {
        let named = self.names.doubted && direct;
        self.names.doubted = false;
        self.name_anew(named);
    }

    fn name_anew(&mut self, named: bool) {
        self.names.named = named;
        for query in self.scheduler.requests.queries_mut() {
            let described = query.info.described.take();
            query.info.described = described.filter(|one| one.plan.is_some() || one.name.is_empty() != named);
        }
    }
}
