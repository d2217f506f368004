//! What the scheduler works on: requests, connections, the actions that it returns, and the numbers in its rules.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::cost::{CostLimits, Kind, REASONS};
use super::queues::Queue;
use crate::declared::{counters, limits};

/// A time that does not come.
pub const NEVER: f64 = f64::INFINITY;

/// A request, by the number that the pool gave it. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A connection, numbered from 1 in the order in which they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A query, by the number that the pool gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// Why a request is answered with an error that the server did not send.
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
#[derive(Debug, PartialEq)]
pub enum Action<P> {
    /// Open a connection; answer with `opened` or `open_failed`.
    Open(ConnId),
    /// Send the group and one Sync; answer with `finished` (or `lost`).
    Send(ConnId, Vec<RequestId>),
    /// Give the connection to a waiter; answer with `released` (or `lost`).
    Lend(ConnId, RequestId),
    /// Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection.
    Cancel(ConnId),
    /// Bring the session back to its initial state; answer with `reset_done` (or `lost`).
    Reset(ConnId),
    /// Close the connection; answer with `closed`.
    Close(ConnId),
    /// The group is final: give each statement's outcome to its caller; an `end_of_tick` follows once the callers have
    /// run. Their requests are gone, these are the payloads.
    Deliver(Vec<P>),
    /// Answer a request with an error; `sent`: whether the server may have seen it.
    Fail {
        /// The request.
        request: RequestId,
        /// When it arrived.
        enqueued: f64,
        /// Why.
        reason: Reason,
        /// Whether the server may have seen it.
        sent: bool,
    },
}

/// The states of a connection (rule 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A connect is under way.
    Opening,
    /// Nothing to do.
    Idle,
    /// Runs groups.
    Lane,
    /// Runs one statement.
    Alone,
    /// Exclusively held.
    Session,
    /// To be closed.
    Closing,
}

/// One connection, from the decision to open it until it is closed.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// Connections of an older generation are not used again.
    pub generation: u64,
    /// What it does.
    pub state: State,
    /// When the attempt to open it began.
    pub began: f64,
    /// How many attempts had failed before.
    pub failures: u32,
    /// Until then it must have answered something, or it counts as an attempt that failed.
    pub probation_until: f64,
    /// When it became idle.
    pub since: f64,
    /// When it is to be replaced.
    pub expires: f64,
    /// What the server has not answered yet.
    pub group: Vec<RequestId>,
    /// The kind of its group.
    pub kind: Kind,
    /// When the group was sent.
    pub started: f64,
    /// How many connections worked when it was sent, this one included.
    pub concurrency: usize,
    /// The shortest answer seen on it: what every statement costs on this link, whatever it does.
    pub round_trip: f64,
    /// A CancelRequest may still be on its way.
    pub cancelling: bool,
    /// When the server was first asked to stop the group.
    pub cancel_at: f64,
    /// When it is to be asked again.
    pub ask_at: f64,
    /// The session is being cleaned.
    pub resetting: bool,
    /// It must be cleaned.
    pub unclean: bool,
}

impl ConnectionState {
    /// A connection that is being opened.
    pub fn new(generation: u64, now: f64) -> Self {
        ConnectionState {
            generation,
            state: State::Opening,
            began: now,
            failures: 0,
            probation_until: -NEVER,
            since: now,
            expires: NEVER,
            group: Vec::new(),
            kind: Kind::Other,
            started: 0.0,
            concurrency: 1,
            round_trip: NEVER,
            cancelling: false,
            cancel_at: NEVER,
            ask_at: 0.0,
            resetting: false,
            unclean: false,
        }
    }
}

/// Where a request stands. One that is answered, and runs on no connection, is in the table no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestState {
    /// In a queue.
    Queued,
    /// On a connection, unanswered.
    Sent,
    /// On a connection, but no caller waits for its answer.
    Done,
    /// On a connection that its caller holds: the rules have no part in it.
    Held,
}

