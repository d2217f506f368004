//! One value in text -> Python. Dates are read in style ISO and intervals in style postgres; others are psycopg's.

use std::str::FromStr;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyString};

use super::binary::{decimal, integer};
use super::fault::{Fault, Read, bad};
use super::kinds::Kind;
use super::session::Session;
use super::{json, network, ranges, styles, uuid};

/// Read a value of this kind.
pub fn load<'py>(py: Python<'py>, kind: Kind, session: &Session, data: &[u8]) -> Read<'py> {
    Ok(match kind {
        Kind::Bool => PyBool::new(py, data == b"t").to_owned().into_any(),
        Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => integer(py, number(py, data)?),
        Kind::Float4 => PyFloat::new(py, (number::<f64>(py, data)? as f32).into()).into_any(),
        Kind::Float8 => PyFloat::new(py, number(py, data)?).into_any(),
        Kind::Numeric => decimal(py, ascii(data))?,
        Kind::Str | Kind::Literal | Kind::Other => PyString::from_bytes(py, data)?.into_any(),
        Kind::Bytea => PyBytes::new(py, &bytea(data)?).into_any(),
        Kind::Uuid => uuid::class(py)?.call1((ascii(data),))?,
        Kind::Date => return styles::date(py, data),
        Kind::Time => return styles::time(py, data),
        Kind::Timetz => return styles::timetz(py, data),
        Kind::Timestamp => return styles::timestamp(py, data),
        Kind::Timestamptz => return styles::timestamptz(py, session, data),
        Kind::Interval => return styles::interval(py, data),
        Kind::Json | Kind::Jsonb => return json::load(py, data),
        Kind::Inet => return network::inet_text(py, data),
        Kind::Cidr => return network::cidr_text(py, data),
        Kind::Range(bound) => return ranges::text(py, bound, session, data),
        Kind::Multirange(bound) => return ranges::multi_text(py, bound, session, data),
        Kind::Composite => return bad("bug: psycopg reads this type"),
    })
}

/// The text of what is ASCII; of anything else none, which no number or UUID is.
fn ascii(data: &[u8]) -> &str {
    str::from_utf8(data).ok().filter(|text| text.is_ascii()).unwrap_or_default()
}

/// The value as Python would show it in a message.
pub fn shown(py: Python<'_>, data: &[u8]) -> String {
    let text = PyString::new(py, &String::from_utf8_lossy(data));
    text.repr().map_or_else(|_| String::new(), |shown| shown.to_string())
}

fn number<T: FromStr>(py: Python<'_>, data: &[u8]) -> Result<T, Fault> {
    ascii(data).parse().or_else(|_| bad(format!("no number: {}", shown(py, data))))
}

/// Either form that `bytea_output` may have.
fn bytea(data: &[u8]) -> Result<Vec<u8>, Fault> {
    match data.strip_prefix(b"\\x") {
        Some(digits) => hex(digits),
        None => escaped(data),
    }
}

fn hex(digits: &[u8]) -> Result<Vec<u8>, Fault> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let (pairs, odd) = digits.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8));
    match bytes.collect::<Option<Vec<u8>>>() {
        Some(bytes) if odd.is_empty() => Ok(bytes),
        _ => bad("malformed bytea"),
    }
}

fn escaped(mut data: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::with_capacity(data.len());
    let octal = |byte: u8| (byte as char).to_digit(8);
    while let Some((first, rest)) = data.split_first() {
        data = rest;
        match (first, rest) {
            (b'\\', [b'\\', behind @ ..]) => {
                bytes.push(b'\\');
                data = behind;
            }
            (b'\\', [a, b, c, behind @ ..]) => {
                let code = octal(*a).zip(octal(*b)).zip(octal(*c)).map(|((a, b), c)| a * 64 + b * 8 + c);
                let Some(byte) = code.and_then(|code| u8::try_from(code).ok()) else { return bad("malformed bytea") };
                bytes.push(byte);
                data = behind;
            }
            (b'\\', _) => return bad("malformed bytea"),
            (byte, _) => bytes.push(*byte),
        }
    }
    Ok(bytes)
}
