//! A whole pool on a real server: statements of many callers, sessions, failures, losses.

mod answers;
mod server;

use std::sync::Arc;

use answers::Answers;
use bytes::BytesMut;
use db_pool_engine::link::{Described, Rows, Short, put_value};
use db_pool_engine::pool::{Call, Command, Completion, Pool, QueryInfo, Source};
use db_pool_engine::postgres::Config;
use db_pool_engine::scheduler::{ConnId, CostLimits, Kind, Limits, QueryId, Reason, RequestId};
use server::Server;

/// A caller with one text per SQL, who sends every argument as text.
struct Client {
    pool: Pool,
    answers: Answers,
    texts: Vec<String>,
    args: Vec<Option<String>>,
    /// What was heard of connections that failed.
    troubles: Vec<Completion>,
}

impl Client {
    fn new(config: Config, limits: Limits) -> Client {
        let (pool, answers) = Answers::of(config, limits);
        Client { pool, answers, texts: Vec::new(), args: Vec::new(), troubles: Vec::new() }
    }

    fn on(server: &Server) -> Client {
        Client::new(server.config("postgres"), Limits::default())
    }

    /// A pool that groups even where a busy machine makes every answer late.
    fn grouping(server: &Server) -> Client {
        let cost = CostLimits { fast_time: 10.0, peak_time: 10.0, ..CostLimits::default() };
        Client::new(server.config("postgres"), Limits { group_time: 1000.0, stall: 10.0, cost, ..Limits::default() })
    }

    fn text(&mut self, kind: Kind, sql: &str) -> QueryId {
        if let Some(known) = self.texts.iter().position(|text| text == sql) {
            return QueryId(known as u64);
        }
        let id = QueryId(self.texts.len() as u64);
        self.texts.push(sql.to_owned());
        let (groupable, preparable) = (kind != Kind::Other, kind != Kind::Other);
        let (dirties, asks) = (sql.starts_with("SET"), sql.contains('$'));
        let info = QueryInfo {
            sql: sql.into(),
            kind,
            groupable,
            why: 0,
            dirties,
            keys: false,
            preparable,
            asks,
            urgent: false,
        };
        self.pool.call(Command::AddQuery(id, info));
        id
    }

    fn submit_until(&mut self, kind: Kind, sql: &str, arg: Option<&str>, deadline: Option<f64>) -> RequestId {
        let text = self.text(kind, sql);
        let request = self.arrive(arg);
        self.pool.call(Command::Submit { request, query: text, with_args: arg.is_some(), params: None, deadline });
        request
    }

    fn submit(&mut self, kind: Kind, sql: &str, arg: Option<&str>) -> RequestId {
        self.submit_until(kind, sql, arg, None)
    }

    fn acquire(&mut self) -> ConnId {
        let request = self.arrive(None);
        self.pool.call(Command::Acquire(request, None));
        match self.next() {
            Completion::Acquired(who, conn, _) if who == request => conn,
            other => panic!("{other:?}"),
        }
    }

    fn arrive(&mut self, arg: Option<&str>) -> RequestId {
        self.args.push(arg.map(str::to_owned));
        RequestId(self.args.len() as u64 - 1)
    }

    /// The next answer; arguments are provided on the way.
    fn next(&mut self) -> Completion {
        self.pool.flush();
        loop {
            match self.answers.next() {
                Completion::NeedsParams(request, text) => {
                    let mut params = BytesMut::new();
                    put_value(&mut params, self.args[request.0 as usize].as_ref().map(String::as_bytes));
                    let fits = text.param_oids.len() == 1;
                    self.pool.call(Command::Provide(request, fits.then(|| (text, Short::take(&mut params)))));
                    self.pool.flush();
                }
                Completion::Opened(_) => {}
                Completion::Delivered(groups) => self.pool.acknowledge(groups),
                trouble @ (Completion::NotOpened(_) | Completion::Gone(_)) => self.troubles.push(trouble),
                answer => return answer,
            }
        }
    }

    /// Have a statement run on an acquired connection.
    fn run(&mut self, conn: ConnId, token: u64, sql: &str) {
        self.run_as(conn, token, sql, None);
    }

    /// The same; rows of its cursor have come like this before.
    fn run_as(&mut self, conn: ConnId, token: u64, sql: &str, seen: Option<Arc<Described>>) {
        let (request, source) = (self.arrive(None), Source::Sql(sql.into()));
        let call = Call { request, source, with_args: false, params: None, seen };
        self.pool.call(Command::Run(conn, token, vec![call]));
    }

