//! The Rust engine as the Python module `db_pool_rs_full`; its only user is `db_pool_rs.full`.
//!
//! * `threads`: the threads on which pools live.
//! * `mailbox`: how what a pool has decided reaches the event loop: in batches, with one wake-up for each.
//! * `answer`: what a caller awaits.
//! * `text`: a statement text, with what the server told of it.
//! * `pool`: what is asked for goes in, of it `calls` the statements, and `lent` what borrowers ask; `drain`: answers come out; `convert`: options, errors and figures.
//! * `slices`: how long results are read, `unread`: those that are being read.
//! * `codec`: of values, to bytes and back.

mod answer;
mod calls;
mod codec;
mod convert;
mod drain;
mod guard;
mod lent;
mod mailbox;
mod pool;
mod slices;
mod sqlite;
mod text;
mod threads;
mod unread;
mod values;

use pyo3::prelude::*;

/// The Rust engine of db_pool_rs, mode full.
#[pymodule(gil_used = true)]
mod db_pool_rs_full {
    use super::*;

    #[pymodule_export]
    use super::answer::Answer;
    #[pymodule_export]
    use super::codec::probe::{decode, decode_raw, encode};
    #[pymodule_export]
    use super::pool::Pool;
    #[pymodule_export]
    use super::sqlite::library::{functions, lend, missing};
    #[pymodule_export]
    use super::text::{Params, Text};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        answer::prepare(module.py());
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
