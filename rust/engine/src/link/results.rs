//! What comes back for statements: kept in the bytes of the wire.

use std::sync::Arc;
use std::time::Duration;

use super::error::{Malformed, ServerError};
use super::fields::Fields;
use super::settings::Settings;
use super::short::Short;
use super::statements::{Column, Described, Types};

/// Rows as they came: the bodies of DataRow messages, or SQLite's [`values`](crate::sqlite::values), one after the
/// other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// For each row the number of its values, for each value a length and its bytes.
    pub data: Short,
    /// How many rows.
    pub count: usize,
}

impl Rows {
    /// Read the rows: each is handed to `row` value by value, as (row, column, value).
    pub fn read(&self, mut each: impl FnMut(usize, usize, Option<&[u8]>)) -> Result<(), Malformed> {
        let mut fields = Fields(&self.data);
        for row in 0..self.count {
            for column in 0..fields.count()? {
                each(row, column, fields.value()?);
            }
        }
        Ok(())
    }

    /// All values; for tests and small results.
    pub fn to_vec(&self) -> Result<Vec<Vec<Option<Vec<u8>>>>, Malformed> {
        let mut rows = vec![Vec::new(); self.count];
        self.read(|row, _, value| rows[row].push(value.map(<[u8]>::to_vec)))?;
        Ok(rows)
    }
}

/// What NOTIFY sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The process of the session that sent it.
    pub pid: i32,
    /// Where.
    pub channel: String,
    /// What.
    pub payload: String,
}

/// How one statement ended.
#[derive(Debug, Clone, Default)]
pub enum Outcome {
    /// It was executed.
    Done {
        /// Its command tag, empty for an empty statement.
        tag: Arc<str>,
        /// Its rows.
        rows: Rows,
        /// Their columns, where they were not known before, or the text was prepared just now.
        columns: Option<Vec<Column>>,
        /// How to read them, where the database tells each time (SQLite).
        shape: Option<Arc<Described>>,
    },
    /// The server told its types.
    Described(Types),
    /// The server refused it.
    Failed(ServerError),
    /// It was not executed, since one before it failed.
    #[default]
    Skipped,
}

/// How a group ended.
#[derive(Debug)]
pub struct GroupResult {
    /// All of it is done; else all of it was rolled back.
    pub ok: bool,
    /// For each statement.
    pub outcomes: Vec<Outcome>,
    /// From sending to ReadyForQuery.
    pub elapsed: Duration,
    /// The bytes of the largest result.
    pub largest: usize,
    /// A transaction block is open, failed or not.
    pub in_transaction: bool,
    /// What the values depend on.
    pub settings: Arc<Settings>,
    /// What the server said besides.
    pub notices: Vec<ServerError>,
    /// What NOTIFY in other sessions, or in this one, has sent.
    pub notifications: Vec<Notification>,
    /// The statements must not be grouped any more (SQLite).
    pub no_grouping: bool,
}
