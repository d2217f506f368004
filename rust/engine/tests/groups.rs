//! Groups of statements on a real server.

mod outcomes;
mod server;

use std::sync::Arc;
use std::time::Duration;

use db_pool_engine::link::{Described, Execute, GroupResult, Outcome, Stale};
use db_pool_engine::postgres::{Config, Connection, Group, connect};
use outcomes::{code, tag};
use server::Server;

async fn link(server: &Server) -> Connection {
    connect(&server.config("postgres"), None).await.unwrap()
}

async fn described(link: &mut Connection, name: &str, sql: &str) -> Arc<Described> {
    let answer = run(link, &[Execute::Describe(sql.into())]).await;
    let Outcome::Described((params, columns)) = answer.outcomes[0].clone() else { panic!() };
    Arc::new(Described::new(name.to_owned(), sql.into(), params, columns))
}

fn direct(sql: &str) -> Execute {
    Execute::Direct(sql.into())
}

async fn run(link: &mut Connection, statements: &[Execute]) -> GroupResult {
    link.run(Group { statements, revocable: true, checks_keys: false }).await.unwrap()
}

fn value(outcome: &Outcome) -> String {
    let Outcome::Done { rows, .. } = outcome else { panic!("{outcome:?}") };
    String::from_utf8(rows.to_vec().unwrap()[0][0].clone().unwrap()).unwrap()
}

