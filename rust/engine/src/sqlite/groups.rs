//! Groups of the pool.
//!
//! READs of a group are executed in one read transaction, WRITEs in one write transaction, so that a group costs one
//! snapshot or one commit. Each statement nevertheless has the outcome that it would have alone:
//!
//! - A statement that fails is undone by SQLite itself, alone and exactly as far as it would be outside a transaction
//!   (`OR FAIL` keeps what came before the failing row), and the transaction goes on.
//! - Where one statement ends everybody's transaction (`ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)`, a full disk, an
//!   interrupt) or COMMIT fails, nothing of the group was done, and the scheduler has each statement sent again alone.
//! - Where deferred foreign keys are declared, one statement could cure what another one violated: there WRITEs are
//!   sent alone from the start.

use super::database::Database;
use super::error::Failure;
use super::work::Run;
use crate::link::Outcome;

const BEGIN_READ_WRITE: &str = "BEGIN IMMEDIATE";

/// One snapshot, outcomes of their own.
pub fn run_reads(database: &mut Database, run: &mut Run) -> Result<(), Failure> {
    let several = run.wanted().nth(1).is_some();
    if several {
        database.surely("BEGIN")?;
    }
    for (number, plan, params) in run.wanted() {
        if run.stop.cancelled() {
            run.stopped();
            break;
        }
        if let Err(failure) = run.execute(database, number, plan, params)
            && !run.failed(number, failure)
        {
            break;
        }
    }
    if several && database.in_transaction() {
        database.surely("COMMIT")?;
    }
    Ok(())
}

/// One commit, outcomes of their own.
pub fn run_writes(database: &mut Database, run: &mut Run) -> Result<(), Failure> {
    if !begin_writes(database, run)? {
        return Ok(());
    }
    for (number, plan, params) in run.wanted() {
        if run.stop.cancelled() {
            run.stopped();
        } else {
            write(database, run, number, plan, params);
        }
        if !run.ok {
            return database.roll_back();
        }
    }
    if let Err(failure) = database.command("COMMIT", run.stop) {
        database.roll_back()?;
        run.ok = false;
        run.outcomes.fill(Outcome::Failed(failure.told()));
    }
    Ok(())
}

/// Begin their transaction; false if they are through already.
fn begin_writes(database: &mut Database, run: &mut Run) -> Result<bool, Failure> {
    let several = run.wanted().nth(1).is_some();
    run.stop.set_waiting(true);
    let begun = database.command(BEGIN_READ_WRITE, run.stop);
    run.stop.set_waiting(false);
    if let Err(failure) = begun {
        if failure.is_busy() || failure.is_interrupted() {
            for (number, ..) in run.wanted() {
                run.failed(number, failure.clone());
            }
            return Ok(false);
        }
        run.ok = false; // the database cannot be written to: each statement fails for its own reason
        if !several {
            for (number, plan, params) in run.wanted() {
                write(database, run, number, plan, params);
            }
        }
        return Ok(false);
    }
    if several && database.defers()? {
        database.roll_back()?;
        (run.no_grouping, run.ok) = (true, false);
    }
    Ok(run.ok)
}

/// Execute one; `run.ok` tells whether the transaction goes on.
fn write(database: &mut Database, run: &mut Run, number: usize, plan: &super::SqlitePlan, params: &[u8]) {
    if let Err(failure) = run.execute(database, number, plan, params) {
        run.failed(number, failure);
        if !database.in_transaction() {
            run.ok = false;
        }
    }
}
