//! The Rust engine as the Python module `db_pool_rs_full`; its only user is `db_pool_rs.full`.

use pyo3::prelude::*;

mod codec;

/// The Rust engine of db_pool_rs, mode full.
#[pymodule(gil_used = true)]
mod db_pool_rs_full {
    use super::*;

    #[pymodule_export]
    use codec::probe::{decode, decode_raw, encode};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