#[tokio::test]
async fn a_group_is_answered_in_order() {
    let server = Server::shared();
    let mut link = link(&server).await;
    let text = described(&mut link, "double", "SELECT $1::int * 2 AS x").await;
    assert_eq!((text.param_oids.clone(), text.columns[0].oid, &*text.columns[0].name), (vec![23], 23, "x"));
    let numbers: Vec<String> = (0..64).map(|number: i32| number.to_string()).collect();
    let group: Vec<Execute> = numbers.iter().map(|one| Execute::known(&text, [Some(one.as_bytes())])).collect();
    for _ in 0..2 {
        let answer = run(&mut link, &group).await;
        assert!(answer.ok && answer.largest > 0);
        let values: Vec<String> = answer.outcomes.iter().map(value).collect();
        assert_eq!(values, (0..64).map(|number| (number * 2).to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_text_without_arguments_tells_its_columns() {
    let server = Server::shared();
    let mut link = link(&server).await;
    let answer = run(&mut link, &[direct("SELECT 1 AS a, NULL::text AS b"), direct("-- nothing")]).await;
    let Outcome::Done { tag, rows, columns, .. } = &answer.outcomes[0] else { panic!() };
    assert_eq!((&**tag, rows.count), ("SELECT 1", 1));
    assert_eq!(rows.to_vec().unwrap(), [[Some(b"1".to_vec()), None]]);
    assert_eq!(columns.as_ref().unwrap().iter().map(|one| one.oid).collect::<Vec<_>>(), [23, 25]);
    assert!(matches!(&answer.outcomes[1], Outcome::Done { tag, .. } if tag.is_empty()));
}

#[tokio::test]
async fn one_failure_rolls_all_of_it_back() {
    let server = Server::shared();
    let mut link = link(&server).await;
    run(&mut link, &[direct("CREATE TEMP TABLE t (x int PRIMARY KEY)")]).await;
    let answer = run(&mut link, &[direct("INSERT INTO t VALUES (1)"), direct("SELECT 1/0"), direct("SELECT 2")]).await;
    assert!(!answer.ok && !link.in_transaction());
    assert_eq!(code(&answer.outcomes[1]), "22012");
    assert!(matches!(answer.outcomes[2], Outcome::Skipped));
    assert_eq!(value(&run(&mut link, &[direct("SELECT count(*) FROM t")]).await.outcomes[0]), "0");
}

#[tokio::test]
async fn a_deferred_constraint_fails_at_the_sync() {
    let server = Server::shared();
    let mut link = link(&server).await;
    run(&mut link, &[direct("CREATE TEMP TABLE d (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)")]).await;
    let answer = run(&mut link, &[direct("INSERT INTO d VALUES (1), (1)")]).await;
    assert!(!answer.ok);
    assert_eq!(code(&answer.outcomes[0]), "23505");
}

#[tokio::test]
async fn prepared_statements_are_few_and_survive_failures() {
    let server = Server::shared();
    let config = Config { max_statements: 2, ..server.config("postgres") };
    let mut link = connect(&config, None).await.unwrap();
    let mut texts = Vec::new();
    for number in 0..5 {
        texts.push(described(&mut link, &format!("s{number}"), &format!("SELECT {number} + $1::int")).await);
    }
    for round in 0..40 {
        let text = &texts[(round * 7 + round / 3) % 5];
        let fails = Execute::known(text, [Some(&b"nonsense"[..])]);
        let works = Execute::known(text, [Some(&b"1"[..])]);
        assert_eq!(code(&run(&mut link, &[direct("SELECT 1"), fails]).await.outcomes[1]), "22P02");
        let other = Execute::known(&texts[(round + 1) % 5], [Some(&b"1"[..])]);
        let group = [works, direct("SELECT 1/0"), other];
        assert_eq!(code(&run(&mut link, &group).await.outcomes[1]), "22012");
        assert!(run(&mut link, &group[..1]).await.ok);
    }
    let count = run(&mut link, &[direct("SELECT count(*) FROM pg_prepared_statements")]).await;
    assert!(value(&count.outcomes[0]).parse::<u32>().unwrap() <= 3);
    assert_eq!(tag(&run(&mut link, &[direct("DISCARD ALL")]).await.outcomes[0]), "DISCARD ALL");
    assert!(run(&mut link, &[Execute::known(&texts[0], [Some(&b"1"[..])])]).await.ok);
}

#[tokio::test]
async fn a_stale_plan_is_recognised() {
    let server = Server::shared();
    let mut link = link(&server).await;
    run(&mut link, &[direct("CREATE TEMP TABLE p (x int)")]).await;
    let text = described(&mut link, "p", "SELECT * FROM p WHERE $1").await;
    let select = Execute::known(&text, [Some(&b"true"[..])]);
    assert!(run(&mut link, std::slice::from_ref(&select)).await.ok);
    run(&mut link, &[direct("ALTER TABLE p ADD y int")]).await;
    let answer = run(&mut link, std::slice::from_ref(&select)).await;
    assert!(
        matches!(&answer.outcomes[0], Outcome::Failed(error) if error.stale("", false, true) == Some(Stale::Plan)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn large_statements_and_results_at_once_do_not_block_each_other() {
    let server = Server::shared();
    let mut link = link(&server).await;
    let text = described(&mut link, "echo", "SELECT $1::text || repeat('x', 1000000)").await;
    let argument = vec![b'a'; 1_000_000];
    let group: Vec<Execute> = (0..16).map(|_| Execute::known(&text, [Some(&argument[..])])).collect();
    let answer = run(&mut link, &group).await;
    assert!(answer.ok && answer.largest >= 2_000_000);
    assert!(answer.outcomes.iter().all(|outcome| value(outcome).len() == 2_000_000));
}

#[tokio::test]
async fn transactions_and_notices_are_noticed() {
    let server = Server::shared();
    let mut link = link(&server).await;
    run(&mut link, &[direct("BEGIN")]).await;
    assert!(link.in_transaction());
    run(&mut link, &[direct("ROLLBACK")]).await;
    assert!(!link.in_transaction());
    let answer = run(&mut link, &[direct("DO $$ BEGIN RAISE WARNING 'look'; END $$")]).await;
    assert_eq!(answer.notices[0].field(b'M'), Some("look"));
}

#[tokio::test]
async fn a_cancel_stops_what_runs() {
    let server = Server::shared();
    let mut link = link(&server).await;
    let mut other = self::link(&server).await;
    let key = link.cancel_key().clone();
    let process = key.process_id();
    let cancel = async {
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {process} AND wait_event = 'PgSleep'");
        while value(&run(&mut other, &[direct(&sql)]).await.outcomes[0]) == "0" {}
        key.cancel().await.unwrap();
    };
    let sleep = [direct("SELECT pg_sleep(60)")];
    let (answer, ()) = tokio::join!(run(&mut link, &sleep), cancel);
    assert_eq!(code(&answer.outcomes[0]), "57014");
    assert!(run(&mut link, &[direct("SELECT 1")]).await.ok);
}

#[tokio::test]
async fn a_killed_session_is_noticed_while_it_idles_and_while_it_runs() {
    let server = Server::shared();
    let mut other = link(&server).await;
    for busy in [false, true] {
        let mut link = link(&server).await;
        let kill = [direct(&format!("SELECT pg_terminate_backend({})", link.cancel_key().process_id()))];
        let sleep = [direct("SELECT pg_sleep(60)")];
        let lost = if busy {
            let group = Group { statements: &sleep, revocable: true, checks_keys: false };
            let (answer, _) = tokio::join!(link.run(group), run(&mut other, &kill));
            answer.unwrap_err()
        } else {
            run(&mut other, &kill).await;
            tokio::time::timeout(Duration::from_secs(10), link.watch()).await.unwrap().unwrap_err()
        };
        assert!(lost.evicts_all(), "{lost:?}");
        assert_eq!(lost.cause.as_ref().unwrap().code(), "57P01");
        assert!(!(busy && lost.sent), "a server that gives up before the Sync has committed nothing");
    }
}

#[tokio::test]
async fn copy_is_no_statement_for_a_group() {
    let server = Server::shared();
    let mut link = link(&server).await;
    let group = [direct("COPY (SELECT 1) TO STDOUT")];
    assert!(link.run(Group { statements: &group, revocable: false, checks_keys: false }).await.unwrap_err().sent);
}
