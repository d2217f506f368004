//! One connection: opened, asked and closed on blocking threads, by one thread at a time.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row, Statement};

use super::config::{Config, Synchronous};
use super::control::Stop;
use super::cursor::Cursor;
use super::error::{Failure, canceled, no_cursor, not_utf8, wrong_count};
use super::library;
use super::plan::SqlitePlan;
use super::values::{self, Value, Values};
use crate::link::{ConnectError, Described, Rows, Short};

/// SQLite's own waiting for other processes sleeps on the thread and cannot be interrupted: so it is done in slices.
const SLICE: Duration = Duration::from_millis(50);

/// A connection in auto-commit mode.
pub struct Database {
    config: Arc<Config>,
    /// Those of the open transaction, by name; None for one that an interrupt has ended. They refer to the connection,
    /// and go before it.
    cursors: HashMap<String, Option<Cursor>>,
    connection: Box<Connection>,
    /// Whether readers and writers are in each other's way.
    pub one_lock: bool,
    /// SQLite rolled the open transaction back by itself; nothing is executed until its end is asked for.
    pub failed: bool,
    /// The open transaction is read-only by BEGIN READ ONLY.
    pub read_only: bool,
    schema: i64,
    defers: bool,
}

/// What a statement has returned.
pub struct Ran {
    /// Its rows.
    pub rows: Rows,
    /// How to read them; None if it returns none.
    pub shape: Option<Arc<Described>>,
}

/// Opening and closing.
impl Database {
    /// Open and set up.
    pub fn open(config: &Arc<Config>, stop: &Stop) -> Result<Database, ConnectError> {
        library::lent().map_err(ConnectError::permanent)?;
        Database::try_open(config, stop).map_err(|failure| connect_error(&failure, config))
    }

    fn try_open(config: &Arc<Config>, stop: &Stop) -> Result<Database, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Box::new(Connection::open_with_flags(&config.uri, flags)?);
        connection.busy_timeout(SLICE.min(config.busy_timeout))?;
        connection.set_prepared_statement_cache_capacity(config.max_statements);
        stop.set_handle(connection.get_interrupt_handle());
        let config = config.clone();
        let (cursors, failed, read_only, schema, defers) = (HashMap::new(), false, false, -1, false);
        let mut database = Database { config, cursors, connection, one_lock: true, failed, read_only, schema, defers };
        database.set_up(stop)?;
        Ok(database)
    }

    fn set_up(&mut self, stop: &Stop) -> Result<(), Failure> {
        self.command(
            if self.config.foreign_keys { "PRAGMA foreign_keys = ON" } else { "PRAGMA foreign_keys = OFF" },
            stop,
        )?;
        if !self.config.memory() {
            // its one lock may be taken: everything else would have to wait
            self.command(
                match self.config.synchronous {
                    Synchronous::Full => "PRAGMA synchronous = FULL",
                    Synchronous::Normal => "PRAGMA synchronous = NORMAL",
                },
                stop,
            )?;
            self.one_lock = self.journal_mode(stop)? != "wal";
        }
        Ok(())
    }

    /// Have WAL if possible. Reading the mode is also the first access to the file: what is no database shows.
    fn journal_mode(&self, stop: &Stop) -> Result<String, Failure> {
        let ask = |sql: &str| self.patiently(stop, || Ok(self.connection.query_row(sql, [], |row| row.get(0))?));
        let mode: String = ask("PRAGMA journal_mode")?;
        if mode == "wal" || self.config.read_only {
            return Ok(mode);
        }
        Ok(ask("PRAGMA journal_mode = WAL").unwrap_or(mode)) // a file that cannot be written has the mode it has
    }

    /// A new connection in the place of this one: no setting, temporary table or attached file is left.
    pub fn reopen(&mut self, stop: &Stop) -> Result<(), Failure> {
        self.roll_back()?;
        *self = Database::try_open(&self.config, stop)?;
        Ok(())
    }
}

impl Drop for Database {
    /// What is open is rolled back. A late interrupt would have the closing connection leave its WAL behind: the next
    /// statement takes it.
    fn drop(&mut self) {
        let _ = self.roll_back().and_then(|()| self.surely("SELECT 1"));
    }
}

/// Transactions.
impl Database {
    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// Whether a transaction block is open, failed or not.
    pub fn in_block(&self) -> bool {
        self.failed || self.in_transaction()
    }

