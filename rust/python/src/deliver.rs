//! Completions, delivered on the event loop's thread: everything that has come, under one hold of the GIL.

use std::collections::HashMap;
use std::sync::Arc;

use db_pool_engine::link::{Described, Lost, Rows, Settings};
use db_pool_engine::pool::{Command, Completion, Ran};
use db_pool_engine::scheduler::RequestId;
use pyo3::call::PyCallArgs;
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::acquired::SessionInfo;
use crate::codec::{decode_error, loaders};
use crate::convert;
use crate::cursor_rows::CursorRows;
use crate::handle::Handle;
use crate::pending_results::{self, Details, Reading, Results, Run, Whose};
use crate::pool::{Pending, Pool, Want};
use crate::result_future::ResultFuture;
use crate::values::{self, RowDecoder};

/// Status objects that are kept: few tags differ.
const MOST_TAGS: usize = 256;

/// How a statement ended.
enum Outcome {
    Value(Py<PyAny>),
    Error(Py<PyAny>),
    /// With rows that are not all read yet.
    Rows(Reading),
}

pub fn deliver_completions(pool: &Bound<'_, Pool>) -> PyResult<()> {
    let this = pool.get();
    let planned = this.begin_delivery();
    let reading = this.inner().pending_results.can_go_on();
    let mut batch = this.completions.take().into_iter();
    let mut emitted = Ok(());
    while let (Ok(()), Some(completion)) = (&emitted, batch.next()) {
        emitted = emit(pool, completion);
    }
    if emitted.is_err() {
        // SystemExit, KeyboardInterrupt: the others are delivered in the next tick.
        this.completions.put_back(batch.collect());
    }
    if reading {
        emitted = emitted.and_then(|()| pending_results::read_on(pool));
    } else if this.inner().pending_results.can_go_on() {
        this.completions.signal(); // the next slice is the next tick's
    }
    this.end_of_tick(planned);
    emitted
}

fn emit(pool: &Bound<'_, Pool>, completion: Completion) -> PyResult<()> {
    let (py, this, handler) = (pool.py(), pool.get(), Handler(pool));
    match completion {
        Completion::Done { request: item, .. }
        | Completion::Failed(item, _)
        | Completion::Unfit(item)
        | Completion::Described(item, _)
        | Completion::Changed(item) => {
            let Some(pending) = take(pool, item) else { return Ok(()) };
            let (Some(answer), outcome) = outcome(pool, pending, completion)? else { return Ok(()) };
            match outcome {
                Outcome::Value(value) => set_result(pool, answer.bind(py), Ok(value)),
                Outcome::Error(error) => set_result(pool, answer.bind(py), Err(error)),
                Outcome::Rows(reading) => put_off(pool, [(reading, Whose::Caller(answer))]),
            }
        }
        Completion::Delivered(groups) => {
            this.inner().acknowledged = groups;
            Ok(())
        }
        Completion::Types(asked, rows) => learn_types(pool, asked, &rows),
        Completion::NeedsParams(item, described) => needs_params(pool, item, &described),
        Completion::Refused { request: item, reason, sent, waited, running } => {
            let pending = take(pool, item);
            let running = running.as_ref().map(|running| running.iter().map(|(seconds, sql)| (*seconds, &**sql)));
            let running = running.map(Iterator::collect::<Vec<(f64, &str)>>);
            let waits = pending.is_none();
            let error = handler.ask("refused", (convert::reason(reason), sent, waited, running, waits))?;
            match pending.and_then(|pending| pending.answer) {
                Some(answer) => answer.get().set(Err(error), this.done.bind(py)).map(drop),
                None => handler.emit("not_lent", (item.0, error)),
            }
        }
        Completion::Acquired(item, conn, info) => {
            handler.emit(intern!(py, "acquired"), (item.0, conn.0, info.map(SessionInfo)))
        }
        Completion::Ran(token, Ok(ran)) => self::ran(pool, token, ran),
        Completion::Ran(token, Err(_)) => {
            drop(take_run(pool, token));
            handler.emit("ran_lost", (token,))
        }
        Completion::DataRequest(token, piece) => {
            handler.emit("on_data_request", (token, piece.map(|piece| PyBytes::new(py, &piece))))
        }
        Completion::Notified(conn, notifications) => {
            for one in notifications {
                handler.emit("notified", (conn.0, one.pid, one.channel, one.payload))?;
            }
            Ok(())
        }
        Completion::Stopped(token, closed) => handler.emit("stopped", (token, closed)),
        Completion::AcquiredLost(conn, lost) => acquired_lost(pool, conn.0, lost),
        Completion::Initialize(conn) => handler.emit("initialize", (conn.0,)),
        Completion::Reset(conn) => handler.emit("reset", (conn.0,)),
        Completion::NeedsPassword(conn) => handler.emit("needs_password", (conn.0,)),
        Completion::Opened(_) => handler.emit("opened", ()),
        Completion::NotOpened(error) => {
            let cause = error.cause.as_ref().map(|cause| convert::fields(py, cause)).transpose()?;
            handler.emit("not_opened", (error.attempts, error.sqlstate, error.permanent, cause))?;
            handler.emit("changed", ())
        }
        Completion::Gone(lost) => gone(&handler, py, &lost),
        Completion::Notice(conn, error) => handler.emit("notice", (conn.0, convert::fields(py, &error)?)),
        Completion::Slow(sql, seconds) => handler.emit("slow", (&*sql, seconds)),
        Completion::Ended => ended(pool),
        Completion::Broken => broken(pool),
    }
}

