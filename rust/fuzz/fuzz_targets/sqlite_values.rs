//! Values that go to SQLite and come back are what they were.

#![no_main]

#[path = "../../engine/tests/library/mod.rs"]
mod library;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use db_pool_engine::link::{Described, Execute, Outcome, Short};
use db_pool_engine::scheduler::Kind;
use db_pool_engine::sqlite::values::{Value, Values, put};
use db_pool_engine::sqlite::{Config, Connection, Driver, Lock, Role, SqlitePlan, Synchronous};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

/// As many values as the statement takes.
const COUNT: usize = 4;

struct Place {
    runtime: Runtime,
    link: Connection,
    text: Arc<Described>,
}

impl Place {
    fn new() -> Self {
        library::lend();
        let runtime = Builder::new_current_thread().enable_all().build().expect("no runtime");
        let config = Config {
            uri: "file:fuzz?mode=memory&cache=shared".to_owned(),
            path: None,
            busy_timeout: Duration::from_secs(5),
            foreign_keys: true,
            synchronous: Synchronous::Full,
            read_only: false,
            max_statements: 10,
            threads: 1,
            stall: Duration::from_secs(5),
            patience: Duration::from_secs(5),
        };
        let link = runtime.block_on(Driver::new(config).connect()).expect("no database");
        let sql = "SELECT ?1, ?2, ?3, ?4";
        let plan = SqlitePlan::new(sql.to_owned(), Kind::Read, Role::Plain, Lock::Read, "SELECT".to_owned(), false);
        Place { runtime, link, text: Arc::new(plan.described(sql.into())) }
    }
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place::new());
}

/// A value made of a letter and up to eight bytes, or of all that is left but what the others take.
fn value<'a>(data: &mut &'a [u8]) -> Value<'a> {
    let Some((letter, rest)) = data.split_first() else { return Value::Null };
    let length = match letter % 5 {
        3 | 4 => usize::from(*letter).min(rest.len()),
        _ => rest.len().min(8),
    };
    let (bytes, rest) = rest.split_at(length);
    *data = rest;
    let mut word = [0; 8];
    word[..length.min(8)].copy_from_slice(&bytes[..length.min(8)]);
    match letter % 5 {
        0 => Value::Null,
        1 => Value::Integer(i64::from_be_bytes(word)),
        2 => Value::Real(Some(f64::from_be_bytes(word)).filter(|number| !number.is_nan()).unwrap_or(0.5)),
        3 => str::from_utf8(bytes).map_or(Value::Blob(bytes), |text| Value::Text(text.as_bytes())),
        _ => Value::Blob(bytes),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let sent: [Value<'_>; COUNT] = std::array::from_fn(|_| value(&mut rest));
    let mut params = BytesMut::new();
    sent.iter().for_each(|value| put(&mut params, *value));
    let params = Short::take(&mut params);
    PLACE.with_borrow_mut(|place| {
        let execute = Execute::Known { text: place.text.clone(), params, careful: false };
        let answer = place.runtime.block_on(place.link.run(vec![execute], true)).expect("the connection is lost");
        let Outcome::Done { rows, .. } = &answer.outcomes[0] else { panic!("{:?}", answer.outcomes) };
        assert_eq!(Values(&rows.data).collect::<Vec<_>>(), sent);
    });
});
