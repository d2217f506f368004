//! Types that are not built in: `db_pool_rs/types/catalog.py` takes them apart, and their parts of built-in types are
//! read here.

use db_pool_engine::link::Settings;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;

use super::session::Session;
use super::shape::Column;

/// Gives what reads a built-in type, in this format.
#[pyclass(frozen)]
struct BuiltIn(Settings, i16);

#[pymethods]
impl BuiltIn {
    fn __call__(&self, oid: u32) -> Part {
        Part { column: Column::new(oid, self.1, &self.0), session: Session::new(&self.0) }
    }
}

/// Reads values of a built-in type.
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
    let built_in = BuiltIn(settings.clone(), 0);
    Ok(catalog.call_method1(intern!(catalog.py(), "loader"), (oid, built_in))?.unbind())
}

/// What reads the field of a record, in binary; an error if that cannot be done.
pub fn field_loader(catalog: &Bound<'_, PyAny>, oid: u32, settings: &Settings) -> PyResult<Py<PyAny>> {
    let py = catalog.py();
    let make = py.import("db_pool_rs.types.binary")?.getattr(intern!(py, "field_loader"))?;
    Ok(make.call1((catalog, oid, BuiltIn(settings.clone(), 1)))?.unbind())
}
