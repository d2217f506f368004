//! Python values to what SQLite stores, and back.
//!
//! The usual arguments are written here. What is unusual (dates, Decimals, a subclass ...) is made usual by
//! `db_pool_rs.drivers.sqlite.types`, which also says what does not fit.

use bytes::BytesMut;
use db_pool_engine::link::{Described, Rows, Short};
use db_pool_engine::sqlite::SqlitePlan;
use db_pool_engine::sqlite::values::{Value, Values, put};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString, PyTuple, PyType};

use crate::chunks::{Place, Watch};
use crate::codec::record;

/// Write the arguments of a statement; ArgumentError if they do not fit.
pub fn encode(plan: &SqlitePlan, args: &Bound<'_, PyTuple>) -> PyResult<Short> {
    let mut out = BytesMut::with_capacity(16 * args.len());
    if args.len() != plan.params || !args.iter_borrowed().all(|value| put_usual(&mut out, &value)) {
        out.clear();
        let usual = make_usual(args, plan)?;
        if !usual.iter_borrowed().all(|value| put_usual(&mut out, &value)) {
            return Err(PyValueError::new_err("bug: an argument that is nothing for SQLite"));
        }
    }
    Ok(Short::take(&mut out))
}

fn make_usual<'py>(args: &Bound<'py, PyTuple>, plan: &SqlitePlan) -> PyResult<Bound<'py, PyTuple>> {
    static ENCODE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = args.py();
    let encode = ENCODE.import(py, "db_pool_rs.drivers.sqlite.types", "encode")?;
    Ok(encode.call1((args, plan.params, false, &plan.sql))?.cast_into::<PyTuple>()?)
}

/// Whether it is a value of one of SQLite's own types, which then is written.
fn put_usual(out: &mut BytesMut, value: &Bound<'_, PyAny>) -> bool {
    let value = if let Ok(text) = value.cast_exact::<PyString>() {
        let Ok(text) = text.to_str() else { return false };
        Value::Text(text.as_bytes())
    } else if let Ok(number) = value.cast_exact::<PyInt>() {
        let Ok(number) = number.extract() else { return false };
        Value::Integer(number)
    } else if value.is_none() {
        Value::Null
    } else if let Ok(number) = value.cast_exact::<PyFloat>() {
        let number = number.value();
        if number.is_nan() {
            return false;
        }
        Value::Real(number)
    } else if let Ok(bytes) = value.cast_exact::<PyBytes>() {
        Value::Blob(bytes.as_bytes())
    } else {
        return false;
    };
    put(out, value);
    true
}

/// How rows of a description are read.
pub struct RowDecoder {
    names: Vec<String>,
    class: Py<PyType>,
}

impl RowDecoder {
    /// For these columns.
    pub fn new(py: Python<'_>, described: &Described) -> PyResult<Self> {
        let names: Vec<String> = described.columns.iter().map(|column| column.name.clone()).collect();
        let class = py.import("db_pool_rs.record")?.getattr("record_class")?.call1((PyTuple::new(py, &names)?,))?;
        Ok(RowDecoder { names, class: class.cast_into::<PyType>()?.unbind() })
    }

    /// Read a slice of the rows. A text that is no UTF-8 raises DecodeError, naming the column.
    pub fn records<'py>(&self, py: Python<'py>, rows: &Rows, place: &mut Place) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut values = Values(&rows.data[place.byte..]);
        let mut records = Vec::with_capacity(place.room(rows.count));
        let mut row = Vec::with_capacity(self.names.len());
        row.extend(place.values.drain(..).map(|value| value.into_bound(py)));
        let mut watch = Watch::default();
        let mut over = false;
        while place.row < rows.count && !over {
            for (name, value) in self.names.iter().skip(row.len()).zip(&mut values) {
                row.push(load(py, name, value)?);
                over = watch.is_over(size(value));
                if over {
                    break;
                }
            }
            if over && row.len() < self.names.len() {
                break;
            }
            records.push(record(py, &self.class, &mut row, true)?);
            place.row += 1;
        }
        place.values.extend(row.into_iter().map(Bound::unbind));
        place.byte = rows.data.len() - values.0.len();
        Ok(records)
    }
}

fn size(value: Value<'_>) -> usize {
    match value {
        Value::Text(bytes) | Value::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

#[inline]
fn load<'py>(py: Python<'py>, column: &str, value: Value<'_>) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Real(value) => PyFloat::new(py, value).into_any(),
        Value::Blob(value) => PyBytes::new(py, value).into_any(),
        Value::Text(value) => match str::from_utf8(value) {
            Ok(text) => PyString::new(py, text).into_any(),
            Err(_) => return Err(undecodable(py, column, value)),
        },
    })
}

fn undecodable(py: Python<'_>, column: &str, value: &[u8]) -> PyErr {
    let text = String::from_utf8_lossy(value);
    let message = format!("Could not decode to UTF-8 column '{column}' with text '{text}'");
    let raised = || {
        let error = py.import("sqlite3")?.getattr("OperationalError")?.call1((message,))?;
        py.import("db_pool_rs.drivers.sqlite.errors")?.getattr("statement_error")?.call1((error, py.None()))
    };
    match raised() {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}
