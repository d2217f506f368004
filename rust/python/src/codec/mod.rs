//! Python values to PostgreSQL's bytes and back; the canonical mapping is that of `db_pool_rs/types`.
//!
//! * `formats(&mut Described)` decides, without Python, which values travel in binary.
//! * `encode(py, &Described, &Bound<PyTuple>, catalog) -> PyResult<Short>` writes the arguments of a statement.
//! * `shape(py, &Described, &Settings, handle) -> PyResult<RowDecoder>` makes the decoders of a description for sessions with
//!   these settings (time zone, styles), once. Results of statements that were run without being described come in
//!   text.
//! * `records(py, &RowDecoder, &Rows, &mut Place) -> PyResult<Vec<Bound<PyAny>>>` reads rows, a slice at a time.
//!
//! The usual types are read and written here. An argument of an unusual class (a subclass, `numpy`'s numbers ...) is
//! written by the Python codec of its type, and what does not fit is explained by it; what only psycopg knows
//! (dates in other styles than ISO) is read by psycopg, which is imported then, by a thread.
//!
//! Built for each version of CPython rather than with the stable ABI: there, datetime objects can only be made by
//! calling their classes, and the items of a tuple only be set by a function.

mod arrays;
mod binary;
mod calendar;
mod encode;
mod fault;
mod foreign;
mod json;
mod kinds;
pub mod loaders;
mod network;
pub mod probe;
mod ranges;
mod records;
mod session;
mod shape;
mod styles;
mod text;
mod uuid;

pub use binary::numeric;
pub use encode::{encode, write_records};
pub use fault::{Fault, decode_error};
pub use kinds::formats;
pub use records::types_in;
pub use shape::{RowDecoder, record, records, shape};
