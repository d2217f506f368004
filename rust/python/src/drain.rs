//! What a pool has decided, told on the event loop's thread: everything that has come, under one hold of the GIL.

use std::collections::HashMap;
use std::sync::Arc;

use db_pool_engine::pool::{Command, Completion, Ran};
use db_pool_engine::rules::ItemId;
use db_pool_engine::wire::{Described, Lost, Rows, Settings};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::answer::Answer;
use crate::convert;
use crate::pool::{Pending, Pool};
use crate::values::{self, Shape};

/// Status objects that are kept: few tags differ.
const MOST_TAGS: usize = 256;

type Outcome = Result<Py<PyAny>, Py<PyAny>>;

pub fn drain(pool: &Bound<'_, Pool>) -> PyResult<()> {
    let this = pool.get();
    let planned = this.begin_turn();
    let mut batch = this.mailbox.take().into_iter();
    let mut told = Ok(());
    while let (Ok(()), Some(completion)) = (&told, batch.next()) {
        told = tell(pool, completion);
    }
    if told.is_err() {
        this.mailbox.put_back(batch.collect()); // SystemExit, KeyboardInterrupt: the others are told in the next turn
    }
    this.end_turn(planned);
    told
}

fn tell(pool: &Bound<'_, Pool>, completion: Completion) -> PyResult<()> {
    let (py, this, handler) = (pool.py(), pool.get(), Handler(pool));
    match completion {
        Completion::Done { item, .. }
        | Completion::Failed(item, _)
        | Completion::Unfit(item)
        | Completion::Changed(item) => {
            let Some(pending) = take(pool, item) else { return Ok(()) };
            let (answer, outcome) = outcome(pool, pending, completion)?;
            answer.map_or(Ok(()), |answer| settle(pool, answer.bind(py), outcome))
        }
        Completion::NeedsParams(item, described) => needs_params(pool, item, &described),
        Completion::Refused { item, reason, sent, waited, running } => {
            let pending = take(pool, item);
            let running: Vec<(f64, &str)> = running.iter().map(|(seconds, sql)| (*seconds, &**sql)).collect();
            let waits = pending.is_none();
            let error = handler.ask("refused", (convert::reason(reason), sent, waited, running, waits))?;
            match pending.and_then(|pending| pending.answer) {
                Some(answer) => Answer::settle(answer.bind(py), Err(error)).map(drop),
                None => handler.tell("not_lent", (item.0, error)),
            }
        }
        Completion::Lent(item, conn, _) => handler.tell("lent", (item.0, conn.0)),
        Completion::Ran(token, Ok(ran)) => self::ran(pool, token, ran),
        Completion::Ran(token, Err(_)) => {
            drop(take_run(pool, token));
            handler.tell("ran_lost", (token,))
        }
        Completion::CopyTurn(token, piece) => {
            handler.tell("copy_turn", (token, piece.map(|piece| PyBytes::new(py, &piece))))
        }
        Completion::Notified(conn, notifications) => {
            for one in notifications {
                handler.tell("notified", (conn.0, one.pid, one.channel, one.payload))?;
            }
            Ok(())
        }
        Completion::Stopped(token) => handler.tell("stopped", (token,)),
        Completion::LentLost(conn, lost) => handler.tell("lent_lost", (conn.0, convert::lost(py, &lost)?)),
        Completion::Greet(conn) => handler.tell("greet", (conn.0,)),
        Completion::Clean(conn) => handler.tell("clean_up", (conn.0,)),
        Completion::NeedsPassword(conn) => handler.tell("needs_password", (conn.0,)),
        Completion::Opened(_) => handler.tell("opened", ()),
        Completion::NotOpened(error) => {
            let cause = error.cause.as_ref().map(|cause| convert::fields(py, cause)).transpose()?;
            handler.tell("not_opened", (error.attempts, error.sqlstate, error.permanent, cause))?;
            handler.tell("changed", ())
        }
        Completion::Gone(lost) => gone(&handler, py, &lost),
        Completion::Notice(error) => handler.tell("notice", (convert::fields(py, &error)?,)),
        Completion::Slow(sql, seconds) => handler.tell("slow", (&*sql, seconds)),
        Completion::Ended => {
            this.inner().ended = true;
            handler.tell("ended", ())
        }
        Completion::Broken => broken(pool),
    }
}

fn gone(handler: &Handler<'_, '_>, py: Python<'_>, lost: &Lost) -> PyResult<()> {
    handler.tell("gone", (convert::lost(py, lost)?,))?;
    handler.tell("changed", ())
}

fn take(pool: &Bound<'_, Pool>, item: ItemId) -> Option<Pending> {
    pool.get().inner().pending.remove(&item.0)
}

fn settle(pool: &Bound<'_, Pool>, answer: &Bound<'_, Answer>, outcome: Outcome) -> PyResult<()> {
    let failed = outcome.is_err();
    if failed && !answer.get().is_settled() {
        pool.get().inner().errors += 1;
    }
    Answer::settle(answer, outcome).map(drop)
}