fn gone(handler: &Handler<'_, '_>, py: Python<'_>, lost: &Lost) -> PyResult<()> {
    handler.emit("gone", (convert::lost(py, lost)?,))?;
    handler.emit("changed", ())
}

fn take(pool: &Bound<'_, Pool>, item: RequestId) -> Option<Pending> {
    pool.get().inner().pending.remove(&item.0)
}

fn set_result(
    pool: &Bound<'_, Pool>,
    answer: &Bound<'_, ResultFuture>,
    outcome: Result<Py<PyAny>, Py<PyAny>>,
) -> PyResult<()> {
    let failed = outcome.is_err();
    if failed && !answer.get().is_done() {
        pool.get().inner().errors += 1;
    }
    answer.get().set(outcome, pool.get().done.bind(pool.py())).map(drop)
}

/// What a statement's caller gets.
fn outcome(
    pool: &Bound<'_, Pool>,
    pending: Pending,
    completion: Completion,
) -> PyResult<(Option<Py<ResultFuture>>, Outcome)> {
    let (py, handler) = (pool.py(), Handler(pool));
    let Pending { answer, text, cursor, want, error, .. } = pending;
    let alters = text.as_ref().and_then(|text| text.bind(py).get().alters);
    if let (Some(certain), Completion::Done { .. }) = (alters, &completion) {
        pool.get().handle.schema_changed();
        handler.emit("altered", (certain,))?;
    }
    let outcome = match completion {
        Completion::Done { tag, .. } if want == Want::Status => Outcome::Value(status(py, &tag)?),
        Completion::Described(_, (params, columns)) => {
            Outcome::Value((params, convert::columns(&columns)).into_pyobject(py)?.into_any().unbind())
        }
        Completion::Done { tag, rows, shape, settings, .. } => {
            let text = text.as_ref().map(|text| text.bind(py).get());
            let details = match want {
                Want::Result => Some(details(py, shape.as_ref(), &tag)?),
                _ => None,
            };
            let reading = decoder(py, &pool.get().handle, text, cursor.as_ref(), shape.as_ref(), &settings)
                .and_then(|shape| Reading::begin(py, rows, shape, details));
            match reading {
                Ok(reading) if reading.is_done() => Outcome::Value(reading.value(py)?),
                Ok(reading) => Outcome::Rows(reading),
                Err(error) => Outcome::Error(error.into_value(py).into_any()),
            }
        }
        Completion::Failed(_, error) => {
            let sql = text.as_ref().map(|text| text.bind(py).get().sql.to_string());
            let shared = answer.is_some(); // that of a session is told to the session
            Outcome::Error(handler.ask("failed", (convert::fields(py, &error)?, sql, shared))?)
        }
        Completion::Unfit(_) => Outcome::Error(match error {
            Some(error) => error.into_value(py).into_any(),
            None => handler.ask("unreadable", ())?,
        }),
        _ => Outcome::Error(handler.ask("unreadable", ())?),
    };
    Ok((answer, outcome))
}

/// What is told beside rows: their columns, and the command tag.
fn details(py: Python<'_>, described: Option<&Arc<Described>>, tag: &str) -> PyResult<Details> {
    let columns = described.map_or(&[][..], |described| &described.columns);
    Ok((convert::columns(columns).into_pyobject(py)?.unbind(), status(py, tag)?))
}

