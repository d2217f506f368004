//! Results in Arrow: the data of a COPY in binary, taken apart without a Python object for each value.
//!
//! * `copy`: rows out of the data, every length checked.
//! * `column`: the values of one column. `values`: one value.
//! * `table`: what Python gets.

mod column;
mod copy;
mod table;
mod values;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Field, Schema, SchemaRef};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::codec::decode_error;
use column::Column;
use copy::Rows;
pub use table::ArrowTable;

/// A column as `db_pool_rs.arrow.forms.Form` has it: name, kind, whether it is a list, precision, scale.
type Form = (String, String, bool, u8, i8);

/// Takes the data of a COPY in binary as they come; `take` gives the batches that are full.
#[pyclass(module = "db_pool_rs_full")]
pub struct ArrowDecoder {
    work: Work,
    schema: SchemaRef,
}

struct Work {
    rows: Rows,
    columns: Vec<Column>,
    most_rows: usize,
    most_bytes: usize,
    count: usize,
    size: usize,
    batches: VecDeque<Vec<ArrayRef>>,
}

/// What is wrong with the data, and in which column, if it is in one.
struct Fault {
    column: Option<usize>,
    why: String,
}

impl Fault {
    fn of(column: usize, why: String) -> Self {
        Fault { column: Some(column), why }
    }

    fn too_long(column: usize, most: usize) -> Self {
        Fault::of(column, column::too_long(most))
    }
}

impl<T: Into<String>> From<T> for Fault {
    fn from(why: T) -> Self {
        Fault { column: None, why: why.into() }
    }
}

#[pymethods]
impl ArrowDecoder {
    #[new]
    fn new(forms: Vec<Form>, rows: usize, clamp: bool, most: usize) -> PyResult<Self> {
        let mut columns = Vec::new();
        for (_, kind, is_list, precision, scale) in &forms {
            let made = Column::new(kind, *is_list, (*precision, *scale), clamp, most);
            columns.push(made.ok_or_else(|| PyValueError::new_err(format!("bug: no kind {kind:?}")))?);
        }
        let fields: Vec<Field> =
            forms.iter().zip(&columns).map(|(form, column)| Field::new(&form.0, column.data_type(), true)).collect();
        let work = Work {
            rows: Rows::new(columns.len(), most),
            columns,
            most_rows: rows,
            most_bytes: most,
            count: 0,
            size: 0,
            batches: VecDeque::new(),
        };
        Ok(ArrowDecoder { work, schema: Arc::new(Schema::new(fields)) })
    }

    /// Whether a batch is full.
    #[getter]
    fn ready(&self) -> bool {
        !self.work.batches.is_empty()
    }

    /// Take data; DecodeError if they are no data of COPY for these columns, or Arrow cannot hold a value.
    fn feed(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let work = &mut self.work;
        py.detach(|| work.feed(data)).map_err(|fault| {
            let column = fault.column.map(|number| format!("column \"{}\": ", self.schema.field(number).name()));
            decode_error(py, column.unwrap_or_default() + &fault.why)
        })
    }

    /// The first batch that is full; with `rest`, all that are left: DecodeError if the data do not end there.
    #[pyo3(signature = (*, rest))]
    fn take(&mut self, py: Python<'_>, rest: bool) -> PyResult<ArrowTable> {
        if rest {
            if !self.work.rows.is_complete() {
                return Err(decode_error(py, "the data of COPY are not complete".into()));
            }
            self.work.flush();
        }
        let full = if rest { self.work.batches.len() } else { 1.min(self.work.batches.len()) };
        let made = self
            .work
            .batches
            .drain(..full)
            .map(|arrays| RecordBatch::try_new(self.schema.clone(), arrays))
            .collect::<Result<_, _>>();
        let batches = made.map_err(|error| PyValueError::new_err(format!("bug: {error}")))?;
        Ok(ArrowTable::new(self.schema.clone(), batches))
    }
}

impl Work {
    fn feed(&mut self, data: &[u8]) -> Result<(), Fault> {
        let mut rows = std::mem::take(&mut self.rows);
        let taken = rows.take(data, |values, size| self.row(values, size));
        self.rows = rows;
        taken
    }

    fn row(&mut self, values: &[Option<&[u8]>], size: usize) -> Result<(), Fault> {
        for (number, (column, value)) in self.columns.iter_mut().zip(values).enumerate() {
            self.size += column.append(*value).map_err(|why| Fault::of(number, why))?;
        }
        self.count += 1;
        self.size += size;
        if self.count >= self.most_rows || self.size >= self.most_bytes {
            self.flush();
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.batches.push_back(self.columns.iter_mut().map(Column::finish).collect());
            (self.count, self.size) = (0, 0);
        }
    }
}