/// A statement that is to be executed.
pub struct StatementRequest<P> {
    /// Its query; None for SQL that is run as it is, on a connection that its caller holds.
    pub query: Option<QueryId>,
    /// What the pool needs to run it and to answer its caller.
    pub payload: P,
}

/// A request: a statement or an `acquire`.
pub struct Request<P> {
    /// The statement; None for an `acquire`.
    pub statement: Option<StatementRequest<P>>,
    /// Its place in the order of arrival.
    pub ticket: u64,
    /// When it arrived.
    pub enqueued: f64,
    /// Where it stands.
    pub state: RequestState,
    /// The queue where it waits.
    pub queue: Queue,
    /// It must not be grouped any more.
    pub alone: bool,
    /// Where it runs.
    pub conn: ConnId,
}

/// Numbers are given in sequence, so they are their own hashes.
#[derive(Default)]
pub struct Sequential(u64);

impl Hasher for Sequential {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        // The high bits choose the group of buckets and the low ones the bucket: spread what is sequential.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A map whose keys are numbers given in sequence.
pub type ById<K, V> = HashMap<K, V, BuildHasherDefault<Sequential>>;

limits! {
    /// The numbers in the rules; times in seconds. The defaults are Python's.
    struct Limits {
        /// Connections that are kept open.
        min_size: usize = 1,
        /// The most connections that the server ever sees.
        max_size: usize = 10,
        /// The most callers that may wait.
        max_waiting: usize = 100_000,
        /// How long a call without a deadline waits for its turn.
        acquire_timeout: f64 = 30.0,
        /// How long a connection above `min_size` may idle.
        idle_timeout: f64 = 600.0,
        /// The most statements in one group.
        group_max: usize = 64,
        /// The most time that a group is expected to take.
        group_time: f64 = 0.002,
        /// A queue is divided over the free lanes in pieces of at least this many statements.
        piece_min: usize = 8,
        /// A group that runs longer is broken up.
        stall: f64 = 0.050,
        /// How long the head of the READs may be expected to wait before one more lane is taken.
        lane_wait: f64 = 0.001,
        /// The same for WRITEs.
        write_lane_wait: f64 = 0.005,
        /// Lanes for READs from the start.
        read_lanes: usize = 2,
        /// A server with a longer round trip is far away: all connections are lanes from the start.
        far: f64 = 0.00025,
        /// The most lanes for WRITEs.
        max_write_lanes: usize = 10,
        /// Whether a group that stalls is broken up.
        breaks_stalls: bool = true,
        /// Whether READs whose connection was lost are sent again.
        retry_reads: bool = false,
        /// How long the server may take to react to a CancelRequest before idle connections are replaced too.
        suspect: f64 = 0.25,
        /// How long the server may take to react to a CancelRequest before the connection counts as dead. Where nothing
        /// can be cancelled from outside (`breaks_stalls` is false) it is asked, but never given up.
        cancel_grace: f64 = 1.5,
        /// Pause before a CancelRequest is repeated, doubled each time: the server ignores one that comes too early.
        cancel_pause: f64 = 0.05,
        /// Pause after the first failed connect.
        backoff: f64 = 0.05,
        /// The pause is doubled up to this value.
        backoff_max: f64 = 0.35,
    } with {
        /// What counts as fast.
        cost: CostLimits
    }
}

counters! {
    /// What a pool has counted; the names are those of PoolStats in Python.
    struct Counters {
        /// Statements that were answered on shared connections.
        statements,
        /// Groups of them.
        groups,
        /// Groups that were rolled back and sent again, statement by statement.
        broken_up,
        /// The statements of those groups.
        resent,
        /// Attempts to open a connection.
        connects,
        /// Those that came to nothing.
        connect_failures,
        /// Connections that were lost.
        lost,
    } beside {
        /// Statements that ran alone, by the reason.
        alone: [u64; REASONS],
    }
}
