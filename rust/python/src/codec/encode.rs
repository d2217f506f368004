//! Arguments -> bytes. The usual classes are written here, without a call of Python; the codecs of `db_pool_rs/types`
//! write the others, refuse what does not fit and say why.

use std::cell::Cell;

use bytes::{BufMut, BytesMut};
use db_pool_engine::link::{Described, Short, put_value};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDate, PyDateAccess, PyDateTime, PyDelta, PyDeltaAccess, PyFloat, PyInt, PyIterator, PyList,
    PyString, PyTime, PyTimeAccess, PyTuple, PyTzInfo, PyTzInfoAccess,
};

use super::calendar::{Civil, DAY, days};
use super::kinds::{Form, Kind, form};
use super::uuid;

/// The longest message that PostgreSQL takes, and what it needs besides arguments and their lengths, as in
/// `db_pool_rs/types/parameters.py`, which says what is wrong.
const LONGEST: usize = 0x3fff_fffe;
const BESIDES: usize = 128;
/// The buffer of so many bytes is used again.
const KEPT: usize = 4096;

thread_local! {
    /// Where arguments are gathered. Taken away meanwhile: what is called may come back here.
    static BUFFER: Cell<BytesMut> = Cell::default();
}

/// Write the arguments of a statement, a length and a value for each. ArgumentError names the one that does not fit;
/// it is TypesUnknown if the server must be asked about a type first. `catalog` knows the types that are not built in.
pub fn encode(
    py: Python<'_>,
    text: &Described,
    args: &Bound<'_, PyTuple>,
    catalog: Option<&Bound<'_, PyAny>>,
) -> PyResult<Short> {
    if args.len() != text.param_oids.len() {
        return Err(explained(py, text, args, catalog));
    }
    let most = LONGEST - BESIDES - 2 * args.len();
    let mut out = BUFFER.take();
    out.clear();
    for (oid, value) in text.param_oids.iter().zip(args.iter_borrowed()) {
        let of_its_own = catalog.filter(|_| text.foreign.contains(oid));
        if let Err(error) = put(py, *oid, &value, &mut out, of_its_own) {
            let explains = error.is_instance_of::<PyException>(py);
            return Err(if explains { explained(py, text, args, catalog) } else { error });
        }
        if out.len() > most {
            return Err(explained(py, text, args, catalog));
        }
    }
    let kept = out.len() <= KEPT;
    let params = Short::take(&mut out);
    if kept {
        BUFFER.set(out);
    }
    Ok(params)
}

/// What the codecs of Python say about arguments that do not fit.
fn explained(py: Python<'_>, text: &Described, args: &Bound<'_, PyTuple>, catalog: Option<&Bound<'_, PyAny>>) -> PyErr {
    let find = || match catalog {
        Some(catalog) => catalog.getattr(intern!(py, "encoder")),
        None => py.import("db_pool_rs.types.encode")?.getattr(intern!(py, "encoder")),
    };
    let refused = py
        .import("db_pool_rs.types.parameters")
        .and_then(|module| module.getattr("ParameterCodec"))
        .and_then(|class| class.call1((PyTuple::new(py, &text.param_oids)?, &*text.sql, find()?)))
        .and_then(|codec| codec.call_method1("encode", (args,)));
    match refused {
        Err(error) => error,
        Ok(_) => argument_error(py, "an argument changed while it was being encoded".into()),
    }
}

fn argument_error(py: Python<'_>, message: String) -> PyErr {
    let class = py.import("db_pool_rs.errors").and_then(|errors| errors.getattr("ArgumentError"));
    class.and_then(|class| class.call1((message,))).map_or_else(|error| error, PyErr::from_value)
}

fn put(
    py: Python<'_>,
    oid: u32,
    value: &Bound<'_, PyAny>,
    out: &mut BytesMut,
    catalog: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    if value.is_none() {
        put_value(out, None);
        return Ok(());
    }
    let start = out.len();
    let done = if catalog.is_some() { None } else { put_known(py, form(oid), value, out) };
    if done.is_some() && out.len() - start <= LONGEST {
        return Ok(());
    }
    out.truncate(start);
    let encode = match catalog {
        Some(catalog) => catalog.call_method1(intern!(py, "encoder"), (oid,))?.getattr(intern!(py, "encode"))?,
        None => encoder(py, oid)?,
    };
    let bytes = encode.call1((value,))?.cast_into::<PyBytes>()?;
    if bytes.as_bytes().len() > LONGEST {
        return Err(argument_error(py, "an argument of more than 1 GiB".into()));
    }
    put_value(out, Some(bytes.as_bytes()));
    Ok(())
}

