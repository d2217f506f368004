//! The Rust engine as the Python module `db_pool_rs_full`; its only user is `db_pool_rs.full`.
//!
//! * `threads`: the threads on which pools live.
//! * `handle`: the engine's pool, absent in a forked child.
//! * `completion_queue`: how completions of the pool reach the event loop: in batches, with one wake-up for each, which
//!   `socket_pair` carries.
//! * `result_future`: what a caller awaits.
//! * `query`: a statement text, with what the server told of it; `cursor_rows`: what was seen of those of a cursor.
//!   `decoders`: how rows of either are read.
//! * `pool`: commands go in; `submit` has those for statements on the pool, `acquired` those for a connection that was
//!   acquired, `guard` those for the guard. `deliver`: completions come out. `convert`: options, errors and figures.
//! * `chunks`: how long results are read, `pending_results`: those that are being read.
//! * `arrow`: results that no Python object is made for. `objects`: those that a program's own objects are made of. `codec`: of values, to bytes and back.

mod acquired;
mod arrow;
mod chunks;
mod codec;
mod completion_queue;
mod convert;
mod cursor_rows;
mod decoders;
mod deliver;
mod guard;
mod handle;
mod objects;
mod pending_results;
mod pool;
mod query;
mod result_future;
mod socket_pair;
mod sqlite;
mod submit;
mod threads;
mod values;

use pyo3::prelude::*;

/// The Rust engine of db_pool_rs, mode full.
#[pymodule(gil_used = true)]
mod db_pool_rs_full {
    use super::*;

    #[pymodule_export]
    use super::acquired::SessionInfo;
    #[pymodule_export]
    use super::arrow::{ArrowDecoder, ArrowTable};
    #[pymodule_export]
    use super::codec::probe::{decode, decode_raw, encode};
    #[pymodule_export]
    use super::codec::write_records;
    #[pymodule_export]
    use super::cursor_rows::CursorRows;
    #[pymodule_export]
    use super::objects::fill_objects;
    #[pymodule_export]
    use super::pool::Pool;
    #[pymodule_export]
    use super::query::{Params, Query};
    #[pymodule_export]
    use super::result_future::ResultFuture;
    #[pymodule_export]
    use super::sqlite::library::{functions, lend, missing};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        result_future::prepare(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
