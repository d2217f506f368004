//! uuid.UUID, without its constructor.

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};
use pyo3::{ffi, intern};

/// The class.
pub fn class(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "uuid", "UUID")
}

/// A UUID. The class refuses to be changed; its slots can be filled, at a fifth of the price of `UUID(int=...)`.
pub fn make(py: Python<'_>, number: u128) -> PyResult<Bound<'_, PyAny>> {
    static UNKNOWN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let class = class(py)?;
    let unknown = UNKNOWN
        .get_or_try_init(py, || Ok::<_, PyErr>(py.import("uuid")?.getattr("SafeUUID")?.getattr("unknown")?.unbind()))?;
    let Ok(number) = number.into_pyobject(py);
    let kind = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: tp_alloc of a Python class makes an instance as object.__new__ does, or returns NULL and has raised.
    let value = unsafe {
        let alloc = (*kind).tp_alloc.ok_or_else(|| PyMemoryError::new_err("uuid.UUID cannot be made"))?;
        Bound::from_owned_ptr_or_err(py, alloc(kind, 0))?
    };
    fill(&value, intern!(py, "int"), number.as_any())?;
    fill(&value, intern!(py, "is_safe"), unknown.bind(py))?;
    Ok(value)
}

fn fill(value: &Bound<'_, PyAny>, name: &Bound<'_, PyString>, content: &Bound<'_, PyAny>) -> PyResult<()> {
    // SAFETY: three live objects; what object.__setattr__ does.
    match unsafe { ffi::PyObject_GenericSetAttr(value.as_ptr(), name.as_ptr(), content.as_ptr()) } {
        0 => Ok(()),
        _ => Err(PyErr::fetch(value.py())),
    }
}
