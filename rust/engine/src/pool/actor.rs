//! The one task that decides: it owns the scheduler, turns what happens into events, and carries the actions out.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::holder::{self, Sessions};
use super::member::{self, Events, Job};
use super::texts::Texts;
use super::{Command, Completion, Gauges, Params, Shared, Sink, Trouble};
use crate::rules::items::ById;
use crate::rules::{Action, ConnId, ItemId, Kind, Limits, NEVER, Reason, Scheduler, State, Text, TextId};
use crate::wire::{CancelKey, Config, Execute, Lost};

/// A statement, from its call to its answer.
pub(super) struct Payload {
    pub(super) text: TextId,
    pub(super) with_args: bool,
    pub(super) params: Option<Params>,
}

/// One connection, as the actor sees it. To drop it ends its task.
pub(super) struct Member {
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) _alive: oneshot::Sender<()>,
    pub(super) key: Option<CancelKey>,
    pub(super) group: Vec<ItemId>,
    /// Whether the group itself was sent; else its types are being asked for.
    pub(super) sent: bool,
    pub(super) retries: u32,
    /// What a borrower waits for.
    pub(super) token: Option<u64>,
    pub(super) lent: bool,
}

impl Member {
    /// A task that has ended has told so: the loss is on its way.
    pub(super) fn send(&self, job: Job) {
        drop(self.jobs.send(job));
    }
}

pub(super) struct Actor {
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) scheduler: Scheduler,
    pub(super) texts: Texts,
    pub(super) sessions: mobc::Pool<Sessions>,
    pub(super) events: Events,
    pub(super) lifetime: f64,
    pub(super) members: HashMap<ConnId, Member>,
    pub(super) payloads: ById<ItemId, Payload>,
    /// Statements whose arguments were asked for, and where they wait.
    pub(super) awaiting: ById<ItemId, ConnId>,
    /// Outcomes until the scheduler has them delivered.
    pub(super) results: ById<ItemId, Completion>,
    pub(super) batch: Vec<Completion>,
    pub(super) trouble: Option<Arc<Trouble>>,
    pub(super) counters: Gauges,
    pub(super) random: RandomState,
    pub(super) drawn: u64,
}

