//! Records without a type of their own, in binary -> tuples: each field names its type. `db_pool_rs/types/binary.py` does
//! the same, and reads here the types of fields that are not built in, or are text elsewhere.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use db_pool_engine::link::{Described, Fields, Rows, Settings};
use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use super::arrays::load_binary_by;
use super::fault::{Fault, Read, bad};
use super::foreign::field_loader;
use super::kinds::{Form, Kind, RECORD, RECORDS, form, is_foreign};
use super::session::Session;
use super::shape::Column;

/// Records within records, at most, as in `db_pool_rs/types/binary.py`.
const MAX_DEPTH: usize = 64;
/// Types that the server is asked about for one result.
const MOST_TYPES: usize = 1_000;

/// Reads the records of one column.
pub struct Records {
    /// Knows the types that are not built in: `db_pool_rs.types.catalog.Catalog`.
    catalog: PyOnceLock<Py<PyAny>>,
    settings: Settings,
    /// How fields of these types are read.
    known: Mutex<HashMap<u32, Arc<Field>>>,
}

enum Field {
    BuiltIn(Column),
    Record,
    RecordArray,
    /// As the catalogue reads it.
    Other(Py<PyAny>),
}

impl Records {
    /// With what the pool knows of types.
    pub fn new(catalog: &Bound<'_, PyAny>, settings: &Settings) -> Self {
        let records = Self::without_catalog(settings);
        let _ = records.catalog.set(catalog.py(), catalog.clone().unbind()); // it was empty
        records
    }

    /// Where nothing but built-in types can be read.
    pub fn without_catalog(settings: &Settings) -> Self {
        Records { catalog: PyOnceLock::new(), settings: settings.clone(), known: Mutex::default() }
    }

    /// One record, which stands in `depth` others.
    pub fn load<'py>(&self, py: Python<'py>, session: &Session, data: &[u8], depth: usize) -> Read<'py> {
        if depth == MAX_DEPTH {
            return bad(format!("records that are nested more than {MAX_DEPTH} deep"));
        }
        let fields = fields_of(data)?;
        let mut values = Vec::with_capacity(fields.len());
        for (number, (oid, value)) in fields.into_iter().enumerate() {
            values.push(match value {
                None => py.None().into_bound(py),
                Some(value) => self
                    .field(py, session, oid, value, depth)
                    .or_else(|fault| Err(self.explained(py, number + 1, oid, fault)?))?,
            });
        }
        Ok(PyTuple::new(py, values)?.into_any())
    }

    /// An array of such.
    pub fn load_array<'py>(&self, py: Python<'py>, session: &Session, data: &[u8], depth: usize) -> Read<'py> {
        load_binary_by(py, RECORD, data, &|one| self.load(py, session, one, depth))
    }

    fn field<'py>(&self, py: Python<'py>, session: &Session, oid: u32, value: &[u8], depth: usize) -> Read<'py> {
        match &*self.reader(py, oid)? {
            Field::BuiltIn(column) => column.read(py, session, value),
            Field::Record => self.load(py, session, value, depth + 1),
            Field::RecordArray => self.load_array(py, session, value, depth + 1),
            Field::Other(load) => Ok(load.bind(py).call1((PyBytes::new(py, value),))?),
        }
    }

    /// No lock is held while Python runs.
    fn reader(&self, py: Python<'_>, oid: u32) -> PyResult<Arc<Field>> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(field) = known().get(&oid) {
            return Ok(field.clone());
        }
        let catalog = self.catalog(py)?;
        let is_foreign: bool = catalog.call_method1(intern!(py, "is_foreign"), (oid,))?.extract()?;
        let field = Arc::new(match form(oid) {
            Form::Single(Kind::Composite) if !is_foreign => Field::Record,
            Form::Array { kind: Kind::Composite, .. } if !is_foreign => Field::RecordArray,
            form if !is_foreign && form.received() == 1 => Field::BuiltIn(Column::new(oid, 1, &self.settings)),
            _ => Field::Other(field_loader(catalog, oid, &self.settings)?),
        });
        known().insert(oid, field.clone());
        Ok(field)
    }

    fn catalog<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        let make = || Ok::<_, PyErr>(py.import("db_pool_rs.types.catalog")?.getattr("Catalog")?.call0()?.unbind());
        self.catalog.get_or_try_init(py, make).map(|catalog| catalog.bind(py))
    }

    /// The same, with the field in which it is; what is no fault of the value stays what it is.
    fn explained(&self, py: Python<'_>, number: usize, oid: u32, fault: Fault) -> PyResult<Fault> {
        let name: String = self.catalog(py)?.call_method1(intern!(py, "type_name"), (oid,))?.extract()?;
        let message = format!("field {number} ({name}): {}", fault.message(py));
        match fault {
            Fault::Python(error) if !error.is_instance_of::<PyException>(py) => Ok(Fault::Python(error)),
            Fault::Python(error) if error.is_instance_of::<PyMemoryError>(py) => Ok(Fault::Python(error)),
            Fault::Python(error) => {
                let outer = PyValueError::new_err(message);
                outer.set_cause(py, Some(error));
                Ok(Fault::Python(outer))
            }
            Fault::Data(_) => Ok(Fault::Data(message)),
        }
    }
}