    /// Roll back whatever is open.
    pub fn roll_back(&mut self) -> Result<(), Failure> {
        self.close_cursors();
        if self.in_transaction() { self.surely("ROLLBACK") } else { Ok(()) }
    }

    /// A read-only transaction has ended: the connection may write again.
    pub fn end_read_only(&mut self) -> Result<(), Failure> {
        self.read_only = false;
        self.surely("PRAGMA query_only = OFF")
    }

    /// Execute what begins or ends a part of a transaction, or ends it: no cancel keeps that from being done.
    pub fn finish(&mut self, sql: &str, stop: &Stop) -> Result<(), Failure> {
        loop {
            match self.command(sql, stop) {
                Err(failure) if failure.is_interrupted() && self.in_transaction() => self.end_cursors(),
                ended => return ended,
            }
        }
    }

    /// Execute what must not be stopped by a late interrupt; each interrupt hits one attempt at most.
    pub fn surely(&self, sql: &str) -> Result<(), Failure> {
        loop {
            match self.attempt(sql) {
                Err(failure) if failure.is_interrupted() => {}
                ended => return ended,
            }
        }
    }

    /// Whether a COMMIT may fail for what an earlier statement did: a deferred foreign key is declared somewhere.
    ///
    /// Then statements cannot share a transaction: one might even cure what another has violated.
    pub fn defers(&mut self) -> Result<bool, Failure> {
        let version = self.number("PRAGMA schema_version")?;
        if version != self.schema {
            self.defers = self.config.foreign_keys && self.look_for_deferred()?;
            self.schema = version;
        }
        Ok(self.defers)
    }

    fn look_for_deferred(&self) -> Result<bool, Failure> {
        let attached = "SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')";
        if self.number(attached)? > 0 {
            return Ok(true); // their schemas have versions of their own, so do not ask further
        }
        let tables = "SELECT count(*) FROM sqlite_master WHERE sql LIKE '%initially%deferred%'";
        Ok(self.number(tables)? > 0)
    }

    fn number(&self, sql: &str) -> Result<i64, Failure> {
        Ok(self.connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
    }
}

/// Statements.
impl Database {
    /// Execute a command of our own, waiting for other processes' locks as [`Database::run`] does.
    pub fn command(&self, sql: &str, stop: &Stop) -> Result<(), Failure> {
        self.patiently(stop, || self.attempt(sql))
    }

    fn attempt(&self, sql: &str) -> Result<(), Failure> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.raw_query();
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Do `work`, again for up to `busy_timeout` if another process's lock was in the way.
    fn patiently<T>(&self, stop: &Stop, mut work: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut until = None;
        loop {
            match work() {
                Err(failure) if failure.is_busy() => match until {
                    None => until = Some(Instant::now() + self.config.busy_timeout),
                    Some(until) if stop.cancelled() || Instant::now() >= until => return Err(failure),
                    Some(_) => {}
                },
                ended => return ended,
            }
        }
    }

    /// Execute one statement, waiting for other processes' locks for `busy_timeout` at most; `out` is for its rows.
    ///
    /// A statement that was locked out has done nothing yet, so that it is simply repeated.
    pub fn run(&self, plan: &SqlitePlan, params: &[u8], out: &mut BytesMut, stop: &Stop) -> Result<Ran, Failure> {
        self.patiently(stop, || {
            let mut statement = self.connection.prepare_cached(&plan.sql)?;
            out.clear();
            run(&mut statement, plan, params, out)
        })
    }

    /// Execute one statement whose rows are fetched later.
    pub fn declare(&mut self, plan: &SqlitePlan, params: &[u8], stop: &Stop) -> Result<(), Failure> {
        // SAFETY: the connection has a place of its own on the heap, and is dropped after the cursors.
        let cursor = self.patiently(stop, || unsafe { Cursor::declare(&self.connection, plan, params) })?;
        self.cursors.insert(plan.cursor.clone(), Some(cursor));
        Ok(())
    }

    /// The next rows of a cursor.
    pub fn fetch(&mut self, plan: &SqlitePlan) -> Result<Ran, Failure> {
        let cursor = self.cursors.get_mut(&plan.cursor).ok_or_else(|| no_cursor(&plan.cursor))?;
        cursor.as_mut().ok_or_else(canceled)?.fetch(plan.rows)
    }

