//! One connection's task: it runs what the actor sends it, and tells what happened.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::holder::{self, Sessions};
use crate::rules::ConnId;
use crate::wire::{Answer, CancelKey, ConnectError, Execute, Group, Link, Lost, Settings};

/// How long a CancelRequest may take, connecting included.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is to run.
#[derive(Default)]
pub struct Job {
    /// The statements.
    pub statements: Vec<Execute>,
    /// None of them can commit before the Sync.
    pub revocable: bool,
    /// The session must be outside a transaction after.
    pub shared: bool,
}

/// What happened.
pub enum Event {
    /// It is open.
    Opened(CancelKey, Arc<Settings>),
    /// It could not be opened.
    OpenFailed(ConnectError),
    /// A job is answered.
    Ran(Answer),
    /// It is gone.
    Lost(Lost),
    /// The server closed a CancelRequest's connection; a borrower's request has a token.
    CancelClosed(Option<u64>),
}

/// Where events go.
pub type Events = UnboundedSender<(ConnId, Event)>;

/// Open a connection and serve until the actor drops the other ends of `jobs` and `alive`, or the connection is lost.
pub async fn serve(
    sessions: mobc::Pool<Sessions>,
    password: Option<String>,
    id: ConnId,
    mut jobs: UnboundedReceiver<Job>,
    mut alive: oneshot::Receiver<()>,
    events: Events,
) {
    let tell = |event| drop(events.send((id, event)));
    let opened = tokio::select! {
        opened = holder::open(&sessions, password) => opened,
        _ = &mut alive => return,
    };
    let mut held = match opened {
        Ok(held) => held,
        Err(error) => return tell(Event::OpenFailed(error)),
    };
    tell(Event::Opened(held.cancel_key().clone(), held.settings().clone()));
    loop {
        let job = tokio::select! {
            biased;
            job = jobs.recv() => job,
            lost = held.watch() => {
                drop(held.into_inner());
                return tell(Event::Lost(Lost { sent: false, ..lost }));
            }
        };
        let Some(job) = job else { break };
        let done = tokio::select! {
            done = carry_out(&mut held, job) => done,
            _ = &mut alive => break,
        };
        match done {
            Ok(answer) => tell(Event::Ran(answer)),
            Err(lost) => {
                drop(held.into_inner());
                return tell(Event::Lost(lost));
            }
        }
    }
    held.into_inner().close().await;
}

async fn carry_out(link: &mut Link, job: Job) -> Result<Answer, Lost> {
    let answer = link.run(Group { statements: &job.statements, revocable: job.revocable }).await?;
    if job.shared && answer.in_transaction {
        return Err(Lost::new("bug: a statement left a transaction open on a shared connection"));
    }
    Ok(answer)
}

/// Ask the server to stop what runs; told in the end, whatever comes of it.
pub async fn cancel(key: CancelKey, id: ConnId, token: Option<u64>, events: Events) {
    let _ = tokio::time::timeout(CANCEL_TIMEOUT, key.cancel()).await;
    drop(events.send((id, Event::CancelClosed(token))));
}
