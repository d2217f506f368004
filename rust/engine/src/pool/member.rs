//! One connection's task: it runs what the actor sends it, and tells what happened.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

use super::holder::{self, Sessions};
use crate::rules::ConnId;
use crate::wire::{Answer, CancelKey, ConnectError, Execute, Group, Link, Lost, ServerError, Types};

/// How long a CancelRequest may take, connecting included.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// What a connection is to do.
pub enum Job {
    /// Run statements; whether they can all be revoked, and whether the session must be outside a transaction after.
    Run { statements: Vec<Execute>, revocable: bool, shared: bool },
    /// Ask for the types of a text.
    Describe(Arc<str>),
    /// Drop a prepared statement's name.
    Discard(String),
    /// Bring the session back to its initial state.
    Reset,
}

/// What happened.
pub enum Event {
    /// It is open.
    Opened(CancelKey),
    /// It could not be opened.
    OpenFailed(ConnectError),
    /// A Run is answered.
    Ran(Answer),
    /// A Describe is answered.
    Described(Result<Types, ServerError>, Duration),
    /// The session is clean.
    ResetDone,
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
    id: ConnId,
    mut jobs: UnboundedReceiver<Job>,
    mut alive: oneshot::Receiver<()>,
    events: Events,
) {
    let tell = |event| drop(events.send((id, event)));
    let opened = tokio::select! {
        opened = holder::open(&sessions) => opened,
        _ = &mut alive => return,
    };
    let mut held = match opened {
        Ok(held) => held,
        Err(error) => return tell(Event::OpenFailed(error)),
    };
    tell(Event::Opened(held.cancel_key().clone()));
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
            Ok(Some(event)) => tell(event),
            Ok(None) => {}
            Err(lost) => {
                drop(held.into_inner());
                return tell(Event::Lost(lost));
            }
        }
    }
    held.into_inner().close().await;
}

async fn carry_out(link: &mut Link, job: Job) -> Result<Option<Event>, Lost> {
    match job {
        Job::Run { statements, revocable, shared } => {
            let answer = link.run(Group { statements: &statements, revocable }).await?;
            if shared && link.in_transaction() {
                return Err(Lost::new("bug: a statement left a transaction open on a shared connection"));
            }
            Ok(Some(Event::Ran(answer)))
        }
        Job::Describe(sql) => {
            let began = std::time::Instant::now();
            Ok(Some(Event::Described(link.describe(&sql).await?, began.elapsed())))
        }
        Job::Discard(name) => {
            link.discard(&name);
            Ok(None)
        }
        Job::Reset => {
            let group = [Execute::Direct("DISCARD ALL".into())];
            let answer = link.run(Group { statements: &group, revocable: false }).await?;
            if answer.ok { Ok(Some(Event::ResetDone)) } else { Err(Lost::new("the session could not be reset")) }
        }
    }
}

/// Ask the server to stop what runs; told in the end, whatever comes of it.
pub async fn cancel(key: CancelKey, id: ConnId, token: Option<u64>, events: Events) {
    let _ = tokio::time::timeout(CANCEL_TIMEOUT, key.cancel()).await;
    drop(events.send((id, Event::CancelClosed(token))));
}
