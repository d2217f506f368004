//! What the caller knows of a statement text: Python reads it (`drivers/sqlite/plan.py`), the engine carries it out.

use std::any::Any;
use std::sync::{Arc, Mutex};

use crate::link::{Column, Described, Plan};
use crate::scheduler::Kind;

/// The type of every column: each value tells its own. PostgreSQL has no type of this number.
const ANY: u32 = 0;

/// What a statement has to hold of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lock {
    /// Nothing.
    None,
    /// Reads.
    Read,
    /// The transaction may come to write later, and then could not wait where it keeps others waiting itself.
    Begin,
    /// Writes.
    Write,
}

/// What a statement does to the transaction it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    Plain,
    /// Cannot, or does not what it says, inside a transaction: PRAGMA, ATTACH, VACUUM ...
    Outside,
    /// Begins one.
    Begin,
    /// Begins one that may only read. SQLite has no word for it.
    BeginReadOnly,
    /// Begins one, or a part of one.
    Savepoint,
    /// Ends a part of one.
    Inner,
    /// Ends it.
    Commit,
    /// Undoes it.
    Rollback,
    /// Brings the session back to its initial state. Unknown to SQLite: the connection is opened anew.
    Reset,
    /// Opens a cursor for the rows of the text, fetches some of them, closes it: unknown to SQLite.
    Declare,
    /// See [`Role::Declare`].
    Fetch,
    /// See [`Role::Declare`].
    Close,
}

impl Role {
    /// Whether it is executed, inside a transaction, even if no caller waits any more.
    pub fn always(self) -> bool {
        matches!(self, Role::Savepoint | Role::Inner | Role::Commit | Role::Rollback)
    }
}

/// One text as SQLite executes it.
#[derive(Debug)]
pub struct SqlitePlan {
    /// The text with SQLite's placeholders.
    pub sql: String,
    /// Its class on the pool.
    pub kind: Kind,
    /// What it does to the transaction.
    pub role: Role,
    /// What it needs.
    pub lock: Lock,
    /// Its command tag without a number.
    pub tag: String,
    /// Its tag tells how many rows it changed.
    pub writes: bool,
    /// It may have rows as well.
    pub returns: bool,
    /// How many arguments it takes.
    pub params: usize,
    /// The name of the cursor that it is about, and how many rows it fetches.
    pub cursor: String,
    /// See `cursor`.
    pub rows: usize,
    /// Its columns, as they were when it was last executed.
    pub last: LastShape,
}

/// Kept so that columns that stay the same are the same value.
#[derive(Debug, Default)]
pub struct LastShape(Mutex<Option<Arc<Described>>>);

impl SqlitePlan {
    /// A text of which only this is known, without arguments; its columns show when it is executed.
    pub fn new(sql: String, kind: Kind, role: Role, lock: Lock, tag: String, writes: bool) -> Self {
        SqlitePlan {
            returns: writes && sql.to_ascii_uppercase().contains("RETURNING"),
            sql,
            kind,
            role,
            lock,
            tag,
            writes,
            params: 0,
            cursor: String::new(),
            rows: 0,
            last: LastShape::default(),
        }
    }

    /// The text as the pool knows it.
    pub fn described(self, sql: Arc<str>) -> Described {
        Described { plan: Some(Arc::new(self)), ..Described::new(String::new(), sql, Vec::new(), Vec::new()) }
    }

    /// The command tag, as PostgreSQL has it: `INSERT 0 3`, `UPDATE 3`, `CREATE TABLE`.
    pub(super) fn status(&self, rows: u64) -> String {
        if self.writes || self.tag == "SELECT" { format!("{} {rows}", self.tag) } else { self.tag.clone() }
    }

    /// How to read rows with these columns; the same value for as long as they stay the same.
    pub(super) fn shape<'a>(&self, columns: impl ExactSizeIterator<Item = &'a str> + Clone) -> Arc<Described> {
        let mut kept = self.last.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(shape) = kept.as_ref()
            && shape.columns.len() == columns.len()
            && shape.columns.iter().zip(columns.clone()).all(|(column, name)| column.name == name)
        {
            return shape.clone();
        }
        let columns = columns.map(|name| Column { name: name.to_owned(), oid: ANY, modifier: -1, format: 0 }).collect();
        let shape = Arc::new(Described::new(String::new(), self.sql.as_str().into(), Vec::new(), columns));
        *kept = Some(shape.clone());
        shape
    }
}

impl Plan for SqlitePlan {}

impl Described {
    /// How SQLite executes the text; None if it is not one for SQLite.
    pub fn sqlite_plan(&self) -> Option<&SqlitePlan> {
        (self.plan.as_deref()? as &dyn Any).downcast_ref()
    }

    /// Whether it is a text for SQLite, or its columns.
    pub fn is_sqlite(&self) -> bool {
        self.plan.is_some() || self.columns.first().is_some_and(|column| column.oid == ANY)
    }
}
