//! Rows -> records.

use std::sync::Arc;

use db_pool_engine::link::{self, Described, Fields, Rows, Settings};
use pyo3::exceptions::PyMemoryError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple, PyType};

use super::fault::{Fault, Read, decode_error};
use super::foreign;
use super::kinds::{Form, Kind, RECORD, RECORDS, form};
use super::loaders::{self, canonical};
use super::records::Records;
use super::session::Session;
use super::{arrays, binary, text};
use crate::chunks::{Place, Watch};
use crate::handle::Handle;

/// How the rows of a description are read, under the settings of a session. Made once.
pub struct RowDecoder {
    names: Vec<String>,
    columns: Vec<Column>,
    session: Session,
    /// The class of the records.
    class: Py<PyType>,
    /// Where types that are not built in are known.
    handle: Option<Arc<Handle>>,
    /// No value of theirs refers to others.
    flat: bool,
}

/// How one column is read.
pub struct Column {
    oid: u32,
    format: i16,
    reader: Reader,
}

enum Reader {
    Binary(Kind),
    Text(Kind),
    BinaryArray(Kind, u32),
    TextArray(Kind, u8),
    /// A record without a type of its own.
    Record(Records),
    /// An array of them.
    RecordArray(Records),
    /// psycopg's loader, looked up when the first value comes.
    Canonical(PyOnceLock<Py<PyAny>>),
    /// A type that is not built in, as the catalogue reads it.
    Foreign(Py<PyAny>),
}

/// Make the readers of a description for sessions with these settings.
pub fn shape(
    py: Python<'_>,
    text: &Described,
    settings: &Settings,
    handle: Option<&Arc<Handle>>,
) -> PyResult<RowDecoder> {
    let names: Vec<String> = text.columns.iter().map(|column| column.name.clone()).collect();
    let class = py.import("db_pool_rs.record")?.getattr("record_class")?.call1((PyTuple::new(py, &names)?,))?;
    let handle = handle.filter(|_| text.has_records || !text.foreign_columns.is_empty());
    let column = |(column, format): (&link::Column, &i16)| match handle {
        Some(handle) if *format == 1 && matches!(column.oid, RECORD | RECORDS) => {
            let records = Records::new(handle.catalog(py)?, settings);
            Ok(Column { oid: column.oid, format: 1, reader: Reader::of_records(column.oid, records) })
        }
        Some(handle) if text.foreign_columns.contains(&column.oid) => {
            let load = foreign::loader(handle.catalog(py)?, column.oid, settings)?;
            Ok(Column { oid: column.oid, format: 0, reader: Reader::Foreign(load) })
        }
        _ => Ok(Column::new(column.oid, *format, settings)),
    };
    let columns: Vec<Column> = text.columns.iter().zip(&text.result_formats).map(column).collect::<PyResult<_>>()?;
    Ok(RowDecoder {
        flat: columns.iter().all(Column::is_flat),
        columns,
        session: Session::new(settings),
        class: class.cast_into::<PyType>()?.unbind(),
        handle: handle.cloned(),
        names,
    })
}

impl Reader {
    fn of_records(oid: u32, records: Records) -> Self {
        if oid == RECORD { Reader::Record(records) } else { Reader::RecordArray(records) }
    }
}

impl Column {
    /// For values of a type that is built in, in this format.
    pub fn new(oid: u32, format: i16, settings: &Settings) -> Self {
        let form = form(oid);
        let reader = match (form, format) {
            _ if form.kind() == Kind::Composite && format == 1 => {
                Reader::of_records(oid, Records::without_catalog(settings))
            }
            _ if form.kind() == Kind::Composite => Reader::Canonical(PyOnceLock::new()),
            (Form::Single(kind), 1) => Reader::Binary(kind),
            (Form::Array { kind, element, .. }, 1) => Reader::BinaryArray(kind, element),
            _ if form.is_styled() && !settings.iso_styles() => Reader::Canonical(PyOnceLock::new()),
            (Form::Single(kind), _) => Reader::Text(kind),
            (Form::Array { kind, separator, .. }, _) => Reader::TextArray(kind, separator),
        };
        Column { oid, format, reader }
    }

    /// Whether its values refer to no others: numbers, texts, moments and the like.
    fn is_flat(&self) -> bool {
        matches!(self.reader, Reader::Binary(kind) | Reader::Text(kind) if kind.is_flat())
    }

    /// Read one value.
    #[inline]
    pub fn read<'py>(&self, py: Python<'py>, session: &Session, data: &[u8]) -> Read<'py> {
        match &self.reader {
            Reader::Binary(kind) => binary::load(py, *kind, session, data),
            Reader::Text(kind) => text::load(py, *kind, session, data),
            Reader::BinaryArray(kind, element) => arrays::load_binary(py, *kind, *element, session, data),
            Reader::TextArray(kind, separator) => arrays::load_text(py, *kind, *separator, session, data),
            Reader::Record(records) => records.load(py, session, data, 0),
            Reader::RecordArray(records) => records.load_array(py, session, data, 0),
            Reader::Canonical(loader) => {
                let matters = self.format == 0 || form(self.oid).is_zoned();
                let settings = matters.then(|| session.settings());
                let load =
                    loader.get_or_try_init(py, || canonical(py, self.oid, self.format, settings).map(Bound::unbind));
                Ok(load?.bind(py).call1((PyBytes::new(py, data),))?)
            }
            Reader::Foreign(load) => Ok(load.bind(py).call1((PyBytes::new(py, data),))?),
        }
    }
}

