//! Requests that wait: the table of all requests, and four queues with one order.
//!
//! Statements wait where they can be served: fast READs and fast WRITEs in queues of their own, so that a group is
//! taken from the head of one queue; everything that needs a connection to itself in `Alone`; `acquire` in `Sessions`.
//! A ticket, given on arrival, orders all of them: the head with the lowest ticket of the four is served first.
//!
//! Where the database has one writer, every WRITE waits among the WRITEs, also one that needs a connection to itself:
//! it cannot run before those that came first, and would keep a connection from readers while it waits.

use std::collections::VecDeque;

use super::cost::{CostLimits, Kind, Query};
use super::model::{ById, ConnId, QueryId, Request, RequestId, RequestState, StatementRequest};

/// Requests that wait or run, and the queries of statements: one table of each for scheduler and pool. The pool's part
/// of a request is its payload, of a query its info.
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

    /// A statement is run on a connection that its caller holds: it is kept here until it is removed, and not decided
    /// upon.
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

/// The queues, by what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Fast READs.
    Reads,
    /// Fast WRITEs.
    Writes,
    /// Statements that need a connection to themselves.
    Alone,
    /// `acquire`.
    Sessions,
}

/// The queues of statements; sessions have deadlines of their own.
pub const STATEMENTS: [Queue; 3] = [Queue::Reads, Queue::Writes, Queue::Alone];
const ALL: [Queue; 4] = [Queue::Reads, Queue::Writes, Queue::Alone, Queue::Sessions];
/// So many that were taken out may stay in a line, however short it is.
const FEW: usize = 64;

/// Requests that wait in one queue, in order of their tickets.
///
/// A request that is taken out stays in the line until the head has come so far, or until half of the line is gone: so
/// it costs the same wherever it stands. The head always waits.
#[derive(Default)]
pub struct Line {
    ids: VecDeque<RequestId>,
    gone: usize,
}

impl Line {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.ids.len() - self.gone
    }

    /// No request waits.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The request that came first.
    pub fn front(&self) -> Option<&RequestId> {
        self.ids.front()
    }

    fn waiting<P, Q>(&self, requests: &Requests<P, Q>) -> impl Iterator<Item = RequestId> {
        self.ids.iter().copied().filter(|id| waits(requests, *id))
    }

    /// The request at the head, or one that is to be forgotten, has left.
    fn tidy<P, Q>(&mut self, requests: &Requests<P, Q>) {
        if 2 * self.gone > self.ids.len() + FEW {
            self.ids.retain(|id| waits(requests, *id));
            self.gone = 0;
        }
        while self.gone > 0 && self.ids.front().is_some_and(|id| !waits(requests, *id)) {
            self.ids.pop_front();
            self.gone -= 1;
        }
    }

    /// Put `statements`, ordered by ticket, where they belong; usually that is one of the ends.
    fn merge<P, Q>(&mut self, statements: &[RequestId], requests: &Requests<P, Q>) {
        let ticket = |id: &RequestId| requests.get(*id).ticket;
        let (Some(first), Some(last)) = (statements.first(), statements.last()) else { return };
        if self.gone > 0 {
            self.ids.retain(|id| waits(requests, *id));
            self.gone = 0;
        }
        if self.ids.back().is_none_or(|back| ticket(back) < ticket(first)) {
            self.ids.extend(statements);
        } else if self.ids.front().is_some_and(|front| ticket(last) < ticket(front)) {
            for id in statements.iter().rev() {
                self.ids.push_front(*id);
            }
        } else {
            self.ids.extend(statements);
            self.ids.make_contiguous().sort_by_key(ticket);
        }
    }
}

fn waits<P, Q>(requests: &Requests<P, Q>, id: RequestId) -> bool {
    requests.find(id).is_some_and(|request| request.state == RequestState::Queued)
}

/// The waiting statements and sessions of one pool.
pub struct Queues {
    /// The database has one writer.
    pub one_writer: bool,
    queues: [Line; 4],
    /// How many wait.
    pub waiting: usize,
    last_ticket: u64,
}

impl Queues {
    /// No request waits.
    pub fn new(one_writer: bool) -> Self {
        Queues { one_writer, queues: Default::default(), waiting: 0, last_ticket: 0 }
    }

    /// The requests that wait in one queue, in order.
    pub fn of(&self, queue: Queue) -> &Line {
        &self.queues[queue as usize]
    }

