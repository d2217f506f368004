//! What becomes of a statement that fails because something the pool knows is out of date.

use std::sync::Arc;

use super::Completion;
use super::actor::Actor;
use super::connection_task::Job;
use super::events::same_columns;
use crate::link::{Described, Execute, Outcome, ServerError, Stale};
use crate::scheduler::{ConnId, Kind, QueryId, RequestId, StatementRequest};

/// Asks which process serves a connection: another than it was opened to, behind a proxy that deals statements out.
const PID: &str = "SELECT pg_backend_pid()";

/// A description whose types may be out of date, and the error that says so: the server is asked again first.
pub(super) struct Suspect {
    request: RequestId,
    text: QueryId,
    described: Arc<Described>,
    error: ServerError,
}

impl Actor {
    /// Forget what the failed statement of a group proves to be out of date. True if it is alone, and sent again: once
    /// for each cause.
    pub(super) fn heal(&mut self, conn: ConnId) -> bool {
        let task = &self.tasks[&conn];
        if task.feed.is_some() {
            return false; // the data of a COPY are gone
        }
        let requests = &self.scheduler.requests;
        let failed =
            |request: &&RequestId| matches!(requests.statement(**request).payload.result, Some(Completion::Failed(..)));
        let Some(request) = task.group.iter().find(failed).copied() else { return false };
        let StatementRequest { query, payload } = requests.statement(request);
        let Some(Completion::Failed(_, error)) = &payload.result else { return false };
        let (Some(text), Some(under)) = (*query, payload.under.clone()) else { return false };
        let query = requests.query(text);
        let revocable = query.kind != Kind::Other;
        let stale = error.stale(&under.name, !under.param_oids.is_empty(), revocable);
        let Some(cause) = stale.filter(|_| query.info.preparable) else { return false };
        let suspect =
            (cause == Stale::Types).then(|| Suspect { request, text, described: under.clone(), error: error.clone() });
        if cause == Stale::Taken {
            self.doubt_names();
        }
        let task = self.tasks.get_mut(&conn).expect("bug: a connection that is not there");
        if task.tried.contains(&cause) {
            return false;
        }
        task.tried.push(cause);
        self.outdated(text, &under);
        self.forget_types(&under);
        let task = self.task(conn);
        if task.group.len() > 1 || task.in_transaction {
            return false;
        }
        (task.at, task.suspect) = (0, suspect);
        self.payload(request).result = None;
        self.start(conn);
        true
    }

    /// The server told the types of a suspect again: true if they are the same, so that the error was the statement's
    /// own.
    pub(super) fn acquits(&mut self, conn: ConnId) -> bool {
        let Some(suspect) = self.task(conn).suspect.take() else { return false };
        let Suspect { request, text, described: old, error } = suspect;
        let new = self.known(text).described.as_ref();
        let same = new.is_some_and(|new| new.param_oids == old.param_oids && same_columns(&new.columns, &old.columns));
        if same {
            self.scheduler.requests.query_mut(text).info.described = Some(old);
            self.payload(request).result = Some(Completion::Failed(request, error));
        }
        same
    }

    /// A name was taken: before anything else is sent outside a transaction, the server is asked whose process it is.
    pub(super) fn probes(&mut self, conn: ConnId) -> bool {
        if !self.names.doubted || self.task(conn).in_transaction {
            return false;
        }
        let task = self.task(conn);
        task.probing = true;
        task.send(Job { statements: vec![Execute::Direct(PID.into())], revocable: true, ..Job::default() });
        true
    }

    /// It has told.
    pub(super) fn probed(&mut self, conn: ConnId, outcomes: &[Outcome]) {
        let own = self
            .task(conn)
            .cancel_handle
            .as_ref()
            .and_then(|cancel_handle| cancel_handle.process_id())
            .map(|pid| pid.to_string());
        let mut direct = false;
        if let Some(Outcome::Done { rows, .. }) = outcomes.first() {
            let told = rows.read(|_, _, value| direct = value.is_some() && value == own.as_deref().map(str::as_bytes));
            direct = direct && told.is_ok();
        }
        self.judge_names(direct);
        self.start(conn);
    }
}
