//! What becomes of a statement that fails because something the pool knows is out of date.

use std::sync::Arc;

use super::actor::Actor;
use super::answers::same_columns;
use super::member::Job;
use super::{Completion, Source};
use crate::scheduler::{ConnId, ItemId, Kind, TextId};
use crate::wire::{Described, Execute, Outcome, ServerError, Stale};

/// Asks which process serves a connection: another than it was opened to, behind a proxy that deals statements out.
const PID: &str = "SELECT pg_backend_pid()";

/// A description whose types may be out of date, and the error that says so: the server is asked again first.
pub(super) struct Suspect {
    item: ItemId,
    text: TextId,
    described: Arc<Described>,
    error: ServerError,
}

impl Actor {
    /// Forget what the failed statement of a group proves to be out of date. True if it is alone, and sent again: once for
    /// each cause.
    pub(super) fn heal(&mut self, conn: ConnId) -> bool {
        let member = &self.members[&conn];
        if member.feed.is_some() {
            return false; // the data of a COPY are gone
        }
        let failed = |item: &&ItemId| matches!(self.results.get(item), Some(Completion::Failed(..)));
        let Some(item) = member.group.iter().find(failed).copied() else { return false };
        let Some(Completion::Failed(_, error)) = self.results.get(&item) else { return false };
        let payload = &self.payloads[&item];
        let (Source::Known(text), Some(under)) = (&payload.source, payload.under.clone()) else { return false };
        let (text, info) = (*text, self.texts.info(*text));
        let revocable = info.kind != Kind::Other;
        let stale = error.stale(&under.name, !under.param_oids.is_empty(), revocable);
        let Some(cause) = stale.filter(|_| info.preparable) else { return false };
        let suspect =
            (cause == Stale::Types).then(|| Suspect { item, text, described: under.clone(), error: error.clone() });
        if cause == Stale::Taken {
            self.texts.doubt_names();
        }
        let member = self.members.get_mut(&conn).expect("bug: a connection that is not there");
        if member.tried.contains(&cause) {
            return false;
        }
        member.tried.push(cause);
        self.texts.outdated(text, &under);
        self.forget_types(&under);
        let member = self.member(conn);
        if member.group.len() > 1 || member.in_transaction {
            return false;
        }
        (member.at, member.suspect) = (0, suspect);
        self.results.remove(&item);
        self.start(conn);
        true
    }

    /// The server told the types of a suspect again: true if they are the same, so that the error was the statement's own.
    pub(super) fn acquits(&mut self, conn: ConnId) -> bool {
        let Some(suspect) = self.member(conn).suspect.take() else { return false };
        let Suspect { item, text, described: old, error } = suspect;
        let same = self
            .texts
            .described(text)
            .is_some_and(|new| new.param_oids == old.param_oids && same_columns(&new.columns, &old.columns));
        if same {
            self.texts.restore(text, old);
            self.results.insert(item, Completion::Failed(item, error));
        }
        same
    }

    /// A name was taken: before anything else is sent outside a transaction, the server is asked whose process it is.
    pub(super) fn probes(&mut self, conn: ConnId) -> bool {
        if !self.texts.doubted() || self.member(conn).in_transaction {
            return false;
        }
        let member = self.member(conn);
        member.probing = true;
        member.send(Job { statements: vec![Execute::Direct(PID.into())], revocable: true, ..Job::default() });
        true
    }

    /// It has told.
    pub(super) fn probed(&mut self, conn: ConnId, outcomes: &[Outcome]) {
        let own = self.member(conn).key.as_ref().and_then(|key| key.process_id()).map(|pid| pid.to_string());
        let mut direct = false;
        if let Some(Outcome::Done { rows, .. }) = outcomes.first() {
            let told = rows.read(|_, _, value| direct = value.is_some() && value == own.as_deref().map(str::as_bytes));
            direct = direct && told.is_ok();
        }
        self.texts.judge_names(direct);
        self.start(conn);
    }
}
