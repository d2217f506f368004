//! SQLite: its targets, texts and values, between Python and the engine.

pub mod library;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use db_pool_engine::scheduler::Kind;
use db_pool_engine::sqlite::{Config, Lock, Role, SqlitePlan, Synchronous};
use pyo3::prelude::*;
use pyo3::types::PyDict;
pub use values::{RowDecoder, encode};

use crate::convert::{get, unknown};

/// The target, by the names of the engine.
pub fn config(dict: &Bound<'_, PyDict>) -> PyResult<Config> {
    let seconds = |name| get::<f64>(dict, name).map(Duration::from_secs_f64);
    Ok(Config {
        uri: get(dict, "uri")?,
        path: get::<Option<PathBuf>>(dict, "path")?,
        busy_timeout: seconds("busy_timeout")?,
        foreign_keys: get(dict, "foreign_keys")?,
        synchronous: match &*get::<String>(dict, "synchronous")? {
            "full" => Synchronous::Full,
            "normal" => Synchronous::Normal,
            other => return Err(unknown("synchronous", other)),
        },
        read_only: get(dict, "read_only")?,
        max_statements: get(dict, "max_statements")?,
        threads: get(dict, "threads")?,
        stall: seconds("stall")?,
        patience: seconds("patience")?,
    })
}

/// What Python has read out of a text: a `Description` of `db_pool_rs.drivers.sqlite.plan`.
pub fn plan(description: &Bound<'_, PyAny>, kind: Kind) -> PyResult<SqlitePlan> {
    let text = |name: &str| description.getattr(name)?.extract::<String>();
    Ok(SqlitePlan {
        params: description.getattr("count")?.extract()?,
        cursor: text("cursor")?,
        rows: description.getattr("rows")?.extract()?,
        ..SqlitePlan::new(
            text("sql")?,
            kind,
            role(&description.getattr("role")?.getattr("value")?.extract::<String>()?)?,
            lock(description.getattr("lock")?.extract()?)?,
            text("tag")?,
            description.getattr("writes")?.extract()?,
        )
    })
}

fn role(name: &str) -> PyResult<Role> {
    Ok(match name {
        "plain" => Role::Plain,
        "outside" => Role::Outside,
        "begin" => Role::Begin,
        "begin read only" => Role::BeginReadOnly,
        "savepoint" => Role::Savepoint,
        "inner" => Role::Inner,
        "commit" => Role::Commit,
        "rollback" => Role::Rollback,
        "reset" => Role::Reset,
        "declare" => Role::Declare,
        "fetch" => Role::Fetch,
        "close" => Role::Close,
        other => return Err(unknown("role", other)),
    })
}

fn lock(number: u8) -> PyResult<Lock> {
    Ok(match number {
        0 => Lock::None,
        1 => Lock::Read,
        2 => Lock::Begin,
        3 => Lock::Write,
        other => return Err(unknown("lock", &other.to_string())),
    })
}
