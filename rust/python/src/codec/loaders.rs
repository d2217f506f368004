//! psycopg's loaders: imported when a value needs them, and never by the event loop's thread, since it takes a while.

use std::sync::atomic::{AtomicBool, Ordering};

use db_pool_engine::link::Settings;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What must be imported for them.
pub const MODULE: &str = "db_pool_rs.types.loaders";

static TRIED: AtomicBool = AtomicBool::new(false);

/// Whether their import is over. If it failed, the call that needs them fails with the reason.
pub fn tried() -> bool {
    TRIED.load(Ordering::Acquire)
}

/// Their import is over.
pub fn were_tried() {
    TRIED.store(true, Ordering::Release);
}

/// psycopg's loader of a type for which there is none here.
pub fn canonical<'py>(
    py: Python<'py>,
    oid: u32,
    format: i16,
    settings: Option<&Settings>,
) -> PyResult<Bound<'py, PyAny>> {
    let values = PyDict::new(py);
    if let Some(settings) = settings {
        let names = [&b"TimeZone"[..], b"DateStyle", b"IntervalStyle"];
        for (name, value) in
            names.into_iter().zip([&settings.time_zone, &settings.date_style, &settings.interval_style])
        {
            if !value.is_empty() {
                values.set_item(name, value.as_bytes())?;
            }
        }
    }
    py.import(MODULE)?.getattr("value_loader")?.call1((oid, format, values))
}
