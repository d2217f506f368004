//! A statement whose rows are fetched a few at a time: PostgreSQL's DECLARE, FETCH and CLOSE.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, Rows, Statement};

use super::database::{Ran, bind, put_row, shape_of};
use super::error::Failure;
use super::plan::SqlitePlan;
use crate::link::{self, Described};

/// An open cursor.
pub struct Cursor {
    /// Refers to `statement`, and goes before it. None when the last row was read.
    rows: Option<Rows<'static>>,
    statement: *mut Statement<'static>,
    /// The row that was read when the cursor was declared.
    first: Option<Bytes>,
    shape: Arc<Described>,
}

// SAFETY: a cursor goes from thread to thread together with its connection, which may go as well.
unsafe impl Send for Cursor {}

impl Cursor {
    /// Execute the statement of `plan`, as far as its first row.
    ///
    /// # Safety
    /// The connection is neither moved nor closed before the cursor is dropped.
    pub unsafe fn declare(connection: &Connection, plan: &SqlitePlan, params: &[u8]) -> Result<Cursor, Failure> {
        // SAFETY: promised by the caller.
        let connection: &'static Connection = unsafe { &*std::ptr::from_ref(connection) };
        let mut statement = connection.prepare(&plan.sql)?;
        bind(&mut statement, params)?;
        let shape = shape_of(plan, &statement)?;
        let statement = Box::into_raw(Box::new(statement));
        let mut cursor = Cursor { rows: None, statement, first: None, shape };
        // SAFETY: made above; `rows` is dropped before it, and nothing else refers to it.
        cursor.rows = Some(unsafe { (*statement).raw_query() });
        let mut out = BytesMut::new();
        if cursor.read(&mut out)? {
            cursor.first = Some(out.freeze());
        }
        Ok(cursor)
    }

    /// The next `count` rows, fewer at the end.
    pub fn fetch(&mut self, count: usize) -> Result<Ran, Failure> {
        let (mut out, mut read) = (BytesMut::new(), 0);
        if count > 0
            && let Some(first) = self.first.take()
        {
            out.extend_from_slice(&first);
            read = 1;
        }
        while read < count && self.read(&mut out)? {
            read += 1;
        }
        let rows = link::Rows { data: link::Short::take(&mut out), count: read };
        Ok(Ran { rows, shape: Some(self.shape.clone()) })
    }

    fn read(&mut self, out: &mut BytesMut) -> Result<bool, Failure> {
        let Some(rows) = &mut self.rows else { return Ok(false) };
        if let Some(row) = rows.next()? {
            put_row(out, row);
            return Ok(true);
        }
        self.rows = None;
        Ok(false)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.rows = None;
        // SAFETY: made by `declare`, and dropped here only; nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.statement) });
    }
}
