//! Arguments and rows, as the database of the text has them.

use std::sync::Arc;

use db_pool_engine::link::{Described, Rows, Settings, Short};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::chunks::Place;
use crate::handle::Handle;
use crate::{codec, sqlite};

/// Write the arguments of a statement; ArgumentError if they do not fit.
pub fn encode(py: Python<'_>, text: &Described, args: &Bound<'_, PyTuple>, handle: &Handle) -> PyResult<Short> {
    match text.sqlite_plan() {
        Some(plan) => sqlite::encode(plan, args),
        None => {
            let catalog = if text.foreign.is_empty() { None } else { Some(handle.catalog(py)?) };
            codec::encode(py, text, args, catalog)
        }
    }
}

/// How rows of a description are read.
pub enum RowDecoder {
    Postgres(Box<codec::RowDecoder>),
    Sqlite(sqlite::RowDecoder),
}

impl RowDecoder {
    /// For these columns, from a session with these settings.
    pub fn new(
        py: Python<'_>,
        described: &Described,
        settings: &Settings,
        handle: Option<&Arc<Handle>>,
    ) -> PyResult<Self> {
        Ok(match described.is_sqlite() {
            true => RowDecoder::Sqlite(sqlite::RowDecoder::new(py, described)?),
            false => RowDecoder::Postgres(Box::new(codec::shape(py, described, settings, handle)?)),
        })
    }

    /// Whether psycopg's loaders must be imported before rows can be read.
    pub fn waits(&self) -> bool {
        match self {
            RowDecoder::Postgres(shape) => shape.waits(),
            RowDecoder::Sqlite(_) => false,
        }
    }

    /// Read a slice of the rows; DecodeError if a value is none that Python can hold.
    pub fn records<'py>(&self, py: Python<'py>, rows: &Rows, place: &mut Place) -> PyResult<Vec<Bound<'py, PyAny>>> {
        match self {
            RowDecoder::Postgres(shape) => codec::records(py, shape, rows, place),
            RowDecoder::Sqlite(shape) => shape.records(py, rows, place),
        }
    }
}