/// What a statement's caller gets.
fn outcome(
    pool: &Bound<'_, Pool>,
    pending: Pending,
    completion: Completion,
) -> PyResult<(Option<Py<Answer>>, Outcome)> {
    let py = pool.py();
    let handler = Handler(pool);
    let Pending { answer, text, want_rows, error, .. } = pending;
    let outcome = match completion {
        Completion::Done { tag, .. } if !want_rows => {
            if tag.starts_with("ALTER ") || tag.starts_with("DROP ") {
                pool.get().handle.alter();
            }
            Ok(status(py, &tag)?)
        }
        Completion::Done { rows, shape, settings, .. } => {
            let text = text.as_ref().map(|text| text.bind(py).get());
            match records(py, text, &rows, shape.as_ref(), &settings) {
                Ok(rows) => Ok(rows.into_any().unbind()),
                Err(error) => Err(error.into_value(py).into_any()),
            }
        }
        Completion::Failed(_, error) => {
            let sql = text.as_ref().map(|text| text.bind(py).get().sql.to_string());
            Err(handler.ask("failed", (convert::fields(py, &error)?, sql))?)
        }
        Completion::Unfit(_) => Err(match error {
            Some(error) => error.into_value(py).into_any(),
            None => handler.ask("unreadable", ())?,
        }),
        _ => Err(handler.ask("unreadable", ())?),
    };
    Ok((answer, outcome))
}

fn records<'py>(
    py: Python<'py>,
    text: Option<&crate::text::Text>,
    rows: &Rows,
    described: Option<&Arc<Described>>,
    settings: &Arc<Settings>,
) -> PyResult<Bound<'py, PyList>> {
    let Some(described) = described else {
        let nothing = Described::new(String::new(), "".into(), Vec::new(), Vec::new());
        return Shape::new(py, &nothing, settings)?.records(py, rows); // rows may have no columns
    };
    match text {
        Some(text) => text.shape(py, described, settings)?.records(py, rows),
        None => Shape::new(py, described, settings)?.records(py, rows),
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
fn needs_params(pool: &Bound<'_, Pool>, item: ItemId, described: &Arc<Described>) -> PyResult<()> {
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
    match values::encode(py, described, args.bind(py)) {
        Ok(bytes) => this.ask(py, Command::Provide(item, Some((described.clone(), bytes)))),
        Err(error) => {
            if let Some(pending) = this.inner().pending.get_mut(&item.0) {
                pending.error = Some(error);
            }
            this.ask(py, Command::Provide(item, None))
        }
    }
}

/// The statements of a borrower's run.
fn take_run(pool: &Bound<'_, Pool>, token: u64) -> Vec<Option<Pending>> {
    let mut inner = pool.get().inner();
    let items = inner.runs.remove(&token).unwrap_or_default();
    items.into_iter().map(|item| inner.pending.remove(&item)).collect()
}

/// A borrower's statements: (value, error) for each, None for what was not executed.
fn ran(pool: &Bound<'_, Pool>, token: u64, ran: Ran) -> PyResult<()> {
    let mut results = Vec::with_capacity(ran.results.len());
    for (result, pending) in ran.results.into_iter().zip(take_run(pool, token)) {
        results.push(match (result, pending) {
            (Some(completion), Some(pending)) => match outcome(pool, pending, completion)?.1 {
                Ok(value) => (Some(value), None),
                Err(error) => (None, Some(error)),
            },
            _ => (None, None),
        });
    }
    Handler(pool).tell("ran", (token, ran.ok, ran.seconds, ran.in_transaction, results))
}

/// The pool's task panicked: nobody will be answered any more.
fn broken(pool: &Bound<'_, Pool>) -> PyResult<()> {
    let (py, handler) = (pool.py(), Handler(pool));
    pool.get().inner().ended = true;
    let pending = std::mem::take(&mut pool.get().inner().pending);
    for answer in pending.into_values().filter_map(|pending| pending.answer) {
        let error = handler.ask("lost_to_a_bug", ())?;
        Answer::settle(answer.bind(py), Err(error))?;
    }
    handler.tell("broken", ())
}

/// Who is told of what is no answer to a statement.
struct Handler<'a, 'py>(&'a Bound<'py, Pool>);

impl<'py> Handler<'_, 'py> {
    fn ask(&self, method: &str, args: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Py<PyAny>> {
        let py = self.0.py();
        let handler = self.0.get().inner().handler.as_ref().map(|handler| handler.clone_ref(py));
        match handler {
            Some(handler) => Ok(handler.bind(py).call_method1(method, args)?.unbind()),
            None => Ok(PyTuple::empty(py).into_any().unbind()),
        }
    }

    fn tell(&self, method: &str, args: impl pyo3::call::PyCallArgs<'py>) -> PyResult<()> {
        self.ask(method, args).map(drop)
    }
}
