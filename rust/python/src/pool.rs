//! A pool, as the event loop's thread sees it: what it is asked for is collected during a tick of the loop, and handed
//! over once at its end.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use db_pool_engine::pool::{self, Command, QueryInfo};
use db_pool_engine::scheduler::model::ById;
use db_pool_engine::scheduler::{ConnId, QueryId};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::completion_queue::CompletionQueue;
use crate::convert;
use crate::cursor_rows::CursorRows;
use crate::handle::Handle;
use crate::pending_results::PendingResults;
use crate::query::Query;
use crate::result_future::{self, ResultFuture};
use crate::sqlite;
use crate::submit::{self, Agreed, Terms};
use crate::threads;

/// How long the pool's thread may take to say how the pool stands.
const PATIENCE: Duration = Duration::from_secs(1);

/// What the caller of a statement wants back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Its command tag.
    Status,
    /// Its rows.
    Rows,
    /// Its rows, its columns and its command tag.
    Result,
}

impl Want {
    /// By the constants of `db_pool_rs.drivers.base`.
    pub fn of(given: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(match given.cast_exact::<PyBool>() {
            Ok(rows) if rows.is_true() => Want::Rows,
            Ok(_) => Want::Status,
            Err(_) if given.extract::<u8>()? == 2 => Want::Result,
            Err(_) => return Err(convert::unknown("want", &given.to_string())),
        })
    }
}

/// The receiver of a statement's result: its future, or (None) the run that it is a part of.
pub struct Pending {
    pub answer: Option<Py<ResultFuture>>,
    pub text: Option<Py<Query>>,
    /// What is known of the rows of the cursor that it fetches from.
    pub cursor: Option<Py<CursorRows>>,
    pub args: Py<PyTuple>,
    pub want: Want,
    /// Why the arguments did not fit.
    pub error: Option<PyErr>,
}

#[derive(Default)]
pub struct Inner {
    pub pending: ById<u64, Pending>,
    /// The connection and the statements of each run, by its token.
    pub runs: ById<u64, (u64, Vec<u64>)>,
    /// Results that are being read.
    pub pending_results: PendingResults,
    /// What was asked for in this tick.
    outbox: Vec<Command>,
    /// The outbox will be emptied at the end of this tick.
    planned: bool,
    /// Receives completions that are no answer to a statement; then `call_soon` of the loop, and `flush` of this pool.
    pub handler: Option<Py<PyAny>>,
    plan: Option<(Py<PyAny>, Py<PyAny>)>,
    /// The callers of so many groups have run.
    pub acknowledged: u64,
    /// Statements that were answered with an error.
    pub errors: u64,
    /// The pool's task has ended.
    pub ended: bool,
}

/// A pool of connections to PostgreSQL, on a thread of its own.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct Pool {
    pub handle: Arc<Handle>,
    pub completions: Arc<CompletionQueue>,
    pub event_loop: Py<PyAny>,
    pub terms: Agreed,
    /// New statements are taken.
    pub open: AtomicBool,
    /// A future that is done.
    pub done: Py<PyAny>,
    /// The thread on which completions are delivered now; 0 if it does not. Inside it the loop need not be asked for, which costs
    /// older versions of Python a call of the operating system.
    pub delivering_thread: AtomicUsize,
    group_max: usize,
    /// The last number that was given to something.
    last: AtomicU64,
    inner: Mutex<Inner>,
}

impl Pool {
    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ask for something; it is handed over at the end of this tick.
    pub fn ask(&self, py: Python<'_>, command: Command) -> PyResult<()> {
        self.put(py, self.inner(), command)
    }

    pub fn put(&self, py: Python<'_>, mut inner: MutexGuard<'_, Inner>, command: Command) -> PyResult<()> {
        inner.outbox.push(command);
        if inner.planned {
            if inner.outbox.len() >= self.group_max {
                self.hand_over(&mut inner); // a full group need not wait for the others
            }
            return Ok(());
        }
        inner.planned = true;
        let plan = inner.plan.as_ref().map(|(call_soon, flush)| (call_soon.clone_ref(py), flush.clone_ref(py)));
        drop(inner);
        match plan {
            Some((call_soon, flush)) => call_soon.bind(py).call1((flush,)).map(drop),
            None => Ok(()),
        }
    }

    fn hand_over(&self, inner: &mut Inner) {
        if self.handle.is_here() {
            inner.outbox.extend(self.handle.take_forgotten().into_iter().map(Command::ForgetQuery));
            self.handle.pool.call_all(&mut inner.outbox);
            self.handle.pool.acknowledge(inner.acknowledged);
            self.handle.pool.flush();
        }
    }

