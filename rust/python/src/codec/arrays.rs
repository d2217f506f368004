//! Arrays -> nested lists. Nothing is allocated for what an array announces, only for what is there.

use db_pool_engine::link::Fields;
use pyo3::prelude::*;
use pyo3::types::PyList;

use super::fault::{Fault, Read, bad};
use super::kinds::Kind;
use super::session::Session;
use super::{binary, text};

const MAX_DIMENSIONS: usize = 6; // src/include/utils/array.h, MAXDIM

/// An array in binary, whose elements are of this kind and type. Layout: backend/utils/adt/arrayfuncs.c, array_send:
/// dimensions, whether there are NULLs, the elements' type, length and lower bound of each dimension, elements.
pub fn load_binary<'py>(py: Python<'py>, kind: Kind, element: u32, session: &Session, data: &[u8]) -> Read<'py> {
    load_binary_by(py, element, data, &|value| binary::load(py, kind, session, value))
}

/// The same, of elements that `read` reads.
pub fn load_binary_by<'py>(
    py: Python<'py>,
    element: u32,
    data: &[u8],
    read: &impl Fn(&[u8]) -> Read<'py>,
) -> Read<'py> {
    let mut fields = Fields(data);
    let dimensions = number(&mut fields)? as usize;
    number(&mut fields)?;
    let oid = number(&mut fields)? as u32;
    if oid != element || dimensions > MAX_DIMENSIONS {
        return bad(format!("an array of {dimensions} dimensions and type {oid}, where type {element} is expected"));
    }
    let mut lengths = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let length = number(&mut fields)?;
        number(&mut fields)?;
        if length <= 0 {
            return bad(format!("an array of length {length}"));
        }
        lengths.push(length);
    }
    let list = nested(py, read, &lengths, &mut fields)?;
    if !fields.0.is_empty() {
        return bad(format!("{} bytes behind the end of an array", fields.0.len()));
    }
    Ok(list)
}

fn nested<'py>(
    py: Python<'py>,
    read: &impl Fn(&[u8]) -> Read<'py>,
    lengths: &[i32],
    fields: &mut Fields<'_>,
) -> Read<'py> {
    let Some((length, inner)) = lengths.split_first() else { return Ok(PyList::empty(py).into_any()) };
    let mut items = Vec::new();
    for _ in 0..*length {
        items.push(if !inner.is_empty() {
            nested(py, read, inner, fields)?
        } else {
            match fields.value().or_else(|error| bad(error.0))? {
                None => py.None().into_bound(py),
                Some(value) => read(value)?,
            }
        });
    }
    Ok(PyList::new(py, items)?.into_any())
}

fn number(fields: &mut Fields<'_>) -> Result<i32, Fault> {
    fields.number().or_else(|error| bad(error.0))
}

/// An array as a literal, such as `{{1,NULL},{"a b","\""}}`, behind its bounds where these are unusual.
pub fn load_text<'py>(py: Python<'py>, kind: Kind, separator: u8, session: &Session, data: &[u8]) -> Read<'py> {
    let literal = match data.first() {
        Some(b'[') => match data.iter().position(|byte| *byte == b'=') {
            Some(end) => &data[end + 1..],
            None => return bad("malformed array: no '=' after dimension information"),
        },
        _ => data,
    };
    let mut reader = Literal { rest: literal, separator, kind, session };
    let list = reader.list(py, MAX_DIMENSIONS)?;
    if reader.rest.is_empty() { Ok(list) } else { reader.malformed() }
}

struct Literal<'a> {
    rest: &'a [u8],
    separator: u8,
    kind: Kind,
    session: &'a Session,
}

impl Literal<'_> {
    fn malformed<T>(&self) -> Result<T, Fault> {
        bad(format!("malformed array, {} bytes before its end", self.rest.len()))
    }

    fn take(&mut self, wanted: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn list<'py>(&mut self, py: Python<'py>, depth: usize) -> Read<'py> {
        if depth == 0 || !self.take(b'{') {
            return self.malformed();
        }
        let mut items = Vec::new();
        if !self.take(b'}') {
            loop {
                let is_list = self.rest.first() == Some(&b'{');
                items.push(if is_list { self.list(py, depth - 1)? } else { self.item(py)? });
                if self.take(b'}') {
                    break;
                }
                if !self.take(self.separator) {
                    return self.malformed();
                }
            }
        }
        Ok(PyList::new(py, items)?.into_any())
    }

    fn item<'py>(&mut self, py: Python<'py>) -> Read<'py> {
        if self.take(b'"') {
            let value = self.quoted()?;
            return text::load(py, self.kind, self.session, &value);
        }
        let is_end = |byte: &u8| *byte == self.separator || b"{}\"\\".contains(byte);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (value, rest) = self.rest.split_at(end);
        if value.is_empty() {
            return self.malformed();
        }
        self.rest = rest;
        if value == b"NULL" { Ok(py.None().into_bound(py)) } else { text::load(py, self.kind, self.session, value) }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, Fault> {
        let mut value = Vec::new();
        loop {
            let Some((first, rest)) = self.rest.split_first() else { return self.malformed() };
            self.rest = rest;
            match first {
                b'"' => return Ok(value),
                b'\\' => match self.rest.split_first() {
                    Some((escaped, rest)) => {
                        value.push(*escaped);
                        self.rest = rest;
                    }
                    None => return self.malformed(),
                },
                byte => value.push(*byte),
            }
        }
    }
}
