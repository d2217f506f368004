//! Ranges and multiranges -> `db_pool_rs.Range` and lists of it; `db_pool_rs/types/ranges.py` describes their forms.

use db_pool_engine::link::Fields;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyType};

use super::fault::{Read, bad};
use super::kinds::Bound as Of;
use super::session::Session;
use super::{binary, text};

const EMPTY: u8 = 0x01; // src/include/utils/rangetypes.h
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const NO_LOWER: u8 = 0x08;
const NO_UPPER: u8 = 0x10;
const FLAGS: u8 = 0x1f;

/// A range in binary: flags, and a length and a value for each bound that is there.
pub fn binary<'py>(py: Python<'py>, of: Of, session: &Session, data: &[u8]) -> Read<'py> {
    let Some((flags, rest)) = data.split_first().filter(|(flags, _)| *flags & !FLAGS == 0) else {
        return bad("malformed range");
    };
    let mut fields = Fields(rest);
    let mut bound = |absent: u8| {
        if flags & (EMPTY | absent) != 0 {
            return Ok(None);
        }
        match fields.value().or_else(|error| bad(error.0))? {
            Some(value) => binary::load(py, of.kind(), session, value).map(Some),
            None => bad("a range with a bound that is NULL"),
        }
    };
    let (lower, upper) = (bound(NO_LOWER)?, bound(NO_UPPER)?);
    if !fields.0.is_empty() {
        return bad(format!("{} bytes behind the end of a range", fields.0.len()));
    }
    make(py, lower, upper, [flags & LOWER_INCLUSIVE != 0, flags & UPPER_INCLUSIVE != 0, flags & EMPTY != 0])
}

/// A multirange in binary: how many ranges, and a length and a range for each.
pub fn multi_binary<'py>(py: Python<'py>, of: Of, session: &Session, data: &[u8]) -> Read<'py> {
    let mut fields = Fields(data);
    let count = fields.number().or_else(|error| bad(error.0))?;
    let mut ranges = Vec::new();
    for _ in 0..count {
        match fields.value().or_else(|error| bad(error.0))? {
            Some(value) => ranges.push(binary(py, of, session, value)?),
            None => return bad("a multirange with a NULL"),
        }
    }
    if count < 0 || !fields.0.is_empty() {
        return bad("malformed multirange");
    }
    Ok(PyList::new(py, ranges)?.into_any())
}

/// A range in text: `[lower,upper)`, or `empty`.
pub fn text<'py>(py: Python<'py>, of: Of, session: &Session, data: &[u8]) -> Read<'py> {
    let mut literal = Literal(data);
    match literal.range(py, of, session)? {
        Some(range) if literal.0.is_empty() => Ok(range),
        _ => bad("malformed range"),
    }
}

/// A multirange in text: `{range,range}`.
pub fn multi_text<'py>(py: Python<'py>, of: Of, session: &Session, data: &[u8]) -> Read<'py> {
    let Some(inner) = data.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else {
        return bad("malformed multirange");
    };
    let (mut literal, mut ranges) = (Literal(inner), Vec::new());
    while !literal.0.is_empty() {
        match literal.range(py, of, session)? {
            Some(range) if literal.0.is_empty() || literal.take(b",") => ranges.push(range),
            _ => return bad("malformed multirange"),
        }
    }
    Ok(PyList::new(py, ranges)?.into_any())
}

struct Literal<'a>(&'a [u8]);

impl Literal<'_> {
    fn take(&mut self, wanted: &[u8]) -> bool {
        let rest = self.0.strip_prefix(wanted);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The range that comes next; None if there is none.
    fn range<'py>(
        &mut self,
        py: Python<'py>,
        of: Of,
        session: &Session,
    ) -> Result<Option<Bound<'py, PyAny>>, super::fault::Fault> {
        if self.take(b"empty") {
            return make(py, None, None, [false, false, true]).map(Some);
        }
        let lower_inc = self.take(b"[");
        if !lower_inc && !self.take(b"(") {
            return Ok(None);
        }
        let Some(lower) = self.bound() else { return Ok(None) };
        let lower = lower.map(|data| text::load(py, of.kind(), session, &data)).transpose()?;
        let Some(upper) = self.take(b",").then(|| self.bound()).flatten() else { return Ok(None) };
        let upper = upper.map(|data| text::load(py, of.kind(), session, &data)).transpose()?;
        let upper_inc = self.take(b"]");
        if !upper_inc && !self.take(b")") {
            return Ok(None);
        }
        make(py, lower, upper, [lower_inc, upper_inc, false]).map(Some)
    }

    /// The text of a bound, `Some(None)` if there is no bound; None if it does not end.
    fn bound(&mut self) -> Option<Option<Vec<u8>>> {
        let mut value = Vec::new();
        if !self.take(b"\"") {
            let end = self.0.iter().position(|byte| b"\"\\,()[]".contains(byte)).unwrap_or(self.0.len());
            let (plain, rest) = self.0.split_at(end);
            self.0 = rest;
            value.extend_from_slice(plain);
            return Some((!value.is_empty()).then_some(value));
        }
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match (first, rest.split_first()) {
                (b'"', Some((b'"', rest))) | (b'\\', Some((_, rest))) => {
                    value.push(self.0[0]);
                    self.0 = rest;
                }
                (b'"', _) => return Some(Some(value)),
                (byte, _) => value.push(*byte),
            }
        }
    }
}

/// The range with these bounds; whether the lower one belongs to it, the upper one, and whether it is empty.
fn make<'py>(
    py: Python<'py>,
    lower: Option<Bound<'py, PyAny>>,
    upper: Option<Bound<'py, PyAny>>,
    [lower_inc, upper_inc, empty]: [bool; 3],
) -> Read<'py> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let options = PyDict::new(py);
    options.set_item(intern!(py, "lower_inc"), lower_inc)?;
    options.set_item(intern!(py, "upper_inc"), upper_inc)?;
    options.set_item(intern!(py, "empty"), empty)?;
    Ok(CLASS.import(py, "db_pool_rs.ranges", "Range")?.call((lower, upper), Some(&options))?)
}
