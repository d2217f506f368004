//! What is sent for a statement, and what comes back: kept in the bytes of the wire.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::error::Malformed;
use super::frame::Fields;
use super::short::Short;
use crate::sqlite::Plan;

/// One column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    pub oid: u32,
    /// In which its values come: 0 (text) or 1 (binary).
    pub format: i16,
}

/// The types of a text, as the server told them: of its parameters, and its columns.
pub type Types = (Vec<u32>, Vec<Column>);

/// What NOTIFY sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The process of the session that sent it.
    pub pid: i32,
    /// Where.
    pub channel: String,
    /// What.
    pub payload: String,
}

impl Notification {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut fields = Fields(body);
        let pid = fields.number()?;
        Ok(Notification { pid, channel: fields.text()?.into_owned(), payload: fields.text()?.into_owned() })
    }
}

/// What the server told of a text, and how the pool has decided to send and receive its values.
#[derive(Clone, Debug)]
pub struct Described {
    /// Of the prepared statement; empty where a proxy deals statements out to other connections.
    pub name: String,
    /// Its text.
    pub sql: Arc<str>,
    /// The types of its parameters.
    pub param_oids: Vec<u32>,
    /// 0 (text) or 1 (binary) for each parameter.
    pub param_formats: Vec<i16>,
    /// The columns of its result; none if it returns no rows.
    pub columns: Vec<Column>,
    /// 0 (text) or 1 (binary) for each column.
    pub result_formats: Vec<i16>,
    /// Types of its parameters that are not built in.
    pub foreign: Vec<u32>,
    /// What SQLite is to do; None for PostgreSQL.
    pub plan: Option<Arc<Plan>>,
}

impl Described {
    /// The answer to a Describe; everything in text until somebody decides otherwise.
    pub fn new(name: String, sql: Arc<str>, param_oids: Vec<u32>, columns: Vec<Column>) -> Self {
        let (param_formats, result_formats) = (vec![0; param_oids.len()], vec![0; columns.len()]);
        Described { name, sql, param_oids, param_formats, columns, result_formats, foreign: Vec::new(), plan: None }
    }
}

/// One execution of a text.
#[derive(Clone, Debug)]
pub enum Execute {
    /// A text whose types are known. `params` holds a length and a value for each parameter ([`put_value`]).
    Known {
        /// The text.
        text: Arc<Described>,
        /// Its arguments.
        params: Short,
        /// It changes data: where it is prepared just now, its rows are to come as text.
        careful: bool,
    },
    /// A text without arguments, run as it is; its result comes in text.
    Direct(Arc<str>),
    /// A text that is not run: the server is asked for its types.
    Describe(Arc<str>),
}

/// Append one argument to `params`; None is NULL.
pub fn put_value(params: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => params.put_i32(-1),
        Some(value) => {
            params.put_u32(u32::try_from(value.len()).expect("bug: a value of more than 4 GiB"));
            params.put_slice(value);
        }
    }
}

impl Execute {
    /// An execution with these arguments, encoded as the description says.
    pub fn known<'a>(text: &Arc<Described>, values: impl IntoIterator<Item = Option<&'a [u8]>>) -> Self {
        let mut params = BytesMut::new();
        for value in values {
            put_value(&mut params, value);
        }
        Execute::Known { text: text.clone(), params: Short::take(&mut params), careful: false }
    }
}

