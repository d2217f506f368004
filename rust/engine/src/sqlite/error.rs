//! What went wrong on a thread, as errors for callers. What SQLite itself said keeps its message and extended result
//! code, of which Python makes an SQLSTATE; what is said here has its SQLSTATE.

use std::time::Duration;

use rusqlite::ffi;

use crate::link::ServerError;

/// Why a statement failed.
#[derive(Debug, Clone)]
pub struct Failure {
    code: i32,
    error: ServerError,
}

impl Failure {
    fn said(severity: &str, sqlstate: &str, message: String) -> ServerError {
        let fields = [(b'S', severity), (b'C', sqlstate), (b'M', &message)];
        ServerError::new(fields.map(|(letter, value)| (letter, value.to_owned())).to_vec())
    }

    /// The extended result code, 0 if it is no error of SQLite's.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The lock of another connection was in the way, and waiting may help.
    pub fn is_busy(&self) -> bool {
        self.code & 0xff == ffi::SQLITE_BUSY && self.code != ffi::SQLITE_BUSY_SNAPSHOT
    }

    /// The statement was interrupted.
    pub fn is_interrupted(&self) -> bool {
        self.code & 0xff == ffi::SQLITE_INTERRUPT
    }

    /// The error for the caller.
    pub fn told(self) -> ServerError {
        self.error
    }

    /// Its message.
    pub fn message(&self) -> &str {
        self.error.field(b'M').unwrap_or_default()
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let (code, message) = match error {
            rusqlite::Error::SqliteFailure(error, message) => {
                (error.extended_code, message.unwrap_or_else(|| ffi::code_to_str(error.extended_code).to_owned()))
            }
            rusqlite::Error::MultipleStatement => (0, "You can only execute one statement at a time.".to_owned()),
            other => (0, other.to_string()),
        };
        let mut fields = vec![(b'S', "ERROR".to_owned()), (b'M', message)];
        if code != 0 {
            fields.push((ServerError::SQLITE_CODE, code.to_string()));
        }
        Failure { code, error: ServerError::new(fields) }
    }
}

/// A statement came after SQLite itself had rolled the transaction back.
pub fn failed_transaction() -> Failure {
    let message =
        "the transaction was rolled back by an earlier statement: nothing is executed until the end of the block";
    Failure { code: 0, error: Failure::said("ERROR", "25P02", message.to_owned()) }
}

/// Placeholders of another kind than `?1`; the words are those of Python's `sqlite3`.
pub fn wrong_count(takes: usize, given: usize) -> Failure {
    let message = format!(
        "Incorrect number of bindings supplied. The current statement uses {takes}, and there are {given} supplied."
    );
    Failure { code: 0, error: ServerError::new(vec![(b'S', "ERROR".to_owned()), (b'M', message)]) }
}

/// A cursor was closed, or its transaction has ended.
pub fn no_cursor(name: &str) -> Failure {
    Failure { code: 0, error: Failure::said("ERROR", "34000", format!("cursor \"{name}\" does not exist")) }
}

/// A column's name, which the file has, cannot be told.
pub fn not_utf8(what: &str) -> Failure {
    Failure { code: 0, error: Failure::said("ERROR", "22021", format!("{what} is not UTF-8")) }
}

/// The statement was stopped.
pub fn canceled() -> Failure {
    Failure { code: 0, error: Failure::said("ERROR", "57014", "canceled at the caller's request".to_owned()) }
}

/// Another connection of this process has held the database for too long.
pub fn lock_not_available(patience: Duration) -> ServerError {
    let seconds = patience.as_secs_f64();
    let message = format!("database is locked: another transaction of this pool has held the lock for {seconds} s");
    Failure::said("ERROR", "55P03", message)
}

/// The warning that PostgreSQL gives for COMMIT and ROLLBACK outside a transaction.
pub fn no_transaction(command: &str) -> ServerError {
    Failure::said("WARNING", "25P01", format!("{command}: there is no transaction in progress"))
}
