//! How fast the engine itself is: point selects of N callers, without Python.
//!
//! `cargo run --release --example points -- HOST PORT DATABASE USER CALLERS SECONDS`; the database is that of
//! `pgbench -i -s 10`. Each caller waits for its answer before it asks again, as tasks do; arguments travel in binary.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use db_pool_engine::link::{Described, Short, put_value};
use db_pool_engine::pool::{Command, Completion, Options, Params, Pool, QueryInfo, Sink};
use db_pool_engine::postgres::{Config, Host};
use db_pool_engine::scheduler::{Kind, Limits, QueryId, RequestId};

const SQL: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";

struct Answers(Sender<Vec<Completion>>);

impl Sink for Answers {
    fn formats(&self, text: &mut Described) {
        text.param_formats.fill(1);
        text.result_formats.fill(1);
    }
    fn complete(&self, batch: Vec<Completion>) {
        let _ = self.0.send(batch);
    }
}

fn params(text: &Arc<Described>, number: u64) -> Params {
    let mut params = BytesMut::new();
    let aid = (number.wrapping_mul(7919) % 1_000_000 + 1) as i32;
    put_value(&mut params, Some(&aid.to_be_bytes()));
    (text.clone(), Short::take(&mut params))
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, dbname, user, callers, seconds] = &args[..] else { panic!("see the beginning of this file") };
    let host = Host { host: host.clone(), port: port.parse().unwrap(), hostaddr: None, password: None };
    let config = Config { hosts: vec![host], user: user.clone(), dbname: dbname.clone(), ..Config::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (sender, answers) = channel();
    let pool = Pool::open(runtime.handle(), config, Limits::default(), Options::default(), Arc::new(Answers(sender)));
    let (sql, kind) = (SQL.into(), Kind::Read);
    let info = QueryInfo {
        sql,
        kind,
        groupable: true,
        why: 0,
        dirties: false,
        keys: false,
        preparable: true,
        asks: true,
        urgent: false,
    };
    pool.call(Command::AddQuery(QueryId(0), info));
    let mut described: Option<Arc<Described>> = None;
    let (mut asked, mut answered) = (0u64, 0u64);
    let mut ask = |described: &Option<Arc<Described>>| {
        asked += 1;
        let params = described.as_ref().map(|text| params(text, asked));
        pool.call(Command::Submit {
            request: RequestId(asked),
            query: QueryId(0),
            with_args: true,
            params,
            deadline: None,
        });
    };
    (0..callers.parse::<u64>().unwrap()).for_each(|_| ask(&described));
    pool.flush();
    let (began, limit) = (Instant::now(), Duration::from_secs_f64(seconds.parse().unwrap()));
    while began.elapsed() < limit {
        for completion in answers.recv().unwrap() {
            match completion {
                Completion::Done { .. } => {
                    answered += 1;
                    ask(&described);
                }
                Completion::NeedsParams(request, text) => {
                    pool.call(Command::Provide(request, Some(params(&text, request.0))));
                    described = Some(text);
                }
                Completion::Opened(_) => {}
                Completion::Delivered(groups) => pool.acknowledge(groups),
                other => panic!("{other:?}"),
            }
        }
        pool.flush();
    }
    println!(
        "{:.0} statements/s with {callers} callers; {:?}",
        answered as f64 / began.elapsed().as_secs_f64(),
        pool.counters()
    );
}
