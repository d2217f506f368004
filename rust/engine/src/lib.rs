//! The engine of `db_pool_rs` without Python: `cargo test` is all that it needs.
//!
//! * [`scheduler`]: how statements reach the server, as a pure state machine. It is the Rust twin of
//!   `db_pool_rs/scheduler/`, which is the specification: same names of files and functions, same order of
//!   arithmetic, and `tests/traces.rs` replays the traces that the Python tests record.
//! * [`link`]: what a pool and its connections speak, whatever the database.
//! * [`postgres`]: one session with a PostgreSQL server: connecting, TLS, logging in, groups of statements, cancelling.
//! * [`sqlite`]: one connection to an SQLite database: opening, groups of statements, locks, interrupting.
//! * `declared`: limits and counters, each declared once.
//! * [`pool`]: carries out on tokio what the rules decide, over the connections of either.

mod declared;
pub mod link;
pub mod pool;
pub mod postgres;
pub mod scheduler;
pub mod sqlite;
