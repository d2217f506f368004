//! Messages as they come: a letter, a length, a body.

use bytes::{Buf, Bytes, BytesMut};

use crate::link::Malformed;

/// The longest message of a kind that is not known to be long; a longer one means that we are out of step.
pub const SHORT: usize = 30_000;
/// A letter and a length.
pub const HEADER: usize = 5;
/// No message is longer: PostgreSQL allocates at most 1 GiB for one.
pub const LONGEST: usize = 0x3fff_ffff + 4;
/// Kinds that may be long: rows, descriptions of them and of parameters, COPY, function results, errors, notices,
/// notifications.
const LONG_KINDS: &[u8] = b"TDdVENAt";

/// Take the next message from `buffer`; None until all of it has come.
///
/// The length is only believed, never allocated: the buffer grows by what arrives.
pub fn next(buffer: &mut BytesMut, longest: usize) -> Result<Option<(u8, Bytes)>, Malformed> {
    let Some((kind, body)) = first(buffer, longest)? else { return Ok(None) };
    let size = HEADER + body.len();
    let mut message = buffer.split_to(size);
    message.advance(HEADER);
    Ok(Some((kind, message.freeze())))
}

/// The first message in `bytes`, which may have `longest` bytes; None until all of it has come.
pub fn first(bytes: &[u8], longest: usize) -> Result<Option<(u8, &[u8])>, Malformed> {
    let Some(header) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    let kind = header[0];
    let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
    if !(4..=longest).contains(&length) || (length > SHORT && !LONG_KINDS.contains(&kind)) {
        return Err(Malformed("a message of an impossible length"));
    }
    Ok(bytes.get(HEADER..length + 1).map(|body| (kind, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_once_it_is_whole() {
        let whole = b"Z\0\0\0\x05I";
        for cut in 0..whole.len() {
            assert_eq!(next(&mut BytesMut::from(&whole[..cut]), LONGEST), Ok(None));
        }
        let mut buffer = BytesMut::from(&b"Z\0\0\0\x05IZ"[..]);
        assert_eq!(next(&mut buffer, LONGEST), Ok(Some((b'Z', Bytes::from_static(b"I")))));
        assert_eq!(&buffer[..], b"Z");
    }

    #[test]
    fn an_impossible_length_is_refused_at_once() {
        for header in [&b"Z\0\0\0\x03"[..], b"Z\x7f\xff\xff\xff", b"D\x7f\xff\xff\xff", b"D\xff\xff\xff\xff"] {
            assert!(next(&mut BytesMut::from(header), LONGEST).is_err());
        }
        assert_eq!(next(&mut BytesMut::from(&b"D\x3f\xff\xff\xff"[..]), LONGEST), Ok(None));
        assert!(next(&mut BytesMut::from(&b"N\x3f\xff\xff\xff"[..]), SHORT).is_err());
    }
}