/// Serve one pool until it has ended.
pub async fn run(shared: Arc<Shared>, config: Config, limits: Limits, lifetime: f64, sink: Arc<dyn Sink>) {
    let (events, mut arrived) = mpsc::unbounded_channel();
    let mut actor = Actor {
        texts: Texts::new(sink.clone(), config.max_statements > 0),
        sessions: holder::holder(config),
        scheduler: Scheduler::new(limits),
        members: HashMap::new(),
        payloads: ById::default(),
        awaiting: ById::default(),
        results: ById::default(),
        batch: Vec::new(),
        trouble: None,
        counters: Gauges::default(),
        random: RandomState::new(),
        drawn: 0,
        shared,
        sink,
        events,
        lifetime,
    };
    let started = actor.scheduler.start(actor.now());
    actor.perform(started);
    loop {
        actor.report();
        if actor.scheduler.shutting_down && actor.scheduler.drained() {
            return actor.sink.complete(vec![Completion::Ended]);
        }
        let shared = actor.shared.clone();
        tokio::select! {
            Some((conn, event)) = arrived.recv() => actor.handle(conn, event),
            () = shared.wake.notified() => actor.take_commands(),
            () = until(actor.scheduler.wake, actor.now()) => {
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

/// Commands.
impl Actor {
    pub(super) fn now(&self) -> f64 {
        self.shared.epoch.elapsed().as_secs_f64()
    }

    pub(super) fn take_commands(&mut self) {
        let commands = std::mem::take(&mut *self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let now = self.now();
        for command in commands {
            let actions = self.obey(command, now);
            self.perform(actions);
        }
        let actions = self.scheduler.turn(self.now());
        self.perform(actions);
    }

    pub(super) fn obey(&mut self, command: Command, now: f64) -> Vec<Action> {
        match command {
            Command::AddText(id, info) => {
                self.scheduler.add_text(id, Text::new(info.kind, info.groupable, info.dirties));
                self.texts.add(id, info);
            }
            Command::ForgetText(id) => {
                self.scheduler.forget_text(id);
                self.texts.forget(id);
            }
            Command::Submit { item, text, with_args, params, deadline } => {
                self.texts.hold(text);
                self.payloads.insert(item, Payload { text, with_args, params });
                return self.scheduler.submit(item, text, deadline, now);
            }
            Command::Provide(item, params) => self.provide(item, params),
            Command::Acquire(item, deadline) => return self.scheduler.acquire(item, deadline, now),
            Command::Cancel(item) => {
                let actions = self.scheduler.cancel(item, now);
                self.prune(&[item]);
                return actions;
            }
            Command::Run(conn, token, statements) => {
                self.borrowed(conn, token, Job::Run { statements, revocable: false, shared: false });
            }
            Command::Describe(conn, token, sql) => self.borrowed(conn, token, Job::Describe(sql)),
            Command::Stop(conn, token) => self.cancel(conn, Some(token)),
            Command::Release(conn, healthy) => return self.release(conn, healthy, now),
            Command::Resize(low, high) => return self.scheduler.resize(now, low, high),
            Command::Expire => return self.scheduler.expire(now),
            Command::ShutDown => return self.scheduler.shut_down(now),
            Command::Terminate => return self.scheduler.terminate(),
        }
        Vec::new()
    }

    /// The caller has encoded the arguments that it was asked for, or says that they do not fit.
    pub(super) fn provide(&mut self, item: ItemId, params: Option<Params>) {
        let Some(conn) = self.awaiting.remove(&item) else { return };
        match (params, self.payloads.get_mut(&item)) {
            (Some(params), Some(payload)) => {
                payload.params = Some(params);
                self.start(conn);
            }
            _ => {
                self.results.insert(item, Completion::Unfit(item));
                self.finish(conn, false, 0.0, 0);
            }
        }
    }

    /// A borrower's job.
    pub(super) fn borrowed(&mut self, conn: ConnId, token: u64, job: Job) {
        match self.members.get_mut(&conn).filter(|member| member.lent && member.token.is_none()) {
            Some(member) => {
                member.token = Some(token);
                member.send(job);
            }
            None => {
                let lost = Lost { sent: false, ..Lost::new("the connection is gone") };
                self.batch.push(Completion::Ran(token, Err(lost)));
            }
        }
    }

    pub(super) fn release(&mut self, conn: ConnId, healthy: bool, now: f64) -> Vec<Action> {
        let Some(member) = self.members.get_mut(&conn).filter(|member| member.lent) else { return Vec::new() };
        member.lent = false;
        let idle = member.token.take().is_none(); // else something still runs on it
        self.scheduler.released(conn, now, healthy && idle)
    }
}

/// Actions.
impl Actor {
    pub(super) fn perform(&mut self, actions: Vec<Action>) {
        let mut todo = VecDeque::from(actions);
        while let Some(action) = todo.pop_front() {
            match action {
                Action::Send(conn, group) => {
                    let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
                    (member.group, member.retries) = (group, 0);
                    self.start(conn);
                }
                Action::Deliver(group) => {
                    for item in group {
                        let result = self.results.remove(&item).expect("bug: a statement without an outcome");
                        self.batch.push(result);
                    }
                }
                Action::Fail { item, reason, sent } => self.refuse(item, reason, sent),
                Action::Lend(conn, item) => {
                    self.members.get_mut(&conn).expect("bug: a connection that is not there").lent = true;
                    self.batch.push(Completion::Lent(item, conn));
                }
                Action::Open(conn) => self.open(conn),
                Action::Cancel(conn) => self.cancel(conn, None),
                Action::Reset(conn) => self.members[&conn].send(Job::Reset),
                Action::Close(conn) => {
                    self.close(conn);
                    todo.extend(self.scheduler.closed(conn, self.now()));
                }
            }
        }
    }

    /// Send the group of `conn`, or ask for what is missing: from the server its types, from the caller its arguments.
    pub(super) fn start(&mut self, conn: ConnId) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        let mut statements = Vec::with_capacity(member.group.len());
        let mut revocable = true;
        for item in &member.group {
            let payload = &self.payloads[item];
            let info = self.texts.info(payload.text);
            revocable = revocable && info.kind != Kind::Other;
            let known = self.texts.described(payload.text);
            statements.push(match (known, &payload.params) {
                (None, _) if !payload.with_args => Execute::Direct(info.sql.clone()),
                (None, _) => {
                    member.sent = false;
                    return member.send(Job::Describe(info.sql.clone()));
                }
                (Some(text), _) if !payload.with_args => Execute::Known { text: text.clone(), params: Bytes::new() },
                (Some(text), Some((under, params))) if Arc::ptr_eq(text, under) => {
                    Execute::Known { text: text.clone(), params: params.clone() }
                }
                (Some(text), _) => {
                    member.sent = false;
                    self.awaiting.insert(*item, conn);
                    return self.batch.push(Completion::NeedsParams(*item, text.clone()));
                }
            });
        }
        member.sent = true;
        member.send(Job::Run { statements, revocable, shared: true });
    }

    pub(super) fn open(&mut self, conn: ConnId) {
        self.counters.connects += 1;
        let (jobs, inbox) = mpsc::unbounded_channel();
        let (alive, ended) = oneshot::channel();
        tokio::spawn(member::serve(self.sessions.clone(), conn, inbox, ended, self.events.clone()));
        let member = Member {
            jobs,
            _alive: alive,
            key: None,
            group: Vec::new(),
            sent: false,
            retries: 0,
            token: None,
            lent: false,
        };
        self.members.insert(conn, member);
    }

    pub(super) fn cancel(&mut self, conn: ConnId, token: Option<u64>) {
        match (self.members.get(&conn).and_then(|member| member.key.clone()), token) {
            (Some(key), _) => drop(tokio::spawn(member::cancel(key, conn, token, self.events.clone()))),
            (None, Some(token)) => self.batch.push(Completion::Stopped(token)),
            (None, None) => {}
        }
    }

    pub(super) fn close(&mut self, conn: ConnId) {
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

    pub(super) fn refuse(&mut self, item: ItemId, reason: Reason, sent: bool) {
        self.batch.push(Completion::Refused { item, reason, sent, cause: self.trouble.clone() });
        self.prune(&[item]);
    }

    /// A number in 0..1: nothing that needs to be hard to guess.
    pub(super) fn draw(&mut self) -> f64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn) as f64 / u64::MAX as f64
    }

    /// Hand out what was decided, and say how the pool stands.
    pub(super) fn report(&mut self) {
        let mut gauges = Gauges {
            size: self.scheduler.size(),
            waiting: self.scheduler.waiting(),
            generation: self.scheduler.generation,
            healthy: self.scheduler.connect_failures == 0,
            broken_up: self.scheduler.broken_up,
            resent: self.scheduler.resent,
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
        if !self.batch.is_empty() {
            self.sink.complete(std::mem::take(&mut self.batch));
        }
    }
}
