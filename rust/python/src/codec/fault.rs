//! Why a value could not be read.

use pyo3::exceptions::{PyException, PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The value is none that Python can hold, or Python raised while it was made.
#[derive(Debug)]
pub enum Fault {
    /// What is wrong with it.
    Data(String),
    /// What was raised.
    Python(PyErr),
}

/// The result of reading one value.
pub type Read<'py> = Result<Bound<'py, PyAny>, Fault>;

/// A value that is wrong in this way.
pub fn bad<T>(why: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Data(why.into()))
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Fault::Python(error)
    }
}

impl Fault {
    /// What it says, without its class.
    pub fn message(&self, py: Python<'_>) -> String {
        match self {
            Fault::Data(message) => message.clone(),
            Fault::Python(error) => error.value(py).to_string(),
        }
    }

    /// As the DecodeError that the caller sees; what is no fault of the value stays what it is.
    pub fn explained(self, py: Python<'_>, place: &str) -> PyErr {
        let message = format!("{place}: {}", self.message(py));
        let cause = match self {
            Fault::Data(message) => PyValueError::new_err(message),
            Fault::Python(error) if !error.is_instance_of::<PyException>(py) => return error,
            Fault::Python(error) if error.is_instance_of::<PyMemoryError>(py) => return error,
            Fault::Python(error) => error,
        };
        let error = decode_error(py, message);
        error.set_cause(py, Some(cause));
        error
    }
}

/// A DecodeError.
pub fn decode_error(py: Python<'_>, message: String) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "db_pool_rs.errors", "DecodeError") {
        Ok(class) => PyErr::from_type(class.clone(), (message,)),
        Err(error) => error,
    }
}
