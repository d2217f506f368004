//! The data of a COPY in binary: a header, rows, a trailer. Layout: PostgreSQL's documentation, COPY, "Binary Format".

use super::Fault;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of what may follow them.
const HEADER: usize = SIGNATURE.len() + 8;

/// Rows of so many values, out of pieces that end anywhere.
#[derive(Default)]
pub struct Rows {
    columns: usize,
    /// Of a value.
    most: usize,
    rest: Vec<u8>,
    /// Bytes of `rest` without which its row is not complete: what is there is not looked through before.
    needed: usize,
    begun: bool,
    ended: bool,
}

type Row<'f> = &'f mut dyn FnMut(&[Option<&[u8]>], usize) -> Result<(), Fault>;

impl Rows {
    /// None came yet; a value has at most `most` bytes.
    pub fn new(columns: usize, most: usize) -> Self {
        Rows { columns, most, ..Rows::default() }
    }

    /// Whether the data ended where they should.
    pub fn is_complete(&self) -> bool {
        self.ended && self.rest.is_empty()
    }

    /// Take data; `row` is called with the values of each row and its size.
    pub fn take(
        &mut self,
        data: &[u8],
        mut row: impl FnMut(&[Option<&[u8]>], usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if self.rest.is_empty() {
            let at = self.walk(data, &mut row)?;
            self.rest.extend_from_slice(&data[at..]);
        } else {
            let mut whole = std::mem::take(&mut self.rest);
            whole.extend_from_slice(data);
            if whole.len() >= self.needed {
                let at = self.walk(&whole, &mut row)?;
                whole.drain(..at);
            }
            self.rest = whole;
        }
        Ok(())
    }

    /// Take the rows that are complete; where the next one begins.
    fn walk<'a>(&mut self, data: &'a [u8], row: Row<'_>) -> Result<usize, Fault> {
        self.needed = 0;
        let mut at = if self.begun { 0 } else { self.begin(data)? };
        let mut values: Vec<Option<&'a [u8]>> = Vec::with_capacity(self.columns);
        while self.begun && !self.ended {
            let Some(head) = data.get(at..at + 2) else { break };
            let count = i16::from_be_bytes([head[0], head[1]]);
            if count == -1 {
                self.ended = true;
                at += 2;
                break;
            }
            if usize::try_from(count) != Ok(self.columns) {
                return Err(format!("a row of {count} values where {} are expected", self.columns).into());
            }
            values.clear();
            let end = self.split(data, at + 2, &mut values)?;
            if end > data.len() {
                self.needed = end - at;
                break;
            }
            row(&values, end - at)?;
            at = end;
        }
        Ok(at)
    }

    /// Where the rows begin; 0 if that has not come.
    fn begin(&mut self, data: &[u8]) -> Result<usize, Fault> {
        let Some(header) = data.get(..HEADER) else { return Ok(0) };
        let extension = i32::from_be_bytes(header[HEADER - 4..].try_into().expect("four bytes"));
        let extension = usize::try_from(extension).ok().filter(|_| header.starts_with(SIGNATURE));
        let extension = extension.ok_or("no data of COPY in binary")?;
        self.begun = data.len() >= HEADER + extension;
        Ok(if self.begun { HEADER + extension } else { 0 })
    }

    /// The values of a row from `at` on, and where it ends; if that is beyond the data, the row is not complete.
    fn split<'a>(&self, data: &'a [u8], mut at: usize, values: &mut Vec<Option<&'a [u8]>>) -> Result<usize, Fault> {
        for column in 0..self.columns {
            let Some(four) = data.get(at..at + 4) else { return Ok(at + 4) };
            let length = i32::from_be_bytes(four.try_into().expect("four bytes"));
            at += 4;
            match usize::try_from(length) {
                Ok(length) if length > self.most => return Err(Fault::too_long(column, self.most)),
                Ok(length) => {
                    let Some(value) = data.get(at..at + length) else { return Ok(at + length) };
                    values.push(Some(value));
                    at += length;
                }
                Err(_) if length == -1 => values.push(None),
                Err(_) => return Err(Fault::of(column, format!("a value of {length} bytes"))),
            }
        }
        Ok(at)
    }
}
