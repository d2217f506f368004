//! What the scheduler tells the pool to do. The pool carries actions out in order; it decides nothing itself.

/// A statement or a waiter, by the number that the pool gave it. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u64);

/// A connection, numbered from 1 in the order in which they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A statement text, by the number that the pool gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u64);

/// Why a waiter is answered with an error that the server did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its deadline passed.
    Timeout,
    /// The connection was lost, the outcome is unknown.
    Lost,
    /// No connection could be opened.
    ConnectFailed,
    /// More callers wait than the pool allows.
    Overloaded,
    /// The pool is closed.
    Closed,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection; answer with `opened` or `open_failed`.
    Open(ConnId),
    /// Send the group and one Sync; answer with `finished` (or `lost`).
    Send(ConnId, Vec<ItemId>),
    /// Hand the connection to a waiter; answer with `released` (or `lost`).
    Lend(ConnId, ItemId),
    /// Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection.
    Cancel(ConnId),
    /// Bring the session back to its initial state; answer with `reset_done` (or `lost`).
    Reset(ConnId),
    /// Close the connection; answer with `closed`.
    Close(ConnId),
    /// The group is final: give each statement's outcome to its caller; a `turn` follows when they have had theirs.
    Deliver(Vec<ItemId>),
    /// Answer a waiter with an error; `sent`: whether the server may have seen it.
    Fail {
        /// Who is answered.
        item: ItemId,
        /// Why.
        reason: Reason,
        /// Whether the server may have seen it.
        sent: bool,
    },
}
