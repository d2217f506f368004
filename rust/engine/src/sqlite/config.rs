//! How the connections of one pool are opened.

use std::path::PathBuf;
use std::time::Duration;

/// What a commit survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synchronous {
    /// A power cut.
    Full,
    /// A crash of the program; a power cut may undo the last commits.
    Normal,
}

/// One database. Python resolves it, so that every engine reads connection strings alike.
#[derive(Clone, Debug)]
pub struct Config {
    /// What is opened, as a URI. All connections to one in-memory database have the same.
    pub uri: String,
    /// The file, for messages; None for an in-memory database.
    pub path: Option<PathBuf>,
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// Whether foreign keys are enforced.
    pub foreign_keys: bool,
    /// What a commit survives.
    pub synchronous: Synchronous,
    /// The file is never written to.
    pub read_only: bool,
    /// Prepared statements kept on each connection; 0 for none.
    pub max_statements: usize,
    /// How many statements may run at the same time.
    pub threads: usize,
    /// A group that runs longer is broken up.
    pub stall: Duration,
    /// How long others of the same pool are kept waiting by one writer before they are refused.
    pub patience: Duration,
}

impl Config {
    /// Whether it is in memory.
    pub fn memory(&self) -> bool {
        self.path.is_none()
    }
}
