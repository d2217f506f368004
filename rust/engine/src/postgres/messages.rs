//! Messages that are written, and what is read out of the server's.

use bytes::{BufMut, BytesMut};

use crate::link::{Column, Described, Fields, Malformed, Notification};

/// A NotificationResponse.
pub fn notification(body: &[u8]) -> Result<Notification, Malformed> {
    let mut fields = Fields(body);
    let pid = fields.number()?;
    Ok(Notification { pid, channel: fields.text()?.into_owned(), payload: fields.text()?.into_owned() })
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
        fields.bytes(2)?; // the type's length
        let modifier = fields.number()?;
        let format = i16::from(fields.bytes(2)? == [0, 1]);
        columns.push(Column { name, oid, modifier, format });
    }
    Ok(columns)
}

/// The types of a ParameterDescription.
pub fn parameters(body: &[u8]) -> Result<Vec<u32>, Malformed> {
    let mut fields = Fields(body);
    let count = fields.count()?;
    (0..count).map(|_| fields.number().map(|oid| oid as u32)).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::link::Rows;

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
