//! json -> Python objects, equal to those of `json.loads`.
//!
//! serde_json does the work. What it reads differently, or not at all, is read by `json.loads` itself: integers beyond
//! 64 bits and `-0` (which it takes for floats), numbers beyond the range of a float, NaN, lone surrogates, deep
//! nesting.

use std::fmt;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyList, PyString};
use serde_json::Deserializer;
use serde_json::de::SliceRead;

use super::fault::Read;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};

/// Read a document.
pub fn load<'py>(py: Python<'py>, data: &[u8]) -> Read<'py> {
    let mut reader = Deserializer::new(SliceRead::new(data));
    match Value(py).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) => Ok(loads(py)?.call1((PyBytes::new(py, data),))?),
    }
}

fn loads(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")
}

/// From here on a float of serde_json's may have been an integer; so may be -0.0.
const DOUBTFUL: f64 = 9_223_372_036_854_775_808.0;

#[derive(Clone, Copy)]
struct Value<'py>(Python<'py>);

impl<'py, 'de> DeserializeSeed<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

fn made<'py, T, E: Error>(made: PyResult<Bound<'py, T>>) -> Result<Bound<'py, PyAny>, E> {
    made.map(Bound::into_any).map_err(E::custom)
}

impl<'py, 'de> Visitor<'de> for Value<'py> {
    type Value = Bound<'py, PyAny>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PyBool::new(self.0, value).to_owned().into_any())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.0);
        Ok(value.into_any())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let Ok(value) = value.into_pyobject(self.0);
        Ok(value.into_any())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.abs() >= DOUBTFUL || (value == 0.0 && value.is_sign_negative()) {
            return Err(E::custom("perhaps an integer"));
        }
        Ok(PyFloat::new(self.0, value).into_any())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(PyString::new(self.0, value).into_any())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(self)? {
            values.push(value);
        }
        made(PyList::new(self.0, values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let values = PyDict::new(self.0);
        while let Some(key) = members.next_key_seed(self)? {
            values.set_item(key, members.next_value_seed(self)?).map_err(A::Error::custom)?;
        }
        Ok(values.into_any())
    }
}
