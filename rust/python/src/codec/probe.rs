//! The codec alone, without a server, for tests and fuzzing.

use bytes::{BufMut, BytesMut};
use db_pool_engine::link::{Column, Described, Fields, Rows, Settings, put_value};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use super::fault::decode_error;
use crate::chunks::Place;

fn described(sql: &str, parameters: Vec<u32>, columns: Vec<(String, u32)>) -> Described {
    let columns = columns.into_iter().map(|(name, oid)| Column { name, oid, modifier: -1, format: 0 }).collect();
    let mut text = Described::new(String::new(), sql.into(), parameters, columns);
    super::formats(&mut text, &[]);
    text
}

/// The format and the bytes of each argument of a statement with parameters of these types.
#[pyfunction]
#[pyo3(name = "_encode")]
pub fn encode<'py>(
    py: Python<'py>,
    sql: &str,
    oids: Vec<u32>,
    args: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyList>> {
    let text = described(sql, oids, Vec::new());
    let data = super::encode(py, &text, args, None)?;
    let mut fields = Fields(&data);
    let mut values = Vec::new();
    for format in &text.param_formats {
        let value = fields.value().map_err(|error| decode_error(py, error.0.into()))?;
        values.push((*format, value.map(|bytes| PyBytes::new(py, bytes))));
    }
    PyList::new(py, values)
}

/// The records of these rows, given as bytes. `format` is that of all columns; None: as each column is asked for.
/// `settings` are TimeZone, DateStyle and IntervalStyle.
#[pyfunction]
#[pyo3(name = "_decode")]
pub fn decode<'py>(
    py: Python<'py>,
    columns: Vec<(String, u32)>,
    rows: Vec<Vec<Option<Vec<u8>>>>,
    format: Option<i16>,
    settings: (String, String, String),
) -> PyResult<Bound<'py, PyList>> {
    let mut text = described("", Vec::new(), columns);
    if let Some(format) = format {
        text.result_formats.fill(format);
    }
    let (time_zone, date_style, interval_style) = settings;
    let shape = super::shape(py, &text, &Settings { time_zone, date_style, interval_style }, None)?;
    let mut data = BytesMut::new();
    for row in &rows {
        data.put_u16(row.len() as u16);
        row.iter().for_each(|value| put_value(&mut data, value.as_deref()));
    }
    records(py, &shape, &Rows { data: data.freeze().into(), count: rows.len() })
}

/// All records, slice after slice.
fn records<'py>(py: Python<'py>, shape: &super::RowDecoder, rows: &Rows) -> PyResult<Bound<'py, PyList>> {
    let (mut place, mut records) = (Place::default(), Vec::new());
    while place.row < rows.count {
        records.append(&mut super::records(py, shape, rows, &mut place)?);
    }
    PyList::new(py, records)
}

/// The records in the bodies of `count` DataRow messages, which are read as they are.
#[pyfunction]
#[pyo3(name = "_decode_raw")]
pub fn decode_raw<'py>(
    py: Python<'py>,
    columns: Vec<(String, u32)>,
    data: Vec<u8>,
    count: usize,
) -> PyResult<Bound<'py, PyList>> {
    let shape = super::shape(py, &described("", Vec::new(), columns), &Settings::default(), None)?;
    records(py, &shape, &Rows { data: bytes::Bytes::from(data).into(), count })
}
