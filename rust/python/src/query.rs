//! A statement text, as the pool's callers know it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use db_pool_engine::link::{Described, Settings};
use db_pool_engine::pool::{self, Command};
use db_pool_engine::scheduler::QueryId;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::decoders::Decoders;
use crate::handle::Handle;
use crate::values::{self, RowDecoder};

/// After so long an argument that does not fit is a reason to ask the server again.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

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

/// Its types, and since when they are known.
type Learned = Option<(Arc<Described>, Instant)>;

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
    known: Mutex<Learned>,
    decoders: Decoders,
}

/// Arguments, encoded under a description that was current then.
#[pyclass(frozen, module = "db_pool_rs_full")]
pub struct Params(pub pool::Params);

impl Query {
    pub fn new(id: QueryId, sql: Arc<str>, handle: Arc<Handle>, alters: Option<bool>) -> Self {
        Query { id, sql, handle, planned: false, alters, known: Mutex::default(), decoders: Decoders::default() }
    }

    /// A query that is described already, and for good.
    pub fn planned(id: QueryId, sql: Arc<str>, handle: Arc<Handle>, described: Described) -> Self {
        let known = Mutex::new(Some((Arc::new(described), Instant::now())));
        Query { id, sql, handle, planned: true, alters: None, known, decoders: Decoders::default() }
    }

    /// Whether it is described for good.
    pub fn is_planned(&self) -> bool {
        self.planned
    }

    /// The arguments of a call, as far as they can and must be encoded now.
    pub fn params(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Option<pool::Params>> {
        if args.is_empty() && !self.planned { Ok(None) } else { self.encode_args(py, args) }
    }

    fn known(&self) -> MutexGuard<'_, Learned> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server told its types.
    pub fn describe(&self, described: &Arc<Described>) {
        *self.known() = Some((described.clone(), Instant::now()));
    }

    /// Encode arguments, if the types are known; an error if they do not fit, unless the types may be out of date: then
    /// these are forgotten, and the server is asked again.
    pub fn encode_args(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Option<pool::Params>> {
        let Some((described, learned)) = self.known().clone() else {
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
        *self.known() = None;
        self.handle.call(Command::MayBeStale(self.id, described));
        Ok(None)
    }

    /// What reads rows that came under this description, from a session with these settings.
    pub fn decoder(
        &self,
        py: Python<'_>,
        described: &Arc<Described>,
        settings: &Arc<Settings>,
    ) -> PyResult<Arc<RowDecoder>> {
        self.decoders.decoder(py, &self.handle, described, settings)
    }
}

#[pymethods]
impl Query {
    /// A codec is another one: the server tells its types again.
    fn describe_again(&self) {
        *self.known() = None;
        self.decoders.clear();
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
