//! What the pool and the connections to either database speak: statements that are sent, groups that are answered,
//! connections that are lost.
//!
//! `postgres` and `sqlite` know this module and not each other.

mod conditions;
mod copy;
mod error;
mod fields;
mod results;
mod settings;
mod short;
mod statements;

pub use conditions::{NO_HBA_ENTRY, TELLING};
pub use copy::{CopyStream, Feed};
pub use error::{ConnectError, Lost, Malformed, ServerError, Stale};
pub use fields::Fields;
pub use results::{GroupResult, Notification, Outcome, Rows};
pub use settings::{Parameters, SessionInfo, Settings};
pub use short::Short;
pub use statements::{Column, Described, Execute, Plan, Types, put_value};
