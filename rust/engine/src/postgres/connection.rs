//! One open connection, which runs one group at a time.
//!
//! Texts that this connection has not prepared are parsed in front of their first use, in the same round trip. What is
//! received up to ReadyForQuery is collected and only then reported: before that nothing of it is committed. Output is
//! written and input read at the same time, so that neither side ever waits for the other to read first.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::aside::Aside;
use super::cancel::CancelKey;
use super::frame;
use super::messages;
use super::prepared::Prepared;
use super::running::{Run, Step};
use super::stream::Stream;
use crate::link::{
    CopyStream, Described, Execute, GroupResult, Lost, Malformed, Notification, Outcome, SessionInfo, Settings,
};

/// A connection idle for longer than this is asked for a sign of life, in front of the first statement.
const CHECK_AFTER: Duration = Duration::from_secs(1);
/// How much is read at once, and how much of a buffer is kept after a large result.
const READ: usize = 16 * 1024;
const KEPT: usize = 256 * 1024;
/// Deferred keys are checked at the end of each statement. Bare, outside a transaction block, the command would write a
/// WARNING into the server's log each time.
const CHECK_KEYS: &str = "DO $$BEGIN SET CONSTRAINTS ALL IMMEDIATE; END$$";

/// Statements that travel together.
pub struct Group<'a> {
    /// In the order in which they are executed.
    pub statements: &'a [Execute],
    /// None of them can commit before the Sync.
    pub revocable: bool,
    /// Deferred keys are checked at the end of each statement, as if it ran alone.
    pub checks_keys: bool,
}

/// One open connection.
pub struct Connection {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    flushed: bool,
    write_error: Option<io::Error>,
    status: u8,
    aside: Aside,
    /// The longest message that is taken: a server that has not let us in has little to say.
    longest: usize,
    prepared: Prepared,
    used: Instant,
    cancel: CancelKey,
}

impl Connection {
    pub(super) fn new(stream: Stream, cancel: CancelKey, max_statements: usize) -> Self {
        Connection {
            stream,
            input: BytesMut::with_capacity(READ),
            output: BytesMut::new(),
            flushed: true,
            write_error: None,
            status: b'I',
            aside: Aside::default(),
            longest: frame::SHORT,
            prepared: Prepared::new(max_statements),
            used: Instant::now(),
            cancel,
        }
    }

    /// What is needed to stop it.
    pub fn cancel_key(&self) -> &CancelKey {
        &self.cancel
    }

    pub(super) fn set_cancel_key(&mut self, process_id: i32, secret: i32) {
        (self.cancel.process_id, self.cancel.secret) = (process_id, secret);
    }

    /// The server has let us in.
    pub(super) fn begin(&mut self) {
        self.longest = frame::LONGEST;
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// Whether a transaction block is open, failed or not.
    pub fn in_transaction(&self) -> bool {
        self.status != b'I'
    }

    /// A setting that the server reports.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.aside.parameter(name)
    }

    /// What the server has told of the session, and will tell.
    pub fn session_info(&self) -> SessionInfo {
        SessionInfo { process_id: self.cancel.process_id, parameters: self.aside.parameters.clone() }
    }

