//! One connection's task: it runs what the actor sends it, and tells what happened.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::backend::{CancelHandle, Connector, ServerConnection};
use crate::link::{ConnectError, CopyStream, Execute, Feed, GroupResult, Lost, Notification, SessionInfo, Settings};
use crate::scheduler::ConnId;

/// What a connection is to run.
#[derive(Default)]
pub struct Job {
    /// The statements.
    pub statements: Vec<Execute>,
    /// None of them can commit before the Sync.
    pub revocable: bool,
    /// Deferred keys are checked at the end of each statement.
    pub checks_keys: bool,
    /// The session must be outside a transaction after.
    pub shared: bool,
    /// Not statements, but one COPY, and the caller's answers to its questions.
    pub copy: Option<(Arc<str>, UnboundedReceiver<Feed>)>,
    /// How long it may take where no caller has a deadline for it.
    pub limit: Option<Duration>,
}

/// What happened.
pub enum Event {
    /// It is open.
    Opened(CancelHandle, Arc<Settings>, Option<SessionInfo>),
    /// It could not be opened.
    OpenFailed(ConnectError),
    /// A job is answered.
    Ran(GroupResult),
    /// A COPY asks for a piece of its data, or gives one.
    DataRequest(Option<Bytes>),
    /// NOTIFY has sent something.
    Notified(Vec<Notification>),
    /// It is gone.
    Lost(Lost),
    /// A CancelRequest has ended, which the token of a caller belongs to: whether the server closed its connection.
    /// Else it may still hit what runs next.
    CancelClosed(Option<u64>, bool),
}

/// Where events go.
pub type Events = UnboundedSender<(ConnId, Event)>;

/// Open a connection and serve until the actor drops the other ends of `jobs` and `alive`, or the connection is lost.
pub async fn serve(
    connector: Connector,
    password: Option<String>,
    id: ConnId,
    mut jobs: UnboundedReceiver<Job>,
    mut alive: oneshot::Receiver<()>,
    events: Events,
) {
    let emit = |event| drop(events.send((id, event)));
    let mut guard = Guard { id, events: events.clone(), open: false };
    let opened = tokio::select! {
        opened = connector.open(password) => opened,
        _ = &mut alive => return,
    };
    let mut held = match opened {
        Ok(held) => held,
        Err(error) => return emit(Event::OpenFailed(error)),
    };
    guard.open = true;
    emit(Event::Opened(held.cancel_handle(), held.settings(), held.session_info()));
    loop {
        let job = tokio::select! {
            biased;
            seen = held.watch() => match seen {
                Ok(notifications) => {
                    emit(Event::Notified(notifications));
                    continue;
                }
                Err(lost) => {
                    drop(held.into_link());
                    return emit(Event::Lost(Lost { sent: false, ..lost }));
                }
            },
            job = jobs.recv() => job, // after the watch: nothing is sent on a connection that is known to be lost
        };
        let Some(job) = job else { break };
        let done = tokio::select! {
            done = carry_out(&mut held, job, &emit) => done,
            _ = &mut alive => break,
        };
        match done {
            Ok(answer) => emit(Event::Ran(answer)),
            Err(lost) => {
                drop(held.into_link());
                return emit(Event::Lost(lost));
            }
        }
    }
    held.close().await;
}

/// Tells the actor if the task panics, which is a bug: the connection is gone with it.
struct Guard {
    id: ConnId,
    events: Events,
    open: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "the connection's task has failed, which is a bug in db_pool_rs".to_owned();
            let event =
                if self.open { Event::Lost(Lost::new(why)) } else { Event::OpenFailed(ConnectError::permanent(why)) };
            drop(self.events.send((self.id, event)));
        }
    }
}

async fn carry_out(
    session: &mut ServerConnection,
    job: Job,
    emit: &(impl Fn(Event) + Send + Sync),
) -> Result<GroupResult, Lost> {
    let shared = job.shared;
    let answer = match job.copy {
        Some((sql, mut answers)) => {
            let ask = |piece| emit(Event::DataRequest(piece));
            session.copy(&sql, CopyStream { ask: &ask, answers: &mut answers }).await?
        }
        None => match job.limit {
            Some(limit) => tokio::time::timeout(limit, session.run(job)).await.map_err(|_| late(limit))??,
            None => session.run(job).await?,
        },
    };
    if shared && answer.in_transaction {
        return Err(Lost::new("bug: a statement left a transaction open on a shared connection"));
    }
    Ok(answer)
}

fn late(limit: Duration) -> Lost {
    Lost::new(format!("no answer within {} s", limit.as_secs_f64()))
}

/// Have what runs stopped; told in the end, whatever comes of it.
pub async fn cancel(cancel_handle: CancelHandle, id: ConnId, token: Option<u64>, events: Events) {
    let closed = cancel_handle.cancel().await;
    drop(events.send((id, Event::CancelClosed(token, closed))));
}