    /// Tasks that go on during the delivery need not plan the end of a tick: the delivery has one.
    pub fn begin_delivery(&self) -> bool {
        self.delivering_thread.store(submit::here(), Ordering::Relaxed);
        std::mem::replace(&mut self.inner().planned, true)
    }

    /// The delivery ends the tick, unless another end is planned. The engine is told even if nothing was called: it may
    /// have waited for the callers that were answered to call again.
    pub fn end_of_tick(&self, planned: bool) {
        self.delivering_thread.store(0, Ordering::Relaxed);
        let mut inner = self.inner();
        inner.planned = planned;
        self.hand_over(&mut inner);
    }

    /// Ask the engine, which answers at once, without waiting for anything; None if there is none.
    pub fn learn_from_engine<T: Send>(&self, py: Python<'_>, ask: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        let (sender, receiver) = channel();
        let mut inner = self.inner();
        (self.handle.is_here() && !inner.ended).then_some(())?;
        inner.outbox.push(ask(sender));
        self.hand_over(&mut inner);
        drop(inner);
        py.detach(move || receiver.recv_timeout(PATIENCE).ok())
    }

    pub fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[pymethods]
impl Pool {
    /// Open a pool; `target`, `limits` and `options` are those of the engine, by their names there.
    #[new]
    fn new(
        target: &Bound<'_, PyDict>,
        limits: &Bound<'_, PyDict>,
        options: &Bound<'_, PyDict>,
        threads: usize,
        blocking: usize,
        event_loop: Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let (config, limits, options) =
            (convert::backend(target)?, convert::limits(limits)?, convert::options(options)?);
        let completions = Arc::new(CompletionQueue::new()?);
        let thread = threads::assign(threads, blocking)?;
        let group_max = limits.group_max;
        let pool = pool::Pool::open(&thread.handle, config, limits, options, completions.clone());
        let handle = Handle::new(pool, thread);
        let (done, event_loop) = (result_future::done(&event_loop)?, event_loop.unbind());
        let (terms, open) = (Agreed::new(), AtomicBool::new(false));
        let (delivering_thread, last, inner) = (AtomicUsize::new(0), AtomicU64::new(0), Mutex::default());
        Ok(Pool { handle, completions, event_loop, terms, open, done, delivering_thread, group_max, last, inner })
    }

    /// `handler` receives completions; `call_soon(flush)` has `flush` called at the end of a tick; see `Terms`.
    fn attach(
        &self,
        handler: Py<PyAny>,
        call_soon: Py<PyAny>,
        flush: Py<PyAny>,
        known: Py<PyDict>,
        timeout: Option<f64>,
    ) {
        self.open.store(self.terms.set(Terms { known, timeout }).is_ok(), Ordering::Relaxed);
        let mut inner = self.inner();
        inner.handler = Some(handler);
        inner.plan = Some((call_soon, flush));
    }

    /// What makes `db_pool_rs.types.catalog.Catalog`, which is known of types that are not built in; and the built-in
    /// ones that codecs make like them.
    fn use_catalog(&self, py: Python<'_>, make: Py<PyAny>, overridden: Vec<u32>) {
        self.handle.use_catalog(py, make);
        self.completions.override_types(overridden);
    }

    /// After the pool has ended: its thread ends, too, if no other pool lives there.
    fn close(&self, py: Python<'_>) {
        self.__clear__();
        self.completions.close();
        if self.handle.is_here() {
            let thread = self.handle.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            py.detach(|| drop(thread));
        }
    }

    /// The loop reads here when something has happened: then `deliver_completions` is to be called.
    fn fileno(&self) -> i64 {
        self.completions.descriptor().unwrap_or(-1)
    }

    /// Hand over what was asked for in this tick.
    fn flush(&self) {
        self.end_of_tick(false);
    }

    /// Tell the pool of a query.
    #[allow(clippy::too_many_arguments)]
    fn learn(
        &self,
        sql: &str,
        kind: &str,
        groupable: bool,
        why: usize,
        dirties: bool,
        keys: bool,
        preparable: bool,
        asks: bool,
        alters: Option<bool>,
        urgent: bool,
    ) -> PyResult<Query> {
        let (id, sql, kind) = (QueryId(self.next()), Arc::<str>::from(sql), convert::kind(kind)?);
        let info = QueryInfo { sql: sql.clone(), kind, groupable, why, dirties, keys, preparable, asks, urgent };
        self.inner().outbox.push(Command::AddQuery(id, info)); // goes along with its first statement
        Ok(Query::new(id, sql, self.handle.clone(), alters))
    }

