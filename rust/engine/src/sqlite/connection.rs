//! One connection, as the pool sees it.
//!
//! Outcomes within a group are exact: if one statement of a group fails, it has its error, the others have their
//! values, and the answer is `ok`. It is not only if nothing of the group was done, or if it was a group of one, or a
//! session's, that failed. Nothing is done of a group that was interrupted because it ran for longer than `stall`: each
//! of its statements is then sent again alone.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

use super::control::Control;
use super::database::Database;
use super::driver::{Driver, panicked};
use super::error::{canceled, lock_not_available};
use super::plan::{Lock, Role};
use super::work::{Work, carry_out, plan_of};
use super::write_lock::{Claim, Refused};
use crate::link::{Execute, GroupResult, Lost, Outcome, ServerError};
use crate::scheduler::Kind;

/// Interrupts are repeated at this pace, doubled up to the second value: one that comes between two statements is lost.
const PACE: Duration = Duration::from_millis(2);
const PACE_MAX: Duration = Duration::from_millis(100);

/// What moves to a thread and back. Where it is dropped, it is closed in this order.
pub(super) struct Inner {
    /// It may be interrupted.
    pub(super) alive: Arc<()>,
    pub(super) database: Database,
    /// The write lock of the transaction that is open.
    pub(super) claim: Option<Claim>,
    pub(super) _open: mpsc::Sender<Infallible>,
}

/// One open connection. To drop it closes it; what runs is interrupted.
pub struct Connection {
    driver: Arc<Driver>,
    control: Arc<Control>,
    inner: Option<Inner>,
}

impl Connection {
    pub(super) fn new(driver: Arc<Driver>, control: Arc<Control>, inner: Inner) -> Self {
        Connection { driver, control, inner: Some(inner) }
    }

    /// What is needed to stop it.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Run a group; `shared` if it is the pool's, and not that of a caller that holds the connection. PostgreSQL's
    /// statement for it, sent as it is, brings the session back to its initial state.
    pub async fn run(&mut self, statements: Vec<Execute>, shared: bool) -> Result<GroupResult, Lost> {
        if matches!(&statements[..], [Execute::Direct(sql)] if &**sql == "DISCARD ALL") {
            return self.perform(Vec::new(), Work::Reset, Lock::None).await;
        }
        let kind = statements.first().and_then(plan_of).map(|(plan, _)| plan.kind);
        let (work, lock) = match kind.filter(|_| shared) {
            Some(Kind::Read) => (Work::Reads, Lock::Read),
            Some(Kind::Write) => (Work::Writes, Lock::Write),
            _ => (Work::Session, self.lock_of(&statements)?),
        };
        self.perform(statements, work, lock).await
    }

    /// The lock that a session's statements need.
    fn lock_of(&self, statements: &[Execute]) -> Result<Lock, Lost> {
        let mut read_only = self.inner.as_ref().is_some_and(|inner| inner.database.read_only);
        let mut lock = Lock::None;
        for statement in statements {
            let (plan, _) = plan_of(statement).ok_or_else(|| Lost::new("bug: a text without a plan"))?;
            lock = lock.max(plan.lock);
            read_only = read_only || plan.role == Role::BeginReadOnly;
        }
        Ok(if read_only { lock.min(Lock::Read) } else { lock }) // its writes will be refused
    }

    async fn perform(&mut self, statements: Vec<Execute>, work: Work, lock: Lock) -> Result<GroupResult, Lost> {
        let control = self.control.clone();
        let job = control.take();
        let claimed = tokio::select! {
            biased;
            claimed = self.claim(lock) => Some(claimed), // what has the lock decides itself what it leaves out
            () = control.stopped(job) => None,
        };
        let skipped = control.begin();
        let count = statements.len();
        let answer = match claimed {
            Some(Ok(())) if skipped.len() < count || work == Work::Reset => {
                self.on_thread(job, statements, skipped, work).await
            }
            Some(Err(Refused)) => {
                Ok(self.each(count, count > 1, lock_not_available(self.driver.write_lock.patience())))
            }
            _ => Ok(self.each(count, false, canceled().told())),
        };
        if let Some(inner) = &mut self.inner
            && !inner.database.in_block()
        {
            inner.claim = None;
        }
        control.end(job);
        answer
    }

