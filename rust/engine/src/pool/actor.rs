//! The one task that decides: it owns the scheduler, turns what happens into events, and carries the actions out.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::backend::{Backend, CancelHandle, Connector};
use super::connection_task::{self, Events, Job};
use super::descriptions::{KnownQuery, Names};
use super::healing::Suspect;
use super::{Completion, Gauges, Options, Params, Shared, Sink};
use crate::link::{Described, Feed, Lost, SessionInfo, Stale};
use crate::scheduler::model::ById;
use crate::scheduler::{Action, ConnId, Limits, NEVER, QueryId, Reason, RequestId, Scheduler, State, StatementRequest};

/// How long connections may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// A statement, from its call to its answer: the pool's part of a request.
pub(super) struct Payload {
    /// Its SQL, if it is run as it is; else it has a query.
    pub(super) raw_sql: Option<Arc<str>>,
    pub(super) with_args: bool,
    pub(super) params: Option<Params>,
    /// The description under which it was sent; None if it was run as it is.
    pub(super) under: Option<Arc<Described>>,
    /// Its arguments were asked for: the connection where its group waits for them.
    pub(super) awaiting: Option<ConnId>,
    /// Its outcome, until the scheduler has it delivered.
    pub(super) result: Option<Completion>,
}

impl Payload {
    /// A statement that was called just now, with its arguments, if their types are known.
    pub(super) fn new(raw_sql: Option<Arc<str>>, with_args: bool, params: Option<Params>) -> Self {
        let under = params.as_ref().filter(|(text, _)| text.plan.is_some()).map(|(text, _)| text.clone());
        Payload { raw_sql, with_args, params, under, awaiting: None, result: None }
    }
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// The caller looks at it and prepares it, before it serves.
    Initializing,
    /// The caller brings it back to its initial state.
    Resetting,
}

/// One connection, as the actor sees it. To drop it ends its task.
pub(super) struct ConnectionTask {
    jobs: mpsc::UnboundedSender<Job>,
    _alive: oneshot::Sender<()>,
    /// What its task needs, while a password is asked for.
    pub(super) opening: Option<(mpsc::UnboundedReceiver<Job>, oneshot::Receiver<()>)>,
    pub(super) cancel_handle: Option<CancelHandle>,
    /// What the server tells of the session.
    pub(super) info: Option<SessionInfo>,
    pub(super) phase: Phase,
    pub(super) group: Vec<RequestId>,
    /// Statements of the group that are done; that run now; whether any was ever sent.
    pub(super) at: usize,
    pub(super) run: usize,
    pub(super) sent: bool,
    /// The statement whose types are being asked for.
    pub(super) asked: Option<RequestId>,
    /// Statements whose arguments are being asked for.
    pub(super) missing: usize,
    /// Causes for which the statement was sent again.
    pub(super) tried: Vec<Stale>,
    /// Its types are asked for again, since it failed.
    pub(super) suspect: Option<Suspect>,
    /// The server is asked which process it is.
    pub(super) probing: bool,
    /// Types that the server is asked about, and whether it was for this group.
    pub(super) looking_up: Vec<u32>,
    pub(super) looked_up: bool,
    /// They are those of columns: the group is answered, in so many seconds and with so many bytes in its largest result.
    pub(super) reading: Option<(f64, usize)>,
    /// The token of the command that its caller waits for.
    pub(super) token: Option<u64>,
    /// Its types are asked for, and nothing is run.
    pub(super) describing: bool,
    /// Where the answers to a COPY's questions go.
    pub(super) feed: Option<mpsc::UnboundedSender<Feed>>,
    /// A caller holds it.
    pub(super) acquired: bool,
    pub(super) in_transaction: bool,
    /// Dates and intervals can be read in text.
    pub(super) iso_styles: bool,
    /// So can floats: now, and as the session began.
    pub(super) exact: bool,
    pub(super) exact_at_start: bool,
}

impl ConnectionTask {
    fn new() -> Self {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (_alive, ended) = oneshot::channel();
        ConnectionTask {
            jobs,
            _alive,
            opening: Some((inbox, ended)),
            cancel_handle: None,
            info: None,
            phase: Phase::Serving,
            group: Vec::new(),
            at: 0,
            run: 0,
            sent: false,
            asked: None,
            missing: 0,
            tried: Vec::new(),
            suspect: None,
            probing: false,
            looking_up: Vec::new(),
            looked_up: false,
            reading: None,
            token: None,
            describing: false,
            feed: None,
            acquired: false,
            in_transaction: false,
            iso_styles: true,
            exact: true,
            exact_at_start: true,
        }
    }

