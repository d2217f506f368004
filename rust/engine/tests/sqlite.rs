//! A whole pool on an SQLite database: groups, sessions, locks, interrupts.

mod answers;
mod database;
mod library;

use std::time::{Duration, Instant};

use database::{Client, Folder, code, memory, words};
use db_pool_engine::pool::{Command, Completion};
use db_pool_engine::scheduler::Kind::{Other, Read, Write};
use db_pool_engine::scheduler::{Reason, RequestId};
use db_pool_engine::sqlite::Config;
use db_pool_engine::sqlite::values::Value::{Blob, Integer, Null, Real, Text};

const INSERT: &str = "INSERT INTO t VALUES (?1, ?2)";
/// Runs until it is interrupted.
const FOREVER: &str = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
const UNIQUE: &str = "2067";
const INTERRUPT: &str = "9";

fn with_table(config: Config) -> Client {
    let mut client = Client::new(config);
    let table = "CREATE TABLE t (id integer UNIQUE, body)";
    assert_eq!(client.ask(Other, table, &[]), Ok(vec!["CREATE".to_owned()]));
    for number in 0..5 {
        let tag = client.ask(Write, INSERT, &[Integer(-number), Text(b"probe")]);
        assert_eq!(tag, Ok(vec!["INSERT 0 1".to_owned()]));
    }
    client
}

/// Submit many; the code of each that failed, in order.
fn all(client: &mut Client, sql: &str, numbers: impl Iterator<Item = i64>) -> Vec<(i64, String)> {
    let kind = if sql.starts_with("SELECT") { Read } else { Write };
    let asked: Vec<(RequestId, i64)> =
        numbers.map(|one| (client.submit(kind, sql, &[Integer(one), Text(b"x")]), one)).collect();
    let mut failed = Vec::new();
    for _ in 0..asked.len() {
        match client.next() {
            Completion::Done { .. } => {}
            Completion::Failed(request, error) => {
                let (_, number) = asked.iter().find(|(asker, _)| *asker == request).unwrap();
                failed.push((*number, code(&error).to_owned()));
            }
            other => panic!("{other:?}"),
        }
    }
    failed.sort();
    failed
}

#[test]
fn values_come_back_as_they_went() {
    let mut client = Client::new(memory("values"));
    let args = [Null, Integer(i64::MIN), Real(f64::INFINITY), Text("schön\0".as_bytes()), Blob(b"\0\xff"), Text(b"")];
    let rows = client.ask(Read, "SELECT ?1, ?2, ?3, ?4, ?5, ?6", &args);
    assert_eq!(rows, Ok(vec![format!("|{}|inf|schön\0|[0, 255]|", i64::MIN)]));
    client.end();
}

#[test]
fn writes_that_arrive_together_share_a_commit_and_fail_alone() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    let before = client.counters().groups;
    assert_eq!(all(&mut client, INSERT, 1..50), []);
    assert!(client.counters().groups - before < 10);
    assert_eq!(all(&mut client, INSERT, 45..60), [45, 46, 47, 48, 49].map(|one| (one, UNIQUE.to_owned())));
    assert_eq!(client.ask(Read, "SELECT count(*) FROM t WHERE id > 0", &[]), Ok(vec!["59".to_owned()]));
    assert_eq!(client.counters().broken_up, 0);
    client.end();
}

#[test]
fn a_statement_that_rolls_back_takes_nobody_with_it() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    let brutal = "INSERT OR ROLLBACK INTO t VALUES (?1, ?2)";
    assert_eq!(all(&mut client, brutal, 100..104), []);
    let ids = (1..10).chain([101]).chain(10..20);
    assert_eq!(all(&mut client, brutal, ids), [(101, UNIQUE.to_owned())]);
    assert_eq!(client.ask(Read, "SELECT count(*) FROM t WHERE id > 0", &[]), Ok(vec!["23".to_owned()]));
    assert!(client.counters().broken_up >= 1);
    client.end();
}

#[test]
fn where_foreign_keys_are_deferred_writes_go_alone() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    let table = "CREATE TABLE child (id REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED, body)";
    client.ask(Other, table, &[]).unwrap();
    assert_eq!(all(&mut client, INSERT, 1..20), []);
    let before = (client.counters().groups, client.counters().statements);
    assert_eq!(all(&mut client, INSERT, 21..40), []);
    let after = client.counters();
    assert_eq!(after.groups - before.0, after.statements - before.1);
    client.end();
}

