//! The data of a COPY in binary: a header, rows, a trailer. Layout: PostgreSQL's documentation, COPY, "Binary Format".

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of what may follow them.
const HEADER: usize = SIGNATURE.len() + 8;

/// Rows of so many values, out of pieces that end anywhere.
#[derive(Default)]
pub struct Rows {
    columns: usize,
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
}

type Row<'f> = &'f mut dyn FnMut(&[Option<&[u8]>], usize) -> Result<(), String>;

impl Rows {
    /// None came yet.
    pub fn new(columns: usize) -> Self {
        Rows { columns, ..Rows::default() }
    }

    /// Whether the data ended where they should.
    pub fn is_complete(&self) -> bool {
        self.ended && self.rest.is_empty()
    }

    /// Take data; `row` is called with the values of each row and its size.
    pub fn take(
        &mut self,
        data: &[u8],
        mut row: impl FnMut(&[Option<&[u8]>], usize) -> Result<(), String>,
    ) -> Result<(), String> {
        if self.rest.is_empty() {
            let at = self.walk(data, &mut row)?;
            self.rest.extend_from_slice(&data[at..]);
        } else {
            let mut whole = std::mem::take(&mut self.rest);
            whole.extend_from_slice(data);
            let at = self.walk(&whole, &mut row)?;
            whole.drain(..at);
            self.rest = whole;
        }
        Ok(())
    }

    /// Take the rows that are complete; where the next one begins.
    fn walk<'a>(&mut self, data: &'a [u8], row: Row<'_>) -> Result<usize, String> {
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
                return Err(format!("a row of {count} values where {} are expected", self.columns));
            }
            values.clear();
            let Some(end) = split(data, at + 2, self.columns, &mut values) else { break };
            row(&values, end - at)?;
            at = end;
        }
        Ok(at)
    }

    /// Where the rows begin; 0 if that has not come.
    fn begin(&mut self, data: &[u8]) -> Result<usize, String> {
        let Some(header) = data.get(..HEADER) else { return Ok(0) };
        let extension = i32::from_be_bytes(header[HEADER - 4..].try_into().expect("four bytes"));
        let extension = usize::try_from(extension).ok().filter(|_| header.starts_with(SIGNATURE));
        let extension = extension.ok_or("no data of COPY in binary")?;
        self.begun = data.len() >= HEADER + extension;
        Ok(if self.begun { HEADER + extension } else { 0 })
    }
}

/// The values of a row from `at` on, and where it ends; None if it is not complete.
fn split<'a>(data: &'a [u8], mut at: usize, columns: usize, values: &mut Vec<Option<&'a [u8]>>) -> Option<usize> {
    for _ in 0..columns {
        let length = i32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?);
        at += 4;
        match usize::try_from(length) {
            Ok(length) => {
                values.push(Some(data.get(at..at + length)?));
                at += length;
            }
            Err(_) => values.push(None),
        }
    }
    Some(at)
}
