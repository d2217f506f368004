//! A statement text, as the pool's callers know it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use db_pool_engine::link::{Described, Settings};
use db_pool_engine::pool::{self, Command};
use db_pool_engine::scheduler::QueryId;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::handle::Handle;
use crate::values::{self, RowDecoder};

/// After so long an argument that does not fit is a reason to ask the server again.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// Decoders that are kept: as described, and for rows that came before that.
const MOST_SHAPES: usize = 2;

/// The protocol counts them in 16 bits.
const MOST_ARGUMENTS: usize = 65_535;

fn too_many(py: Python<'_>, given: usize) -> PyErr {
    let message = format!("at most {MOST_ARGUMENTS} arguments are possible, got {given}");
    let class = py.import("db_pool_rs.errors").and_then(|module| module.getattr("ArgumentError"));
    class.and_then(|class| class.call1((message,))).map_or_else(|error| error, PyErr::from_value)
}

/// Whether a type is not known yet.
pub fn is_unknown(py: Python<'_>, error: &PyErr) -> PyResult<bool> {
    Ok(error.is_instance(py, &py.import("db_pool_rs.types.catalog")?.getattr("TypesUnknown")?))
}

struct Shaped {
    described: Arc<Described>,
    settings: Arc<Settings>,
    /// Of what was known of types.
    version: u64,
    shape: Arc<RowDecoder>,
}

#[derive(Default)]
struct Known {
    described: Option<(Arc<Described>, Instant)>,
    shapes: Vec<Shaped>,
}

/// A statement text, told to a pool. The pool forgets it with the last reference to this.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct Query {
    pub id: QueryId,
    pub sql: Arc<str>,
    handle: Arc<Handle>,
    /// It is described once and for all: a text for SQLite.
    planned: bool,
    /// Whether it changes the schema where it succeeds: for certain, perhaps (false), or not.
    pub alters: Option<bool>,
    known: Mutex<Known>,
}

/// Arguments, encoded under a description that was current then.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct Params(pub pool::Params);

impl Query {
    pub fn new(id: QueryId, sql: Arc<str>, handle: Arc<Handle>, alters: Option<bool>) -> Self {
        Query { id, sql, handle, planned: false, alters, known: Mutex::default() }
    }

    /// A query that is described already, and for good.
    pub fn planned(id: QueryId, sql: Arc<str>, handle: Arc<Handle>, described: Described) -> Self {
        let known = Known { described: Some((Arc::new(described), Instant::now())), ..Known::default() };
        Query { id, sql, handle, planned: true, alters: None, known: Mutex::new(known) }
    }

    /// Whether it is described for good.
    pub fn is_planned(&self) -> bool {
        self.planned
    }

    /// The arguments of a call, as far as they can and must be encoded now.
    pub fn params(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Option<pool::Params>> {
        if args.is_empty() && !self.planned { Ok(None) } else { self.encode_args(py, args) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server told its types.
    pub fn describe(&self, described: &Arc<Described>) {
        self.known().described = Some((described.clone(), Instant::now()));
    }

    /// Encode arguments, if the types are known; an error if they do not fit, unless the types may be out of date: then
    /// these are forgotten, and the server is asked again.
    pub fn encode_args(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Option<pool::Params>> {
        let Some((described, learned)) = self.known().described.clone() else {
            return if args.len() > MOST_ARGUMENTS { Err(too_many(py, args.len())) } else { Ok(None) };
        };
        let foreign = !described.foreign.is_empty();
        if !foreign || learned > self.handle.altered() {
            match values::encode(py, &described, args, &self.handle) {
                Ok(bytes) => return Ok(Some((described, bytes))),
                Err(error) if foreign && is_unknown(py, &error)? => return Ok(None), // the engine asks
                Err(error) => {
                    let confirmed = Instant::now().checked_sub(CONFIRM_AFTER).is_none_or(|limit| learned > limit);
                    if self.planned || (confirmed && !foreign && learned > self.handle.altered()) {
                        return Err(error);
                    }
                }
            }
        }
        self.known().described = None;
        self.handle.call(Command::MayBeStale(self.id, described));
        Ok(None)
    }

    /// The decoders for rows that came under this description, from a session with these settings.
    pub fn shape(
        &self,
        py: Python<'_>,
        described: &Arc<Described>,
        settings: &Arc<Settings>,
    ) -> PyResult<Arc<RowDecoder>> {
        let depends = described.has_records || !described.foreign_columns.is_empty();
        let version = if !depends { 0 } else { self.handle.catalog_version(py)? };
        let same = |one: &&Shaped| {
            one.version == version
                && Arc::ptr_eq(&one.described, described)
                && (Arc::ptr_eq(&one.settings, settings) || one.settings == *settings)
        };
        if let Some(found) = self.known().shapes.iter().find(same) {
            return Ok(found.shape.clone());
        }
        let shape = Arc::new(RowDecoder::new(py, described, settings, Some(&self.handle))?);
        let (described, settings) = (described.clone(), settings.clone());
        let mut known = self.known();
        if known.shapes.len() >= MOST_SHAPES {
            known.shapes.remove(0);
        }
        known.shapes.push(Shaped { described, settings, version, shape: shape.clone() });
        Ok(shape)
    }
}

#[pymethods]
impl Query {
    /// A codec is another one: the server tells its types again.
    fn describe_again(&self) {
        let mut known = self.known();
        known.described = None;
        known.shapes.clear();
        drop(known);
        self.handle.call(Command::DescribeAgain(self.id));
    }

    /// Encode arguments; None if the types are not known yet. ArgumentError if they do not fit.
    fn encode(&self, args: &Bound<'_, PyTuple>) -> PyResult<Option<Params>> {
        Ok(self.encode_args(args.py(), args)?.map(Params))
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.handle.forget(self.id);
    }
}