#[test]
fn reads_that_arrive_together_share_a_trip() {
    let mut client = with_table(memory("reads"));
    let sql = "SELECT abs(?1), ?2";
    assert_eq!(all(&mut client, sql, 0..5), []);
    let before = client.counters().groups;
    assert_eq!(all(&mut client, sql, (0..40).chain([i64::MIN])), [(i64::MIN, "1".to_owned())]);
    assert!(client.counters().groups - before < 10);
    client.end();
}

#[test]
fn a_changed_table_shows_in_the_next_result() {
    let mut client = with_table(memory("changed"));
    client.ask(Read, "SELECT * FROM t WHERE id = -1", &[]).unwrap();
    client.ask(Other, "ALTER TABLE t ADD c DEFAULT 7", &[]).unwrap();
    assert_eq!(client.ask(Read, "SELECT * FROM t WHERE id = -1", &[]), Ok(vec!["-1|probe|7".to_owned()]));
    client.end();
}

#[test]
fn a_session_has_its_transactions() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    let conn = client.acquire();
    let answer = client.run(conn, &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1, 'a')"]);
    assert!(answer.ok && answer.in_transaction);
    // other connections see nothing of it
    assert_eq!(client.ask(Read, "SELECT count(*) FROM t WHERE id > 0", &[]), Ok(vec!["0".to_owned()]));
    // a statement that fails leaves the transaction usable
    let answer = client.run(conn, &["INSERT INTO t VALUES (1, 'b')", "SELECT 1"]);
    assert_eq!(words(&answer), [UNIQUE, "skipped"]);
    assert!(answer.in_transaction);
    // unless SQLite rolled it back
    assert_eq!(words(&client.run(conn, &["INSERT OR ROLLBACK INTO t VALUES (1, 'b')"])), [UNIQUE]);
    assert_eq!(words(&client.run(conn, &["SELECT 1"])), ["25P02"]);
    let answer = client.run(conn, &["COMMIT"]);
    assert_eq!((words(&answer), answer.in_transaction), (vec!["ROLLBACK".to_owned()], false));
    assert!(client.run(conn, &["COMMIT"]).ok);
    assert_eq!(client.notices[0].code(), "25P01");
    assert_eq!(words(&client.run(conn, &["BEGIN READ ONLY", "DELETE FROM t"])), ["BEGIN", "8"]);
    assert!(client.run(conn, &["ROLLBACK"]).ok && client.run(conn, &["DELETE FROM t"]).ok);
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn a_script_is_one_transaction() {
    let mut client = with_table(memory("script"));
    let conn = client.acquire();
    let answer = client.run(conn, &["INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (1, 'b')"]);
    assert_eq!((words(&answer)[1].as_str(), answer.in_transaction), (UNIQUE, false));
    client.pool.call(Command::Release(conn, true));
    assert_eq!(client.ask(Read, "SELECT count(*) FROM t WHERE id > 0", &[]), Ok(vec!["0".to_owned()]));
    client.end();
}

