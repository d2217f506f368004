//! A group that is being answered: what the server says next, and how each statement ended.

use std::sync::Arc;

use bytes::BytesMut;

use super::messages;
use super::prepared::Prepared;
use crate::link::{Column, Described, Fields, Lost, Malformed, Outcome, Rows, ServerError, Short};

/// What the server answers next.
pub(super) enum Step {
    /// ReadyForQuery for a sign of life.
    Check,
    /// Everything for the check of deferred keys.
    CheckKeys,
    /// ParseComplete for a text, on whose account.
    Parse(Option<Arc<Described>>, usize),
    /// CloseComplete for a name, on whose account.
    Close(String, usize),
    /// ParseComplete and the types of a text.
    Describe(usize),
    /// Everything from BindComplete to CommandComplete.
    Run(usize),
}

impl Step {
    pub(super) fn owner(&self) -> usize {
        match self {
            Step::Check | Step::CheckKeys => 0,
            Step::Parse(_, owner) | Step::Close(_, owner) | Step::Describe(owner) | Step::Run(owner) => *owner,
        }
    }
}

/// A group that is being answered.
pub(super) struct Run {
    pub(super) steps: Vec<Step>,
    pub(super) step: usize,
    failed: bool,
    outcomes: Vec<Outcome>,
    /// The last command tag: most statements of a group have the same.
    tag: Arc<str>,
    rows: BytesMut,
    count: usize,
    columns: Option<Vec<Column>>,
    params: Vec<u32>,
    largest: usize,
}

impl Run {
    pub(super) fn new(steps: Vec<Step>, statements: usize) -> Self {
        let outcomes = vec![Outcome::Skipped; statements];
        let (tag, rows, params) = (Arc::default(), BytesMut::new(), Vec::new());
        Run { steps, step: 0, failed: false, outcomes, tag, rows, count: 0, columns: None, params, largest: 0 }
    }

    pub(super) fn current(&self) -> Option<&Step> {
        self.steps.get(self.step)
    }

    pub(super) fn take(&mut self, kind: u8, body: &[u8], prepared: &mut Prepared) -> Result<(), Lost> {
        match (kind, self.steps.get(self.step)) {
            (b'E', Some(Step::Check)) => {
                // No statement of the group has to do with it, and what the server does next cannot be known.
                let error = ServerError::parse(body);
                return Err(Lost { message: error.to_string(), cause: Some(error), sent: true });
            }
            (b'E', Some(step)) => {
                self.outcomes[step.owner()] = Outcome::Failed(ServerError::parse(body));
                self.fail(prepared);
            }
            (b'E', None) => {
                // At the Sync: a deferred constraint. It is the group's, so the last statement has it.
                if let Some(last) = self.outcomes.last_mut() {
                    *last = Outcome::Failed(ServerError::parse(body));
                }
                self.fail(prepared);
            }
            (b'1', Some(Step::Parse(text, _))) => {
                if let Some(text) = text {
                    prepared.was_added(&text.name);
                }
                self.step += 1;
            }
            (b'3', Some(Step::Close(name, _))) => {
                prepared.was_dropped(name);
                self.step += 1;
            }
            (b'1' | b'2', Some(Step::CheckKeys)) => {}
            (b'C', Some(Step::CheckKeys)) => self.step += 1,
            (b'1', Some(Step::Describe(_))) => {}
            (b't', Some(Step::Describe(_))) => self.params = messages::parameters(body)?,
            (b'T', Some(Step::Describe(_))) => self.describe(messages::columns(body)?),
            (b'n', Some(Step::Describe(_))) => self.describe(Vec::new()),
            (b'2', Some(Step::Run(_))) => {}
            (b'n', Some(Step::Run(_))) => self.columns = Some(Vec::new()),
            (b'T', Some(Step::Run(_))) => self.columns = Some(messages::columns(body)?),
            (b'D', Some(Step::Run(_))) => {
                self.rows.extend_from_slice(body);
                self.count += 1;
            }
            (b'C', Some(Step::Run(_))) => self.complete(&Fields(body).text()?, prepared),
            (b'I', Some(Step::Run(_))) => self.complete("", prepared),
            (b'G' | b'H' | b'W', _) => return Err(Lost::new("COPY data cannot be carried in a group")),
            _ => return Err(Malformed("a message out of turn").into()),
        }
        Ok(())
    }

    /// The server skips everything up to the Sync, and has rolled back what came before.
    pub(super) fn fail(&mut self, prepared: &mut Prepared) {
        self.failed = true;
        self.steps.truncate(self.step);
        prepared.rollback();
    }

    fn describe(&mut self, columns: Vec<Column>) {
        let owner = self.steps[self.step].owner();
        self.outcomes[owner] = Outcome::Described((std::mem::take(&mut self.params), columns));
        self.step += 1;
    }

    pub(super) fn complete(&mut self, tag: &str, prepared: &mut Prepared) {
        if matches!(tag, "DISCARD ALL" | "DEALLOCATE ALL") {
            prepared.clear();
        }
        self.largest = self.largest.max(self.rows.len());
        let rows = Rows { data: Short::take(&mut self.rows), count: std::mem::take(&mut self.count) };
        if *self.tag != *tag {
            self.tag = tag.into();
        }
        let tag = self.tag.clone();
        let owner = self.steps[self.step].owner();
        self.outcomes[owner] = Outcome::Done { tag, rows, columns: self.columns.take(), shape: None };
        self.step += 1;
    }

    /// Whether no statement was executed as far as the server has told.
    pub(super) fn nothing_done(&self) -> bool {
        !self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Done { .. }))
    }

    /// Whether all of it is done, what became of each statement, and the bytes of the largest result.
    pub(super) fn end(self) -> Result<(bool, Vec<Outcome>, usize), Lost> {
        if self.step < self.steps.len() {
            return Err(Malformed("a group that ends before its statements").into());
        }
        Ok((!self.failed, self.outcomes, self.largest))
    }
}