    /// Close one cursor.
    pub fn close_cursor(&mut self, plan: &SqlitePlan) -> Result<(), Failure> {
        self.cursors.remove(&plan.cursor).map(drop).ok_or_else(|| no_cursor(&plan.cursor))
    }

    /// The transaction of the cursors ends.
    pub fn close_cursors(&mut self) {
        self.cursors.clear();
    }

    /// End them, but keep their names.
    ///
    /// As long as one is open, an interrupt stays in effect: every statement would fail, and no cursor could go on.
    pub fn end_cursors(&mut self) {
        self.cursors.values_mut().for_each(|cursor| *cursor = None);
    }

    /// Rows that the last INSERT, UPDATE or DELETE changed.
    pub fn changes(&self) -> u64 {
        self.connection.changes()
    }
}

fn run(statement: &mut Statement, plan: &SqlitePlan, params: &[u8], out: &mut BytesMut) -> Result<Ran, Failure> {
    bind(statement, params)?;
    let (mut count, mut shape) = (0, None);
    if plan.writes && statement.column_count() > 0 {
        shape_of(plan, statement)?; // what is written is written with the first row: nothing may fail after it
    }
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        if shape.is_none() {
            shape = Some(shape_of(plan, row.as_ref())?);
        }
        put_row(out, row);
        count += 1;
    }
    drop(rows);
    if shape.is_none() && statement.column_count() > 0 {
        shape = Some(shape_of(plan, statement)?);
    }
    Ok(Ran { rows: Rows { data: Short::take(out), count }, shape })
}

/// Give a statement its arguments.
pub fn bind(statement: &mut Statement, params: &[u8]) -> Result<(), Failure> {
    let (takes, mut given) = (statement.parameter_count(), 0);
    for value in Values(params) {
        given += 1;
        if given <= takes {
            statement.raw_bind_parameter(given, to_sql(value))?;
        }
    }
    if given == takes { Ok(()) } else { Err(wrong_count(takes, given)) }
}

/// How to read the rows of a statement. A file may come from any program: its columns may have names that are no UTF-8,
/// at which rusqlite panics.
pub fn shape_of(plan: &SqlitePlan, statement: &Statement) -> Result<Arc<Described>, Failure> {
    let name = |at| statement.column_name(at).expect("bug: a column without a name");
    catch_unwind(AssertUnwindSafe(|| plan.shape((0..statement.column_count()).map(name))))
        .map_err(|_| not_utf8("the name of a column"))
}

/// Write a row.
pub fn put_row(out: &mut BytesMut, row: &Row) {
    for at in 0..row.as_ref().column_count() {
        values::put(out, from_sql(row.get_ref_unwrap(at)));
    }
}

fn to_sql(value: Value<'_>) -> rusqlite::types::ToSqlOutput<'_> {
    rusqlite::types::ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Integer(value) => ValueRef::Integer(value),
        Value::Real(value) => ValueRef::Real(value),
        Value::Text(value) => ValueRef::Text(value),
        Value::Blob(value) => ValueRef::Blob(value),
    })
}

fn from_sql(value: ValueRef<'_>) -> Value<'_> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(value) => Value::Text(value),
        ValueRef::Blob(value) => Value::Blob(value),
    }
}

/// Why the database cannot be opened, in words that help.
fn connect_error(failure: &Failure, config: &Config) -> ConnectError {
    let mut reason = failure.message().to_owned();
    let shown = config.path.as_ref().map_or("in-memory database".into(), |path| path.to_string_lossy());
    if failure.code() & 0xff == rusqlite::ffi::SQLITE_CANTOPEN {
        reason = "unable to open database file".to_owned(); // without the URI
        if let Some(path) = &config.path {
            if path.is_dir() {
                reason += ": it is a directory";
            } else if !path.parent().is_some_and(|parent| parent.is_dir()) {
                reason += ": its directory does not exist";
            } else if !path.exists() {
                reason += ": it does not exist";
            }
        }
    }
    ConnectError {
        attempts: vec![format!("{shown}: {reason}")],
        permanent: !failure.is_busy(),
        cause: Some(failure.clone().told()),
        ..ConnectError::new("the database cannot be opened")
    }
}
