//! What a caller awaits: a future of asyncio's protocol, whose task goes on where the answer is found.
//!
//! asyncio's own future would have the loop call the task again in its next tick, at the cost of a handle for each.
//! Here the task goes on at once, inside the delivery; only `cancel`, which another task may call, goes through the loop.
//!
//! Two things spare each answer a call of Python. It is sent its outcome for, not iterated (`am_send`), so that no
//! StopIteration has to carry it. And its task is woken with a future of asyncio's that is done: a task asks what wakes
//! it for a result, which is quick for asyncio's own futures alone, and then goes on to the answer, which has the
//! outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

enum State {
    Pending(Option<Waiter>),
    Done(Py<PyAny>),
    Failed(Py<PyAny>),
    Cancelled(Option<Py<PyAny>>),
}

/// How a task is woken.
struct Waiter {
    wake: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

/// The answer to one statement, or what a session's caller waits for. It has one waiter.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct ResultFuture {
    pub item: u64,
    event_loop: Py<PyAny>,
    state: Mutex<State>,
    /// asyncio's mark for a future that a task is about to wait for.
    blocking: AtomicBool,
}

impl ResultFuture {
    pub fn new(item: u64, event_loop: Py<PyAny>) -> Self {
        ResultFuture { item, event_loop, state: Mutex::new(State::Pending(None)), blocking: AtomicBool::new(false) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_done(&self) -> bool {
        !matches!(*self.state(), State::Pending(_))
    }

    /// The outcome is there: its waiter. None if there was one before.
    fn end(&self, outcome: State) -> Option<Option<Waiter>> {
        let mut state = self.state();
        let State::Pending(waiter) = &mut *state else { return None };
        let waiter = waiter.take();
        *state = outcome;
        Some(waiter)
    }

    /// The statement is answered: the task that waits goes on now, woken with `done`. False if none waits any more.
    pub fn set(&self, outcome: Result<Py<PyAny>, Py<PyAny>>, done: &Bound<'_, PyAny>) -> PyResult<bool> {
        match self.end(outcome.map_or_else(State::Failed, State::Done)) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(waiter)) => waiter.wake(done).map(|()| true),
        }
    }

    /// The outcome, if there is one.
    fn outcome(&self, py: Python<'_>) -> Option<PyResult<Py<PyAny>>> {
        match &*self.state() {
            State::Pending(_) => None,
            State::Done(value) => Some(Ok(value.clone_ref(py))),
            State::Failed(error) => Some(Err(PyErr::from_value(error.bind(py).clone()))),
            State::Cancelled(None) => Some(Err(CancelledError::new_err(()))),
            State::Cancelled(Some(message)) => Some(Err(CancelledError::new_err((message.clone_ref(py),)))),
        }
    }

    /// One step of `await`: the outcome, or None if it is to be waited for.
    fn advance(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Some(outcome) = self.outcome(py) {
            return outcome.map(Some);
        }
        if self.blocking.swap(true, Ordering::Relaxed) {
            return Err(PyRuntimeError::new_err("await wasn't used with future"));
        }
        Ok(None)
    }
}

impl Waiter {
    /// Call it in its context, as the loop would.
    fn wake(self, done: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = done.py();
        let Some(context) = self.context else {
            return self.wake.bind(py).call1((done,)).map(drop);
        };
        // SAFETY: `context` is a context variable object given by asyncio (else an error is set), and left again below.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        let called = self.wake.bind(py).call1((done,));
        // SAFETY: entered above, on this thread.
        if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        called.map(drop)
    }

    /// Have the loop call it in its next tick.
    fn schedule(self, answer: &Bound<'_, ResultFuture>) -> PyResult<()> {
        let py = answer.py();
        let options = PyDict::new(py);
        if let Some(context) = self.context {
            options.set_item(intern!(py, "context"), context)?;
        }
        let event_loop = answer.get().event_loop.bind(py);
        event_loop.call_method(intern!(py, "call_soon"), (self.wake, answer), Some(&options)).map(drop)
    }
}

