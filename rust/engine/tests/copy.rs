//! COPY and notifications on a real server.

mod outcomes;
mod server;

use std::sync::Mutex;

use bytes::Bytes;
use db_pool_engine::link::{CopyStream, Execute, Feed, GroupResult, Notification, Outcome};
use db_pool_engine::postgres::{Connection, Group, connect};
use outcomes::{code, tag};
use server::Server;
use tokio::sync::mpsc;

async fn run(link: &mut Connection, sql: &str) -> GroupResult {
    link.run(Group { statements: &[Execute::Direct(sql.into())], revocable: false, checks_keys: false }).await.unwrap()
}

/// Run a COPY; the caller answers its questions with `feeds`, the last one again and again. What it was given is
/// returned.
async fn copy(link: &mut Connection, sql: &str, feeds: &[&str]) -> (Outcome, Vec<u8>) {
    let (sender, mut answers) = mpsc::unbounded_channel();
    let (given, asked) = (Mutex::new(Vec::new()), Mutex::new(0));
    let ask = |piece: Option<Bytes>| {
        given.lock().unwrap().extend(piece.unwrap_or_default());
        let mut asked = asked.lock().unwrap();
        let feed = match feeds[usize::min(*asked, feeds.len() - 1)] {
            "end" => Feed::End,
            "fail" => Feed::Fail,
            data => Feed::Data(Bytes::copy_from_slice(data.as_bytes())),
        };
        *asked += 1;
        sender.send(feed).unwrap();
    };
    let answer = link.run_copy(sql, CopyStream { ask: &ask, answers: &mut answers }).await.unwrap();
    let outcome = answer.outcomes.into_iter().next().unwrap();
    (outcome, given.into_inner().unwrap())
}

#[tokio::test]
async fn data_go_in_and_out() {
    let server = Server::shared();
    let mut link = connect(&server.config("postgres"), None).await.unwrap();
    run(&mut link, "CREATE TEMP TABLE t (id int PRIMARY KEY)").await;
    let (outcome, _) = copy(&mut link, "COPY t FROM STDIN", &["1\n2", "\n3\n", "end"]).await;
    assert_eq!(tag(&outcome), "COPY 3");
    let (outcome, data) = copy(&mut link, "COPY (SELECT id FROM t ORDER BY 1) TO STDOUT", &[""]).await;
    assert_eq!((tag(&outcome), &*data), ("COPY 3", &b"1\n2\n3\n"[..]));
    let (outcome, _) = copy(&mut link, "COPY t FROM STDIN", &["4\n", "fail"]).await;
    assert_eq!(code(&outcome), "57014");
    let (outcome, _) = copy(&mut link, "COPY t FROM STDIN", &["4\n", "no number\n", "5\n", "end"]).await;
    assert_eq!(code(&outcome), "22P02");
    let (outcome, data) = copy(&mut link, "COPY (SELECT generate_series(1, 100000)) TO STDOUT", &["fail"]).await;
    assert_eq!(tag(&outcome), "COPY 100000");
    assert!(data.len() < 100_000, "given up after the first piece");
    let (outcome, _) = copy(&mut link, "COPY missing FROM STDIN", &["end"]).await;
    assert_eq!(code(&outcome), "42P01");
    let (outcome, data) = copy(&mut link, "COPY t TO STDOUT", &[""]).await;
    assert_eq!((tag(&outcome), &*data), ("COPY 3", &b"1\n2\n3\n"[..]));
}

#[tokio::test]
async fn notifications_come_with_answers_and_while_idle() {
    let server = Server::shared();
    let mut link = connect(&server.config("postgres"), None).await.unwrap();
    let mut other = connect(&server.config("postgres"), None).await.unwrap();
    assert!(run(&mut link, "LISTEN news").await.notifications.is_empty());
    let own = run(&mut link, "NOTIFY news, 'mine'").await.notifications;
    assert_eq!((&*own[0].channel, &*own[0].payload), ("news", "mine"));
    run(&mut other, "NOTIFY news, 'yours'").await;
    let heard: Vec<Notification> = link.watch().await.unwrap();
    assert_eq!((&*heard[0].channel, &*heard[0].payload), ("news", "yours"));
    assert_ne!(heard[0].pid, own[0].pid);
}