    /// Run one statement; its first value, or the SQLSTATE of its error.
    fn ask(&mut self, kind: Kind, sql: &str, arg: Option<&str>) -> Result<String, String> {
        let request = self.submit(kind, sql, arg);
        match self.next() {
            Completion::Done { request: who, rows, tag, .. } if who == request => {
                Ok(first(&rows).unwrap_or_else(|| tag.to_string()))
            }
            Completion::Failed(who, error) if who == request => Err(error.code().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    fn end(mut self) {
        self.pool.call(Command::ShutDown);
        while !matches!(self.next(), Completion::Ended) {}
        assert_eq!(self.pool.gauges().size, 0);
    }
}

fn first(rows: &Rows) -> Option<String> {
    let value = rows.to_vec().unwrap().into_iter().next()?.into_iter().next()??;
    Some(String::from_utf8(value).unwrap())
}

#[test]
fn many_callers_share_few_connections_in_groups() {
    let server = Server::shared();
    let mut client = Client::grouping(&server);
    for round in 0..20 {
        let mut asked: Vec<(RequestId, String)> = Vec::new();
        for number in 0..64 {
            let arg = (round * 64 + number).to_string();
            asked.push((client.submit(Kind::Read, "SELECT $1::int + 1", Some(&arg)), arg));
        }
        while !asked.is_empty() {
            let Completion::Done { request, rows, shape, .. } = client.next() else { panic!() };
            let at = asked.iter().position(|(asker, _)| *asker == request).expect("answered twice");
            let (_, arg) = asked.swap_remove(at);
            assert_eq!(first(&rows).unwrap().parse::<i64>().unwrap(), arg.parse::<i64>().unwrap() + 1);
            assert_eq!(shape.unwrap().columns[0].oid, 23);
        }
    }
    let counters = client.pool.counters();
    assert_eq!(counters.statements, 20 * 64);
    assert!(counters.groups < counters.statements / 4, "{counters:?}");
    assert!(client.pool.gauges().size <= 10);
    client.end();
}

#[test]
fn a_failure_in_a_group_is_its_own() {
    let server = Server::shared();
    let mut client = Client::grouping(&server);
    let sql = "SELECT 100 / $1::int";
    for _ in 0..4 {
        assert_eq!(client.ask(Kind::Read, sql, Some("10")), Ok("10".to_owned()));
    }
    let zero = client.submit(Kind::Read, sql, Some("0"));
    let others: Vec<RequestId> = (0..20).map(|_| client.submit(Kind::Read, sql, Some("5"))).collect();
    let mut right = 0;
    for _ in 0..=others.len() {
        match client.next() {
            Completion::Failed(request, error) => assert_eq!((request, error.code()), (zero, "22012")),
            Completion::Done { rows, .. } => {
                assert_eq!(first(&rows).as_deref(), Some("20"));
                right += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(right, others.len());
    assert!(client.pool.counters().broken_up >= 1);
    client.end();
}

#[test]
fn arguments_that_do_not_fit_end_their_statement_only() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    let request = client.submit(Kind::Read, "SELECT $1::int + $2::int", Some("1"));
    assert!(matches!(client.next(), Completion::Unfit(who) if who == request));
    assert_eq!(client.ask(Kind::Read, "SELECT nonsense", Some("1")), Err("42703".to_owned()));
    assert_eq!(client.ask(Kind::Read, "SELECT 1", None), Ok("1".to_owned()));
    client.end();
}

#[test]
fn settings_do_not_reach_the_next_caller() {
    let server = Server::shared();
    let mut client = Client::new(server.config("postgres"), Limits { max_size: 1, ..Limits::default() });
    client.ask(Kind::Other, "SET application_name = 'left behind'", None).unwrap();
    assert_eq!(client.ask(Kind::Read, "SHOW application_name", None), Ok(String::new()));
    client.end();
}

#[test]
fn a_table_that_changed_is_not_noticed() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    client.ask(Kind::Other, "CREATE TABLE IF NOT EXISTS changing (a int)", None).unwrap();
    client.ask(Kind::Write, "INSERT INTO changing SELECT 7", None).unwrap();
    for _ in 0..4 {
        assert_eq!(client.ask(Kind::Read, "SELECT * FROM changing WHERE a = $1", Some("7")), Ok("7".to_owned()));
    }
    client.ask(Kind::Other, "ALTER TABLE changing ADD b int", None).unwrap();
    for _ in 0..4 {
        assert_eq!(client.ask(Kind::Read, "SELECT * FROM changing WHERE a = $1", Some("7")), Ok("7".to_owned()));
    }
    client.ask(Kind::Other, "DROP TABLE changing", None).unwrap();
    client.end();
}

#[test]
fn rows_of_a_cursor_are_asked_for_in_the_formats_that_were_seen() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    let conn = client.acquire();
    client.run(conn, 0, "BEGIN");
    client.next();
    client.run(conn, 1, "DECLARE c CURSOR FOR SELECT i + 256, 'x'::text FROM generate_series(1, 9) AS i");
    client.next();
    let mut seen: Option<Arc<Described>> = None;
    for (token, wanted) in [(2, b"257".to_vec()), (3, vec![0, 0, 1, 2]), (4, vec![0, 0, 1, 3])] {
        client.run_as(conn, token, "FETCH FORWARD 1 FROM c", seen.clone());
        let Completion::Ran(_, Ok(mut answer)) = client.next() else { panic!() };
        let Some(Completion::Done { rows, shape: Some(shape), .. }) = answer.results.remove(0) else { panic!() };
        assert_eq!(rows.to_vec().unwrap(), [[Some(wanted), Some(b"x".to_vec())]]);
        assert_eq!(shape.result_formats, if token == 2 { [0, 0] } else { [1, 0] });
        assert!(seen.as_ref().is_none_or(|seen| Arc::ptr_eq(seen, &shape)));
        seen = Some(Arc::new(Described { result_formats: vec![1, 0], ..(*shape).clone() }))
            .filter(|_| token == 2)
            .or(seen);
    }
    client.run(conn, 5, "ROLLBACK");
    client.next();
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn a_session_belongs_to_its_borrower() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    let conn = client.acquire();
    for (token, sql) in ["BEGIN", "SELECT 5", "ROLLBACK"].into_iter().enumerate() {
        client.run(conn, token as u64, sql);
        let Completion::Ran(answered, Ok(answer)) = client.next() else { panic!() };
        assert!(answered == token as u64 && answer.ok);
    }
    client.run(conn, 7, "SELECT pg_sleep(60)");
    client.pool.flush();
    let sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    while client.ask(Kind::Read, sleeping, None) == Ok("0".to_owned()) {}
    client.pool.call(Command::Stop(conn, 8));
    let (mut stopped, mut ran) = (false, false);
    while !(stopped && ran) {
        match client.next() {
            Completion::Stopped(8, true) => stopped = true,
            Completion::Ran(7, Ok(answer)) => {
                assert!(matches!(&answer.results[0], Some(Completion::Failed(_, error)) if error.code() == "57014"));
                ran = true;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.pool.gauges().sessions, 1);
    client.pool.call(Command::Release(conn, true));
    client.end();
}

#[test]
fn a_deadline_is_kept_and_the_server_stopped() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    let deadline = client.pool.now() + 0.3;
    let request = client.submit_until(Kind::Read, "SELECT pg_sleep(60)", None, Some(deadline));
    let Completion::Refused { request: who, reason: Reason::Timeout, sent: true, .. } = client.next() else { panic!() };
    assert_eq!(who, request);
    client.end(); // waits for the server's answer: not a minute
}

#[test]
fn a_killed_connection_is_replaced() {
    let server = Server::shared();
    let mut client = Client::on(&server);
    let suicide = "SELECT pg_terminate_backend(pg_backend_pid())";
    let request = client.submit(Kind::Other, suicide, None);
    match client.next() {
        Completion::Refused { request: who, reason: Reason::Lost, sent: true, .. } => {
            assert_eq!(who, request);
            assert!(matches!(&client.troubles[..], [Completion::Gone(lost)] if lost.evicts_all()));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.ask(Kind::Read, "SELECT 1", None), Ok("1".to_owned()));
    client.end();
}

#[test]
fn a_wrong_password_is_told_to_all_who_wait() {
    let server = Server::shared();
    let mut config = server.config("scram");
    config.hosts[0].password = Some("wrong".to_owned());
    let mut client = Client::new(config, Limits::default());
    client.submit(Kind::Read, "SELECT 1", None);
    let Completion::Refused { reason: Reason::ConnectFailed, sent: false, .. } = client.next() else { panic!() };
    let Some(Completion::NotOpened(error)) = client.troubles.last() else { panic!() };
    assert_eq!(error.sqlstate.as_deref(), Some("28P01"));
    client.end();
}

#[test]
fn cancelled_callers_hear_nothing_and_nobody_else_notices() {
    let server = Server::shared();
    let mut client = Client::grouping(&server);
    for _ in 0..4 {
        client.ask(Kind::Read, "SELECT $1::int", Some("1")).unwrap();
    }
    for _ in 0..50 {
        let items: Vec<RequestId> = (0..8).map(|_| client.submit(Kind::Read, "SELECT $1::int", Some("1"))).collect();
        client.pool.flush();
        for request in &items[..4] {
            client.pool.call(Command::Cancel(*request));
        }
        let mut missing = items[4..].to_vec();
        while !missing.is_empty() {
            let Completion::Done { request, .. } = client.next() else { panic!() };
            missing.retain(|one| *one != request);
        }
    }
    client.end();
}