/// The encode function of a type.
fn encoder(py: Python<'_>, oid: u32) -> PyResult<Bound<'_, PyAny>> {
    static ENCODER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    ENCODER.import(py, "db_pool_rs.types.encode", "encoder")?.call1((oid,))?.getattr(intern!(py, "encode"))
}

/// Write a value, or a list of values, of the usual classes; None if it is another, or does not fit.
fn put_known(py: Python<'_>, form: Form, value: &Bound<'_, PyAny>, out: &mut BytesMut) -> Option<()> {
    match form {
        Form::Single(kind) => put_usual(py, kind, value, out),
        Form::Array { kind, element, .. } if form.sent() == 1 => put_list(py, kind, element, value, out),
        Form::Array { .. } => None, // a literal
    }
}

/// Write a value of the usual class; None if it is another, or does not fit.
fn put_usual(py: Python<'_>, kind: Kind, value: &Bound<'_, PyAny>, out: &mut BytesMut) -> Option<()> {
    match kind {
        Kind::Bool => put_value(out, Some(&[u8::from(value.cast_exact::<PyBool>().ok()?.is_true())])),
        Kind::Int2 => put_value(out, Some(&i16::try_from(integer(value)?).ok()?.to_be_bytes())),
        Kind::Int4 => put_value(out, Some(&i32::try_from(integer(value)?).ok()?.to_be_bytes())),
        Kind::Int8 => put_value(out, Some(&integer(value)?.to_be_bytes())),
        Kind::Oid => put_value(out, Some(&u32::try_from(integer(value)?).ok()?.to_be_bytes())),
        Kind::Float8 => put_value(out, Some(&value.cast_exact::<PyFloat>().ok()?.value().to_be_bytes())),
        Kind::Float4 => put_value(out, Some(&single(value)?.to_be_bytes())),
        Kind::Str | Kind::Other => {
            let text = value.cast_exact::<PyString>().ok()?.to_str().ok()?.as_bytes();
            let fits = text.len() <= LONGEST && !text.contains(&0);
            put_value(out, Some(fits.then_some(text)?));
        }
        Kind::Bytea => {
            let bytes = value.cast_exact::<PyBytes>().ok()?.as_bytes();
            put_value(out, Some((bytes.len() <= LONGEST).then_some(bytes)?));
        }
        Kind::Uuid if value.get_type().is(uuid::class(py).ok()?) => {
            let number: u128 = value.getattr(intern!(py, "int")).ok()?.extract().ok()?;
            put_value(out, Some(&number.to_be_bytes()));
        }
        Kind::Date => put_value(out, Some(&(date(value.cast_exact::<PyDate>().ok()?) as i32).to_be_bytes())),
        Kind::Time => put_value(out, Some(&time(value)?.to_be_bytes())),
        Kind::Timestamp => put_value(out, Some(&moment(value, None)?.to_be_bytes())),
        Kind::Timestamptz => put_value(out, Some(&moment(value, Some(&*PyTzInfo::utc(py).ok()?))?.to_be_bytes())),
        Kind::Interval => put_value(out, Some(&interval(value.cast_exact::<PyDelta>().ok()?))),
        _ => return None,
    }
    Some(())
}

/// Write records of a COPY in binary until there are `most` bytes; `columns` has the type and the encode function of
/// each. Gives the bytes, the number of records in them, and what stopped it: nothing (all are written), an empty tuple
/// (`most`), or the record that is for Python to write, or to refuse.
#[pyfunction]
#[pyo3(signature = (columns, records, most))]
pub fn write_records<'py>(
    py: Python<'py>,
    columns: Vec<(u32, Bound<'py, PyAny>)>,
    records: &Bound<'py, PyIterator>,
    most: usize,
) -> PyResult<(Bound<'py, PyBytes>, usize, Option<Bound<'py, PyTuple>>)> {
    let mut out = BytesMut::with_capacity(most + KEPT);
    let mut records = records.clone();
    let mut count = 0;
    let stopped = loop {
        if out.len() >= most {
            break Some(PyTuple::empty(py));
        }
        let Some(record) = records.next() else { break None };
        let (record, start) = (record?, out.len());
        if put_record(py, &columns, &record, &mut out)?.is_none() {
            out.truncate(start);
            break Some(PyTuple::new(py, [record])?);
        }
        count += 1;
    };
    Ok((PyBytes::new(py, &out), count, stopped))
}

/// Write one record; None where it is for Python.
fn put_record(
    py: Python<'_>,
    columns: &[(u32, Bound<'_, PyAny>)],
    record: &Bound<'_, PyAny>,
    out: &mut BytesMut,
) -> PyResult<Option<()>> {
    let Ok(record) = record.cast_exact::<PyTuple>() else { return Ok(None) };
    if record.len() != columns.len() {
        return Ok(None);
    }
    out.put_u16(columns.len() as u16);
    for ((oid, encode), value) in columns.iter().zip(record.iter_borrowed()) {
        if value.is_none() {
            put_value(out, None);
            continue;
        }
        let (form, start) = (form(*oid), out.len());
        if form.sent() == 1 && put_known(py, form, &value, out).is_some() && out.len() - start <= LONGEST {
            continue;
        }
        out.truncate(start);
        match encode.call1((value,)) {
            Ok(bytes) => match bytes.cast_exact::<PyBytes>() {
                Ok(bytes) if bytes.as_bytes().len() <= LONGEST => put_value(out, Some(bytes.as_bytes())),
                _ => return Ok(None),
            },
            Err(error) if error.is_instance_of::<PyException>(py) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(()))
}

fn integer(value: &Bound<'_, PyAny>) -> Option<i64> {
    value.cast_exact::<PyInt>().ok()?.extract().ok()
}

/// None for what is finite, but not as a float4.
fn single(value: &Bound<'_, PyAny>) -> Option<f32> {
    let double = value.cast_exact::<PyFloat>().ok()?.value();
    let single = double as f32;
    (single.is_finite() || !double.is_finite()).then_some(single)
}

fn date(value: &impl PyDateAccess) -> i64 {
    days(Civil { year: value.get_year(), month: value.get_month(), day: value.get_day() })
}

fn micros(value: &impl PyTimeAccess) -> i64 {
    let minutes = i64::from(value.get_hour()) * 60 + i64::from(value.get_minute());
    (minutes * 60 + i64::from(value.get_second())) * 1_000_000 + i64::from(value.get_microsecond())
}

fn time(value: &Bound<'_, PyAny>) -> Option<i64> {
    let time = value.cast_exact::<PyTime>().ok()?;
    time.get_tzinfo().is_none().then(|| micros(time))
}

/// Microseconds from 2000-01-01 in this very zone.
fn moment(value: &Bound<'_, PyAny>, zone: Option<&Bound<'_, PyTzInfo>>) -> Option<i64> {
    let value = value.cast_exact::<PyDateTime>().ok()?;
    let same = match (value.get_tzinfo(), zone) {
        (None, None) => true,
        (Some(own), Some(zone)) => own.is(zone),
        _ => false,
    };
    same.then(|| date(value) * DAY + micros(value))
}

fn interval(value: &Bound<'_, PyDelta>) -> [u8; 16] {
    let micros = i64::from(value.get_seconds()) * 1_000_000 + i64::from(value.get_microseconds());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&micros.to_be_bytes());
    bytes[8..12].copy_from_slice(&value.get_days().to_be_bytes());
    bytes
}

/// Write a list of values of the usual classes, in one dimension.
fn put_list(py: Python<'_>, kind: Kind, element: u32, value: &Bound<'_, PyAny>, out: &mut BytesMut) -> Option<()> {
    let items = value.cast_exact::<PyList>().ok()?;
    let start = out.len();
    out.put_u32(0);
    let mut has_null = false;
    out.put_i32(i32::from(!items.is_empty()));
    out.put_i32(0);
    out.put_u32(element);
    if !items.is_empty() {
        out.put_i32(i32::try_from(items.len()).ok()?);
        out.put_i32(1);
    }
    for item in items.iter() {
        if item.is_none() {
            has_null = true;
            put_value(out, None);
        } else {
            put_usual(py, kind, &item, out)?;
        }
        if out.len() - start > LONGEST {
            return None;
        }
    }
    let length = u32::try_from(out.len() - start - 4).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 8..start + 12].copy_from_slice(&i32::from(has_null).to_be_bytes());
    Some(())
}
