//! Python values to PostgreSQL's bytes and back; the canonical mapping is that of `db_pool_rs/types`.
//!
//! * `formats(&mut Described)` decides, without Python, which values travel in binary.
//! * `encode(py, &Described, &Bound<PyTuple>) -> PyResult<Bytes>` writes the arguments of a statement.
//! * `shape(py, &Described) -> PyResult<Shape>` makes the decoders of a description, once.
//! * `records(py, &Shape, &Rows) -> PyResult<Bound<PyList>>` reads rows.
