//! Python values to PostgreSQL's bytes and back; the canonical mapping is that of `db_pool_rs/types`.
//!
//! * `formats(&mut Described)` decides, without Python, which values travel in binary.
//! * `encode(py, &Described, &Bound<PyTuple>) -> PyResult<Bytes>` writes the arguments of a statement.
//! * `shape(py, &Described, &Settings) -> PyResult<Shape>` makes the decoders of a description for sessions with these
//!   settings (time zone, styles), once. Results of statements that were run without being described come in text.
//! * `records(py, &Shape, &Rows) -> PyResult<Bound<PyList>>` reads rows.