    /// A group is to be run.
    pub(super) fn begin(&mut self, group: Vec<RequestId>) {
        (self.group, self.at, self.run, self.sent, self.asked, self.suspect) = (group, 0, 0, false, None, None);
        self.tried.clear();
        (self.describing, self.looked_up, self.feed) = (false, false, None);
    }

    /// A task that has ended has reported so: the loss is on its way.
    pub(super) fn send(&self, job: Job) {
        if let Some(cancel_handle) = &self.cancel_handle {
            cancel_handle.sent(job.statements.len());
        }
        drop(self.jobs.send(job));
    }
}

/// A description that turned out to be out of date, and how its rows are read instead, if they can be.
pub(super) type Changed = (Arc<Described>, Result<Arc<Described>, ()>);

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) scheduler: Scheduler<Payload, KnownQuery>,
    pub(super) names: Names,
    /// Types that are not built in and that the caller was told of, and until when that may be relied on.
    pub(super) types: HashMap<u32, f64>,
    pub(super) events: Events,
    pub(super) options: Options,
    /// WRITEs must not share transactions.
    pub(super) no_grouping: bool,
    pub(super) tasks: ById<ConnId, ConnectionTask>,
    pub(super) batch: Vec<Completion>,
    /// The batch tells how the pool stands.
    reported: bool,
    /// Descriptions that the answer which is being taken in has shown to be out of date, and what is right for it.
    pub(super) changed: Vec<Changed>,
    pub(super) connector: Connector,
    serving: JoinSet<()>,
    random: RandomState,
    drawn: u64,
}

/// Serve one pool until it has ended.
pub async fn run(shared: Arc<Shared>, backend: Backend, limits: Limits, options: Options, sink: Arc<dyn Sink>) {
    let (events, mut arrived) = mpsc::unbounded_channel();
    let mut actor = Actor {
        names: Names::new(backend.names_statements()),
        types: HashMap::new(),
        connector: Connector::new(backend),
        scheduler: Scheduler::new(limits),
        tasks: ById::default(),
        batch: Vec::new(),
        reported: false,
        changed: Vec::new(),
        serving: JoinSet::new(),
        random: RandomState::new(),
        drawn: 0,
        shared,
        sink,
        events,
        options,
        no_grouping: false,
    };
    let started = actor.scheduler.start(actor.now());
    actor.perform(started);
    loop {
        actor.report();
        if actor.scheduler.shutting_down && actor.scheduler.is_drained() {
            actor.part().await;
            actor.connector.end().await;
            return actor.sink.complete(vec![Completion::Ended]);
        }
        let shared = actor.shared.clone();
        tokio::select! {
            Some((conn, event)) = arrived.recv() => actor.handle(conn, event),
            () = shared.wake.notified() => actor.take_commands(),
            () = until(actor.scheduler.timeouts.next_timeout(), actor.now()) => {
                let actions = actor.scheduler.handle_timeout(actor.now());
                actor.perform(actions);
            }
        }
        while let Ok((conn, event)) = arrived.try_recv() {
            actor.handle(conn, event);
        }
    }
}

async fn until(wake: f64, now: f64) {
    if wake == NEVER {
        return std::future::pending().await;
    }
    tokio::time::sleep(Duration::from_secs_f64((wake - now).clamp(0.0, 86_400.0))).await;
}

impl Actor {
    pub(super) fn now(&self) -> f64 {
        self.shared.epoch.elapsed().as_secs_f64()
    }

