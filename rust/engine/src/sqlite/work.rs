//! What one group is, on the thread, and what comes of it.

use std::sync::Arc;
use std::time::Instant;

use bytes::BytesMut;

use super::control::Stop;
use super::database::{Database, Ran};
use super::error::{Failure, canceled, not_utf8};
use super::plan::SqlitePlan;
use super::values::{Value, Values};
use super::{groups, session};
use crate::link::{Execute, GroupResult, Lost, Outcome, ServerError};

/// How a group is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// READs of the pool.
    Reads,
    /// WRITEs of the pool.
    Writes,
    /// Sessions, and whatever runs alone.
    Session,
    /// The connection is opened anew.
    Reset,
}

/// Small results of a group share memory.
const ROOM: usize = 1024;

/// A group that is being carried out.
pub struct Run<'a> {
    /// Its statements.
    pub statements: &'a [Execute],
    /// What came of each.
    pub outcomes: Vec<Outcome>,
    /// What is said besides.
    pub notices: Vec<ServerError>,
    /// All of it counts.
    pub ok: bool,
    /// The statements must not share a transaction, now and later.
    pub no_grouping: bool,
    /// Whether it is to stop.
    pub stop: &'a Stop,
    skipped: &'a [usize],
    largest: usize,
    out: BytesMut,
}

/// The plan of a statement and its arguments.
pub fn plan_of(statement: &Execute) -> Option<(&SqlitePlan, &[u8])> {
    match statement {
        Execute::Known { text, params, .. } => Some((text.sqlite_plan()?, params)),
        _ => None,
    }
}

fn all_utf8(rows: &[u8]) -> bool {
    Values(rows).all(|value| !matches!(value, Value::Text(text) if std::str::from_utf8(text).is_err()))
}

impl<'a> Run<'a> {
    /// The plans of the statements whose callers still wait.
    pub fn wanted(&self) -> impl Iterator<Item = (usize, &'a SqlitePlan, &'a [u8])> + use<'a> {
        let skipped = self.skipped;
        self.statements.iter().enumerate().filter(move |(number, _)| !skipped.contains(number)).map(|(number, one)| {
            let (plan, params) = plan_of(one).expect("bug: a text without a plan");
            (number, plan, params)
        })
    }

    /// Execute one, and keep what it returns.
    ///
    /// SQLite writes everything before it gives the first row. If a value of one cannot be read, the transaction is
    /// rolled back: what is told as failed must not be done.
    pub fn execute(
        &mut self,
        database: &mut Database,
        number: usize,
        plan: &SqlitePlan,
        params: &[u8],
    ) -> Result<(), Failure> {
        let ran = database.run(plan, params, &mut self.out, self.stop)?;
        if plan.writes && !all_utf8(&ran.rows.data) {
            database.roll_back()?;
            return Err(not_utf8("a text"));
        }
        let count = if plan.writes { database.changes() } else { ran.rows.count as u64 };
        self.keep(number, &plan.status(count), ran);
        Ok(())
    }

    /// Keep what a statement returned.
    pub fn keep(&mut self, number: usize, tag: &str, ran: Ran) {
        self.largest = self.largest.max(ran.rows.data.len());
        self.outcomes[number] = Outcome::Done { tag: tag.into(), rows: ran.rows, columns: None, shape: ran.shape };
    }

    /// A statement has nothing but a tag to return.
    pub fn done(&mut self, number: usize, tag: &str) {
        let (tag, rows) = (tag.into(), Default::default());
        self.outcomes[number] = Outcome::Done { tag, rows, columns: None, shape: None };
    }

    /// A statement of the pool failed; true if the other statements of the group may still count.
    pub fn failed(&mut self, number: usize, failure: Failure) -> bool {
        if failure.is_interrupted() || (self.stop.cancelled() && failure.is_busy()) {
            self.ok = false;
        }
        self.outcomes[number] = Outcome::Failed(failure.told());
        self.ok
    }

    /// Nothing of the group counts: each statement is to be sent again; one that is alone fails as cancelled.
    pub fn stopped(&mut self) {
        self.ok = false;
        self.outcomes.fill(Outcome::Failed(canceled().told()));
    }
}

/// Do the work.
pub fn carry_out(
    database: &mut Database,
    work: Work,
    statements: &[Execute],
    skipped: &[usize],
    stop: &Stop,
) -> Result<GroupResult, Lost> {
    let began = Instant::now();
    if stop.take_interrupted() {
        database.end_cursors(); // by an earlier job's cancel
    }
    let mut run = Run {
        statements,
        outcomes: vec![Outcome::Skipped; statements.len()],
        notices: Vec::new(),
        ok: true,
        no_grouping: false,
        stop,
        skipped,
        largest: 0,
        out: BytesMut::with_capacity(ROOM),
    };
    let ended = match work {
        Work::Reads => groups::run_reads(database, &mut run),
        Work::Writes => groups::run_writes(database, &mut run),
        Work::Session => session::run_session(database, &mut run),
        Work::Reset => database.reopen(stop),
    };
    match ended {
        Err(failure) if stop.cancelled() && failure.is_interrupted() => {
            database.roll_back().map_err(lost)?;
            run.stopped();
        }
        ended => ended.map_err(lost)?,
    }
    Ok(GroupResult {
        ok: run.ok,
        outcomes: run.outcomes,
        elapsed: began.elapsed(),
        largest: run.largest,
        in_transaction: database.in_block(),
        settings: Arc::default(),
        notices: run.notices,
        notifications: Vec::new(),
        no_grouping: run.no_grouping,
    })
}

/// What should not have happened.
fn lost(failure: Failure) -> Lost {
    Lost::new(failure.message())
}
