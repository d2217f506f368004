//! One value in binary -> Python. Every length is checked.

use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDate, PyDelta, PyFloat, PyString, PyTime, PyType};

use super::calendar::{FIRST, civil, clock};
use super::fault::{Fault, Read, bad};
use super::kinds::Kind;
use super::session::{Session, beyond, datetime, fixed_offset};
use super::{json, network, ranges, uuid};

/// Read a value of this kind.
pub fn load<'py>(py: Python<'py>, kind: Kind, session: &Session, data: &[u8]) -> Read<'py> {
    Ok(match kind {
        Kind::Bool => PyBool::new(py, fixed::<1>(data)?[0] != 0).to_owned().into_any(),
        Kind::Int2 => integer(py, i16::from_be_bytes(fixed(data)?).into()),
        Kind::Int4 => integer(py, i32::from_be_bytes(fixed(data)?).into()),
        Kind::Int8 => integer(py, i64::from_be_bytes(fixed(data)?)),
        Kind::Oid => integer(py, u32::from_be_bytes(fixed(data)?).into()),
        Kind::Float4 => PyFloat::new(py, f32::from_be_bytes(fixed(data)?).into()).into_any(),
        Kind::Float8 => PyFloat::new(py, f64::from_be_bytes(fixed(data)?)).into_any(),
        Kind::Str | Kind::Literal | Kind::Other => PyString::from_bytes(py, data)?.into_any(),
        Kind::Bytea => PyBytes::new(py, data).into_any(),
        Kind::Uuid => uuid::make(py, u128::from_be_bytes(fixed(data)?))?,
        Kind::Timestamptz => return session.moment(py, i64::from_be_bytes(fixed(data)?)),
        Kind::Timestamp => return timestamp(py, i64::from_be_bytes(fixed(data)?)),
        Kind::Date => return date(py, i32::from_be_bytes(fixed(data)?).into()),
        Kind::Time => return time(py, i64::from_be_bytes(fixed(data)?), None),
        Kind::Timetz => return timetz(py, fixed(data)?),
        Kind::Interval => return interval(py, fixed(data)?),
        Kind::Numeric => decimal(py, &numeric(data)?)?,
        Kind::Json => return json::load(py, data),
        Kind::Jsonb => return jsonb(py, data),
        Kind::Inet => return network::inet(py, data),
        Kind::Cidr => return network::cidr(py, data),
        Kind::Range(bound) => return ranges::binary(py, bound, session, data),
        Kind::Multirange(bound) => return ranges::multi_binary(py, bound, session, data),
        Kind::Composite => return bad("bug: records are read elsewhere"),
    })
}

/// The bytes of a value whose size is that of its type.
pub fn fixed<const SIZE: usize>(data: &[u8]) -> Result<[u8; SIZE], Fault> {
    data.try_into().or_else(|_| bad(format!("{} bytes where {SIZE} are expected", data.len())))
}

/// An int.
pub fn integer(py: Python<'_>, value: i64) -> Bound<'_, PyAny> {
    let Ok(value) = value.into_pyobject(py);
    value.into_any()
}

/// A Decimal, which reads the text.
pub fn decimal<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))
}

fn timestamp(py: Python<'_>, micros: i64) -> Read<'_> {
    datetime(py, micros, None)?.map_or_else(|| bad(beyond(micros)), Ok)
}

fn date(py: Python<'_>, days: i64) -> Read<'_> {
    match civil(days) {
        Some(date) => Ok(PyDate::new(py, date.year, date.month, date.day)?.into_any()),
        None if days < FIRST => bad("date too small (before year 1)"),
        None => bad("date too large (after year 10K)"),
    }
}

fn time<'py>(py: Python<'py>, micros: i64, offset: Option<i32>) -> Read<'py> {
    let time = clock(micros);
    let unsupported = || bad(format!("time not supported by Python: hour={}", time.hour));
    let Some(hour) = u8::try_from(time.hour).ok().filter(|hour| *hour < 24) else { return unsupported() };
    let zone = match offset.map(|seconds| fixed_offset(py, seconds)) {
        Some(Err(error)) if error.is_instance_of::<PyValueError>(py) => return unsupported(),
        zone => zone.transpose()?,
    };
    Ok(PyTime::new(py, hour, time.minute, time.second, time.micro, zone.as_ref())?.into_any())
}

