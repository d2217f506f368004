//! How fast the engine itself is on SQLite: point selects or inserts of N callers, without Python.
//!
//! `cargo run --release --example sqlite -- FILE read|write CALLERS SECONDS`; the file has a table
//! `t (id integer primary key, v int)`. Each caller waits for its answer before it asks again, as tasks do.

#[path = "../tests/library/mod.rs"]
mod library;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use db_pool_engine::link::{Described, Short};
use db_pool_engine::pool::{Command, Completion, Options, Pool, QueryInfo, Sink};
use db_pool_engine::scheduler::{Kind, Limits, QueryId, RequestId};
use db_pool_engine::sqlite::values::{Value, put};
use db_pool_engine::sqlite::{Config, Lock, Role, SqlitePlan, Synchronous};

struct Answers(Sender<Vec<Completion>>);

impl Sink for Answers {
    fn formats(&self, _: &mut Described) {}
    fn complete(&self, batch: Vec<Completion>) {
        let _ = self.0.send(batch);
    }
}

fn main() {
    library::lend();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, what, callers, seconds] = &args[..] else { panic!("see the beginning of this file") };
    let config = Config {
        uri: format!("file:{file}"),
        path: Some(PathBuf::from(file)),
        busy_timeout: Duration::from_secs(5),
        foreign_keys: true,
        synchronous: Synchronous::Full,
        read_only: false,
        max_statements: 100,
        threads: 4,
        stall: Duration::from_millis(50),
        patience: Duration::from_secs(5),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let (sender, answers) = channel();
    let limits = Limits { read_lanes: 1, max_write_lanes: 1, breaks_stalls: false, ..Limits::default() };
    let pool = Pool::open(&handle, config, limits, Options::default(), Arc::new(Answers(sender)));
    let (sql, kind, lock, tag) = match what.as_str() {
        "read" => ("SELECT v FROM t WHERE id = ?1", Kind::Read, Lock::Read, "SELECT"),
        _ => ("INSERT INTO t (v) VALUES (?1)", Kind::Write, Lock::Write, "INSERT 0"),
    };
    let plan = SqlitePlan::new(sql.to_owned(), kind, Role::Plain, lock, tag.to_owned(), kind == Kind::Write);
    let described = Arc::new(plan.described(sql.into()));
    let info = QueryInfo {
        sql: sql.into(),
        kind,
        groupable: true,
        why: 0,
        dirties: false,
        keys: false,
        preparable: true,
        asks: false,
        urgent: false,
    };
    pool.call(Command::AddQuery(QueryId(0), info));
    let (mut asked, mut answered) = (0u64, 0u64);
    let mut ask = || {
        asked += 1;
        let mut params = BytesMut::new();
        put(&mut params, Value::Integer((asked.wrapping_mul(7919) % 10_000) as i64));
        let params = Some((described.clone(), Short::take(&mut params)));
        pool.call(Command::Submit {
            request: RequestId(asked),
            query: QueryId(0),
            with_args: true,
            params,
            deadline: None,
        });
    };
    (0..callers.parse::<u64>().unwrap()).for_each(|_| ask());
    pool.flush();
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(seconds.parse().unwrap()));
    while began.elapsed() < limit {
        for completion in answers.recv().unwrap() {
            match completion {
                Completion::Done { .. } => {
                    answered += 1;
                    ask();
                }
                Completion::Opened(_) => {}
                Completion::Delivered(groups) => pool.acknowledge(groups),
                other => panic!("{other:?}"),
            }
        }
        pool.flush();
    }
    let counters = pool.counters();
    let rate = answered as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0}/s, {:.1} to a group", counters.statements as f64 / counters.groups as f64);
}
