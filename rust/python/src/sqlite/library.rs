//! The engine uses the SQLite of Python's `_sqlite3`, in one of two ways that `db_pool_rs.full` tries.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use db_pool_engine::sqlite::library;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The names of the functions that the engine calls.
#[pyfunction]
#[pyo3(name = "_sqlite_functions")]
pub fn functions() -> Vec<&'static str> {
    library::FUNCTIONS.to_vec()
}

/// The engine's SQLite from now on: the addresses of these functions. ValueError says why it cannot be.
#[pyfunction]
#[pyo3(name = "_lend_sqlite")]
pub fn lend(addresses: HashMap<String, usize>) -> PyResult<()> {
    let find = |name: &str| addresses.get(name).and_then(|address| NonNull::new(*address as *mut c_void));
    // SAFETY: `db_pool_rs.full` looks the symbols up in the library of `_sqlite3`, which is never unloaded.
    unsafe { library::lend(find) }.map_err(PyValueError::new_err)
}

/// Why the engine cannot call SQLite; None if it can.
#[pyfunction]
#[pyo3(name = "_sqlite_missing")]
pub fn missing() -> Option<String> {
    library::lent().err()
}

/// The entry point that SQLite calls when this module is loaded as one of its extensions.
#[unsafe(no_mangle)]
unsafe extern "C" fn sqlite3_extension_init(_: *mut c_void, _: *mut *mut c_void, table: *mut c_void) -> c_int {
    // SAFETY: SQLite passes the table of its functions.
    unsafe { library::lend_table(table) }
}
