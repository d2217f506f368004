//! How statements reach the server: the rules of scheduling as a pure state machine.
//!
//! No input or output happens here and no clock is read: every event comes with the time at which it happened, and
//! returns the actions that the pool is to carry out. Randomness comes in with the events too. So a trace of events
//! gives the same actions every time, in this implementation and in Python's.
//!
//! Read it in this order: [`actions`], [`cost`], [`items`], [`queues`], [`conn`], `scheduler` (events), `serving`
//! (groups and lanes), `write_lanes`, `upkeep` (opening and closing), `timeouts`.

pub mod actions;
pub mod conn;
pub mod cost;
pub mod items;
pub mod limits;
pub mod queues;
mod scheduler;
mod serving;
mod timeouts;
mod upkeep;
mod write_lanes;

pub use actions::{Action, ConnId, ItemId, Reason, TextId};
pub use conn::State;
pub use cost::{CostLimits, Kind, REASONS, Text, Verdict};
pub use limits::Limits;
pub use scheduler::Scheduler;

/// A time that does not come.
pub const NEVER: f64 = f64::INFINITY;