/// How to read rows of a text, or of a cursor; they may have no columns.
fn decoder(
    py: Python<'_>,
    handle: &Arc<Handle>,
    text: Option<&crate::query::Query>,
    cursor: Option<&Py<CursorRows>>,
    described: Option<&Arc<Described>>,
    settings: &Arc<Settings>,
) -> PyResult<Arc<RowDecoder>> {
    match (described, cursor, text) {
        (Some(described), Some(cursor), _) => cursor.get().saw(py, handle, described, settings),
        (Some(described), None, Some(text)) => text.decoder(py, described, settings),
        (Some(described), None, None) => RowDecoder::new(py, described, settings, Some(handle)).map(Arc::new),
        (None, ..) => {
            let nothing = Described::new(String::new(), "".into(), Vec::new(), Vec::new());
            RowDecoder::new(py, &nothing, settings, None).map(Arc::new)
        }
    }
}

fn status(py: Python<'_>, tag: &str) -> PyResult<Py<PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static KNOWN: PyOnceLock<std::sync::Mutex<HashMap<String, Py<PyAny>>>> = PyOnceLock::new();
    let known = KNOWN.get_or_init(py, Default::default);
    if let Some(status) = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(tag) {
        return Ok(status.clone_ref(py));
    }
    let class =
        CLASS.get_or_try_init(py, || Ok::<_, PyErr>(py.import("db_pool_rs.record")?.getattr("Status")?.unbind()))?;
    let status = class.bind(py).call1((tag,))?.unbind();
    let mut known = known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if known.len() >= MOST_TAGS {
        known.clear();
    }
    known.insert(tag.to_owned(), status.clone_ref(py));
    Ok(status)
}

/// The types of a statement are known now: encode its arguments.
fn needs_params(pool: &Bound<'_, Pool>, item: RequestId, described: &Arc<Described>) -> PyResult<()> {
    let (py, this) = (pool.py(), pool.get());
    let found = {
        let inner = this.inner();
        inner
            .pending
            .get(&item.0)
            .map(|pending| (pending.text.as_ref().map(|text| text.clone_ref(py)), pending.args.clone_ref(py)))
    };
    let Some((text, args)) = found else { return this.ask(py, Command::Provide(item, None)) };
    if let Some(text) = text {
        text.bind(py).get().describe(described);
    }
    match values::encode(py, described, args.bind(py), &this.handle) {
        Ok(bytes) => this.ask(py, Command::Provide(item, Some((described.clone(), bytes)))),
        Err(error) => {
            let told = crate::query::is_unknown(py, &error)?; // but nothing that could be read
            let unreadable = || decode_error(py, "the server's answer about types cannot be read".into());
            let error = if told { unreadable() } else { error };
            if let Some(pending) = this.inner().pending.get_mut(&item.0) {
                pending.error = Some(error);
            }
            this.ask(py, Command::Provide(item, None))
        }
    }
}

/// What the server told of types. If it cannot be read, the arguments of them do not fit.
fn learn_types(pool: &Bound<'_, Pool>, asked: Vec<u32>, rows: &Rows) -> PyResult<()> {
    let py = pool.py();
    let mut texts: Vec<Vec<Option<String>>> = vec![Vec::new(); rows.count];
    let read =
        rows.read(|row, _, value| texts[row].push(value.map(|bytes| String::from_utf8_lossy(bytes).into_owned())));
    if read.is_err() {
        return Ok(());
    }
    match pool.get().handle.catalog(py)?.call_method1(intern!(py, "learn"), (asked, texts)) {
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        _ => Ok(()),
    }
}

/// The connection of a run, and its statements.
fn take_run(pool: &Bound<'_, Pool>, token: u64) -> (u64, Vec<Option<Pending>>) {
    let mut inner = pool.get().inner();
    let (conn, items) = inner.runs.remove(&token).unwrap_or_default();
    (conn, items.into_iter().map(|item| inner.pending.remove(&item)).collect())
}