fn timetz(py: Python<'_>, data: [u8; 12]) -> Read<'_> {
    let (micros, west) = data.split_at(8);
    let west = i32::from_be_bytes(fixed(west)?); // PostgreSQL counts zones westwards
    time(py, i64::from_be_bytes(fixed(micros)?), Some(west.saturating_neg()))
}

fn interval(py: Python<'_>, data: [u8; 16]) -> Read<'_> {
    let micros = i64::from_be_bytes(fixed(&data[..8])?);
    let days = i64::from(i32::from_be_bytes(fixed(&data[8..12])?));
    let months = i64::from(i32::from_be_bytes(fixed(&data[12..])?));
    match delta(py, days + months / 12 * 365 + months % 12 * 30, micros) {
        Err(Fault::Python(error)) if error.is_instance_of::<PyOverflowError>(py) => {
            bad(format!("can't parse interval: {}", error.value(py)))
        }
        made => made,
    }
}

/// The timedelta of so many days and microseconds; OverflowError, by Python, if there is none.
pub fn delta(py: Python<'_>, days: i64, micros: i64) -> Read<'_> {
    let seconds = micros.div_euclid(1_000_000);
    let whole = days.saturating_add(seconds.div_euclid(86_400));
    let (rest, micro) = (seconds.rem_euclid(86_400) as i32, micros.rem_euclid(1_000_000) as i32);
    if let Ok(whole) = i32::try_from(whole)
        && whole.abs() < 1_000_000_000
    {
        return Ok(PyDelta::new(py, whole, rest, micro, false)?.into_any());
    }
    Ok(py.get_type::<PyDelta>().call1((days, 0, micros))?)
}

fn jsonb<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    match data.split_first() {
        Some((1, document)) => json::load(py, document),
        Some((version, _)) => bad(format!("unknown jsonb binary format: {version}")),
        None => json::load(py, data),
    }
}

/// The digits of a numeric. Layout: backend/utils/adt/numeric.c, numeric_send: count, weight, sign, scale, then digits
/// in base 10,000.
pub fn numeric(data: &[u8]) -> Result<String, Fault> {
    let (words, odd) = data.as_chunks::<2>();
    let word = |at: usize| words.get(at).map_or(0, |word| u16::from_be_bytes(*word));
    let (count, weight, sign, scale) = (usize::from(word(0)), i32::from(word(1) as i16), word(2), usize::from(word(3)));
    if words.len() != 4 + count || !odd.is_empty() {
        return bad(format!("{} bytes where {} are expected", data.len(), 8 + 2 * count));
    }
    match sign {
        0 | 0x4000 => {}
        0xC000 => return Ok("NaN".into()),
        0xD000 => return Ok("Infinity".into()),
        0xF000 => return Ok("-Infinity".into()),
        _ => return bad(format!("bad value for numeric sign: 0x{sign:X}")),
    }
    let digits = &words[4..];
    if scale > 0x3FFF
        || !within_reach(count, weight, scale)
        || digits.iter().any(|digit| u16::from_be_bytes(*digit) > 9999)
    {
        return bad("malformed numeric");
    }
    let mut text = String::new();
    if sign != 0 && digits.iter().any(|digit| *digit != [0, 0]) {
        text.push('-');
    }
    let digit =
        |at: i32| usize::try_from(at).ok().and_then(|at| digits.get(at)).map_or(0, |two| u16::from_be_bytes(*two));
    write_digits(&mut text, weight, scale, digit);
    Ok(text)
}

/// Whether psycopg would read it, too: its decimals have so much precision, and can be shifted by no more. PostgreSQL
/// sends nothing else: its digits reach from the weight to the scale.
fn within_reach(count: usize, weight: i32, scale: usize) -> bool {
    let (count, scale) = (count as i32, scale as i32);
    let digits = (weight + 2) * 4 + scale;
    digits >= 0 && (scale - (count - weight - 1) * 4).abs() <= digits.max(28)
}

/// The digit at 0 stands for multiples of 10,000 to the power of `weight`; `scale` decimals are written.
fn write_digits(text: &mut String, weight: i32, scale: usize, digit: impl Fn(i32) -> u16) {
    let put = |text: &mut String, at: i32| {
        let value = digit(at);
        text.extend(
            [value / 1000, value / 100 % 10, value / 10 % 10, value % 10].map(|one| (b'0' + one as u8) as char),
        );
    };
    if weight < 0 {
        text.push('0');
    }
    (0..=weight).for_each(|at| put(text, at));
    if scale > 0 {
        text.push('.');
        let end = text.len() + scale;
        for at in weight + 1.. {
            if text.len() >= end {
                break;
            }
            put(text, at);
        }
        text.truncate(end);
    }
}