    /// Take the write lock as `lock` asks for it. A connection that holds it may take it again.
    async fn claim(&mut self, lock: Lock) -> Result<(), Refused> {
        let one_lock = self.driver.one_lock.load(Ordering::Relaxed);
        let exclusive = lock == Lock::Write || (one_lock && lock == Lock::Begin);
        let Some(inner) = &mut self.inner else { return Ok(()) };
        if lock == Lock::None || !(exclusive || one_lock) {
            return Ok(());
        }
        match &inner.claim {
            Some(held) => {
                assert!(held.is_exclusive() || !exclusive, "bug: a shared write lock cannot become an exclusive one")
            }
            None => inner.claim = Some(self.driver.write_lock.take(exclusive).await?),
        }
        Ok(())
    }

    /// The same for all statements, which were not executed.
    fn each(&self, count: usize, ok: bool, error: ServerError) -> GroupResult {
        let in_transaction = self.inner.as_ref().is_some_and(|inner| inner.database.in_block());
        let (outcomes, elapsed, settings) = (vec![Outcome::Failed(error); count], Duration::ZERO, Arc::default());
        GroupResult {
            ok,
            outcomes,
            elapsed,
            largest: 0,
            in_transaction,
            settings,
            notices: Vec::new(),
            notifications: Vec::new(),
            no_grouping: false,
        }
    }

    async fn on_thread(
        &mut self,
        job: u64,
        statements: Vec<Execute>,
        skipped: Vec<usize>,
        work: Work,
    ) -> Result<GroupResult, Lost> {
        let permit = self.driver.threads.clone().acquire_owned().await.expect("bug: the threads are gone");
        let mut inner = self.inner.take().ok_or_else(|| Lost::new("the connection is closed"))?;
        let abandoned = Abandoned::new(&self.control, &inner.alive);
        let (control, theirs) = (self.control.clone(), self.control.clone());
        let group = statements.len() > 1 && work != Work::Session;
        let mut thread = spawn_blocking(move || {
            let answer = carry_out(&mut inner.database, work, &statements, &skipped, &theirs.stop);
            drop(permit);
            (inner, answer)
        });
        let mut stalls = group.then(|| Instant::now() + self.driver.config.stall);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut thread => break ended,
                () = control.stopped(job) => break stop(&control, thread).await,
                () = at(stalls) => if control.stop.waiting() {
                    stalls = Some(Instant::now() + self.driver.config.stall);
                } else {
                    break stop(&control, thread).await; // no statement waits behind another caller's
                }
            }
        };
        abandoned.came_back();
        let (inner, answer) = ended.map_err(|error| Lost::new(panicked(&error)))?;
        self.inner = Some(inner);
        answer
    }
}

impl Drop for Connection {
    /// Closing a file takes its time.
    fn drop(&mut self) {
        if let (Some(inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(inner));
        }
    }
}

/// Interrupt until it has ended.
async fn stop<T>(control: &Control, mut thread: JoinHandle<T>) -> Result<T, JoinError> {
    control.stop.cancel();
    tokio::select! {
        ended = &mut thread => ended,
        () = interrupt(control, || true) => unreachable!("bug: interrupting ended"),
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn interrupt(control: &Control, go_on: impl Fn() -> bool) {
    let mut pace = PACE;
    while go_on() {
        control.stop.interrupt();
        sleep(pace).await;
        pace = (2 * pace).min(PACE_MAX);
    }
}

/// Interrupts what runs on a thread if its caller goes away.
pub(super) struct Abandoned {
    work: Option<(Arc<Control>, Weak<()>)>,
}

impl Abandoned {
    pub(super) fn new(control: &Arc<Control>, alive: &Arc<()>) -> Self {
        Abandoned { work: Some((control.clone(), Arc::downgrade(alive))) }
    }

    /// It has ended.
    pub(super) fn came_back(mut self) {
        self.work = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let Some((control, alive)) = self.work.take() else { return };
        control.stop.cancel();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { interrupt(&control, || alive.strong_count() > 0).await });
        }
    }
}
