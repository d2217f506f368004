//! A long result is read in slices, and between two slices the event loop serves other tasks: only its own caller
//! waits.
//!
//! A slice ends by the clock, since values differ: some are long, some are read by Python. It may end inside a row,
//! whose first values are kept. What is shorter than one never comes here twice. The garbage collector pauses for the
//! rows of long results, as in mode balanced (docs/adr/0006).

use std::time::{Duration, Instant};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyModule;

/// How long a slice may take.
const SLICE: Duration = Duration::from_millis(1);
/// Between two looks at the clock: so many values, or so many bytes of them.
const VALUES: usize = 64;
const BYTES: usize = 16 * 1024;
/// From so many rows on, the collector pauses for them.
const MANY: usize = 1024;

/// How far the rows of a result have been read.
#[derive(Default)]
pub struct Place {
    pub row: usize,
    pub byte: usize,
    /// The first values of the row, if a slice has ended inside it.
    pub values: Vec<Py<PyAny>>,
}

impl Place {
    /// How many rows a slice may well have.
    pub fn room(&self, count: usize) -> usize {
        (count - self.row).min(MANY)
    }
}

/// The clock of one slice.
#[derive(Default)]
pub struct Watch {
    began: Option<Instant>,
    values: usize,
    bytes: usize,
}

impl Watch {
    /// Whether the slice is to end, after one more value of so many bytes.
    #[inline]
    pub fn is_over(&mut self, bytes: usize) -> bool {
        self.values += 1;
        self.bytes += bytes;
        (self.values >= VALUES || self.bytes >= BYTES) && self.look()
    }

    fn look(&mut self) -> bool {
        (self.values, self.bytes) = (0, 0);
        self.began.get_or_insert_with(Instant::now).elapsed() > SLICE
    }
}

/// The garbage collector, while the rows of a long result are made.
pub struct GcPause<'py>(Option<Bound<'py, PyModule>>);

impl<'py> GcPause<'py> {
    /// Whether it is to pause for a result of so many rows. A collector that the program has switched
    /// off stays off; where the program has frozen objects, they must stay frozen, so that the collector is left alone.
    pub fn is_wanted(py: Python<'_>, rows: usize) -> PyResult<bool> {
        if rows < MANY {
            return Ok(false);
        }
        if !py.import(intern!(py, "gc"))?.call_method0(intern!(py, "isenabled"))?.is_truthy()? {
            return Ok(false);
        }
        py.import(intern!(py, "db_pool_rs.drivers.collector"))?.call_method0(intern!(py, "can_freeze"))?.is_truthy()
    }

    /// The collector is off until this is dropped, if that is `wanted`.
    pub fn begin(py: Python<'py>, wanted: bool) -> PyResult<Self> {
        let gc = wanted.then(|| py.import(intern!(py, "gc"))).transpose()?;
        gc.as_ref().map(|gc| gc.call_method0(intern!(py, "disable"))).transpose()?;
        Ok(GcPause(gc))
    }
}

impl Drop for GcPause<'_> {
    /// It works again, and takes all there is for old: the frozen are a generation of their own, which is merged with
    /// the oldest when they are thawed.
    fn drop(&mut self) {
        let Some(gc) = &self.0 else { return };
        let py = gc.py();
        for step in [intern!(py, "freeze"), intern!(py, "unfreeze"), intern!(py, "enable")] {
            if let Err(error) = gc.call_method0(step) {
                error.write_unraisable(py, Some(gc));
            }
        }
    }
}