/// `await`, as the interpreter does it: what `__next__` does, without an exception for the end.
///
/// # Safety
/// For the interpreter only: `answer` is an ResultFuture, and the GIL is held.
unsafe extern "C" fn send(
    answer: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: see above; `result` is there to be written to.
    unsafe {
        let py = Python::assume_attached();
        let slf = Bound::ref_from_ptr(py, &answer).cast_unchecked::<ResultFuture>();
        let (object, told) = match slf.get().advance(py) {
            Ok(Some(value)) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
            Ok(None) => (slf.clone().into_ptr(), ffi::PySendResult::PYGEN_NEXT),
            Err(error) => {
                error.restore(py);
                (std::ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
            }
        };
        *result = object;
        told
    }
}

/// Prepare the class, before there are answers.
pub fn prepare(py: Python<'_>) {
    let class = py.get_type::<ResultFuture>();
    // SAFETY: a class that was made at run time has all groups of slots, and this one was not used yet.
    unsafe { (*(*class.as_type_ptr()).tp_as_async).am_send = Some(send) };
}

/// A future of asyncio's own that is done.
pub fn done(event_loop: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let future = event_loop.call_method0(intern!(event_loop.py(), "create_future"))?;
    future.call_method1(intern!(event_loop.py(), "set_result"), (event_loop.py().None(),))?;
    Ok(future.unbind())
}

/// Whether a task of the loop is running, inside which no other task can go on.
fn is_inside_task(event_loop: &Bound<'_, PyAny>) -> PyResult<bool> {
    static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let current = CURRENT.import(event_loop.py(), "asyncio", "current_task")?;
    Ok(!current.call1((event_loop,))?.is_none())
}

/// The error of a second outcome.
fn answered_twice() -> PyErr {
    PyAssertionError::new_err("bug: a second answer")
}

/// The part of a future that a task needs to await it; and, for sessions, what `aio.ResultFuture` has besides.
#[pymethods]
impl ResultFuture {
    /// What is no statement of the pool's has no number.
    #[new]
    fn for_session(event_loop: Py<PyAny>) -> Self {
        ResultFuture::new(0, event_loop)
    }

    /// It is answered: the task that waits goes on now, or, inside of another task, in the next tick.
    fn set_result(slf: &Bound<'_, Self>, value: Py<PyAny>) -> PyResult<()> {
        match slf.get().end(State::Done(value)).ok_or_else(answered_twice)? {
            None => Ok(()),
            Some(waiter) if is_inside_task(slf.get().event_loop.bind(slf.py()))? => waiter.schedule(slf),
            Some(waiter) => waiter.wake(slf),
        }
    }

    /// It failed: the task that waits goes on in the next tick.
    fn set_exception(slf: &Bound<'_, Self>, error: Py<PyAny>) -> PyResult<()> {
        match slf.get().end(State::Failed(error)).ok_or_else(answered_twice)? {
            None => Ok(()),
            Some(waiter) => waiter.schedule(slf),
        }
    }

    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    /// A task looks for `get_loop` first: to call it would cost more than to find that it is not there.
    #[getter]
    fn _loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (function, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, function: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let waiter = Waiter { wake: function, context };
        match &mut *slf.get().state() {
            State::Pending(first @ None) => {
                *first = Some(waiter);
                return Ok(());
            }
            State::Pending(Some(_)) => return Err(PyRuntimeError::new_err("bug: a second waiter")),
            _ => {}
        }
        waiter.schedule(slf)
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        match slf.get().end(State::Cancelled(msg)) {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(waiter)) => waiter.schedule(slf).map(|()| true),
        }
    }

    fn done(&self) -> bool {
        self.is_done()
    }

    fn cancelled(&self) -> bool {
        matches!(*self.state(), State::Cancelled(_))
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py).unwrap_or_else(|| Err(InvalidStateError::new_err("the answer has not come yet")))
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        match slf.get().advance(slf.py())? {
            Some(value) => Err(PyStopIteration::new_err((value,))),
            None => Ok(slf),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        match &*state {
            State::Done(value) | State::Failed(value) => visit.call(value),
            State::Pending(Some(waiter)) => {
                visit.call(&waiter.wake)?;
                visit.call(&waiter.context)
            }
            _ => Ok(()),
        }
    }

    fn __clear__(&self) {
        let waiter = match &mut *self.state() {
            State::Pending(waiter) => waiter.take(),
            _ => None,
        };
        drop(waiter); // what is dropped may run code that comes back here
    }
}
