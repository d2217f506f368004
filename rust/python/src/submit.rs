//! Statements of the pool's callers: each is handed over with one call of Python, where nothing about it is special.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use db_pool_engine::pool::Command;
use db_pool_engine::scheduler::RequestId;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::pool::{Pending, Pool, Want};
use crate::query::Query;
use crate::result_future::ResultFuture;

/// What is the same for all of them.
pub struct Terms {
    /// The texts that may be sent on a shared connection, by their SQL.
    pub known: Py<PyDict>,
    /// The timeout of calls that have none of their own, in seconds.
    pub timeout: Option<f64>,
}

/// Set when the pool begins to serve.
pub type Agreed = OnceLock<Terms>;

/// A number for this thread.
pub fn here() -> usize {
    thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

impl Pool {
    /// Whether a call from here and now may be served.
    fn serves(&self, py: Python<'_>) -> PyResult<bool> {
        static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if !self.open.load(Ordering::Relaxed) {
            return Ok(false);
        }
        if self.delivering_thread.load(Ordering::Relaxed) == here() {
            return Ok(true);
        }
        let running = RUNNING.import(py, "asyncio", "_get_running_loop")?.call0()?;
        Ok(running.is(&self.event_loop)) // None in a child of the process
    }
}

#[pymethods]
impl Pool {
    /// Run a statement, if there is nothing to look at first: the pool is open and on this loop, the text is known, and
    /// there is no timeout of its own. Else None.
    fn run_known(
        &self,
        sql: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        want: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Py<ResultFuture>>> {
        match self.terms.get() {
            Some(terms) if timeout.is_none() && self.serves(sql.py())? => self.submit(sql, args, want, terms.timeout),
            _ => Ok(None),
        }
    }

    /// Run a statement whose text is known; None if it is not, or is no statement. ArgumentError if the arguments do
    /// not fit. `timeout` in seconds.
    fn submit(
        &self,
        sql: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        want: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<Option<Py<ResultFuture>>> {
        let (py, Some(terms)) = (sql.py(), self.terms.get()) else { return Ok(None) };
        if !sql.is_exact_instance_of::<PyString>() {
            return Ok(None);
        }
        let Some(entry) = terms.known.bind(py).get_item(sql)? else { return Ok(None) };
        let described = entry.getattr(intern!(py, "description"))?;
        let Ok(text) = described.cast_into::<Query>() else { return Ok(None) };
        let (want, with_args) = (Want::of(want)?, !args.is_empty());
        let params = text.get().params(py, args)?;
        let item = self.next();
        let deadline = self.handle.deadline(timeout);
        let answer = Py::new(py, ResultFuture::new(item, self.event_loop.clone_ref(py)))?;
        let id = text.get().id;
        let pending = Pending {
            answer: Some(answer.clone_ref(py)),
            text: Some(text.unbind()),
            cursor: None,
            args: args.clone().unbind(),
            want,
            error: None,
        };
        let mut inner = self.inner();
        inner.pending.insert(item, pending);
        self.put(py, inner, Command::Submit { request: RequestId(item), query: id, with_args, params, deadline })?;
        Ok(Some(answer))
    }

    /// The caller of a statement has gone.
    fn abandon(&self, py: Python<'_>, answer: &ResultFuture) -> PyResult<()> {
        let gone = self.inner().pending.remove(&answer.item);
        drop(gone);
        self.ask(py, Command::Cancel(RequestId(answer.item)))
    }
}
