//! The one task that decides: it owns the scheduler, turns what happens into events, and carries the actions out.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::holder::{self, Sessions};
use super::member::{self, Event, Events, Job};
use super::texts::Texts;
use super::{Command, Completion, Gauges, Params, Shared, Sink, Trouble};
use crate::rules::items::ById;
use crate::rules::{Action, ConnId, ItemId, Kind, Limits, NEVER, Reason, Scheduler, State, Text, TextId};
use crate::wire::{Answer, CancelKey, Config, Described, Execute, Lost, Outcome, ServerError, Types};

/// How often a statement is prepared again before its error is reported.
const MOST_RETRIES: u32 = 3;

/// A statement, from its call to its answer.
struct Payload {
    text: TextId,
    with_args: bool,
    params: Option<Params>,
}

/// One connection, as the actor sees it. To drop it ends its task.
struct Member {
    jobs: mpsc::UnboundedSender<Job>,
    _alive: oneshot::Sender<()>,
    key: Option<CancelKey>,
    group: Vec<ItemId>,
    /// Whether the group itself was sent; else its types are being asked for.
    sent: bool,
    retries: u32,
    /// What a borrower waits for.
    token: Option<u64>,
    lent: bool,
}

impl Member {
    /// A task that has ended has told so: the loss is on its way.
    fn send(&self, job: Job) {
        drop(self.jobs.send(job));
    }
}

struct Actor {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    scheduler: Scheduler,
    texts: Texts,
    sessions: mobc::Pool<Sessions>,
    events: Events,
    lifetime: f64,
    members: HashMap<ConnId, Member>,
    payloads: ById<ItemId, Payload>,
    /// Statements whose arguments were asked for, and where they wait.
    awaiting: ById<ItemId, ConnId>,
    /// Outcomes until the scheduler has them delivered.
    results: ById<ItemId, Completion>,
    batch: Vec<Completion>,
    trouble: Option<Arc<Trouble>>,
    counters: Gauges,
    random: RandomState,
    drawn: u64,
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
    fn now(&self) -> f64 {
        self.shared.epoch.elapsed().as_secs_f64()
    }

