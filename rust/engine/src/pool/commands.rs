//! What the caller asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::actor::{Actor, Member, Payload, Stage};
use super::member::Job;
use super::{Call, Command, Completion, Experience, Params, Source};
use crate::scheduler::{Action, ConnId, ItemId, Kind, REASONS, Text};
use crate::wire::Lost;

impl Actor {
    pub(super) fn take_commands(&mut self) {
        let heard = self.shared.heard.load(Ordering::Acquire); // before the commands: those callers' are among them
        let commands = std::mem::take(&mut *self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let now = self.now();
        for command in commands {
            let actions = self.obey(command, now);
            self.perform(actions);
        }
        let actions = self.scheduler.turn(self.now(), heard);
        self.perform(actions);
    }

    fn obey(&mut self, command: Command, now: f64) -> Vec<Action> {
        match command {
            Command::AddText(id, info) => {
                let groupable = info.groupable && !(self.apart && info.kind == Kind::Write);
                let why = info.why.min(REASONS - 1);
                let mut text = Text::new(info.kind, groupable, info.dirties);
                text.why = why;
                self.scheduler.add_text(id, text);
                self.texts.add(id, info);
            }
            Command::ForgetText(id) => {
                self.scheduler.forget_text(id);
                self.texts.forget(id);
            }
            Command::Doubt(id, described) => {
                self.texts.outdated(id, &described);
                self.forget_types(&described);
            }
            Command::ForgetTypes => self.types.clear(),
            Command::Regroup(id, verdict, keys) => {
                if self.texts.reclassify(id, verdict.kind, keys) {
                    return self.scheduler.regroup(id, verdict, now);
                }
            }
            Command::Experience(id, asked) => {
                let (seen, mean, fast) = self.scheduler.experience(id, now);
                let prepared = self.texts.described(id).is_some();
                let _ = asked.send(Experience { seen, mean, fast, prepared }); // whoever asked may not have waited so long
            }
            Command::Submit { item, text, with_args, params, deadline } => {
                self.take_in(Call { item, source: Source::Known(text), with_args, params }, now);
                return self.scheduler.submit(item, text, deadline, now);
            }
            Command::Provide(item, params) => self.provide(item, params),
            Command::Acquire(item, deadline) => {
                self.arrived.insert(item, now);
                return self.scheduler.acquire(item, deadline, now);
            }
            Command::Cancel(item) => {
                let actions = self.scheduler.cancel(item, now);
                self.give_up(item);
                self.prune(&[item]);
                return actions;
            }
            Command::Run(conn, token, calls) => self.run_lent(conn, token, calls, now),
            Command::Describe(conn, token, call) => self.describe_lent(conn, token, call, now),
            Command::Copy(conn, token, item, sql) => self.copy_lent(conn, token, item, sql, now),
            Command::Feed(conn, feed) => self.feed(conn, feed),
            Command::Stop(conn, token) => self.cancel(conn, Some(token)),
            Command::Release(conn, healthy) => return self.release(conn, healthy, now),
            Command::Abort(conn, reason, retire) => return self.abort(conn, Lost::new(reason), retire, now),
            Command::Password(conn, password) => return self.password(conn, password, now),
            Command::Told(conn, exact) => {
                if let Some(member) = self.members.get_mut(&conn) {
                    (member.told, member.exact) = (exact, exact);
                }
            }
            Command::Greeted(conn, greeting) => return self.greeted(conn, greeting, now),
            Command::Cleaned(conn, clean) => return self.cleaned(conn, clean, now),
            Command::Look(seen) => {
                self.set_gauges();
                let _ = seen.send(()); // whoever asked may not have waited so long
            }
            Command::Resize(low, high) => return self.scheduler.resize(now, low, high),
            Command::Expire => return self.scheduler.expire(now),
            Command::ShutDown => return self.scheduler.shut_down(now),
            Command::Terminate => return self.scheduler.terminate(),
        }
        Vec::new()
    }

    pub(super) fn take_in(&mut self, call: Call, now: f64) {
        if let Source::Known(text) = call.source {
            self.texts.hold(text);
        }
        let Call { item, source, with_args, params } = call;
        let under = params.as_ref().filter(|(text, _)| text.plan.is_some()).map(|(text, _)| text.clone());
        self.payloads.insert(item, Payload { source, with_args, params, under, arrived: now });
    }

    /// The caller has encoded the arguments that it was asked for, or says that they do not fit.
    fn provide(&mut self, item: ItemId, params: Option<Params>) {
        let Some(conn) = self.awaiting.remove(&item) else { return };
        if params.is_none() && self.looks_up_again(conn, item) {
            return;
        }
        match (params, self.payloads.get_mut(&item)) {
            (Some(params), Some(payload)) => {
                payload.params = Some(params);
                let member = self.member(conn);
                member.missing -= 1;
                if member.missing == 0 {
                    self.start(conn);
                }
            }
            _ => {
                self.results.insert(item, Completion::Unfit(item));
                self.finish(conn, false, 0.0, 0);
            }
        }
    }

    fn release(&mut self, conn: ConnId, healthy: bool, now: f64) -> Vec<Action> {
        let Some(member) = self.members.get_mut(&conn).filter(|member| member.lent) else { return Vec::new() };
        member.lent = false;
        let idle = member.token.take().is_none(); // else something still runs on it
        self.scheduler.released(conn, now, healthy && idle)
    }

    fn abort(&mut self, conn: ConnId, lost: Lost, retire: bool, now: f64) -> Vec<Action> {
        if self.members.contains_key(&conn) { self.lost(conn, lost, retire, now) } else { Vec::new() }
    }

    fn password(&mut self, conn: ConnId, password: Result<String, bool>, now: f64) -> Vec<Action> {
        let Some((inbox, ended)) = self.members.get_mut(&conn).and_then(|member| member.opening.take()) else {
            return Vec::new(); // closed meanwhile
        };
        match password {
            Ok(password) => self.serve(conn, inbox, ended, Some(password)),
            Err(permanent) => return self.not_opened(conn, permanent, now),
        }
        Vec::new()
    }

    /// A new connection was looked at and prepared; else whether to open another one cannot help either.
    fn greeted(&mut self, conn: ConnId, greeting: Result<Option<f64>, bool>, now: f64) -> Vec<Action> {
        match (greeting, self.members.get_mut(&conn).filter(|member| member.stage == Stage::Greeting)) {
            (Ok(round_trip), Some(member)) => {
                (member.lent, member.stage) = (false, Stage::Serving);
                self.opened(conn, now, round_trip)
            }
            (Ok(_), None) => self.not_opened(conn, false, now),
            (Err(permanent), _) => self.not_opened(conn, permanent, now),
        }
    }

    fn cleaned(&mut self, conn: ConnId, clean: bool, now: f64) -> Vec<Action> {
        let Some(member) = self.members.get_mut(&conn).filter(|member| member.stage == Stage::Cleaning) else {
            return Vec::new();
        };
        (member.lent, member.stage) = (false, Stage::Serving);
        if clean {
            member.exact = member.told;
            return self.scheduler.reset_done(conn, now);
        }
        let lost = Lost { sent: false, ..Lost::new("the session could not be reset") };
        self.lost(conn, lost, false, now)
    }

    pub(super) fn member(&mut self, conn: ConnId) -> &mut Member {
        self.members.get_mut(&conn).expect("bug: a connection that is not there")
    }

    /// Ask the member's server to stop what runs.
    pub(super) fn cancel(&mut self, conn: ConnId, token: Option<u64>) {
        match (self.members.get(&conn).and_then(|member| member.key.clone()), token) {
            (Some(key), _) => drop(tokio::spawn(super::member::cancel(key, conn, token, self.events.clone()))),
            (None, Some(token)) => self.batch.push(Completion::Stopped(token, true)),
            (None, None) => {}
        }
    }

    /// Bring a session back to its initial state.
    pub(super) fn reset(&mut self, conn: ConnId) {
        let cleans = self.options.cleans;
        let limit = self.options.patience.map(Duration::from_secs_f64);
        let member = self.member(conn);
        if cleans {
            (member.lent, member.stage) = (true, Stage::Cleaning);
            self.batch.push(Completion::Clean(conn));
        } else {
            member.send(Job {
                statements: vec![crate::wire::Execute::Direct(Arc::from("DISCARD ALL"))],
                limit,
                ..Job::default()
            });
        }
    }
}
