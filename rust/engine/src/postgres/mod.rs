//! One session with a PostgreSQL server, on tokio.
//!
//! [`connect`] tries every host and address of a resolved [`Config`] and gives a [`Connection`]. It runs **one group at
//! a time**: 1..n statements followed by one Sync, answered as a whole. `postgres-protocol` writes the messages and
//! does SCRAM; what the server sends is taken apart here ([`frame`]), so that rows stay in the bytes in which they came
//! and nothing is allocated by an announced length.

mod address;
mod aside;
mod auth;
mod cancel;
mod config;
mod connect;
mod connection;
mod copy;
pub mod frame;
mod keys;
mod messages;
mod methods;
mod prepared;
mod running;
mod stream;
mod tls;

pub use cancel::CancelKey;
pub use config::{Config, Host, Keepalive, Ssl, SslMode, TargetAttrs};
pub use connect::connect;
pub use connection::{Connection, Group};
pub use methods::AuthMethods;
