//! Results that are long, until all of their rows are read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use db_pool_engine::link::{Lost, Rows};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::chunks::{GcPause, Place};
use crate::codec::loaders;
use crate::deliver;
use crate::pool::Pool;
use crate::result_future::ResultFuture;
use crate::values::RowDecoder;

/// What is told beside rows where that is wanted: their columns, and the command tag.
pub type Details = (Py<PyAny>, Py<PyAny>);

/// The rows of one result, and the list of those that were read.
pub struct Reading {
    rows: Rows,
    shape: Arc<RowDecoder>,
    place: Place,
    pauses_gc: bool,
    records: Py<PyList>,
    details: Option<Details>,
}

impl Reading {
    /// Read the first slice, which nearly always is all; nothing yet if the loaders of its values must be imported
    /// first.
    pub fn begin(py: Python<'_>, rows: Rows, shape: Arc<RowDecoder>, details: Option<Details>) -> PyResult<Self> {
        let pauses_gc = GcPause::is_wanted(py, rows.count)?;
        let mut place = Place::default();
        if rows.count > 0 && shape.waits() {
            return Ok(Reading { rows, shape, place, pauses_gc, records: PyList::empty(py).unbind(), details });
        }
        let pause = GcPause::begin(py, pauses_gc)?;
        let records = PyList::new(py, shape.records(py, &rows, &mut place)?)?.unbind();
        drop(pause);
        Ok(Reading { rows, shape, place, pauses_gc, records, details })
    }

    /// What the caller gets: the rows, or (rows, columns, command tag).
    pub fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let records = self.records.clone_ref(py).into_any();
        match &self.details {
            None => Ok(records),
            Some((columns, tag)) => {
                Ok((records, columns.clone_ref(py), tag.clone_ref(py)).into_pyobject(py)?.into_any().unbind())
            }
        }
    }

    pub fn is_done(&self) -> bool {
        self.place.row >= self.rows.count
    }

    /// Read one more slice.
    fn go_on(&mut self, py: Python<'_>) -> PyResult<()> {
        let _pause = GcPause::begin(py, self.pauses_gc)?;
        let records = self.records.bind(py);
        for record in self.shape.records(py, &self.rows, &mut self.place)? {
            records.append(record)?;
        }
        Ok(())
    }
}

/// The receiver of a result.
pub enum Whose {
    Caller(Py<ResultFuture>),
    /// The caller that holds a connection: the token of its run, and which of the results it is.
    Holder(u64, usize),
}

/// A value or an error for each statement of a run.
pub type Results = Vec<(Option<Py<PyAny>>, Option<Py<PyAny>>)>;

/// A run on an acquired connection whose results are not all read.
pub struct Run {
    pub conn: u64,
    pub ok: bool,
    pub seconds: f64,
    pub in_transaction: bool,
    pub results: Results,
    /// Results that are still being read.
    pub remaining: usize,
    /// Its connection is lost, which its caller is told after the results.
    pub lost: Option<Lost>,
}

/// All that is being read.
#[derive(Default)]
pub struct PendingResults {
    readings: VecDeque<(Reading, Whose)>,
    /// Those that cannot begin before psycopg's loaders are imported.
    waiting: VecDeque<(Reading, Whose)>,
    pub runs: HashMap<u64, Run>,
    /// The pool has ended, which is told when nothing is left here.
    pub ended: bool,
}

impl PendingResults {
    pub fn is_empty(&self) -> bool {
        self.readings.is_empty() && self.waiting.is_empty()
    }

    /// Whether there is something that can be read now.
    pub fn can_go_on(&self) -> bool {
        !self.readings.is_empty()
    }

    /// True if psycopg's loaders must be imported for it, which was not asked for until now.
    pub fn add(&mut self, reading: Reading, whose: Whose) -> bool {
        let waits = reading.shape.waits();
        let queue = if waits { &mut self.waiting } else { &mut self.readings };
        queue.push_back((reading, whose));
        waits && queue.len() == 1
    }

    /// The run of a connection, if some of it is still being read.
    pub fn run_on(&mut self, conn: u64) -> Option<&mut Run> {
        self.runs.values_mut().find(|run| run.conn == conn)
    }

    /// No caller waits any more for what was run on `conn`. False if nothing of it is being read.
    pub fn give_up(&mut self, conn: u64) -> bool {
        let runs = &self.runs;
        let on_conn = |token: &u64| runs.get(token).is_some_and(|run| run.conn == conn);
        let mut found = false;
        for (reading, whose) in self.readings.iter_mut().chain(&mut self.waiting) {
            if matches!(whose, Whose::Holder(token, _) if on_conn(token)) {
                reading.rows.count = reading.place.row;
                found = true;
            }
        }
        found
    }
}

#[pymethods]
impl Pool {
    /// Whether results that have come are being read.
    fn reading(&self) -> bool {
        !self.inner().pending_results.is_empty()
    }

    /// psycopg's loaders are imported, or cannot be.
    fn loaders_imported(&self) {
        loaders::were_tried();
        let PendingResults { readings, waiting, .. } = &mut self.inner().pending_results;
        readings.append(waiting);
        self.completions.signal();
    }
}

/// Read one slice of the result that is next, and have the loop come back if more is left.
pub fn read_on(pool: &Bound<'_, Pool>) -> PyResult<()> {
    let (py, this) = (pool.py(), pool.get());
    let Some((mut reading, whose)) = this.inner().pending_results.readings.pop_front() else { return Ok(()) };
    let wanted = !matches!(&whose, Whose::Caller(answer) if answer.get().is_done());
    let read = if wanted { reading.go_on(py) } else { Ok(()) };
    let over = !wanted || read.is_err() || reading.is_done();
    let outcome = match read {
        Ok(()) => Ok(reading.value(py)?),
        Err(error) => Err(error.into_value(py).into_any()),
    };
    if !over {
        this.inner().pending_results.readings.push_back((reading, whose));
        this.completions.signal();
        return Ok(());
    }
    if this.inner().pending_results.can_go_on() {
        this.completions.signal();
    }
    let emitted = deliver::rows_read(pool, whose, outcome);
    let ended = {
        let mut inner = this.inner();
        inner.pending_results.is_empty() && std::mem::take(&mut inner.pending_results.ended)
    };
    emitted.and(if ended { deliver::ended(pool) } else { Ok(()) })
}
