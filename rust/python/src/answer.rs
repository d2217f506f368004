//! What a caller awaits: a future of asyncio's protocol, whose callbacks are called where the answer is found.
//!
//! asyncio's own future would have the loop call the task again in its next turn, at the cost of a handle for each. Here
//! the task goes on at once, inside the drain; only `cancel`, which another task may call, goes through the loop.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::asyncio::{CancelledError, InvalidStateError};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, ffi, intern};

enum State {
    Pending,
    Done(Py<PyAny>),
    Failed(Py<PyAny>),
    Cancelled(Option<Py<PyAny>>),
}

struct Callback {
    function: Py<PyAny>,
    context: Option<Py<PyAny>>,
}

struct Inner {
    state: State,
    callbacks: Vec<Callback>,
    /// asyncio's mark for a future that a task is about to wait for.
    blocking: bool,
}

/// The answer to one statement.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct Answer {
    pub item: u64,
    event_loop: Py<PyAny>,
    inner: Mutex<Inner>,
}

impl Answer {
    pub fn new(item: u64, event_loop: Py<PyAny>) -> Self {
        let inner = Inner { state: State::Pending, callbacks: Vec::new(), blocking: false };
        Answer { item, event_loop, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_settled(&self) -> bool {
        !self.is_pending()
    }

    fn is_pending(&self) -> bool {
        matches!(self.inner().state, State::Pending)
    }

    /// The statement is answered: whoever waits goes on now. False if nobody does any more.
    pub fn settle(slf: &Bound<'_, Self>, outcome: Result<Py<PyAny>, Py<PyAny>>) -> PyResult<bool> {
        let callbacks = {
            let mut inner = slf.get().inner();
            if !matches!(inner.state, State::Pending) {
                return Ok(false);
            }
            inner.state = match outcome {
                Ok(value) => State::Done(value),
                Err(error) => State::Failed(error),
            };
            std::mem::take(&mut inner.callbacks)
        };
        let mut trouble = None;
        for callback in callbacks {
            if let Err(error) = callback.call(slf) {
                trouble = Some(error);
            }
        }
        trouble.map_or(Ok(true), Err)
    }

    fn outcome(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.inner().state {
            State::Pending => Err(InvalidStateError::new_err("the answer has not come yet")),
            State::Done(value) => Ok(value.clone_ref(py)),
            State::Failed(error) => Err(PyErr::from_value(error.bind(py).clone())),
            State::Cancelled(None) => Err(CancelledError::new_err(())),
            State::Cancelled(Some(message)) => Err(CancelledError::new_err((message.clone_ref(py),))),
        }
    }
}

impl Callback {
    /// Call it in its context, as the loop would.
    fn call(self, answer: &Bound<'_, Answer>) -> PyResult<()> {
        let py = answer.py();
        let Some(context) = self.context else {
            return self.function.bind(py).call1((answer,)).map(drop);
        };
        // SAFETY: `context` is a context variable object given by asyncio (else an error is set), and left again below.
        if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        let called = self.function.bind(py).call1((answer,));
        // SAFETY: entered above, on this thread.
        if unsafe { ffi::PyContext_Exit(context.as_ptr()) } != 0 {
            return Err(PyErr::fetch(py));
        }
        called.map(drop)
    }
}

#[pymethods]
impl Answer {
    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.inner().blocking
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.inner().blocking = blocking;
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    fn get_loop(&self, py: Python<'_>) -> Py<PyAny> {
        self.event_loop.clone_ref(py)
    }

    #[pyo3(signature = (function, *, context=None))]
    fn add_done_callback(slf: &Bound<'_, Self>, function: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let callback = Callback { function, context };
        let answer = slf.get();
        if answer.is_pending() {
            answer.inner().callbacks.push(callback);
            return Ok(());
        }
        schedule(slf, callback)
    }

    fn remove_done_callback(&self, function: &Bound<'_, PyAny>) -> PyResult<usize> {
        let callbacks = std::mem::take(&mut self.inner().callbacks);
        let (mut kept, before) = (Vec::new(), callbacks.len());
        for callback in callbacks {
            if !callback.function.bind(function.py()).eq(function)? {
                kept.push(callback);
            }
        }
        let removed = before - kept.len();
        self.inner().callbacks = kept;
        Ok(removed)
    }

    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Py<PyAny>>) -> PyResult<bool> {
        let callbacks = {
            let mut inner = slf.get().inner();
            if !matches!(inner.state, State::Pending) {
                return Ok(false);
            }
            inner.state = State::Cancelled(msg);
            std::mem::take(&mut inner.callbacks)
        };
        for callback in callbacks {
            schedule(slf, callback)?;
        }
        Ok(true)
    }

    fn done(&self) -> bool {
        !self.is_pending()
    }

    fn cancelled(&self) -> bool {
        matches!(self.inner().state, State::Cancelled(_))
    }

    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.outcome(py)
    }

    fn exception(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.inner().state {
            State::Failed(error) => Ok(Some(error.clone_ref(py))),
            State::Done(_) => Ok(None),
            _ => self.outcome(py).map(|_| None),
        }
    }

    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let answer = slf.get();
        if !answer.is_pending() {
            return Err(PyStopIteration::new_err((answer.outcome(slf.py())?,)));
        }
        if std::mem::replace(&mut answer.inner().blocking, true) {
            return Err(PyRuntimeError::new_err("await wasn't used with future"));
        }
        Ok(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        let Ok(inner) = self.inner.try_lock() else { return Ok(()) };
        if let State::Done(value) | State::Failed(value) = &inner.state {
            visit.call(value)?;
        }
        for callback in &inner.callbacks {
            visit.call(&callback.function)?;
            visit.call(&callback.context)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.inner().callbacks.clear();
    }
}

/// Have the loop call it in its next turn.
fn schedule(answer: &Bound<'_, Answer>, callback: Callback) -> PyResult<()> {
    let py = answer.py();
    let options = PyDict::new(py);
    if let Some(context) = callback.context {
        options.set_item(intern!(py, "context"), context)?;
    }
    let event_loop = answer.get().event_loop.bind(py);
    event_loop.call_method(intern!(py, "call_soon"), (callback.function, answer), Some(&options)).map(drop)
}
