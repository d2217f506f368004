//! Values as they travel between the caller and the thread: a letter, then the value. A result is the values of its
//! rows one after the other; how many make a row, its columns tell.

use bytes::{BufMut, BytesMut};

/// What SQLite stores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT; what SQLite gives need not be UTF-8.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

/// Append a value.
pub fn put(out: &mut BytesMut, value: Value<'_>) {
    match value {
        Value::Null => out.put_u8(b'n'),
        Value::Integer(value) => {
            out.put_u8(b'i');
            out.put_i64_ne(value);
        }
        Value::Real(value) => {
            out.put_u8(b'f');
            out.put_f64_ne(value);
        }
        Value::Text(value) => put_bytes(out, b't', value),
        Value::Blob(value) => put_bytes(out, b'b', value),
    }
}

fn put_bytes(out: &mut BytesMut, letter: u8, value: &[u8]) {
    out.put_u8(letter);
    out.put_u64_ne(value.len() as u64);
    out.put_slice(value);
}

/// The values that were put.
pub struct Values<'a>(pub &'a [u8]);

impl<'a> Values<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count);
        self.0 = tail;
        head
    }

    fn word(&mut self) -> [u8; 8] {
        self.bytes(8).try_into().expect("bug: eight bytes are not eight")
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (letter, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(match letter {
            b'n' => Value::Null,
            b'i' => Value::Integer(i64::from_ne_bytes(self.word())),
            b'f' => Value::Real(f64::from_ne_bytes(self.word())),
            letter => {
                let length = u64::from_ne_bytes(self.word()) as usize;
                let bytes = self.bytes(length);
                if *letter == b't' { Value::Text(bytes) } else { Value::Blob(bytes) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_comes_back() {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.0),
            Value::Text(b""),
            Value::Text("schön".as_bytes()),
            Value::Blob(b"\0\xff"),
        ];
        let mut out = BytesMut::new();
        values.iter().for_each(|value| put(&mut out, *value));
        assert_eq!(Values(&out).collect::<Vec<_>>(), values);
    }
}