#[test]
fn cursors_give_some_rows_at_a_time_until_their_transaction_ends() {
    let mut client = with_table(memory("cursors"));
    let conn = client.acquire();
    let answer =
        client.run(conn, &["BEGIN", "DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id", "FETCH FORWARD 2 FROM c"]);
    assert_eq!(words(&answer), ["BEGIN", "DECLARE CURSOR", "FETCH 2"]);
    assert!(client.run(conn, &["INSERT INTO t VALUES (9, 'later')"]).ok);
    let fetched = client.run(conn, &["FETCH FORWARD 100 FROM c"]);
    let Some(Completion::Done { rows, .. }) = &fetched.results[0] else { panic!() };
    assert_eq!(database::lines(rows, 1)[..3], ["-2", "-1", "0"]);
    assert_eq!(words(&client.run(conn, &["FETCH FORWARD 1 FROM c"])), ["FETCH 0"]);
    assert_eq!(words(&client.run(conn, &["CLOSE c", "FETCH FORWARD 1 FROM c"])), ["CLOSE CURSOR", "34000"]);
    let answer = client.run(conn, &["DECLARE d CURSOR FOR SELECT id FROM t", "COMMIT", "FETCH FORWARD 1 FROM d"]);
    assert_eq!(words(&answer), ["DECLARE CURSOR", "COMMIT", "34000"]);
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn writers_wait_for_their_turn_and_may_give_up() {
    let folder = Folder::new();
    for config in [folder.config(), memory("locks")] {
        let mut client = with_table(config);
        let conn = client.acquire();
        assert!(client.run(conn, &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1, 'a')"]).ok);
        let soon = client.pool.now() + 0.05;
        let late = client.submit_until(Write, INSERT, &[Integer(2), Null], Some(soon));
        let kept = client.submit(Write, INSERT, &[Integer(3), Null]);
        let Completion::Refused { request, reason: Reason::Timeout, .. } = client.next() else { panic!() };
        assert_eq!(request, late);
        assert!(client.run(conn, &["COMMIT"]).ok);
        let Completion::Done { request, .. } = client.next() else { panic!() };
        assert_eq!(request, kept);
        client.pool.call(Command::Release(conn, true));
        let ids = client.ask(Read, "SELECT id FROM t WHERE id > 0", &[]);
        assert_eq!(ids, Ok(vec!["1".to_owned(), "3".to_owned()]));
        client.end();
    }
}

#[test]
fn nobody_waits_for_one_writer_for_ever() {
    let folder = Folder::new();
    let mut client = with_table(Config { patience: Duration::from_millis(50), ..folder.config() });
    let conn = client.acquire();
    assert!(client.run(conn, &["BEGIN IMMEDIATE"]).ok);
    assert_eq!(client.ask(Write, INSERT, &[Integer(2), Null]), Err("55P03".to_owned()));
    assert!(client.run(conn, &["COMMIT"]).ok);
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn a_deadline_interrupts() {
    let mut client = with_table(memory("deadline"));
    let deadline = client.pool.now() + 0.1;
    client.submit_until(Other, FOREVER, &[], Some(deadline));
    let Completion::Refused { reason: Reason::Timeout, sent: true, .. } = client.next() else { panic!() };
    client.end(); // waits for what runs
}

#[test]
fn a_borrower_can_stop_what_runs() {
    let mut client = with_table(memory("stop"));
    let conn = client.acquire();
    client.start(conn, 1, &[FOREVER]);
    client.pool.call(Command::Stop(conn, 2));
    let Completion::Ran(1, Ok(answer)) = client.next() else { panic!() };
    assert!([INTERRUPT, "57014"].contains(&words(&answer)[0].as_str()), "{answer:?}");
    let Completion::Stopped(2, true) = client.next() else { panic!() };
    assert_eq!(words(&client.run(conn, &["SELECT 1"])), ["SELECT 1"]);
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn nobody_waits_behind_a_stranger() {
    let folder = Folder::new();
    let mut client = with_table(Config { stall: Duration::from_millis(20), ..folder.config() });
    let sql = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i), ?2 FROM n";
    for _ in 0..4 {
        client.ask(Read, sql, &[Integer(3), Null]).unwrap();
    }
    let slow = client.submit(Read, sql, &[Integer(1 << 60), Null]);
    let fast: Vec<RequestId> = (0..10).map(|_| client.submit(Read, sql, &[Integer(3), Null])).collect();
    for _ in &fast {
        let Completion::Done { request, .. } = client.next() else { panic!() };
        assert!(fast.contains(&request));
    }
    assert!(client.counters().broken_up >= 1);
    client.pool.call(Command::Cancel(slow));
    client.end();
}

#[test]
fn what_a_statement_leaves_behind_is_cleaned_up() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    for _ in 0..3 {
        client.ask(Other, "CREATE TEMP TABLE mine (a)", &[]).unwrap(); // it does not exist already
    }
    client.end();
}

#[test]
fn a_file_is_whole_when_the_pool_has_ended() {
    let folder = Folder::new();
    let mut client = with_table(folder.config());
    let conn = client.acquire();
    client.start(conn, 1, &["BEGIN IMMEDIATE", "INSERT INTO t VALUES (1, 'a')", FOREVER]);
    client.pool.call(Command::Terminate);
    let began = Instant::now();
    while !matches!(client.next(), Completion::Ended) {}
    assert!(began.elapsed() < Duration::from_secs(4));
    let left: Vec<_> = std::fs::read_dir(folder.path().parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn what_cannot_be_opened_is_named() {
    let folder = Folder::new();
    std::fs::write(folder.path(), "no database at all, but long enough to have a header that is wrong".repeat(20))
        .unwrap();
    let missing = folder.path().with_file_name("missing").join("a.db");
    let elsewhere = Config { uri: format!("file:{}", missing.display()), path: Some(missing), ..folder.config() };
    for (config, reason) in [(folder.config(), "file is not a database"), (elsewhere, "its directory does not exist")] {
        let mut client = Client::new(config);
        client.submit(Read, "SELECT 1", &[]);
        let Completion::Refused { reason: Reason::ConnectFailed, .. } = client.next() else { panic!() };
        let Some(error) = client.refused.clone() else { panic!() };
        assert!(error.attempts[0].ends_with(reason) && error.permanent && error.cause.is_some(), "{error:?}");
        client.end();
    }
}