type Parts<'a> = Vec<(u32, Option<&'a [u8]>)>;

/// Types and values of the fields. Layout: backend/utils/adt/rowtypes.c, record_send: how many; for each its type, its
/// length, its value. Nothing is allocated for what is announced, only for what there is room for.
fn fields_of(data: &[u8]) -> Result<Parts<'_>, Fault> {
    let mut fields = Fields(data);
    let short = |error: db_pool_engine::link::Malformed| Fault::Data(error.0.into());
    let announced = fields.number().map_err(short)?;
    let Some(count) = usize::try_from(announced).ok().filter(|count| *count <= fields.0.len() / 8) else {
        return bad(format!("a record of {announced} fields in {} bytes", data.len()));
    };
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        parts.push((fields.number().map_err(short)? as u32, fields.value().map_err(short)?));
    }
    match fields.0.len() {
        0 => Ok(parts),
        left => bad(format!("{left} bytes behind the end of a record")),
    }
}

/// The types of all values in records of these rows that are not built in, or that codecs have.
pub fn types_in(rows: &Rows, text: &Described, overridden: &[u32]) -> Vec<u32> {
    let (mut seen, mut found) = (HashSet::new(), Vec::new());
    let mut see = |oid: u32| {
        if seen.insert(oid) && found.len() < MOST_TYPES && is_foreign(oid, overridden) {
            found.push(oid);
        }
    };
    let is_read = |column: usize| text.result_formats.get(column) == Some(&1);
    // What is malformed is told when it is read.
    let _ = rows.read(|_, column, value| match (text.columns.get(column).map(|one| one.oid), value) {
        (Some(RECORD), Some(value)) if is_read(column) => see_record(value, 0, &mut see),
        (Some(RECORDS), Some(value)) if is_read(column) => see_array(value, 0, &mut see),
        _ => {}
    });
    found
}

fn see_record(data: &[u8], depth: usize, see: &mut dyn FnMut(u32)) {
    for (oid, value) in fields_of(data).unwrap_or_default() {
        match (oid, value) {
            (_, None) => {}
            (RECORD, Some(value)) if depth < MAX_DEPTH => see_record(value, depth + 1, see),
            (RECORDS, Some(value)) if depth < MAX_DEPTH => see_array(value, depth + 1, see),
            _ => see(oid),
        }
    }
}

/// Its elements begin behind its dimensions; how many there are of each does not matter here.
fn see_array(data: &[u8], depth: usize, see: &mut dyn FnMut(u32)) {
    let mut fields = Fields(data);
    let dimensions = fields.number().map_or(0, |count| count.clamp(0, 6) as usize);
    if fields.bytes(8 + 8 * dimensions).is_err() {
        return;
    }
    while let Ok(element) = fields.value() {
        element.into_iter().for_each(|one| see_record(one, depth, see));
    }
}
