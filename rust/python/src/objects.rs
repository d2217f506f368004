//! Objects of a program's classes, made of records: `db_pool_rs/rows.py` says of which.

use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple, PyType};

use crate::chunks::GcPause;

/// Put an object of the class into the place of each record, made without a call of the class: with the class's own
/// `object.__new__` and `object.__setattr__`, as the `__init__` of a dataclass does it. `fields` are the attributes in
/// order, each with the number of its column. A record is let go while its values are in the processor's cache.
#[pyfunction]
pub fn fill_objects<'py>(
    py: Python<'py>,
    kind: &Bound<'py, PyType>,
    fields: Vec<(Bound<'py, PyString>, usize)>,
    records: Bound<'py, PyList>,
) -> PyResult<Bound<'py, PyList>> {
    // SAFETY: a type object lives as long as the reference to it.
    let new = unsafe { (*kind.as_ptr().cast::<ffi::PyTypeObject>()).tp_new }
        .ok_or_else(|| PyTypeError::new_err("objects of this class cannot be made"))?;
    let columns = fields.iter().map(|(_, column)| column + 1).max().unwrap_or(0);
    let nothing = PyTuple::empty(py);
    let _pause = GcPause::begin(py, GcPause::is_wanted(py, records.len())?)?;
    for at in 0..records.len() {
        let record = records.get_item(at)?.cast_into::<PyTuple>()?;
        if record.len() < columns {
            return Err(PyIndexError::new_err("a record without all columns"));
        }
        // SAFETY: tp_new of a class takes the class, a tuple and NULL, and gives a new reference, or NULL and has raised.
        let one = unsafe {
            let one = new(kind.as_ptr().cast(), nothing.as_ptr(), std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, one)?
        };
        for (name, column) in &fields {
            // SAFETY: the record has so many columns.
            let value = unsafe { record.get_borrowed_item_unchecked(*column) };
            // SAFETY: three references that live through the call; not 0 if it has raised.
            let failed = unsafe { ffi::PyObject_GenericSetAttr(one.as_ptr(), name.as_ptr(), value.as_ptr()) };
            if failed != 0 {
                return Err(PyErr::fetch(py));
            }
        }
        records.set_item(at, one)?;
    }
    Ok(records)
}
