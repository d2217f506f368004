//! A pool on an SQLite database, and a caller who waits for its answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use db_pool_engine::link::{ConnectError, Described, Rows, ServerError, Short};
use db_pool_engine::pool::{Call, Command, Completion, Gauges, Pool, QueryInfo, Ran, Source};
use db_pool_engine::scheduler::{ConnId, CostLimits, Counters, Kind, Limits, QueryId, RequestId};
use db_pool_engine::sqlite::values::{Value, Values, put};
use db_pool_engine::sqlite::{Config, Lock, Role, SqlitePlan, Synchronous};

use crate::answers::Answers;

/// A folder that goes with its test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let name = format!("db-pool-sqlite-{}-{}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self) -> PathBuf {
        self.0.join("a.db")
    }

    pub fn config(&self) -> Config {
        Config { uri: format!("file:{}?mode=rwc", self.path().display()), path: Some(self.path()), ..memory("unused") }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn memory(name: &str) -> Config {
    Config {
        uri: format!("file:/{name}?vfs=memdb"),
        path: None,
        busy_timeout: Duration::from_secs(5),
        foreign_keys: true,
        synchronous: Synchronous::Normal,
        read_only: false,
        max_statements: 100,
        threads: 4,
        stall: Duration::from_secs(10),
        patience: Duration::from_secs(10),
    }
}

/// What Python reads out of a text; here its first words will do.
pub fn described(sql: &str, kind: Kind) -> Arc<Described> {
    let upper = sql.to_uppercase();
    let words: Vec<&str> = upper.split_whitespace().collect();
    let (role, lock) = match words[..] {
        ["BEGIN", "READ", "ONLY"] => (Role::BeginReadOnly, Lock::Read),
        ["BEGIN", "IMMEDIATE"] => (Role::Begin, Lock::Write),
        ["SAVEPOINT", ..] => (Role::Savepoint, Lock::Begin),
        ["RELEASE", ..] | ["ROLLBACK", "TO", ..] => (Role::Inner, Lock::None),
        ["COMMIT"] => (Role::Commit, Lock::None),
        ["DECLARE", ..] => (Role::Declare, Lock::Read),
        ["FETCH", ..] => (Role::Fetch, Lock::None),
        ["CLOSE", ..] => (Role::Close, Lock::None),
        ["ROLLBACK"] => (Role::Rollback, Lock::None),
        ["PRAGMA", ..] => (Role::Outside, Lock::Read),
        ["SELECT" | "WITH" | "EXPLAIN", ..] | ["CREATE", "TEMP", ..] => (Role::Plain, Lock::Read),
        _ => (Role::Plain, Lock::Write),
    };
    let writes = ["INSERT", "UPDATE", "DELETE"].contains(&words[0]);
    let tag = if words[0] == "INSERT" { "INSERT 0" } else { words[0] };
    let mut plan = SqlitePlan::new(sql.to_owned(), kind, role, lock, tag.to_owned(), writes);
    match words[..] {
        ["DECLARE", name, ..] => {
            plan.cursor = name.to_lowercase();
            plan.sql = sql.split_once(" FOR ").unwrap().1.to_owned();
        }
        ["FETCH", _, rows, _, name] => (plan.rows, plan.cursor) = (rows.parse().unwrap(), name.to_lowercase()),
        ["CLOSE", name] => plan.cursor = name.to_lowercase(),
        _ => {}
    }
    Arc::new(plan.described(sql.into()))
}

pub fn encode(values: &[Value]) -> Short {
    let mut out = BytesMut::new();
    values.iter().for_each(|value| put(&mut out, *value));
    Short::take(&mut out)
}

/// Rows for comparing: `1|x`.
pub fn lines(rows: &Rows, columns: usize) -> Vec<String> {
    let all: Vec<String> = Values(&rows.data)
        .map(|value| match value {
            Value::Null => String::new(),
            Value::Integer(value) => value.to_string(),
            Value::Real(value) => format!("{value:?}"),
            Value::Text(value) => String::from_utf8_lossy(value).into_owned(),
            Value::Blob(value) => format!("{value:?}"),
        })
        .collect();
    let lines: Vec<String> = all.chunks(columns.max(1)).map(|row| row.join("|")).collect();
    assert_eq!(lines.len(), rows.count);
    lines
}

/// What SQLite said: its extended result code, or the SQLSTATE of ours.
pub fn code(error: &ServerError) -> &str {
    error.field(ServerError::SQLITE_CODE).unwrap_or(error.code())
}

/// A caller.
pub struct Client {
    pub pool: Pool,
    answers: Answers,
    texts: Vec<Arc<Described>>,
    pub refused: Option<ConnectError>,
    pub notices: Vec<ServerError>,
    last: u64,
}

impl Client {
    pub fn new(config: Config) -> Client {
        crate::library::lend();
        // Groups form even where a busy machine makes every answer late.
        let cost = CostLimits { fast_time: 10.0, peak_time: 10.0, ..CostLimits::default() };
        let (breaks_stalls, read_lanes, max_write_lanes) = (false, 1, 1);
        let limits =
            Limits { group_time: 1000.0, cost, breaks_stalls, read_lanes, max_write_lanes, ..Limits::default() };
        let (pool, answers) = Answers::of(config, limits);
        Client { pool, answers, texts: Vec::new(), refused: None, notices: Vec::new(), last: 0 }
    }

    fn text(&mut self, kind: Kind, sql: &str) -> (QueryId, Arc<Described>) {
        if let Some(known) = self.texts.iter().position(|text| &*text.sql == sql) {
            return (QueryId(known as u64), self.texts[known].clone());
        }
        let (id, text) = (QueryId(self.texts.len() as u64), described(sql, kind));
        self.texts.push(text.clone());
        let groupable = kind != Kind::Other;
        let dirties = sql.starts_with("PRAGMA") || sql.starts_with("CREATE TEMP");
        let info = QueryInfo {
            sql: sql.into(),
            kind,
            groupable,
            why: 0,
            dirties,
            keys: false,
            preparable: true,
            asks: false,
            urgent: false,
        };
        self.pool.call(Command::AddQuery(id, info));
        (id, text)
    }

    pub fn submit_until(&mut self, kind: Kind, sql: &str, args: &[Value], deadline: Option<f64>) -> RequestId {
        let (text, described) = self.text(kind, sql);
        self.last += 1;
        let (request, params) = (RequestId(self.last), Some((described, encode(args))));
        self.pool.call(Command::Submit { request, query: text, with_args: !args.is_empty(), params, deadline });
        request
    }

    pub fn submit(&mut self, kind: Kind, sql: &str, args: &[Value]) -> RequestId {
        self.submit_until(kind, sql, args, None)
    }

    /// Nothing comes before what was called has been looked at.
    pub fn next(&mut self) -> Completion {
        self.pool.flush();
        loop {
            match self.answers.next() {
                Completion::Opened(_) => {}
                Completion::Delivered(groups) => self.pool.acknowledge(groups),
                Completion::NotOpened(error) => self.refused = Some(error),
                Completion::Notice(_, notice) => self.notices.push(notice),
                answer => return answer,
            }
        }
    }

    /// Run one statement: its rows, or its tag, or what was wrong.
    pub fn ask(&mut self, kind: Kind, sql: &str, args: &[Value]) -> Result<Vec<String>, String> {
        let request = self.submit(kind, sql, args);
        match self.next() {
            Completion::Done { request: who, rows, shape: Some(shape), .. } if who == request => {
                Ok(lines(&rows, shape.columns.len()))
            }
            Completion::Done { request: who, tag, .. } if who == request => Ok(vec![tag.to_string()]),
            Completion::Failed(who, error) if who == request => Err(code(&error).to_owned()),
            other => panic!("{other:?}"),
        }
    }

    pub fn acquire(&mut self) -> ConnId {
        self.last += 1;
        self.pool.call(Command::Acquire(RequestId(self.last), None));
        match self.next() {
            Completion::Acquired(who, conn, _) if who.0 == self.last => conn,
            other => panic!("{other:?}"),
        }
    }

    pub fn start(&mut self, conn: ConnId, token: u64, texts: &[&str]) {
        let mut calls = Vec::new();
        for sql in texts {
            self.last += 1;
            let (request, source) = (RequestId(self.last), Source::Sql((*sql).into()));
            let params = Some((described(sql, Kind::Other), Short::default()));
            calls.push(Call { request, source, with_args: false, params, seen: None });
        }
        self.pool.call(Command::Run(conn, token, calls));
    }

    /// Run statements on an acquired connection.
    pub fn run(&mut self, conn: ConnId, texts: &[&str]) -> Ran {
        self.start(conn, 77, texts);
        match self.next() {
            Completion::Ran(77, answer) => answer.expect("the connection is lost"),
            other => panic!("{other:?}"),
        }
    }

    pub fn gauges(&self) -> Gauges {
        self.pool.gauges()
    }

    pub fn counters(&self) -> Counters {
        self.pool.counters()
    }

    pub fn end(mut self) {
        self.pool.call(Command::ShutDown);
        while !matches!(self.next(), Completion::Ended) {}
        assert_eq!(self.gauges().size, 0);
    }
}

/// Each outcome as a word: a tag, a code, or "skipped".
pub fn words(ran: &Ran) -> Vec<String> {
    let word = |result: &Option<Completion>| match result {
        Some(Completion::Done { tag, .. }) => tag.to_string(),
        Some(Completion::Failed(_, error)) => code(error).to_owned(),
        None => "skipped".to_owned(),
        other => panic!("{other:?}"),
    };
    ran.results.iter().map(word).collect()
}