/// Read a slice of the rows. A value that Python cannot hold raises DecodeError, naming the column.
pub fn records<'py>(
    py: Python<'py>,
    shape: &RowDecoder,
    rows: &Rows,
    place: &mut Place,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let mut fields = Fields(&rows.data[place.byte..]);
    let mut records = Vec::with_capacity(place.room(rows.count).min(rows.data.len() / 2));
    let mut values = Vec::with_capacity(shape.columns.len());
    values.extend(place.values.drain(..).map(|value| value.into_bound(py)));
    let (mut watch, mut inside) = (Watch::default(), !values.is_empty());
    while place.row < rows.count {
        if !inside {
            shape.check_count(py, &mut fields)?;
        }
        let over = shape.read(py, &mut fields, place.row, &mut values, &mut watch)?;
        inside = values.len() < shape.columns.len();
        if !inside {
            records.push(record(py, &shape.class, &mut values, shape.flat)?);
            place.row += 1;
        }
        if over {
            break;
        }
    }
    place.values.extend(values.into_iter().map(Bound::unbind));
    place.byte = rows.data.len() - fields.0.len();
    Ok(records)
}

/// A record of these values, which are used up: what `tuple.__new__(class, values)` does, without a tuple in between.
///
/// Where the values are `flat`, no cycle can lead through the record, which never changes: Python's garbage collector is
/// not to look at it, as at tuples of such values, which it lets go itself.
#[inline]
pub fn record<'py>(
    py: Python<'py>,
    class: &Py<PyType>,
    values: &mut Vec<Bound<'py, PyAny>>,
    flat: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let class = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the class is a Python class derived from tuple, so tp_alloc makes a tuple of this length, or returns
    // NULL and has raised. Each item is set once, before anything else can run that might look at the tuple. One that
    // the collector does not look at is freed like any other.
    unsafe {
        let alloc = (*class).tp_alloc.ok_or_else(|| PyMemoryError::new_err("records cannot be made"))?;
        let record = Bound::from_owned_ptr_or_err(py, alloc(class, values.len() as ffi::Py_ssize_t))?;
        for (at, value) in values.drain(..).enumerate() {
            ffi::PyTuple_SET_ITEM(record.as_ptr(), at as ffi::Py_ssize_t, value.into_ptr());
        }
        if flat {
            ffi::PyObject_GC_UnTrack(record.as_ptr().cast());
        }
        #[cfg(Py_3_14)] // the hash is cached in the tuple; -1: not known
        {
            (*record.as_ptr().cast::<ffi::PyTupleObject>()).ob_hash = -1;
        }
        Ok(record)
    }
}

fn malformed(py: Python<'_>) -> PyErr {
    decode_error(py, "the server sent a malformed row".into())
}

impl RowDecoder {
    /// Whether psycopg's loaders must be imported first.
    pub fn waits(&self) -> bool {
        let styled = !self.session.settings().iso_styles();
        let waits = |column: &Column| match column.reader {
            Reader::Canonical(_) => true,
            Reader::Foreign(_) => styled, // its parts may be
            _ => false,
        };
        !loaders::tried() && self.columns.iter().any(waits)
    }

    fn check_count(&self, py: Python<'_>, fields: &mut Fields<'_>) -> PyResult<()> {
        match fields.count() {
            Err(_) => Err(malformed(py)),
            Ok(count) if count != self.columns.len() => {
                Err(decode_error(py, "the server sent other columns than it had described".into()))
            }
            Ok(_) => Ok(()),
        }
    }

    /// Read what is left of a row, behind the values that are there; true if the slice ends here, perhaps before it.
    fn read<'py>(
        &self,
        py: Python<'py>,
        fields: &mut Fields<'_>,
        row: usize,
        values: &mut Vec<Bound<'py, PyAny>>,
        watch: &mut Watch,
    ) -> PyResult<bool> {
        for (number, column) in self.columns.iter().enumerate().skip(values.len()) {
            let data = fields.value().map_err(|_| malformed(py))?;
            values.push(match data {
                None => py.None().into_bound(py),
                Some(data) => match column.read(py, &self.session, data) {
                    Ok(value) => value,
                    Err(fault) => return Err(self.explain(py, row, number, fault)),
                },
            });
            if watch.is_over(data.map_or(0, <[u8]>::len)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn explain(&self, py: Python<'_>, row: usize, number: usize, fault: Fault) -> PyErr {
        let oid = self.columns[number].oid;
        if let Some(handle) = &self.handle {
            handle.forget_types();
        }
        let named = py.import("db_pool_rs.types.oids").and_then(|oids| oids.call_method1("type_name", (oid,)));
        let place = match named {
            Ok(named) => format!("column \"{}\" ({named}) of row {}", self.names[number], row + 1),
            Err(error) => return error,
        };
        fault.explained(py, &place)
    }
}