    /// Tell the pool of a query for SQLite; `description` is that of `db_pool_rs.drivers.sqlite.plan`.
    fn learn_sqlite(
        &self,
        sql: &str,
        kind: &str,
        groupable: bool,
        why: usize,
        dirties: bool,
        description: &Bound<'_, PyAny>,
    ) -> PyResult<Query> {
        let (id, sql, kind) = (QueryId(self.next()), Arc::<str>::from(sql), convert::kind(kind)?);
        let described = sqlite::plan(description, kind)?.described(sql.clone());
        let (keys, preparable, asks, urgent) = (false, true, false, false);
        let info = QueryInfo { sql: sql.clone(), kind, groupable, why, dirties, keys, preparable, asks, urgent };
        self.inner().outbox.push(Command::AddQuery(id, info));
        Ok(Query::planned(id, sql, self.handle.clone(), described))
    }

    /// The password that was asked for; None if there is none: whether to ask again cannot help.
    fn password(&self, py: Python<'_>, conn: u64, password: Option<String>, permanent: bool) -> PyResult<()> {
        self.ask(py, Command::Password(ConnId(conn), password.ok_or(permanent)))
    }

    /// A new connection is ready (None), or of no use: whether to try again cannot help. What a first round trip took.
    fn initialized(&self, py: Python<'_>, conn: u64, refused: Option<bool>, round_trip: Option<f64>) -> PyResult<()> {
        self.ask(py, Command::Initialized(ConnId(conn), refused.map_or(Ok(round_trip), Err)))
    }

    /// A session is in its initial state again, or (false) of no use.
    fn reset_done(&self, py: Python<'_>, conn: u64, clean: bool) -> PyResult<()> {
        self.ask(py, Command::ResetDone(ConnId(conn), clean))
    }

    /// Whether floats in text are exact in a session as it begins.
    fn note_float_digits(&self, py: Python<'_>, conn: u64, exact: bool) -> PyResult<()> {
        self.ask(py, Command::ExactFloats(ConnId(conn), exact))
    }

    /// Tables were changed: what is known of texts may be out of date.
    fn schema_changed(&self) {
        self.handle.schema_changed();
    }

    /// Change the bounds.
    fn resize(&self, py: Python<'_>, min_size: usize, max_size: usize) -> PyResult<()> {
        self.ask(py, Command::Resize(min_size, max_size))
    }

    /// Connections that are opened from now on lead there.
    fn retarget(&self, py: Python<'_>, target: &Bound<'_, PyDict>, asks_password: bool) -> PyResult<()> {
        self.ask(py, Command::Retarget(Box::new(convert::backend(target)?), asks_password))
    }

    /// Replace every connection.
    fn expire(&self, py: Python<'_>) -> PyResult<()> {
        self.ask(py, Command::Expire)
    }

    /// Finish what is there.
    fn shut_down(&self, py: Python<'_>) -> PyResult<()> {
        self.open.store(false, Ordering::Relaxed);
        self.ask(py, Command::ShutDown)
    }

    /// Close everything now.
    fn terminate(&self) {
        self.open.store(false, Ordering::Relaxed);
        let mut inner = self.inner();
        inner.outbox.push(Command::Terminate);
        self.hand_over(&mut inner);
    }

    /// How the pool stands, everything included that was asked for until now.
    fn gauges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.learn_from_engine(py, Command::Look);
        convert::gauges(py, &self.handle.pool.gauges())
    }

    /// What it has counted of statements on shared connections, and of connections.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = convert::counters(py, &self.handle.pool.counters())?;
        counters.set_item("errors", self.inner().errors)?;
        Ok(counters)
    }

    /// Statements per second, and the histograms wait, run and group_size: counts, total, maximum.
    #[allow(clippy::type_complexity)]
    fn measures(&self) -> (f64, (Vec<u64>, f64, f64), (Vec<u64>, f64, f64), (Vec<u64>, f64, f64)) {
        let mut measures = self.handle.pool.measures();
        let rate = measures.rate.rate(self.handle.pool.now());
        let (wait, run, size) = (measures.wait, measures.run, measures.group_size);
        (rate, convert::histogram(wait), convert::histogram(run), convert::histogram(size))
    }

    /// Take what has happened: callers whose statements are answered go on at once, the rest is told to the handler.
    fn deliver_completions(slf: &Bound<'_, Self>) -> PyResult<()> {
        crate::deliver::deliver_completions(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        visit.call(&self.done)?;
        self.terms.get().map_or(Ok(()), |terms| visit.call(&terms.known))?;
        let Ok(inner) = self.inner.try_lock() else { return Ok(()) };
        visit.call(&inner.handler)?;
        for pending in inner.pending.values() {
            visit.call(&pending.answer)?;
            visit.call(&pending.args)?;
        }
        if let Some((call_soon, flush)) = &inner.plan {
            visit.call(call_soon)?;
            visit.call(flush)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        let mut inner = self.inner();
        let gone = (inner.handler.take(), inner.plan.take(), std::mem::take(&mut inner.pending));
        drop(inner); // what is dropped may run code that comes back here
        drop(gone);
    }
}