/// Write a message: its letter, its length, and what `write` appends.
pub fn message(out: &mut BytesMut, kind: u8, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let start = out.len();
    out.put_u32(0);
    write(out);
    let length = u32::try_from(out.len() - start).expect("bug: a message of more than 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Prepare a text. The number of its parameters takes all 16 bits.
pub fn parse(out: &mut BytesMut, name: &str, sql: &str, param_oids: &[u32]) {
    message(out, b'P', |out| {
        for text in [name, sql] {
            out.put_slice(text.as_bytes());
            out.put_u8(0);
        }
        out.put_u16(param_oids.len() as u16);
        param_oids.iter().for_each(|oid| out.put_u32(*oid));
    });
}

/// Bind the unnamed portal to a prepared statement.
pub fn bind(out: &mut BytesMut, text: &Described, params: &[u8], result_formats: &[i16]) {
    message(out, b'B', |out| {
        out.put_u8(0);
        out.put_slice(text.name.as_bytes());
        out.put_u8(0);
        put_formats(out, &text.param_formats);
        out.put_u16(text.param_formats.len() as u16);
        out.put_slice(params);
        put_formats(out, result_formats);
    });
}

/// Formats that are all alike are said once.
fn put_formats(out: &mut BytesMut, formats: &[i16]) {
    match formats.first() {
        None => out.put_u16(0),
        Some(first) if formats.iter().all(|one| one == first) => {
            if *first == 0 {
                out.put_u16(0);
            } else {
                out.put_u16(1);
                out.put_i16(*first);
            }
        }
        Some(_) => {
            out.put_u16(formats.len() as u16);
            formats.iter().for_each(|one| out.put_i16(*one));
        }
    }
}

/// The columns of a RowDescription.
pub fn columns(body: &[u8]) -> Result<Vec<Column>, Malformed> {
    let mut fields = Fields(body);
    let count = fields.count()?;
    let mut columns = Vec::with_capacity(count.min(body.len() / 19));
    for _ in 0..count {
        let name = fields.text()?.into_owned();
        fields.bytes(6)?; // the table, and the column's number in it
        let oid = fields.number()? as u32;
        fields.bytes(6)?; // the type's length, its modifier
        let format = i16::from(fields.bytes(2)? == [0, 1]);
        columns.push(Column { name, oid, format });
    }
    Ok(columns)
}

/// The types of a ParameterDescription.
pub fn parameters(body: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut fields = Fields(body);
    let count = fields.count()?;
    (0..count).map(|_| fields.number().map(|oid| oid as u32)).collect()
}

/// Rows as they came: the bodies of DataRow messages, or SQLite's [`values`](crate::sqlite::values), one after the other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// For each row the number of its values, for each value a length and its bytes.
    pub data: Short,
    /// How many rows.
    pub count: usize,
}

impl Rows {
    /// Read the rows: each is handed to `row` value by value, as (row, column, value).
    pub fn read(&self, mut each: impl FnMut(usize, usize, Option<&[u8]>)) -> Result<(), Malformed> {
        let mut fields = Fields(&self.data);
        for row in 0..self.count {
            for column in 0..fields.count()? {
                each(row, column, fields.value()?);
            }
        }
        Ok(())
    }

    /// All values; for tests and small results.
    pub fn to_vec(&self) -> Result<Vec<Vec<Option<Vec<u8>>>>, Malformed> {
        let mut rows = vec![Vec::new(); self.count];
        self.read(|row, _, value| rows[row].push(value.map(<[u8]>::to_vec)))?;
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn announced_counts_are_not_allocated() {
        assert!(columns(b"\xff\xff").is_err());
        assert!(parameters(b"\xff\xff\0\0\0\x17").is_err());
        assert!(Rows { data: Bytes::from_static(b"\xff\xff").into(), count: 3 }.to_vec().is_err());
    }

    /// Every beginning of a message, and every message in which one byte is another.
    fn damaged(good: &[u8]) -> impl Iterator<Item = Vec<u8>> {
        let cut = (0..good.len()).map(|end| good[..end].to_vec());
        let altered = (0..good.len()).flat_map(move |at| {
            (0..=u8::MAX).map(move |byte| {
                let mut message = good.to_vec();
                message[at] = byte;
                message
            })
        });
        cut.chain(altered)
    }

    #[test]
    fn damaged_messages_are_refused_or_read_within_their_bounds() {
        let description = b"\0\x02a\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\x01b\0\0\0\0\0\0\0\0\0\0\x19\0\x04\xff\xff\xff\xff\0\x01";
        assert_eq!(columns(description).map(|found| found.len()), Ok(2));
        for message in damaged(description) {
            assert!(columns(&message).map_or(0, |found| found.len()) <= message.len() / 19);
        }
        for message in damaged(b"\0\x02\0\0\0\x17\0\0\0\x19") {
            assert!(parameters(&message).map_or(0, |found| found.len()) <= message.len() / 4);
        }
        for message in damaged(b"\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\x01\0\0\0\0") {
            let (mut values, mut bytes, length) = (0, 0, message.len());
            let rows = Rows { data: Bytes::from(message).into(), count: 2 };
            let read = rows.read(|_, _, value| {
                values += 1;
                bytes += value.map_or(0, <[u8]>::len);
            });
            assert!(values * 4 + bytes <= length, "{read:?}");
        }
    }

    #[test]
    fn formats_that_are_alike_are_said_once() {
        for (formats, bytes) in
            [(&[][..], &[0, 0][..]), (&[0, 0], &[0, 0]), (&[1, 1], &[0, 1, 0, 1]), (&[0, 1], &[0, 2, 0, 0, 0, 1])]
        {
            let mut out = BytesMut::new();
            put_formats(&mut out, formats);
            assert_eq!(&out[..], bytes);
        }
    }
}
