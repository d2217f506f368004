//! The one task that decides: it owns the scheduler, turns what happens into events, and carries the actions out.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::backend::{Backend, Connector, Key};
use super::healing::Suspect;
use super::member::{self, Events, Job};
use super::texts::Texts;
use super::{Completion, Gauges, Options, Params, Shared, Sink, Source};
use crate::scheduler::model::ById;
use crate::scheduler::{Action, ConnId, ItemId, Limits, NEVER, Reason, Scheduler, State};
use crate::wire::{Described, Feed, Lost, Stale};

/// How long connections may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// A statement, from its call to its answer.
pub(super) struct Payload {
    pub(super) source: Source,
    pub(super) with_args: bool,
    pub(super) params: Option<Params>,
    /// The description under which it was sent; None if it was run as it is.
    pub(super) under: Option<Arc<Described>>,
    pub(super) arrived: f64,
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// The caller looks at it and prepares it, before anybody is served.
    Greeting,
    /// The caller brings it back to its initial state.
    Cleaning,
}

/// One connection, as the actor sees it. To drop it ends its task.
pub(super) struct Member {
    jobs: mpsc::UnboundedSender<Job>,
    _alive: oneshot::Sender<()>,
    /// What its task needs, while a password is asked for.
    pub(super) opening: Option<(mpsc::UnboundedReceiver<Job>, oneshot::Receiver<()>)>,
    pub(super) key: Option<Key>,
    pub(super) stage: Stage,
    pub(super) group: Vec<ItemId>,
    /// Statements of the group that are done; that run now; whether any was ever sent.
    pub(super) at: usize,
    pub(super) run: usize,
    pub(super) sent: bool,
    /// The statement whose types are being asked for.
    pub(super) asked: Option<ItemId>,
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
    /// What a borrower waits for.
    pub(super) token: Option<u64>,
    /// Its types are asked for, and nothing is run.
    pub(super) describing: bool,
    /// Where the answers to a COPY's questions go.
    pub(super) feed: Option<mpsc::UnboundedSender<Feed>>,
    pub(super) lent: bool,
    pub(super) in_transaction: bool,
    /// Dates and intervals can be read in text.
    pub(super) plain: bool,
    /// So can floats: now, and as the session began.
    pub(super) exact: bool,
    pub(super) told: bool,
}

impl Member {
    fn new() -> Self {
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (_alive, ended) = oneshot::channel();
        Member {
            jobs,
            _alive,
            opening: Some((inbox, ended)),
            key: None,
            stage: Stage::Serving,
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
            token: None,
            describing: false,
            feed: None,
            lent: false,
            in_transaction: false,
            plain: true,
            exact: true,
            told: true,
        }
    }

    /// A group is to be run.
    pub(super) fn begin(&mut self, group: Vec<ItemId>) {
        (self.group, self.at, self.run, self.sent, self.asked, self.suspect) = (group, 0, 0, false, None, None);
        self.tried.clear();
        (self.describing, self.looked_up, self.feed) = (false, false, None);
    }

    /// A task that has ended has told so: the loss is on its way.
    pub(super) fn send(&self, job: Job) {
        if let Some(key) = &self.key {
            key.sent(job.statements.len());
        }
        drop(self.jobs.send(job));
    }
}

/// A description that turned out to be out of date, and how its rows are read instead, if they can be.
pub(super) type Changed = (Arc<Described>, Result<Arc<Described>, ()>);

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) scheduler: Scheduler,
    pub(super) texts: Texts,
    /// Types that are not built in and that the caller was told of.
    pub(super) types: HashSet<u32>,
    pub(super) events: Events,
    pub(super) options: Options,
    /// WRITEs must not share transactions.
    pub(super) apart: bool,
    pub(super) members: ById<ConnId, Member>,
    pub(super) payloads: ById<ItemId, Payload>,
    /// When somebody began to wait for a connection to himself.
    pub(super) arrived: ById<ItemId, f64>,
    /// Statements whose arguments were asked for, and where they wait.
    pub(super) awaiting: ById<ItemId, ConnId>,
    /// Outcomes until the scheduler has them delivered.
    pub(super) results: ById<ItemId, Completion>,
    pub(super) batch: Vec<Completion>,
    /// The batch tells how the pool stands.
    reported: bool,
    /// Descriptions that the answer which is being taken in has shown to be out of date, and what is right for it.
    pub(super) changed: Vec<Changed>,
    pub(super) counters: Gauges,
    connector: Connector,
    serving: JoinSet<()>,
    random: RandomState,
    drawn: u64,
}