    fn of_mut(&mut self, queue: Queue) -> &mut Line {
        &mut self.queues[queue as usize]
    }

    /// The queue where a statement belongs at `now`.
    fn place<P, Q>(&self, requests: &Requests<P, Q>, id: RequestId, now: f64) -> Queue {
        match (requests.query_of(id).kind, requests.may_share(id, now)) {
            (Kind::Read, true) => Queue::Reads,
            (_, true) => Queue::Writes,
            (Kind::Write, false) if self.one_writer => Queue::Writes,
            _ => Queue::Alone,
        }
    }

    /// A new statement, or an `acquire` (None), goes to the end of its queue, an urgent statement to the front.
    pub fn add<P, Q>(
        &mut self,
        requests: &mut Requests<P, Q>,
        id: RequestId,
        statement: Option<StatementRequest<P>>,
        now: f64,
    ) {
        self.last_ticket += 1;
        self.waiting += 1;
        let is_statement = statement.is_some();
        requests.add(id, statement, self.last_ticket, now);
        let queue = if is_statement { self.place(requests, id, now) } else { Queue::Sessions };
        requests.get_mut(id).queue = queue;
        if is_statement && requests.query_of(id).urgent {
            requests.get_mut(id).ticket = 0;
            self.of_mut(queue).ids.push_front(id);
        } else {
            self.of_mut(queue).ids.push_back(id);
        }
    }

    /// Statements that were sent, and must be sent again, keep their tickets and so their turn.
    pub fn put_back<P, Q>(&mut self, requests: &mut Requests<P, Q>, statements: &[RequestId], now: f64) {
        for id in statements {
            requests.get_mut(*id).state = RequestState::Queued;
        }
        self.waiting += statements.len();
        for queue in STATEMENTS {
            let here: Vec<RequestId> =
                statements.iter().copied().filter(|id| self.place(requests, *id, now) == queue).collect();
            self.join(requests, &here, queue);
        }
    }

    /// The head of a queue leaves it.
    pub fn pop<P, Q>(&mut self, requests: &Requests<P, Q>, queue: Queue) -> RequestId {
        self.waiting -= 1;
        let line = self.of_mut(queue);
        let head = line.ids.pop_front().expect("bug: an empty queue is served");
        if line.gone > 0 {
            line.tidy(requests);
        }
        head
    }

    /// Take a queued request out, and forget it.
    pub fn remove<P, Q>(&mut self, requests: &mut Requests<P, Q>, id: RequestId) {
        let line = self.of_mut(requests.get(id).queue);
        requests.remove(id);
        line.gone += 1;
        line.tidy(requests);
        self.waiting -= 1;
    }

    /// What is known of `query` changed: its waiting statements move to the queue where they now belong.
    pub fn rehome<P, Q>(&mut self, requests: &mut Requests<P, Q>, query: QueryId, now: f64) {
        for queue in STATEMENTS {
            let moves = |id: &RequestId| requests.query_id(*id) == query && self.place(requests, *id, now) != queue;
            let (moving, kept): (Vec<_>, Vec<_>) = self.of(queue).waiting(requests).partition(moves);
            if let Some(first) = moving.first() {
                let target = self.place(requests, *first, now);
                *self.of_mut(queue) = Line { ids: kept.into(), gone: 0 };
                self.join(requests, &moving, target);
            }
        }
    }

    fn join<P, Q>(&mut self, requests: &mut Requests<P, Q>, statements: &[RequestId], queue: Queue) {
        for id in statements {
            requests.get_mut(*id).queue = queue;
        }
        self.of_mut(queue).merge(statements, requests);
    }

    /// The queues that are not empty, the one whose head came first in front.
    pub fn heads<P, Q>(&self, requests: &Requests<P, Q>) -> impl Iterator<Item = Queue> + use<P, Q> {
        let ticket = |queue: Queue| self.of(queue).front().map_or(u64::MAX, |head| requests.get(*head).ticket);
        let mut order = ALL.map(|queue| (ticket(queue), queue));
        order.sort_by_key(|(ticket, _)| *ticket);
        order.into_iter().filter(|(ticket, _)| *ticket != u64::MAX).map(|(_, queue)| queue)
    }

    /// All requests that wait, queue by queue.
    pub fn all<P, Q>(&self, requests: &Requests<P, Q>) -> Vec<RequestId> {
        self.queues.iter().flat_map(|line| line.waiting(requests)).collect()
    }
}
