//! Sessions, and whatever runs alone: one statement after another, up to the first error.
//!
//! What ends a transaction, or begins or ends a part of one, is executed though its caller has gone: else the transaction
//! would be another one than its blocks say.
//!
//! Several of them outside a transaction block that do not control transactions themselves (a script) are one
//! transaction. As in PostgreSQL, a block that SQLite rolled back by itself has failed until its end is asked for.

use super::control::Stop;
use super::database::Database;
use super::error::{Failure, canceled, failed_transaction, no_transaction};
use super::plan::{Lock, Role, SqlitePlan};
use super::work::Run;
use crate::link::Outcome;

/// One after another, up to the first error.
pub fn run_session(database: &mut Database, run: &mut Run) -> Result<(), Failure> {
    let several = run.statements.len() > 1;
    let script = several && !database.in_block() && run.wanted().all(|(_, plan, _)| plan.role == Role::Plain);
    let mut at = 0;
    if let Err(failure) = steps(database, run, script, &mut at) {
        run.outcomes[at] = Outcome::Failed(failure.told());
        run.ok = false;
        if script {
            database.roll_back()?;
            database.failed = false;
        }
    }
    if database.read_only && !database.in_block() {
        database.end_read_only()?;
    }
    Ok(())
}

fn steps(database: &mut Database, run: &mut Run, script: bool, at: &mut usize) -> Result<(), Failure> {
    if script {
        let writes = run.wanted().any(|(_, plan, _)| plan.lock == Lock::Write);
        database.command(if writes { "BEGIN IMMEDIATE" } else { "BEGIN" }, run.stop)?;
    }
    for (number, plan, params) in run.wanted() {
        *at = number;
        if run.stop.cancelled() && !(plan.role.always() && database.in_block()) {
            return Err(canceled());
        }
        step(database, run, number, plan, params)?;
    }
    if script { database.command("COMMIT", run.stop) } else { Ok(()) }
}

fn step(
    database: &mut Database,
    run: &mut Run,
    number: usize,
    plan: &SqlitePlan,
    params: &[u8],
) -> Result<(), Failure> {
    if plan.role == Role::Reset {
        database.reopen(run.stop)?;
        run.done(number, "DISCARD ALL");
        return Ok(());
    }
    let ends = matches!(plan.role, Role::Commit | Role::Rollback);
    if database.failed {
        if !ends {
            return Err(failed_transaction());
        }
        database.failed = false;
        database.close_cursors();
        run.done(number, "ROLLBACK");
        return Ok(());
    }
    if ends {
        return end(database, run, number, plan);
    }
    if plan.role == Role::BeginReadOnly {
        begin_read_only(database, run.stop)?;
        run.done(number, "BEGIN");
        return Ok(());
    }
    if !plan.cursor.is_empty() {
        return use_cursor(database, run, number, plan, params);
    }
    let before = database.in_transaction();
    let own_transaction = plan.returns && !before; // a transaction of its own, that can be rolled back
    if own_transaction {
        database.command("BEGIN IMMEDIATE", run.stop)?;
    }
    let ended = if before && plan.role.always() {
        database.finish(&plan.sql, run.stop).map(|()| run.done(number, &plan.tag))
    } else {
        run.execute(database, number, plan, params)
    };
    if ended.is_err() {
        database.failed = before && !database.in_transaction();
    }
    if own_transaction && database.in_transaction() {
        commit(database, run.stop, "COMMIT")?;
    }
    ended
}

fn begin_read_only(database: &mut Database, stop: &Stop) -> Result<(), Failure> {
    database.command("BEGIN", stop)?;
    database.command("PRAGMA query_only = ON", stop)?;
    database.read_only = true;
    Ok(())
}

/// What PostgreSQL does for DECLARE, FETCH and CLOSE.
fn use_cursor(
    database: &mut Database,
    run: &mut Run,
    number: usize,
    plan: &SqlitePlan,
    params: &[u8],
) -> Result<(), Failure> {
    match plan.role {
        Role::Declare => database.declare(plan, params, run.stop)?,
        Role::Close => database.close_cursor(plan)?,
        _ => {
            let ran = database.fetch(plan)?;
            let tag = format!("FETCH {}", ran.rows.count);
            run.keep(number, &tag, ran);
            return Ok(());
        }
    }
    run.done(number, &format!("{} CURSOR", plan.tag.split(' ').next().unwrap_or_default()));
    Ok(())
}

/// COMMIT or ROLLBACK: as in PostgreSQL, the block has ended afterwards, whatever comes of it.
fn end(database: &mut Database, run: &mut Run, number: usize, plan: &SqlitePlan) -> Result<(), Failure> {
    database.close_cursors();
    if !database.in_transaction() {
        run.notices.push(no_transaction(&plan.tag));
    } else {
        commit(database, run.stop, &plan.sql)?;
    }
    run.done(number, &plan.tag);
    Ok(())
}

/// End the transaction by this command, or by rolling it back if that fails.
fn commit(database: &mut Database, stop: &Stop, sql: &str) -> Result<(), Failure> {
    if let Err(failure) = database.finish(sql, stop) {
        database.roll_back()?;
        return Err(failure);
    }
    Ok(())
}
