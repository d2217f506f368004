//! Bytes that are kept in place where they are few.
//!
//! The arguments of a statement and the row that it returns are mostly few bytes, made on one thread and dropped on
//! another. To copy them costs less than to allocate them there and free them here.

use std::ops::Deref;

use bytes::{Bytes, BytesMut};

/// As many as fit beside the pointers that many bytes need.
const FEW: usize = 38;

/// Bytes that do not change.
#[derive(Clone, Debug)]
pub struct Short(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Few(u8, [u8; FEW]),
    Many(Bytes),
}

impl Short {
    /// What is in `buffer`, which is empty then.
    pub fn take(buffer: &mut BytesMut) -> Self {
        let count = buffer.len();
        if count > FEW {
            return Short(Kept::Many(buffer.split().freeze()));
        }
        let mut few = [0; FEW];
        few[..count].copy_from_slice(buffer);
        buffer.clear();
        Short(Kept::Few(count as u8, few))
    }
}

impl Default for Short {
    fn default() -> Self {
        Short(Kept::Few(0, [0; FEW]))
    }
}

impl From<Bytes> for Short {
    fn from(bytes: Bytes) -> Self {
        Short(Kept::Many(bytes))
    }
}

impl Deref for Short {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Kept::Few(count, few) => &few[..usize::from(*count)],
            Kept::Many(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_what_was_there() {
        let mut buffer = BytesMut::new();
        for count in [0, 1, FEW, FEW + 1, 100_000] {
            let bytes: Vec<u8> = (0..count).map(|at| at as u8).collect();
            buffer.extend_from_slice(&bytes);
            let taken = Short::take(&mut buffer);
            buffer.extend_from_slice(b"the next");
            assert_eq!((&taken[..], &buffer[..]), (&bytes[..], &b"the next"[..]));
            assert_eq!(taken.clone()[..], bytes[..]);
            buffer.clear();
        }
        assert_eq!(Short::from(Bytes::from_static(b"x"))[..], b"x"[..]);
        assert!(Short::default().is_empty());
    }

    #[test]
    fn it_is_hardly_larger_than_what_points_to_many() {
        assert!(size_of::<Short>() <= size_of::<Bytes>() + 8);
    }
}
