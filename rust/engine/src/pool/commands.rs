//! What the caller asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::actor::{Actor, ConnectionTask, Payload, Phase};
use super::backend::Connector;
use super::connection_task::Job;
use super::descriptions::KnownQuery;
use super::requests::names_digits;
use super::{Command, Completion, Experience, Params, QueryInfo};
use crate::link::Lost;
use crate::scheduler::{Action, ConnId, Kind, Query, REASONS, RequestId};

impl Actor {
    pub(super) fn take_commands(&mut self) {
        // Before the commands: those of these callers are among them.
        let acknowledged = self.shared.acknowledged.load(Ordering::Acquire);
        let commands = std::mem::take(&mut *self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let now = self.now();
        for command in commands {
            let actions = self.obey(command, now);
            self.perform(actions);
        }
        let actions = self.scheduler.end_of_tick(self.now(), acknowledged);
        self.perform(actions);
    }

    fn obey(&mut self, command: Command, now: f64) -> Vec<Action<Payload>> {
        match command {
            Command::AddQuery(id, info) => {
                let QueryInfo { sql, kind, groupable, why, dirties, keys, preparable, asks, urgent } = info;
                let known =
                    KnownQuery { names_digits: names_digits(&sql), sql, keys, preparable, asks, described: None };
                let groupable = groupable && !(self.no_grouping && kind == Kind::Write);
                let mut query = Query::new(kind, groupable, dirties, known);
                query.why = why.min(REASONS - 1);
                query.urgent = urgent;
                self.scheduler.requests.add_query(id, query);
            }
            Command::ForgetQuery(id) => self.scheduler.requests.forget_query(id),
            Command::MayBeStale(id, described) => {
                self.outdated(id, &described);
                self.forget_types(&described);
            }
            Command::DescribeAgain(id) => {
                let known = self.scheduler.requests.find_query(id).and_then(|query| query.info.described.clone());
                if let Some(described) = known {
                    self.outdated(id, &described);
                }
            }
            Command::ForgetTypes => self.types.clear(),
            Command::Regroup(id, verdict, keys) => {
                if let Some(query) = self.scheduler.requests.find_query(id) {
                    query.info.keys = keys;
                }
                return self.scheduler.regroup(id, verdict, now);
            }
            Command::Experience(id, asked) => {
                let (seen, mean, fast) = self.scheduler.experience(id, now);
                let prepared = self.known(id).described.is_some();
                let _ = asked.send(Experience { seen, mean, fast, prepared }); // the caller may not have waited so long
            }
            Command::Submit { request, query, with_args, params, deadline } => {
                let payload = Payload::new(None, with_args, params);
                return self.scheduler.submit(request, query, payload, deadline, now);
            }
            Command::Provide(request, params) => self.provide(request, params),
            Command::Acquire(request, deadline) => return self.scheduler.acquire(request, deadline, now),
            Command::Cancel(request) => {
                let actions = self.scheduler.cancel(request, now);
                self.give_up(request);
                return actions;
            }
            Command::Run(conn, token, calls) => self.run_acquired(conn, token, calls, now),
            Command::Describe(conn, token, calls) => self.describe_acquired(conn, token, calls, now),
            Command::Copy(conn, token, request, sql) => self.copy_acquired(conn, token, request, sql, now),
            Command::Feed(conn, feed) => self.feed(conn, feed),
            Command::Stop(conn, token) => self.cancel(conn, Some(token)),
            Command::Release(conn, healthy) => return self.release(conn, healthy, now),
            Command::Abort(conn, reason, evict_all) => return self.abort(conn, Lost::new(reason), evict_all, now),
            Command::Password(conn, password) => return self.password(conn, password, now),
            Command::ExactFloats(conn, exact) => {
                if let Some(task) = self.tasks.get_mut(&conn) {
                    (task.exact_at_start, task.exact) = (exact, exact);
                }
            }
            Command::Initialized(conn, outcome) => return self.initialized(conn, outcome, now),
            Command::ResetDone(conn, clean) => return self.reset_done(conn, clean, now),
            Command::Look(seen) => {
                self.set_gauges();
                let _ = seen.send(()); // the caller may not have waited so long
            }
            Command::Resize(low, high) => return self.scheduler.resize(now, low, high),
            Command::Retarget(backend, asks_password) => {
                self.connector = Connector::new(*backend);
                self.options.asks_password = asks_password;
            }
            Command::Expire => return self.scheduler.expire(now),
            Command::ShutDown => return self.scheduler.shut_down(now),
            Command::Terminate => return self.scheduler.terminate(),
        }
        Vec::new()
    }

    /// The caller has encoded the arguments that it was asked for, or says that they do not fit.
    fn provide(&mut self, request: RequestId, params: Option<Params>) {
        let Some(payload) = self.scheduler.requests.find_payload(request) else { return };
        let Some(conn) = payload.awaiting.take() else { return };
        if params.is_none() {
            if !self.looks_up_again(conn, request) {
                self.payload(request).result = Some(Completion::Unfit(request));
                self.finish(conn, false, 0.0, 0);
            }
            return;
        }
        payload.params = params;
        let task = self.task(conn);
        task.missing -= 1;
        if task.missing == 0 {
            self.start(conn);
        }
    }

    fn release(&mut self, conn: ConnId, healthy: bool, now: f64) -> Vec<Action<Payload>> {
        let Some(task) = self.tasks.get_mut(&conn).filter(|task| task.acquired) else { return Vec::new() };
        task.acquired = false;
        let idle = task.token.take().is_none(); // else something still runs on it
        self.scheduler.released(conn, now, healthy && idle)
    }

    fn abort(&mut self, conn: ConnId, lost: Lost, evict_all: bool, now: f64) -> Vec<Action<Payload>> {
        if self.tasks.contains_key(&conn) { self.lost(conn, lost, evict_all, now) } else { Vec::new() }
    }

    fn password(&mut self, conn: ConnId, password: Result<String, bool>, now: f64) -> Vec<Action<Payload>> {
        let Some((inbox, ended)) = self.tasks.get_mut(&conn).and_then(|task| task.opening.take()) else {
            return Vec::new(); // closed meanwhile
        };
        match password {
            Ok(password) => self.serve(conn, inbox, ended, Some(password)),
            Err(permanent) => return self.not_opened(conn, permanent, now),
        }
        Vec::new()
    }

    /// A new connection was looked at and prepared; else whether to open another one cannot help either.
    fn initialized(&mut self, conn: ConnId, outcome: Result<Option<f64>, bool>, now: f64) -> Vec<Action<Payload>> {
        match (outcome, self.tasks.get_mut(&conn).filter(|task| task.phase == Phase::Initializing)) {
            (Ok(round_trip), Some(task)) => {
                (task.acquired, task.phase) = (false, Phase::Serving);
                self.opened(conn, now, round_trip)
            }
            (Ok(_), None) => self.not_opened(conn, false, now),
            (Err(permanent), _) => self.not_opened(conn, permanent, now),
        }
    }

    fn reset_done(&mut self, conn: ConnId, clean: bool, now: f64) -> Vec<Action<Payload>> {
        let Some(task) = self.tasks.get_mut(&conn).filter(|task| task.phase == Phase::Resetting) else {
            return Vec::new();
        };
        (task.acquired, task.phase) = (false, Phase::Serving);
        if clean {
            task.exact = task.exact_at_start;
            return self.scheduler.reset_done(conn, now);
        }
        let lost = Lost { sent: false, ..Lost::new("the session could not be reset") };
        self.lost(conn, lost, false, now)
    }

    pub(super) fn task(&mut self, conn: ConnId) -> &mut ConnectionTask {
        self.tasks.get_mut(&conn).expect("bug: a connection that is not there")
    }

    /// Ask the task's server to stop what runs.
    pub(super) fn cancel(&mut self, conn: ConnId, token: Option<u64>) {
        match (self.tasks.get(&conn).and_then(|task| task.cancel_handle.clone()), token) {
            (Some(cancel_handle), _) => {
                drop(tokio::spawn(super::connection_task::cancel(cancel_handle, conn, token, self.events.clone())))
            }
            (None, Some(token)) => self.batch.push(Completion::Stopped(token, true)),
            (None, None) => {}
        }
    }

    /// Bring a session back to its initial state.
    pub(super) fn reset(&mut self, conn: ConnId) {
        let resets = self.options.resets;
        let limit = self.options.patience.map(Duration::from_secs_f64);
        let task = self.task(conn);
        if resets {
            (task.acquired, task.phase) = (true, Phase::Resetting);
            self.batch.push(Completion::Reset(conn));
        } else {
            task.send(Job {
                statements: vec![crate::link::Execute::Direct(Arc::from("DISCARD ALL"))],
                limit,
                ..Job::default()
            });
        }
    }
}
