//! How statements reach the server: the rules of scheduling as a pure state machine.
//!
//! No input or output happens here and no clock is read: every event comes with the time at which it happened, and
//! returns the actions that the pool is to carry out. Randomness comes in with the events too. So a trace of events
//! gives the same actions every time, in this implementation and in Python's.
//!
//! The files have the names of Python's `db_pool_rs/scheduler/`. Read them in this order: [`model`], [`cost`],
//! [`queues`], `scheduler` (events and dispatch), `lanes` (groups), `write_lanes`, `connections`, [`timeouts`].

mod connections;
pub mod cost;
mod lanes;
pub mod model;
pub mod queues;
#[allow(clippy::module_inception)] // the name of Python's file
mod scheduler;
pub mod timeouts;
mod write_lanes;

pub use cost::{CostLimits, Kind, Query, REASONS, Verdict};
pub use model::{
    Action, ConnId, Counters, Limits, NEVER, QueryId, Reason, RequestId, RequestState, State, StatementRequest,
};
pub use queues::Requests;
pub use scheduler::Scheduler;