    /// What values of this session depend on.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.aside.settings
    }

    // -- running -----------------------------------------------------------------------------------------------------

    /// Run a group. An error that the server reports is in the outcome of its statement.
    pub async fn run(&mut self, group: Group<'_>) -> Result<GroupResult, Lost> {
        self.stream.check().map_err(|error| Lost { sent: false, ..error.into() })?;
        let steps = self.write(&group)?;
        let began = Instant::now();
        let mut run = Run::new(steps, group.statements.len());
        if let Err(mut lost) = self.answers(&mut run).await {
            // Did the server give up before it had executed the group? Then it cannot have committed it.
            let before = lost.evicts_all() && group.revocable && run.step < run.steps.len();
            lost.sent = !(before || (lost.was_idle() && run.nothing_done()));
            return Err(lost);
        }
        self.shrink();
        let (ok, outcomes, largest) = run.end()?;
        Ok(self.answer(ok, outcomes, largest, began))
    }

    /// Take in answers, up to ReadyForQuery.
    async fn answers(&mut self, run: &mut Run) -> Result<(), Lost> {
        loop {
            let mut input = std::mem::take(&mut self.input);
            let ended = self.take_answers(&mut input, run);
            self.input = input;
            if ended? {
                return Ok(());
            }
            self.progress().await?;
        }
    }

    /// Those that have arrived; true if ReadyForQuery is among them.
    fn take_answers(&mut self, input: &mut BytesMut, run: &mut Run) -> Result<bool, Lost> {
        let (mut rest, mut ended) = (&input[..], false);
        while let Some((kind, body)) = frame::first(rest, self.longest)?.filter(|_| !ended) {
            rest = &rest[frame::HEADER + body.len()..];
            if kind == b'Z' {
                self.ready(body);
                ended = !matches!(run.current(), Some(Step::Check));
                run.step += usize::from(!ended);
            } else if !self.aside.take_if_async(kind, body)? {
                run.take(kind, body, &mut self.prepared)?;
            }
        }
        let taken = input.len() - rest.len();
        input.advance(taken);
        Ok(ended)
    }

    /// Run a COPY, its data going by in `stream`; one outcome.
    pub async fn run_copy(&mut self, sql: &str, mut stream: CopyStream<'_>) -> Result<GroupResult, Lost> {
        let began = Instant::now();
        let outcome = self.copy(sql, &mut stream).await?;
        self.shrink();
        let ok = matches!(outcome, Outcome::Done { .. });
        Ok(self.answer(ok, vec![outcome], 0, began))
    }

    fn answer(&mut self, ok: bool, outcomes: Vec<Outcome>, largest: usize, began: Instant) -> GroupResult {
        GroupResult {
            ok,
            outcomes,
            largest,
            elapsed: self.used - began,
            in_transaction: self.in_transaction(),
            settings: self.aside.settings.clone(),
            notices: self.aside.take_notices(),
            notifications: self.aside.take_notifications(),
            no_grouping: false,
        }
    }

    /// ReadyForQuery.
    pub(super) fn ready(&mut self, body: &[u8]) {
        self.status = body.first().copied().unwrap_or(b'I');
        self.used = Instant::now();
    }

    /// Write messages for all statements and one Sync; the steps are what the server will answer.
    fn write(&mut self, group: &Group<'_>) -> io::Result<Vec<Step>> {
        let mut steps = Vec::with_capacity(group.statements.len() + 3);
        if self.used.elapsed() > CHECK_AFTER {
            frontend::sync(&mut self.output);
            steps.push(Step::Check);
        }
        if group.checks_keys {
            messages::parse(&mut self.output, "", CHECK_KEYS, &[]);
            messages::bind(
                &mut self.output,
                &Described::new(String::new(), CHECK_KEYS.into(), vec![], vec![]),
                b"",
                &[],
            );
            frontend::execute("", 0, &mut self.output)?;
            steps.push(Step::CheckKeys);
        }
        let mut last: Option<&Arc<Described>> = None;
        let (mut parsed, iso_styles) = (Vec::<*const Described>::new(), self.settings().iso_styles());
        for (number, statement) in group.statements.iter().enumerate() {
            match statement {
                Execute::Known { text, params, careful } => {
                    let same = last.replace(text).is_some_and(|last| Arc::ptr_eq(last, text));
                    let fresh = !(same || self.prepared.touch(&text.name));
                    if fresh {
                        self.write_parse(text, number, &mut steps)?;
                        parsed.push(Arc::as_ptr(text));
                    }
                    // The columns may turn out to be others when the change is committed: text can be read then.
                    let as_text = *careful && !text.has_records && iso_styles && parsed.contains(&Arc::as_ptr(text));
                    let formats = if as_text { &[] } else { &text.result_formats[..] };
                    messages::bind(&mut self.output, text, params, formats);
                    if fresh || as_text {
                        frontend::describe(b'P', "", &mut self.output)?; // its columns may be others than expected
                    }
                }
                Execute::Describe(sql) => {
                    last = None; // the unnamed statement is another one now
                    messages::parse(&mut self.output, "", sql, &[]);
                    frontend::describe(b'S', "", &mut self.output)?;
                    steps.push(Step::Describe(number));
                    continue;
                }
                Execute::Direct(sql) => {
                    last = None;
                    messages::parse(&mut self.output, "", sql, &[]);
                    steps.push(Step::Parse(None, number));
                    let text = Described::new(String::new(), sql.clone(), Vec::new(), Vec::new());
                    messages::bind(&mut self.output, &text, b"", &[]);
                    frontend::describe(b'P', "", &mut self.output)?;
                }
            }
            frontend::execute("", 0, &mut self.output)?;
            steps.push(Step::Run(number));
        }
        frontend::sync(&mut self.output);
        Ok(steps)
    }

    /// Prepare a known text on this connection, in front of its first use.
    fn write_parse(&mut self, text: &Arc<Described>, number: usize, steps: &mut Vec<Step>) -> io::Result<()> {
        while let Some(old) = self.prepared.surplus().filter(|_| !text.name.is_empty()) {
            frontend::close(b'S', &old, &mut self.output)?;
            steps.push(Step::Close(old, number));
        }
        messages::parse(&mut self.output, &text.name, &text.sql, &text.param_oids);
        self.prepared.add(&text.name);
        steps.push(Step::Parse(Some(text.clone()), number));
        Ok(())
    }

    /// Watch over the connection while nothing runs on it; returns with notifications, or when it is lost. May be
    /// dropped at any time.
    pub async fn watch(&mut self) -> Result<Vec<Notification>, Lost> {
        loop {
            if self.take_in()?.is_some() {
                return Err(Malformed("an answer to no question").into());
            }
            let notifications = self.aside.take_notifications();
            if !notifications.is_empty() {
                return Ok(notifications);
            }
            self.progress().await?;
        }
    }

    /// Say good-bye; the server is not waited for.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.output);
        poll_fn(|cx| self.poll_write(cx)).await;
    }

    // -- bytes -------------------------------------------------------------------------------------------------------

    /// The next message that belongs to what runs; what the server says besides is taken in. May be dropped at any
    /// time.
    pub(super) async fn receive(&mut self) -> Result<(u8, Bytes), Lost> {
        loop {
            if let Some(message) = self.take_in()? {
                return Ok(message);
            }
            self.progress().await?;
        }
    }

    /// The next such message that has arrived.
    fn take_in(&mut self) -> Result<Option<(u8, Bytes)>, Lost> {
        while let Some((kind, body)) = frame::next(&mut self.input, self.longest)? {
            if !self.aside.take_if_async(kind, &body)? {
                return Ok(Some((kind, body)));
            }
        }
        Ok(None)
    }

    /// Queue bytes; they are written while something is received.
    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Write all that is queued, and take in what comes meanwhile: a server that does not read may be waiting for us
    /// to.
    pub(super) async fn write_all(&mut self) -> Result<(), Lost> {
        while !self.output.is_empty() && self.write_error.is_none() {
            self.input.reserve(READ);
            let read = poll_fn(|cx| match self.poll_write(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => pin!(self.stream.read_buf(&mut self.input)).poll(cx).map(Some),
            });
            if read.await.transpose()? == Some(0) {
                return Err(Lost::new("the server closed the connection"));
            }
        }
        Ok(())
    }

    /// Write what can be written until something was read.
    async fn progress(&mut self) -> Result<(), Lost> {
        self.input.reserve(READ);
        let read = poll_fn(|cx| {
            let _ = self.poll_write(cx);
            pin!(self.stream.read_buf(&mut self.input)).poll(cx)
        });
        if read.await? > 0 {
            return Ok(());
        }
        Err(match self.write_error.take() {
            Some(error) => error.into(),
            None => Lost::new("the server closed the connection"),
        })
    }

    /// A write that fails is no reason to stop reading: the server's last words may have come before.
    fn poll_write(&mut self, cx: &mut std::task::Context<'_>) -> Poll<()> {
        while !self.output.is_empty() {
            let written = match Pin::new(&mut self.stream).poll_write(cx, &self.output) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(written) => written,
            };
            self.flushed = false;
            match written {
                Ok(count) if count > 0 => self.output.advance(count),
                failed => {
                    self.write_error = Some(failed.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
                    self.output.clear();
                }
            }
        }
        if !self.flushed {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(_) => self.flushed = true,
            }
        }
        Poll::Ready(())
    }

    /// One large result or statement must not leave its memory behind on each connection.
    fn shrink(&mut self) {
        for buffer in [&mut self.input, &mut self.output] {
            if buffer.is_empty() && buffer.capacity() > KEPT {
                *buffer = BytesMut::new();
            }
        }
    }
}
