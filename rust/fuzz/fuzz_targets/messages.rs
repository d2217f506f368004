//! Bytes of a server, taken apart into messages and rows: nothing is read beyond their end, and how they were cut on
//! their way does not matter.

#![no_main]

use bytes::{Bytes, BytesMut};
use db_pool_engine::link::{Malformed, Rows, ServerError};
use db_pool_engine::postgres::frame;
use libfuzzer_sys::fuzz_target;

type Messages = (Vec<(u8, Bytes)>, Result<(), Malformed>);

/// The messages that arrive in pieces of at most `size` bytes.
fn messages(data: &[u8], size: usize) -> Messages {
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for piece in data.chunks(size) {
        buffer.extend_from_slice(piece);
        loop {
            match frame::next(&mut buffer, frame::LONGEST) {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Err(error)),
            }
        }
    }
    (found, Ok(()))
}

fuzz_target!(|data: &[u8]| {
    let Some((size, data)) = data.split_first() else { return };
    let (found, ended) = messages(data, usize::from(*size) + 1);
    assert_eq!((&found, &ended), (&messages(data, data.len().max(1)).0, &ended));
    let mut bytes = 0;
    for (_, body) in &found {
        bytes += frame::HEADER + body.len();
        let error = ServerError::parse(body);
        std::hint::black_box(error);
        for count in [1, 2, usize::from(u16::MAX)] {
            let (mut values, mut length) = (0, 0);
            let rows = Rows { data: body.clone().into(), count };
            let read = rows.read(|_, _, value| {
                values += 1;
                length += value.map_or(0, <[u8]>::len);
            });
            assert!(values * 4 + length <= body.len(), "{read:?}");
        }
    }
    assert!(bytes <= data.len());
});
