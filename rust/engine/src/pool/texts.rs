//! What the pool knows of statement texts beyond their cost: what the server told of them.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::sending::names_digits;
use super::{Sink, TextInfo};
use crate::scheduler::model::ById;
use crate::scheduler::{Kind, TextId};
use crate::wire::{Column, Described};

struct Known {
    info: TextInfo,
    described: Option<Arc<Described>>,
    /// Whether it may change how floats are written.
    digits: bool,
    /// Statements that refer to it.
    users: usize,
    forgotten: bool,
}

/// All texts of one pool.
pub struct Texts {
    sink: Arc<dyn Sink>,
    texts: ById<TextId, Known>,
    /// Prepared statements have names. Given up where a proxy turns out to mix up server connections.
    named: bool,
    doubted: bool,
    /// Tells a text prepared again, after a change of its tables, from the one before.
    version: u64,
}

impl Texts {
    /// None yet.
    pub fn new(sink: Arc<dyn Sink>, named: bool) -> Self {
        Texts { sink, texts: ById::default(), named, doubted: false, version: 0 }
    }

    /// The caller came to know a text.
    pub fn add(&mut self, id: TextId, info: TextInfo) {
        let digits = names_digits(&info.sql);
        self.texts.insert(id, Known { info, described: None, digits, users: 0, forgotten: false });
    }

    /// A statement refers to it.
    pub fn hold(&mut self, id: TextId) {
        self.known(id).users += 1;
    }

    /// A statement does not refer to it any more.
    pub fn release(&mut self, id: TextId) {
        let known = self.known(id);
        known.users -= 1;
        if known.users == 0 && known.forgotten {
            self.texts.remove(&id);
        }
    }

    /// The caller does not know it any more.
    pub fn forget(&mut self, id: TextId) {
        let known = self.known(id);
        known.forgotten = true;
        if known.users == 0 {
            self.texts.remove(&id);
        }
    }

    fn known(&mut self, id: TextId) -> &mut Known {
        self.texts.get_mut(&id).expect("bug: a text that is not there")
    }

    /// It is of another class than it seemed; false if it is not there.
    pub fn reclassify(&mut self, id: TextId, kind: Kind, keys: bool) -> bool {
        self.texts.get_mut(&id).map(|known| (known.info.kind, known.info.keys) = (kind, keys)).is_some()
    }

    /// What is known of it.
    pub fn info(&self, id: TextId) -> &TextInfo {
        &self.texts[&id].info
    }

    /// Whether it may change how floats are written, which the server does not report.
    pub fn names_digits(&self, id: TextId) -> bool {
        self.texts[&id].digits
    }

    /// Its types, if they are known.
    pub fn described(&self, id: TextId) -> Option<&Arc<Described>> {
        self.texts[&id].described.as_ref()
    }

    /// The server told its types; what is known of the text stays if it is still right.
    pub fn learn(&mut self, id: TextId, params: Vec<u32>, columns: Vec<Column>) {
        if let Some(known) = self.described(id).cloned() {
            if known.param_oids == params && known.columns == columns {
                return;
            }
            self.outdated(id, &known);
        }
        drop(self.describe(id, params, columns));
    }

    /// These are its types.
    pub fn describe(&mut self, id: TextId, params: Vec<u32>, columns: Vec<Column>) -> Arc<Described> {
        let sql = self.texts[&id].info.sql.clone();
        let name = if self.named { self.name(&sql) } else { String::new() };
        let mut described = Described::new(name, sql, params, columns);
        self.sink.formats(&mut described);
        let described = Arc::new(described);
        self.known(id).described = Some(described.clone());
        described
    }

    /// What was known as `described` is out of date; its next name is another one.
    pub fn outdated(&mut self, id: TextId, described: &Arc<Described>) {
        let known = self.known(id);
        if known.described.as_ref().is_some_and(|current| Arc::ptr_eq(current, described)) {
            known.described = None;
            self.version += 1;
        }
    }

    /// What was known before was right.
    pub fn restore(&mut self, id: TextId, described: Arc<Described>) {
        self.known(id).described = Some(described);
    }

    /// Whether a name was taken, and it is not known yet how that could be.
    pub fn doubted(&self) -> bool {
        self.doubted
    }

    /// A name was taken on a connection: until it is known whether a proxy deals statements out to other connections,
    /// none is used. The next names are none that anybody can have guessed.
    pub fn doubt_names(&mut self) {
        self.doubted = self.doubted || self.named;
        self.version = self.version.wrapping_add(RandomState::new().hash_one(self.version) >> 8);
        self.name_anew(false);
    }

    /// Whether a connection leads to the process that it was opened to. If not, names mean nothing there.
    pub fn judge_names(&mut self, direct: bool) {
        let named = self.doubted && direct;
        self.doubted = false;
        self.name_anew(named);
    }

    fn name_anew(&mut self, named: bool) {
        self.named = named;
        for known in self.texts.values_mut() {
            known.described = known.described.take().filter(|one| one.plan.is_some() || one.name.is_empty() != named);
        }
    }

    /// Made from the text itself, so that behind a proxy which shares server connections between programs equal names
    /// mean equal texts.
    fn name(&self, sql: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, sql.as_bytes());
        let mut name = String::from("dbp_");
        for byte in &digest.as_ref()[..9] {
            write!(name, "{byte:02x}").expect("bug: writing to memory failed");
        }
        write!(name, "_{}", self.version).expect("bug: writing to memory failed");
        name
    }
}
