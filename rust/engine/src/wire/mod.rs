//! One session with a PostgreSQL server, on tokio.
//!
//! [`connect`] tries every host and address of a resolved [`Config`] and gives a [`Link`]. A link runs **one group at a
//! time**: 1..n statements followed by one Sync, answered as a whole. `postgres-protocol` writes the messages and does
//! SCRAM; what the server sends is taken apart here ([`frame`]), so that rows stay in the bytes in which they came and
//! nothing is allocated by an announced length.

mod address;
mod aside;
mod auth;
mod cancel;
mod conditions;
mod config;
mod connect;
mod copy;
mod error;
pub mod frame;
mod keys;
mod link;
mod messages;
mod methods;
mod prepared;
mod running;
mod settings;
mod short;
mod stream;
mod tls;

pub use cancel::CancelKey;
pub use config::{Config, Host, Keepalive, Ssl, SslMode, TargetAttrs};
pub use connect::connect;
pub use copy::{Feed, Stream as CopyStream};
pub use error::{ConnectError, Lost, Malformed, ServerError, Stale};
pub use frame::Fields;
pub use link::{Group, Link};
pub use messages::{Column, Described, Execute, Notification, Rows, Types, put_value};
pub use methods::AuthMethods;
pub use running::{Answer, Outcome};
pub use settings::Settings;
pub use short::Short;
