//! What the scheduler works on: requests, connections, the actions that it returns, and the numbers in its rules.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::cost::{CostLimits, Kind, Query};
use super::queues::Queue;

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
    /// The group is final: give each statement's outcome to its caller; a `turn` follows once the callers have run.
    /// Their requests are gone, these are the payloads.
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
pub struct Conn {
    /// Connections of an older generation are not used again.
    pub generation: u64,
    /// What it does.
    pub state: State,
    /// When the attempt to open it began.
    pub began: f64,
    /// How many attempts had failed before.
    pub failures: u32,
    /// Until then it must have answered something, or it counts as an attempt that failed.
    pub unproven: f64,
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
    pub beside: usize,
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

impl Conn {
    /// A connection that is being opened.
    pub fn new(generation: u64, now: f64) -> Self {
        Conn {
            generation,
            state: State::Opening,
            began: now,
            failures: 0,
            unproven: -NEVER,
            since: now,
            expires: NEVER,
            group: Vec::new(),
            kind: Kind::Other,
            started: 0.0,
            beside: 1,
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

/// Requests that wait or run, and the queries of statements: one table of each for scheduler and pool. The pool's part of
/// a request is its payload, of a query its info.
pub struct Requests<P, Q> {
    requests: ById<RequestId, Request<P>>,
    queries: ById<QueryId, Query<Q>>,
}

impl<P, Q> Default for Requests<P, Q> {
    fn default() -> Self {
        Requests { requests: ById::default(), queries: ById::default() }
    }
}

impl<P, Q> Requests<P, Q> {
    /// The caller came to know a query.
    pub fn add_query(&mut self, id: QueryId, query: Query<Q>) {
        self.queries.insert(id, query);
    }

    /// The caller does not know the query any more: it goes with its last statement.
    pub fn forget_query(&mut self, id: QueryId) {
        let query = self.query_mut(id);
        query.forgotten = true;
        if query.users == 0 {
            self.queries.remove(&id);
        }
    }

    /// How many requests and queries there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.requests.len(), self.queries.len())
    }

    /// A new request.
    pub fn add(&mut self, id: RequestId, statement: Option<StatementRequest<P>>, ticket: u64, now: f64) {
        if let Some(query) = statement.as_ref().and_then(|statement| statement.query) {
            self.query_mut(query).users += 1;
        }
        let (state, queue, conn) = (RequestState::Queued, Queue::Sessions, ConnId(0));
        let request = Request { statement, ticket, enqueued: now, state, queue, alone: false, conn };
        let before = self.requests.insert(id, request);
        assert!(before.is_none(), "bug: {id:?} was used before");
    }

    /// Nothing refers to the request any more; the payload of a statement.
    pub fn remove(&mut self, id: RequestId) -> Option<P> {
        let request = self.requests.remove(&id).expect("bug: a request was answered twice");
        let StatementRequest { query, payload } = request.statement?;
        if let Some(query_id) = query {
            let query = self.query_mut(query_id);
            query.users -= 1;
            if query.users == 0 && query.forgotten {
                self.queries.remove(&query_id);
            }
        }
        Some(payload)
    }

    /// The request, unless it was answered.
    pub fn find(&self, id: RequestId) -> Option<&Request<P>> {
        self.requests.get(&id)
    }

    /// A request that is there.
    pub fn get(&self, id: RequestId) -> &Request<P> {
        &self.requests[&id]
    }

    /// A request that is there.
    pub fn get_mut(&mut self, id: RequestId) -> &mut Request<P> {
        self.requests.get_mut(&id).expect("bug: a request that is not there")
    }

    /// A statement is run on a connection that its caller holds: it is kept here until it is removed, and not decided upon.
    pub fn hold(&mut self, id: RequestId, statement: StatementRequest<P>, now: f64) {
        self.add(id, Some(statement), 0, now);
        self.get_mut(id).state = RequestState::Held;
    }

    /// A statement that is there.
    pub fn statement(&self, id: RequestId) -> &StatementRequest<P> {
        self.get(id).statement.as_ref().expect("bug: an acquire is no statement")
    }

    /// The payload of a statement, unless it was answered.
    pub fn find_payload(&mut self, id: RequestId) -> Option<&mut P> {
        Some(&mut self.requests.get_mut(&id)?.statement.as_mut()?.payload)
    }

    /// The payload of a statement that is there, and its query, if it has one.
    pub fn payload_and_query(&mut self, id: RequestId) -> (&mut P, Option<&Query<Q>>) {
        let request = self.requests.get_mut(&id).expect("bug: a request that is not there");
        let statement = request.statement.as_mut().expect("bug: an acquire is no statement");
        (&mut statement.payload, statement.query.map(|query| &self.queries[&query]))
    }

    /// The query of a statement.
    pub fn query_of(&self, id: RequestId) -> &Query<Q> {
        &self.queries[&self.query_id(id)]
    }

    /// Whether a statement may share a connection with others at `now`.
    pub fn may_share(&self, id: RequestId, now: f64) -> bool {
        let request = self.get(id);
        let query = self.query_of(id);
        query.fast && !request.alone && now >= query.held_until
    }

    /// The number of a statement's query.
    pub fn query_id(&self, id: RequestId) -> QueryId {
        self.statement(id).query.expect("bug: a statement without a query")
    }

    /// A query that is there.
    pub fn query(&self, id: QueryId) -> &Query<Q> {
        &self.queries[&id]
    }

    /// A query, unless it went with its last statement.
    pub fn find_query(&mut self, id: QueryId) -> Option<&mut Query<Q>> {
        self.queries.get_mut(&id)
    }

    /// A query that is there.
    pub fn query_mut(&mut self, id: QueryId) -> &mut Query<Q> {
        self.queries.get_mut(&id).expect("bug: a query that is not there")
    }

    /// All queries.
    pub fn queries_mut(&mut self) -> impl Iterator<Item = &mut Query<Q>> {
        self.queries.values_mut()
    }

    /// See [`Query::observe`].
    pub fn observe(&mut self, query: QueryId, count: u64, seconds: f64, size: f64, limits: &CostLimits) -> bool {
        self.query_mut(query).observe(count, seconds, size, limits)
    }
}

/// The numbers in the rules; times in seconds. The defaults are Python's.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections that are kept open.
    pub min_size: usize,
    /// The most connections that the server ever sees.
    pub max_size: usize,
    /// The most callers that may wait.
    pub max_waiting: usize,
    /// How long a call without a deadline waits for its turn.
    pub acquire_timeout: f64,
    /// How long a connection above `min_size` may idle.
    pub idle_timeout: f64,
    /// The most statements in one group.
    pub group_max: usize,
    /// The most time that a group is expected to take.
    pub group_time: f64,
    /// A queue is divided over the free lanes in pieces of at least this many statements.
    pub piece_min: usize,
    /// A group that runs longer is broken up.
    pub stall: f64,
    /// How long the head of the READs may be expected to wait before one more lane is taken.
    pub lane_wait: f64,
    /// The same for WRITEs.
    pub write_lane_wait: f64,
    /// Lanes for READs from the start.
    pub read_lanes: usize,
    /// The most lanes for WRITEs.
    pub max_write_lanes: usize,
    /// Whether a group that stalls is broken up.
    pub breaks_stalls: bool,
    /// Whether READs whose connection was lost are sent again.
    pub retry_reads: bool,
    /// How long the server may take to react to a CancelRequest before idle connections are replaced too.
    pub suspect: f64,
    /// How long the server may take to react to a CancelRequest before the connection counts as dead. Where nothing can
    /// be cancelled from outside (`breaks_stalls` is false) it is asked, but never given up.
    pub cancel_grace: f64,
    /// Pause before a CancelRequest is repeated, doubled each time: the server ignores one that comes too early.
    pub cancel_pause: f64,
    /// Pause after the first failed connect.
    pub backoff: f64,
    /// The pause is doubled up to this value.
    pub backoff_max: f64,
    /// What counts as fast.
    pub cost: CostLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            min_size: 1,
            max_size: 10,
            max_waiting: 100_000,
            acquire_timeout: 30.0,
            idle_timeout: 600.0,
            group_max: 64,
            group_time: 0.002,
            piece_min: 8,
            stall: 0.050,
            lane_wait: 0.001,
            write_lane_wait: 0.005,
            read_lanes: 2,
            max_write_lanes: 10,
            breaks_stalls: true,
            retry_reads: false,
            suspect: 0.25,
            cancel_grace: 1.5,
            cancel_pause: 0.05,
            backoff: 0.05,
            backoff_max: 0.35,
            cost: CostLimits::default(),
        }
    }
}
