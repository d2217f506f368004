//! Acquiring a connection, and commands for one that is acquired.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use db_pool_engine::link::{self, Feed};
use db_pool_engine::pool::{Call, Command, Completion, Sink, Source};
use db_pool_engine::scheduler::{ConnId, RequestId};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::cursor_rows::CursorRows;
use crate::pool::{Pending, Pool, Want};
use crate::query::{Params, Query};

/// What the server tells of the session that is acquired.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct SessionInfo(pub link::SessionInfo);

#[pymethods]
impl SessionInfo {
    /// The server's process.
    #[getter]
    fn pid(&self) -> i32 {
        self.0.process_id
    }

    /// The settings that the server reports, as it reported them last.
    fn parameters(&self) -> HashMap<String, String> {
        self.0.parameters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One execution, as `Pool.run` takes it.
type Statement<'py> =
    (Bound<'py, PyAny>, Bound<'py, PyTuple>, Option<Bound<'py, Params>>, Bound<'py, PyAny>, Option<Py<CursorRows>>);

/// A text that the pool knows, or SQL that is not remembered.
fn source(what: &Bound<'_, PyAny>) -> PyResult<(Source, Option<Py<Query>>)> {
    Ok(match what.cast::<Query>() {
        Ok(text) => (Source::Query(text.get().id), Some(text.clone().unbind())),
        Err(_) => (Source::Sql(Arc::from(what.extract::<&str>()?)), None),
    })
}

impl Pool {
    /// Statements without arguments and rows.
    fn expect_nothing(&self, py: Python<'_>, conn: u64, token: u64, texts: Vec<Option<Py<Query>>>) -> Vec<u64> {
        let items: Vec<u64> = texts.iter().map(|_| self.next()).collect();
        let mut inner = self.inner();
        inner.runs.insert(token, (conn, items.clone()));
        for (item, text) in items.iter().zip(texts) {
            let args = PyTuple::empty(py).unbind();
            inner
                .pending
                .insert(*item, Pending { answer: None, text, cursor: None, args, want: Want::Status, error: None });
        }
        items
    }
}

#[pymethods]
impl Pool {
    /// Wait for a connection; the number under which it will be acquired.
    fn acquire(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<u64> {
        let item = self.next();
        let deadline = self.handle.deadline(timeout);
        self.ask(py, Command::Acquire(RequestId(item), deadline))?;
        Ok(item)
    }

    /// The caller does not wait for that connection any more.
    fn cancel(&self, py: Python<'_>, item: u64) -> PyResult<()> {
        self.ask(py, Command::Cancel(RequestId(item)))
    }

    /// Run statements on an acquired connection: (text or SQL, arguments, encoded arguments or None, what is wanted,
    /// what is known of the rows of the cursor that it fetches from, or None).
    fn run(&self, py: Python<'_>, conn: u64, token: u64, statements: Vec<Bound<'_, PyTuple>>) -> PyResult<()> {
        let (mut calls, mut waiting) = (Vec::with_capacity(statements.len()), Vec::with_capacity(statements.len()));
        for statement in statements {
            let (what, args, params, want, cursor): Statement<'_> = statement.extract()?;
            let want = Want::of(&want)?;
            let item = self.next();
            let (source, text) = source(&what)?;
            let with_args = !args.is_empty();
            let params = match (params, &text) {
                (None, Some(text)) if text.get().is_planned() => text.get().params(py, &args)?,
                (params, _) => params.map(|params| params.get().0.clone()),
            };
            let seen = match (&cursor, &text, &source) {
                (Some(cursor), Some(text), _) => cursor.get().next(&text.get().sql, &*self.completions),
                (Some(cursor), None, Source::Sql(sql)) => cursor.get().next(sql, &*self.completions),
                _ => None,
            };
            calls.push(Call { request: RequestId(item), source, with_args, params, seen });
            waiting.push((item, Pending { answer: None, text, cursor, args: args.unbind(), want, error: None }));
        }
        let mut inner = self.inner();
        inner.pending.extend(waiting);
        inner.runs.insert(token, (conn, calls.iter().map(|call| call.request.0).collect()));
        drop(inner);
        self.ask(py, Command::Run(ConnId(conn), token, calls))
    }

    /// Ask for the types of texts, or of SQL, on an acquired connection.
    fn describe(&self, py: Python<'_>, conn: u64, token: u64, texts: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let sources = texts.iter().map(source).collect::<PyResult<Vec<_>>>()?;
        let (sources, texts): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
        let items = self.expect_nothing(py, conn, token, texts);
        let call =
            |(source, item)| Call { request: RequestId(item), source, with_args: false, params: None, seen: None };
        self.ask(py, Command::Describe(ConnId(conn), token, sources.into_iter().zip(items).map(call).collect()))
    }

    /// Run a COPY on an acquired connection; the handler's `on_data_request` is asked for its data, or given them.
    fn copy(&self, py: Python<'_>, conn: u64, token: u64, sql: &str) -> PyResult<()> {
        let item = self.expect_nothing(py, conn, token, vec![None])[0];
        self.ask(py, Command::Copy(ConnId(conn), token, RequestId(item), Arc::from(sql)))
    }

    /// Answer `on_data_request`: with data, with None at their end, with False to give up.
    fn feed(&self, py: Python<'_>, conn: u64, answer: &Bound<'_, PyAny>) -> PyResult<()> {
        let feed = match answer.cast::<PyBytes>() {
            Ok(data) => Feed::Data(Bytes::copy_from_slice(data.as_bytes())),
            Err(_) if answer.is_none() => Feed::End,
            Err(_) => Feed::Fail,
        };
        self.ask(py, Command::Feed(ConnId(conn), feed))
    }

    /// Ask the server to stop what runs on an acquired connection; what has come of it is not read to its end.
    fn stop(&self, py: Python<'_>, conn: u64, token: u64) -> PyResult<()> {
        if self.inner().pending_results.give_up(conn) {
            self.completions.complete(vec![Completion::Stopped(token, true)]);
            return Ok(());
        }
        self.ask(py, Command::Stop(ConnId(conn), token))
    }

    /// A connection comes back.
    fn release(&self, py: Python<'_>, conn: u64, healthy: bool) -> PyResult<()> {
        self.ask(py, Command::Release(ConnId(conn), healthy))
    }

    /// Close a connection that is of no use any more; with `evict_all` the others are suspect, too.
    fn abort(&self, py: Python<'_>, conn: u64, reason: String, evict_all: bool) -> PyResult<()> {
        self.ask(py, Command::Abort(ConnId(conn), reason, evict_all))
    }
}