    fn take_commands(&mut self) {
        let commands = std::mem::take(&mut *self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let now = self.now();
        for command in commands {
            let actions = self.obey(command, now);
            self.perform(actions);
        }
        let actions = self.scheduler.turn(self.now());
        self.perform(actions);
    }

    fn obey(&mut self, command: Command, now: f64) -> Vec<Action> {
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
    fn provide(&mut self, item: ItemId, params: Option<Params>) {
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
    fn borrowed(&mut self, conn: ConnId, token: u64, job: Job) {
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

    fn release(&mut self, conn: ConnId, healthy: bool, now: f64) -> Vec<Action> {
        let Some(member) = self.members.get_mut(&conn).filter(|member| member.lent) else { return Vec::new() };
        member.lent = false;
        let idle = member.token.take().is_none(); // else something still runs on it
        self.scheduler.released(conn, now, healthy && idle)
    }
}

/// Events of connections.
impl Actor {
    fn handle(&mut self, conn: ConnId, event: Event) {
        let now = self.now();
        let actions = match event {
            Event::Opened(key) => {
                if let Some(member) = self.members.get_mut(&conn) {
                    member.key = Some(key);
                }
                let lifetime = self.lifetime * (0.9 + 0.2 * self.draw());
                self.scheduler.opened(conn, now, lifetime)
            }
            Event::OpenFailed(error) => {
                self.counters.connect_failures += 1;
                self.members.remove(&conn);
                let permanent = error.permanent;
                self.trouble = Some(Arc::new(Trouble::Connect(error)));
                let jitter = self.draw();
                self.scheduler.open_failed(conn, now, permanent, jitter)
            }
            Event::CancelClosed(None) => self.scheduler.cancel_closed(conn, now),
            Event::CancelClosed(Some(token)) => return self.batch.push(Completion::Stopped(token)),
            // What follows comes from a connection that may have been given up meanwhile.
            _ if !self.members.contains_key(&conn) => return,
            Event::Ran(answer) => return self.answered(conn, answer),
            Event::Described(answer, elapsed) => return self.described(conn, answer, elapsed),
            Event::ResetDone => self.scheduler.reset_done(conn, now),
            Event::Lost(lost) => self.lost(conn, lost, now),
        };
        self.perform(actions);
    }

    fn lost(&mut self, conn: ConnId, lost: Lost, now: f64) -> Vec<Action> {
        self.counters.lost += 1;
        let member = self.members.remove(&conn).expect("bug: a connection that is not there");
        self.trouble = Some(Arc::new(Trouble::Lost(lost.clone())));
        let actions = self.scheduler.lost(conn, now, lost.sent && member.sent, lost.retires());
        self.end_group(&member.group);
        if let Some(token) = member.token {
            self.batch.push(Completion::Ran(token, Err(lost.clone())));
        }
        if member.lent {
            self.batch.push(Completion::LentLost(conn, lost));
        }
        actions
    }

    /// ReadyForQuery: what was run is final.
    fn answered(&mut self, conn: ConnId, answer: Answer) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        if member.group.is_empty() {
            if let Some(token) = member.token.take() {
                self.batch.push(Completion::Ran(token, Ok(answer)));
            }
            return;
        }
        if let [item] = member.group[..]
            && let [Outcome::Failed(error)] = &answer.outcomes[..]
            && error.is_stale_plan()
            && self.heal(conn, item, error.code() == "42P05", error.code() == "26000")
        {
            return;
        }
        let group = self.members[&conn].group.clone();
        let (ok, elapsed, largest) = (answer.ok, answer.elapsed.as_secs_f64(), answer.largest);
        for (item, outcome) in group.into_iter().zip(answer.outcomes) {
            if let Some(result) = self.result(item, outcome) {
                self.results.insert(item, result);
            }
        }
        self.finish(conn, ok, elapsed, largest);
    }

    fn result(&mut self, item: ItemId, outcome: Outcome) -> Option<Completion> {
        match outcome {
            Outcome::Skipped => None,
            Outcome::Failed(error) => Some(Completion::Failed(item, error)),
            Outcome::Done { tag, rows, columns } => {
                let text = self.payloads[&item].text;
                let shape = match columns {
                    None => self.texts.described(text).filter(|known| !known.columns.is_empty()).cloned(),
                    Some(columns) => {
                        if self.texts.info(text).preparable && self.texts.described(text).is_none() {
                            self.texts.describe(text, Vec::new(), columns.clone());
                        }
                        let sql = self.texts.info(text).sql.clone();
                        Some(Arc::new(Described::new(String::new(), sql, Vec::new(), columns)))
                    }
                };
                Some(Completion::Done { item, tag, rows, shape })
            }
        }
    }

    /// A statement alone that failed since its plan is out of date is prepared anew and sent once more.
    fn heal(&mut self, conn: ConnId, item: ItemId, taken: bool, unknown: bool) -> bool {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        let again = member.retries > 0;
        if member.retries >= MOST_RETRIES || (again && !taken && !unknown) {
            return false;
        }
        member.retries += 1;
        let text = self.payloads[&item].text;
        if let Some(old) = self.texts.outdated(text) {
            self.members[&conn].send(Job::Discard(old.name.clone()));
        }
        if taken || (again && unknown) {
            self.texts.give_up_names(); // a proxy deals statements out to other connections: names mean nothing there
        }
        self.start(conn);
        true
    }

    /// The server told the types of the text that `conn` is to run.
    fn described(&mut self, conn: ConnId, answer: Result<Types, ServerError>, took: Duration) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        if member.group.is_empty() {
            if let Some(token) = member.token.take() {
                self.batch.push(Completion::Described(token, Ok(answer)));
            }
            return;
        }
        self.scheduler.measured(took.as_secs_f64());
        let Some(item) = self.undescribed(conn) else {
            return self.start(conn); // the types came on another connection meanwhile
        };
        match answer {
            Ok((params, columns)) => {
                let text = self.payloads[&item].text;
                self.texts.describe(text, params, columns);
                self.start(conn);
            }
            Err(error) => {
                self.results.insert(item, Completion::Failed(item, error));
                self.finish(conn, false, took.as_secs_f64(), 0);
            }
        }
    }

    /// The first statement of the group of `conn` whose types are not known.
    fn undescribed(&self, conn: ConnId) -> Option<ItemId> {
        let unknown = |item: &&ItemId| {
            let payload = &self.payloads[*item];
            payload.with_args && self.texts.described(payload.text).is_none()
        };
        self.members[&conn].group.iter().find(unknown).copied()
    }

    /// The group of `conn` is answered.
    fn finish(&mut self, conn: ConnId, ok: bool, seconds: f64, largest: usize) {
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        let group = std::mem::take(&mut member.group);
        if ok || group.len() == 1 {
            self.counters.groups += 1;
            self.counters.statements += group.len() as u64;
        }
        for item in &group {
            self.awaiting.remove(item); // before it may be sent again, and asked for again
        }
        let actions = self.scheduler.finished(conn, ok, self.now(), seconds, largest as f64);
        self.perform(actions);
        for item in &group {
            self.results.remove(item);
        }
        self.prune(&group);
    }

    /// The connection of a group is gone; what the scheduler sends again starts anew.
    fn end_group(&mut self, group: &[ItemId]) {
        for item in group {
            self.awaiting.remove(item);
        }
        self.prune(group);
    }

    fn prune(&mut self, items: &[ItemId]) {
        for item in items {
            if !self.scheduler.knows(*item)
                && let Some(payload) = self.payloads.remove(item)
            {
                self.texts.release(payload.text);
            }
        }
    }
}

/// Actions.
impl Actor {
    fn perform(&mut self, actions: Vec<Action>) {
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
    fn start(&mut self, conn: ConnId) {
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

    fn open(&mut self, conn: ConnId) {
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

    fn cancel(&mut self, conn: ConnId, token: Option<u64>) {
        match (self.members.get(&conn).and_then(|member| member.key.clone()), token) {
            (Some(key), _) => drop(tokio::spawn(member::cancel(key, conn, token, self.events.clone()))),
            (None, Some(token)) => self.batch.push(Completion::Stopped(token)),
            (None, None) => {}
        }
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
        self.batch.push(Completion::Refused { item, reason, sent, cause: self.trouble.clone() });
        self.prune(&[item]);
    }

    /// A number in 0..1: nothing that needs to be hard to guess.
    fn draw(&mut self) -> f64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn) as f64 / u64::MAX as f64
    }

    /// Hand out what was decided, and say how the pool stands.
    fn report(&mut self) {
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