/// Serve one pool until it has ended.
pub async fn run(shared: Arc<Shared>, backend: Backend, limits: Limits, options: Options, sink: Arc<dyn Sink>) {
    let (events, mut arrived) = mpsc::unbounded_channel();
    let mut actor = Actor {
        texts: Texts::new(sink.clone(), backend.names_statements()),
        types: HashSet::new(),
        connector: Connector::new(backend),
        scheduler: Scheduler::new(limits),
        members: ById::default(),
        payloads: ById::default(),
        arrived: ById::default(),
        awaiting: ById::default(),
        results: ById::default(),
        batch: Vec::new(),
        reported: false,
        changed: Vec::new(),
        counters: Gauges::default(),
        serving: JoinSet::new(),
        random: RandomState::new(),
        drawn: 0,
        shared,
        sink,
        events,
        options,
        apart: false,
    };
    let started = actor.scheduler.start(actor.now());
    actor.perform(started);
    loop {
        actor.report();
        if actor.scheduler.shutting_down && actor.scheduler.drained() {
            actor.part().await;
            actor.connector.end().await;
            return actor.sink.complete(vec![Completion::Ended]);
        }
        let shared = actor.shared.clone();
        tokio::select! {
            Some((conn, event)) = arrived.recv() => actor.handle(conn, event),
            () = shared.wake.notified() => actor.take_commands(),
            () = until(actor.scheduler.timeouts.next_timeout(), actor.now()) => {
                let actions = actor.scheduler.tick(actor.now());
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
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        let mut todo = VecDeque::from(actions);
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Send(conn, group) => {
                    self.record_waits(&group);
                    self.member(conn).begin(group);
                    self.start(conn);
                }
                Action::Deliver(group) => {
                    for item in group {
                        let result = self.results.remove(&item).expect("bug: a statement without an outcome");
                        self.batch.push(result);
                    }
                    self.batch.push(Completion::Delivered(self.scheduler.delivered));
                }
                Action::Fail { item, reason, sent } => self.refuse(item, reason, sent),
                Action::Lend(conn, item) => {
                    self.member(conn).lent = true;
                    let arrived = self.arrived.remove(&item).unwrap_or_default();
                    self.batch.push(Completion::Lent(item, conn, self.now() - arrived));
                }
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

    /// Statements of one turn share their arrival time: one entry for each run of equal ones.
    fn record_waits(&mut self, group: &[ItemId]) {
        let now = self.now();
        let mut measures = self.shared.measures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for alike in group.chunk_by(|one, next| self.payloads[one].arrived == self.payloads[next].arrived) {
            measures.wait.record(now - self.payloads[&alike[0]].arrived, alike.len() as u64);
        }
    }

    fn open(&mut self, conn: ConnId) {
        self.counters.connects += 1;
        let mut member = Member::new();
        if self.options.asks_password {
            self.batch.push(Completion::NeedsPassword(conn));
        } else if let Some((inbox, ended)) = member.opening.take() {
            self.serve(conn, inbox, ended, None);
        }
        self.members.insert(conn, member);
    }

    pub(super) fn serve(
        &mut self,
        conn: ConnId,
        inbox: mpsc::UnboundedReceiver<Job>,
        ended: oneshot::Receiver<()>,
        password: Option<String>,
    ) {
        let (connector, events) = (self.connector.clone(), self.events.clone());
        self.serving.spawn(member::serve(connector, password, conn, inbox, ended, events));
        while self.serving.try_join_next().is_some() {}
    }

    /// Wait for a moment until every connection has said good-bye.
    async fn part(&mut self) {
        let gone = async { while self.serving.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, gone).await;
    }

    fn close(&mut self, conn: ConnId) {
        let Some(member) = self.members.remove(&conn) else { return };
        self.end_group(&member.group);
        let lost = Lost { sent: member.token.is_some(), ..Lost::new("the connection was closed by the pool") };
        if let Some(token) = member.token {
            self.batch.push(Completion::Ran(token, Err(lost.clone())));
        }
        if member.lent {
            self.batch.push(Completion::LentLost(conn, lost));
        }
    }

    fn refuse(&mut self, item: ItemId, reason: Reason, sent: bool) {
        let now = self.now();
        let arrived = self.payloads.get(&item).map(|payload| payload.arrived);
        let waited = now - arrived.or(self.arrived.get(&item).copied()).unwrap_or(now);
        let running = (reason == Reason::Timeout && !sent && !self.reported).then(|| self.stand(now));
        self.batch.push(Completion::Refused { item, reason, sent, waited, running });
        self.give_up(item);
        self.prune(&[item]);
    }

    /// How the pool stands, for those who have waited in vain: once for all who are told together.
    fn stand(&mut self, now: f64) -> Vec<(f64, Arc<str>)> {
        self.reported = true;
        self.set_gauges();
        self.scheduler.running().map(|(since, item)| (now - since, self.sql(item))).collect()
    }

    /// Nobody waits for `item` any more: where its group waits for its turn to write, it is left out.
    pub(super) fn give_up(&self, item: ItemId) {
        if matches!(self.connector, Connector::Sqlite(_)) {
            for member in self.members.values() {
                if let (Some(key), Some(at)) = (&member.key, member.group.iter().position(|one| *one == item)) {
                    key.give_up(at);
                }
            }
        }
    }

    pub(super) fn sql(&self, item: ItemId) -> Arc<str> {
        match &self.payloads[&item].source {
            Source::Plain(sql) => sql.clone(),
            Source::Known(text) => self.texts.info(*text).sql.clone(),
        }
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
            size: self.scheduler.size(),
            waiting: self.scheduler.waiting(),
            generation: self.scheduler.generation,
            healthy: self.scheduler.connect_failures == 0,
            broken_up: self.scheduler.broken_up,
            resent: self.scheduler.resent,
            ran_alone: self.scheduler.ran_alone,
            min_size: self.scheduler.limits.min_size,
            max_size: self.scheduler.limits.max_size,
            ..self.counters.clone()
        };
        for (_, state, running) in self.scheduler.states() {
            gauges.in_flight += running;
            match state {
                State::Idle => gauges.idle += 1,
                State::Opening => gauges.opening += 1,
                State::Lane => gauges.lanes += 1,
                State::Alone => gauges.alone += 1,
                State::Session => gauges.sessions += 1,
                State::Closing => {}
            }
        }
        *self.shared.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = gauges;
    }
}
