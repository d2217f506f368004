//! Types that are not built in: `db_pool_rs/types/catalog.py` takes their text apart, and their parts of built-in types
//! are read here.

use db_pool_engine::link::Settings;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::session::Session;
use super::shape::Column;

/// Gives what reads a built-in type from text.
#[pyclass(frozen)]
struct BuiltIn(Settings);

#[pymethods]
impl BuiltIn {
    fn __call__(&self, oid: u32) -> Part {
        Part { column: Column::new(oid, 0, &self.0), session: Session::new(&self.0) }
    }
}

/// Reads values of a built-in type from text.
#[pyclass(frozen)]
struct Part {
    column: Column,
    session: Session,
}

#[pymethods]
impl Part {
    fn __call__<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        self.column.read(py, &self.session, data).map_err(|fault| PyValueError::new_err(fault.message(py)))
    }
}

/// What reads a type from text, as the catalogue knows it; DecodeError if it does not.
pub fn loader(catalog: &Bound<'_, PyAny>, oid: u32, settings: &Settings) -> PyResult<Py<PyAny>> {
    let built_in = BuiltIn(settings.clone());
    Ok(catalog.call_method1(intern!(catalog.py(), "loader"), (oid, built_in))?.unbind())
}
