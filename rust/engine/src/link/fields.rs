//! Numbers, texts and values, read from the bytes of the wire.

use std::borrow::Cow;

use super::error::Malformed;

/// Reads numbers and texts from a message's body; everything is checked against its end.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed("a message that is too short"))?;
        self.0 = tail;
        Ok(head)
    }

    /// A 16-bit number, which counts something.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        let bytes = self.bytes(2)?;
        Ok(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    }

    /// A 32-bit number.
    pub fn number(&mut self) -> Result<i32, Malformed> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A text up to its zero byte.
    pub fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Malformed("a text without end"))?;
        let text = String::from_utf8_lossy(self.bytes(end)?);
        self.bytes(1)?;
        Ok(text)
    }

    /// A value with its length in front; None for NULL.
    pub fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.number()? {
            -1 => Ok(None),
            length => self.bytes(usize::try_from(length).map_err(|_| Malformed("a negative length"))?).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_with_the_message() {
        assert!(Fields(b"\0").count().is_err());
        assert!(Fields(b"\0\0\0\x02x").value().is_err());
        assert!(Fields(b"\xff\xff\xff\xfe").value().is_err());
        assert_eq!(Fields(b"\xff\xff\xff\xff").value(), Ok(None));
        assert!(Fields(b"abc").text().is_err());
    }
}