    /// Carry actions out, in order.
    pub(super) fn perform(&mut self, actions: Vec<Action<Payload>>) {
        let mut todo = VecDeque::from(actions);
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Send(conn, group) => {
                    self.record_waits(&group);
                    self.task(conn).begin(group);
                    self.start(conn);
                }
                Action::Deliver(group) => {
                    let outcome = |payload: Payload| payload.result.expect("bug: a statement without an outcome");
                    self.batch.extend(group.into_iter().map(outcome));
                    self.batch.push(Completion::Delivered(self.scheduler.delivered));
                }
                Action::Fail { request, enqueued, reason, sent } => self.refuse(request, enqueued, reason, sent),
                Action::Lend(conn, request) => self.hand_over(conn, request),
                Action::Open(conn) => self.open(conn),
                Action::Cancel(conn) => self.cancel(conn, None),
                Action::Reset(conn) => self.reset(conn),
                Action::Close(conn) => {
                    self.close(conn);
                    todo.extend(self.scheduler.closed(conn, self.now()));
                }
            }
        }
    }

    /// Statements of one tick share their arrival time: one entry for each run of equal ones.
    fn record_waits(&mut self, group: &[RequestId]) {
        let now = self.now();
        let mut measures = self.shared.measures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let arrived = |id: &RequestId| self.scheduler.requests.get(*id).enqueued;
        for alike in group.chunk_by(|one, next| arrived(one) == arrived(next)) {
            measures.wait.record(now - arrived(&alike[0]), alike.len() as u64);
        }
    }

    fn open(&mut self, conn: ConnId) {
        self.scheduler.counters.connects += 1;
        let mut task = ConnectionTask::new();
        if self.options.asks_password {
            self.batch.push(Completion::NeedsPassword(conn));
        } else if let Some((inbox, ended)) = task.opening.take() {
            self.serve(conn, inbox, ended, None);
        }
        self.tasks.insert(conn, task);
    }

    pub(super) fn serve(
        &mut self,
        conn: ConnId,
        inbox: mpsc::UnboundedReceiver<Job>,
        ended: oneshot::Receiver<()>,
        password: Option<String>,
    ) {
        let (connector, events) = (self.connector.clone(), self.events.clone());
        self.serving.spawn(connection_task::serve(connector, password, conn, inbox, ended, events));
        while self.serving.try_join_next().is_some() {}
    }

    /// Wait for a moment until every connection has said good-bye.
    async fn part(&mut self) {
        let gone = async { while self.serving.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, gone).await;
    }

    fn close(&mut self, conn: ConnId) {
        let Some(task) = self.tasks.remove(&conn) else { return };
        self.end_group(&task.group);
        let lost = Lost { sent: task.token.is_some(), ..Lost::new("the connection was closed by the pool") };
        if let Some(token) = task.token {
            self.batch.push(Completion::Ran(token, Err(lost.clone())));
        }
        if task.acquired {
            self.batch.push(Completion::AcquiredLost(conn, lost));
        }
    }

    fn refuse(&mut self, request: RequestId, enqueued: f64, reason: Reason, sent: bool) {
        let now = self.now();
        let waited = now - enqueued;
        let running = (reason == Reason::Timeout && !sent && !self.reported).then(|| self.stand(now));
        self.batch.push(Completion::Refused { request, reason, sent, waited, running });
        self.give_up(request);
    }

    /// How the pool stands, for requests that have waited in vain: once for all of one batch.
    fn stand(&mut self, now: f64) -> Vec<(f64, Arc<str>)> {
        self.reported = true;
        self.set_gauges();
        self.scheduler.running().map(|(since, request)| (now - since, self.sql(request))).collect()
    }

    /// No caller waits for `request` any more: where its group waits for the write lock, it is left out.
    pub(super) fn give_up(&self, request: RequestId) {
        if matches!(self.connector, Connector::Sqlite(_)) {
            for task in self.tasks.values() {
                if let (Some(cancel_handle), Some(at)) =
                    (&task.cancel_handle, task.group.iter().position(|one| *one == request))
                {
                    cancel_handle.give_up(at);
                }
            }
        }
    }

    pub(super) fn sql(&self, request: RequestId) -> Arc<str> {
        let StatementRequest { query, payload } = self.scheduler.requests.statement(request);
        match (&payload.raw_sql, query) {
            (Some(sql), _) => sql.clone(),
            (None, Some(query)) => self.known(*query).sql.clone(),
            (None, None) => unreachable!("bug: a statement without SQL"),
        }
    }

    /// The payload of a statement that is there.
    pub(super) fn payload(&mut self, request: RequestId) -> &mut Payload {
        self.scheduler.requests.find_payload(request).expect("bug: a statement that is not there")
    }

    /// What is known of a query.
    pub(super) fn known(&self, query: QueryId) -> &KnownQuery {
        &self.scheduler.requests.query(query).info
    }

    /// A number in 0..1: nothing that needs to be hard to guess.
    pub(super) fn draw(&mut self) -> f64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn) as f64 / u64::MAX as f64
    }

    /// Hand out what was decided, and say how the pool stands.
    fn report(&mut self) {
        self.set_gauges();
        self.reported = false;
        if !self.batch.is_empty() {
            self.sink.complete(std::mem::take(&mut self.batch));
        }
    }

    pub(super) fn set_gauges(&mut self) {
        let mut gauges = Gauges {
            size: self.scheduler.size() as u64,
            waiting: self.scheduler.waiting() as u64,
            generation: self.scheduler.generation,
            healthy: self.scheduler.connect_failures == 0,
            min_size: self.scheduler.limits.min_size as u64,
            max_size: self.scheduler.limits.max_size as u64,
            ..Gauges::default()
        };
        for (_, state, running) in self.scheduler.states() {
            gauges.in_flight += running as u64;
            match state {
                State::Idle => gauges.idle += 1,
                State::Opening => gauges.opening += 1,
                State::Lane => gauges.lanes += 1,
                State::Alone => gauges.alone += 1,
                State::Session => gauges.sessions += 1,
                State::Closing => {}
            }
        }
        let figures = (gauges, self.scheduler.counters.clone());
        *self.shared.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = figures;
    }
}
