//! SQLite, over rusqlite and the SQLite of the process ([`library`]): connections whose statements run on tokio's
//! blocking threads.
//!
//! It is the Rust twin of `db_pool_rs/drivers/sqlite/driver.py` and its neighbours, which are the specification. One
//! group of statements makes one trip to a thread and back. A [`Driver`] stands for one database, a [`Connection`] for
//! one connection; which connection may write is decided in [`write_lock`], what happens on the thread is in `groups`
//! and `session`.
//!
//! What a text is (its placeholders, its lock, its command tag) is told by the caller in a [`SqlitePlan`]; arguments
//! and rows travel as the bytes of [`values`].

mod config;
mod connection;
mod control;
mod cursor;
mod database;
mod driver;
mod error;
mod groups;
pub mod library;
mod plan;
mod session;
pub mod values;
mod work;
pub mod write_lock;

pub use config::{Config, Synchronous};
pub use connection::Connection;
pub use control::Control;
pub use driver::Driver;
pub use plan::{Lock, Role, SqlitePlan};
