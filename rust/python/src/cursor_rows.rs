//! The rows of a cursor. FETCH is not described before it is sent: what it returns is known from the rows before.

use std::sync::{Arc, Mutex, PoisonError};

use db_pool_engine::link::{Described, Settings};
use db_pool_engine::pool::Sink;
use pyo3::prelude::*;

use crate::decoders::Decoders;
use crate::handle::Handle;
use crate::values::RowDecoder;

/// What is known of the rows of one cursor: nothing before the first have come. It is good for that cursor only.
#[pyclass(frozen, module = "db_pool_rs_full")]
#[derive(Default)]
pub struct CursorRows {
    seen: Mutex<Option<Arc<Described>>>,
    decoders: Decoders,
}

impl CursorRows {
    /// How to ask for the next ones with this text, in the formats that are right now: codecs may have changed.
    pub fn next(&self, sql: &str, sink: &impl Sink) -> Option<Arc<Described>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let last = seen.as_ref()?;
        let mut next = Described::new(String::new(), last.sql.clone(), Vec::new(), last.columns.clone());
        sink.formats(&mut next);
        if *last.sql != *sql {
            next.sql = sql.into();
        } else if next.result_formats == last.result_formats && next.foreign_columns == last.foreign_columns {
            return Some(last.clone());
        }
        *seen = Some(Arc::new(next));
        seen.clone()
    }

    /// Rows have come so, which this reads.
    pub fn saw(
        &self,
        py: Python<'_>,
        handle: &Arc<Handle>,
        described: &Arc<Described>,
        settings: &Arc<Settings>,
    ) -> PyResult<Arc<RowDecoder>> {
        if described.plan.is_none() {
            *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(described.clone());
        }
        self.decoders.decoder(py, handle, described, settings)
    }
}

#[pymethods]
impl CursorRows {
    #[new]
    fn new() -> Self {
        CursorRows::default()
    }
}