/// The statements of a run: (value, error) for each, None for what was not executed.
fn ran(pool: &Bound<'_, Pool>, token: u64, ran: Ran) -> PyResult<()> {
    let (conn, statements) = take_run(pool, token);
    let (mut results, mut unread) = (Results::with_capacity(ran.results.len()), Vec::new());
    for (result, pending) in ran.results.into_iter().zip(statements) {
        results.push(match (result, pending) {
            (Some(completion), Some(pending)) => match outcome(pool, pending, completion)?.1 {
                Outcome::Value(value) => (Some(value), None),
                Outcome::Error(error) => (None, Some(error)),
                Outcome::Rows(reading) => {
                    unread.push((reading, Whose::Holder(token, results.len())));
                    (None, None)
                }
            },
            _ => (None, None),
        });
    }
    let Ran { ok, seconds, in_transaction, .. } = ran;
    let run = Run { conn, ok, seconds, in_transaction, results, remaining: unread.len(), lost: None };
    if unread.is_empty() {
        return emit_run(pool, token, run);
    }
    pool.get().inner().pending_results.runs.insert(token, run);
    put_off(pool, unread)
}

/// What is left of results is read later.
fn put_off(pool: &Bound<'_, Pool>, readings: impl IntoIterator<Item = (Reading, Whose)>) -> PyResult<()> {
    let mut wanted = false;
    for (reading, whose) in readings {
        wanted |= pool.get().inner().pending_results.add(reading, whose);
    }
    if wanted { Handler(pool).emit("import_loaders", (loaders::MODULE,)) } else { Ok(()) }
}

/// All rows of a result are read, or an error has come.
pub fn rows_read(pool: &Bound<'_, Pool>, whose: Whose, outcome: Result<Py<PyAny>, Py<PyAny>>) -> PyResult<()> {
    let (token, at) = match whose {
        Whose::Caller(answer) => return set_result(pool, answer.bind(pool.py()), outcome),
        Whose::Holder(token, at) => (token, at),
    };
    let run = {
        let runs = &mut pool.get().inner().pending_results.runs;
        let Some(run) = runs.get_mut(&token) else { return Ok(()) };
        run.results[at] = outcome.map_or_else(|error| (None, Some(error)), |value| (Some(value), None));
        run.remaining -= 1;
        if run.remaining > 0 { None } else { runs.remove(&token) }
    };
    run.map_or(Ok(()), |run| emit_run(pool, token, run))
}

fn emit_run(pool: &Bound<'_, Pool>, token: u64, run: Run) -> PyResult<()> {
    Handler(pool).emit(intern!(pool.py(), "ran"), (token, run.ok, run.seconds, run.in_transaction, run.results))?;
    run.lost.map_or(Ok(()), |lost| acquired_lost(pool, run.conn, lost))
}

/// The caller is told of a loss after its results.
fn acquired_lost(pool: &Bound<'_, Pool>, conn: u64, lost: Lost) -> PyResult<()> {
    if let Some(run) = pool.get().inner().pending_results.run_on(conn) {
        run.lost = Some(lost);
        return Ok(());
    }
    Handler(pool).emit("lent_lost", (conn, convert::lost(pool.py(), &lost)?))
}

/// Nothing will come any more.
pub fn ended(pool: &Bound<'_, Pool>) -> PyResult<()> {
    {
        let mut inner = pool.get().inner();
        inner.ended = true;
        if !inner.pending_results.is_empty() {
            inner.pending_results.ended = true;
            return Ok(());
        }
    }
    Handler(pool).emit("ended", ())
}

/// The pool's task panicked: no call will be answered any more.
fn broken(pool: &Bound<'_, Pool>) -> PyResult<()> {
    let (py, handler) = (pool.py(), Handler(pool));
    let pending = std::mem::take(&mut pool.get().inner().pending);
    for answer in pending.into_values().filter_map(|pending| pending.answer) {
        let error = handler.ask("lost_to_a_bug", ())?;
        answer.get().set(Err(error), pool.get().done.bind(py))?;
    }
    handler.emit("broken", ())?;
    ended(pool)
}

/// The receiver of completions that are no answer to a statement.
struct Handler<'a, 'py>(&'a Bound<'py, Pool>);

impl<'py> Handler<'_, 'py> {
    fn ask(
        &self,
        method: impl IntoPyObject<'py, Target = PyString>,
        args: impl PyCallArgs<'py>,
    ) -> PyResult<Py<PyAny>> {
        let py = self.0.py();
        let handler = self.0.get().inner().handler.as_ref().map(|handler| handler.clone_ref(py));
        match handler {
            Some(handler) => Ok(handler.bind(py).call_method1(method, args)?.unbind()),
            None => Ok(PyTuple::empty(py).into_any().unbind()),
        }
    }

    /// What is told often has an interned name.
    fn emit(&self, method: impl IntoPyObject<'py, Target = PyString>, args: impl PyCallArgs<'py>) -> PyResult<()> {
        self.ask(method, args).map(drop)
    }
}
