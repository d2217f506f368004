//! One pool: the rules and the connections to one database, put together on tokio.
//!
//! A [`Pool`] is a handle for the caller's thread. Its calls put [`Command`]s into an inbox and return at once; the one
//! task that owns the scheduler (`actor`) is woken by [`Pool::flush`], once for everything that was called in one turn of
//! the caller's event loop. Each connection has a task of its own (`member`), so that reading, writing and deciding never
//! wait for each other. Results go to the [`Sink`], one batch for whatever was decided at once.
//!
//! Arguments are encoded by the caller, who alone can read them. Where the types of a text are not known (or no longer
//! right), the pool asks the server on the connection that the statement was given, and the caller for the arguments
//! ([`Completion::NeedsParams`]); the statement keeps its place meanwhile.

mod actor;
mod answers;
mod backend;
mod commands;
mod healing;
mod holder;
mod lent;
mod measures;
mod member;
mod sending;
mod texts;
mod types;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub use backend::Backend;
use bytes::Bytes;
pub use measures::{Histogram, Measures, Rate};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::scheduler::{ConnId, ItemId, Kind, Limits, REASONS, Reason, TextId, Verdict};
use crate::wire::{ConnectError, Described, Feed, Lost, Notification, Rows, ServerError, Settings, Short};

/// A text that the pool is told of.
#[derive(Clone, Debug)]
pub struct TextInfo {
    /// The text itself.
    pub sql: Arc<str>,
    /// Its lexical class.
    pub kind: Kind,
    /// Whether its class may be grouped.
    pub groupable: bool,
    /// Why it may not, as a number of the caller's: figures count statements alone by it.
    pub why: usize,
    /// Whether it may leave state on its session.
    pub dirties: bool,
    /// Whether a group with it begins with the check of deferred keys (rule 8.3).
    pub keys: bool,
    /// Whether it is worth preparing (DDL and settings are rarely sent twice).
    pub preparable: bool,
    /// Whether its types must be asked for even where it comes without arguments: it may have parameters.
    pub asks: bool,
}

/// The arguments of a statement, encoded as this description says. What is executed by SQLite always has them: it is the
/// caller who describes its texts ([`crate::sqlite::Plan::described`]).
pub type Params = (Arc<Described>, Short);

/// What is to be run.
#[derive(Clone, Debug)]
pub enum Source {
    /// A text that the pool was told of.
    Known(TextId),
    /// A text that is run as it is, and not remembered.
    Plain(Arc<str>),
}

/// One execution on a connection that is lent.
#[derive(Debug)]
pub struct Call {
    /// Who.
    pub item: ItemId,
    /// What.
    pub source: Source,
    /// Whether it has arguments.
    pub with_args: bool,
    /// Them, if their types are known.
    pub params: Option<Params>,
}

/// How a pool works with its caller.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections are replaced after about so many seconds.
    pub lifetime: f64,
    /// The caller looks at each new connection before it serves anybody ([`Completion::Greet`]).
    pub greets: bool,
    /// The caller brings sessions back to their initial state himself ([`Completion::Clean`]).
    pub cleans: bool,
    /// The caller is asked for the password of each connection ([`Completion::NeedsPassword`]).
    pub asks_password: bool,
    /// The caller hears of statements alone that take so many seconds.
    pub slow: Option<f64>,
    /// How many seconds the server may take to bring a session back to its initial state.
    pub patience: Option<f64>,
    /// The query that tells what types are made of that are not built in, which `$1` stands for
    /// ([`Completion::Types`]). None: the caller does not need to know.
    pub types_query: Option<Arc<str>>,
}

impl Default for Options {
    fn default() -> Self {
        let (greets, cleans, asks_password) = (false, false, false);
        Options { lifetime: 3600.0, greets, cleans, asks_password, slow: None, patience: None, types_query: None }
    }
}

/// What is known of a text from its executions.
#[derive(Clone, Copy, Debug)]
pub struct Experience {
    /// How often it was answered.
    pub seen: u64,
    /// Its expected seconds.
    pub mean: f64,
    /// Whether it is grouped now.
    pub fast: bool,
    /// Whether its types are known.
    pub prepared: bool,
}

/// What the caller asks for.
pub enum Command {
    /// A text came to be known; it is named before its first statement.
    AddText(TextId, TextInfo),
    /// A text is not known any more.
    ForgetText(TextId),
    /// The types of a text may be out of date: an argument does not fit them.
    Doubt(TextId, Arc<Described>),
    /// Types may have changed: what the caller was told of them is out of date.
    ForgetTypes,
    /// What the guard says of a text now, and whether a group with it checks deferred keys at once.
    Regroup(TextId, Verdict, bool),
    /// What is known of a text from its executions?
    Experience(TextId, std::sync::mpsc::Sender<Experience>),
    /// One statement. `params` is None where they could not be encoded yet; a statement without arguments needs none.
    Submit {
        /// Who.
        item: ItemId,
        /// What.
        text: TextId,
        /// Whether it has arguments.
        with_args: bool,
        /// Them, if their types are known.
        params: Option<Params>,
        /// Seconds on the pool's clock ([`Pool::now`]).
        deadline: Option<f64>,
    },
    /// The arguments that were asked for; None if they do not fit, which ends the statement.
    Provide(ItemId, Option<Params>),
    /// Somebody wants a connection to himself.
    Acquire(ItemId, Option<f64>),
    /// The caller does not wait any more.
    Cancel(ItemId),
    /// Run statements on a connection that is lent; `Completion::Ran` has the same token.
    Run(ConnId, u64, Vec<Call>),
    /// Ask for the types of one text on a connection that is lent, without running it; `Completion::Ran` tells.
    Describe(ConnId, u64, Call),
    /// Run a COPY on a connection that is lent, as the item; `Completion::CopyTurn` asks for its data or gives them, and
    /// wants one `Command::Feed` each time. `Completion::Ran` ends it.
    Copy(ConnId, u64, ItemId, Arc<str>),
    /// An answer to `Completion::CopyTurn`.
    Feed(ConnId, Feed),
    /// Stop what runs on a connection that is lent. It is not released before `Completion::Stopped` has come: until then
    /// the request may hit what runs next.
    Stop(ConnId, u64),
    /// A connection comes back, clean; false if it must not be used again.
    Release(ConnId, bool),
    /// Close a connection that is of no use any more, for this reason; the others are suspect too if `true`.
    Abort(ConnId, String, bool),
    /// The password that was asked for; else whether to ask again cannot help.
    Password(ConnId, Result<String, bool>),
    /// Whether floats in text are exact in a session as it begins: `extra_float_digits` is not reported.
    Told(ConnId, bool),
    /// A new connection is ready, and took so long for a first round trip; else whether opening another one cannot help
    /// either.
    Greeted(ConnId, Result<Option<f64>, bool>),
    /// A session is in its initial state again; false if it must not be used again.
    Cleaned(ConnId, bool),
    /// Bring the gauges up to date, and say so.
    Look(std::sync::mpsc::Sender<()>),
    /// Other bounds.
    Resize(usize, usize),
    /// Replace every connection as soon as it is free.
    Expire,
    /// Finish what is there and take no new work.
    ShutDown,
    /// Close everything now.
    Terminate,
}

/// What the caller hears.
#[derive(Debug)]
pub enum Completion {
    /// A statement was executed, and is committed.
    Done {
        /// Whose.
        item: ItemId,
        /// Its command tag.
        tag: Arc<str>,
        /// Its rows.
        rows: Rows,
        /// How to read them; None if it has none.
        shape: Option<Arc<Described>>,
        /// What the values depend on.
        settings: Arc<Settings>,
    },
    /// So many groups are answered, and all their results were handed out before this. Once their callers have had their
    /// turn, [`Pool::heard`] is to be told.
    Delivered(u64),
    /// The server refused a statement.
    Failed(ItemId, ServerError),
    /// The columns are of other types than when the text was described, and cannot be read in the format asked for.
    Changed(ItemId),
    /// The arguments did not fit, as the caller has said.
    Unfit(ItemId),
    /// The pool could not serve a call.
    Refused {
        /// Whose.
        item: ItemId,
        /// Why.
        reason: Reason,
        /// Whether the server may have seen it.
        sent: bool,
        /// For how long it had been waiting, in seconds.
        waited: f64,
        /// What ran instead, and for how long, if it waited in vain; None if that is the same as for the one before.
        running: Option<Vec<(f64, Arc<str>)>>,
    },
    /// The types are known now: answer with [`Command::Provide`].
    NeedsParams(ItemId, Arc<Described>),
    /// What the server told of types that are not built in, before the caller is asked for arguments of them.
    Types(Vec<u32>, Rows),
    /// A connection is lent, after so many seconds.
    Lent(ItemId, ConnId, f64),
    /// What was run on a connection that is lent.
    Ran(u64, Result<Ran, Lost>),
    /// A COPY wants a piece of its data (None), or gives one.
    CopyTurn(u64, Option<Bytes>),
    /// Notifications for whoever holds that connection.
    Notified(ConnId, Vec<Notification>),
    /// The server was asked to stop, and whether it has closed the connection of the request: if not, the request may
    /// still hit what runs next.
    Stopped(u64, bool),
    /// A connection that is lent is gone.
    LentLost(ConnId, Lost),
    /// A new connection is lent to be looked at; answer with [`Command::Greeted`].
    Greet(ConnId),
    /// A session is lent to be brought back to its initial state; answer with [`Command::Cleaned`].
    Clean(ConnId),
    /// A password is wanted; answer with [`Command::Password`].
    NeedsPassword(ConnId),
    /// A connection serves from now on.
    Opened(ConnId),
    /// One could not be opened.
    NotOpened(ConnectError),
    /// One was lost.
    Gone(Lost),
    /// The server said something besides.
    Notice(ServerError),
    /// A statement alone took so many seconds.
    Slow(Arc<str>, f64),
    /// The pool was shut down or terminated, and its last connection is closed. Whatever is called later is not heard.
    Ended,
    /// The pool's task panicked, which is a bug: no call will be answered any more, and the outcome of those that run is
    /// unknown.
    Broken,
}

/// How a borrower's statements ended.
#[derive(Debug)]
pub struct Ran {
    /// All of it is done.
    pub ok: bool,
    /// From sending to the answer.
    pub seconds: f64,
    /// A transaction block is open, failed or not.
    pub in_transaction: bool,
    /// Done, Failed, Unfit or Changed for each statement; None if it was not executed.
    pub results: Vec<Option<Completion>>,
}

/// Where results go. Called on tokio's threads.
pub trait Sink: Send + Sync + 'static {
    /// Decide how the values of a text are sent and received.
    fn formats(&self, text: &mut Described);
    /// Take results; called once for everything that was decided at once.
    fn complete(&self, batch: Vec<Completion>);
}

/// How the pool stood when it last decided something.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)] // the names are those of PoolStats in Python
pub struct Gauges {
    pub size: usize,
    pub idle: usize,
    pub opening: usize,
    pub lanes: usize,
    pub alone: usize,
    pub sessions: usize,
    pub waiting: usize,
    pub in_flight: usize,
    pub min_size: usize,
    pub max_size: usize,
    pub generation: u64,
    pub healthy: bool,
    pub broken_up: u64,
    pub resent: u64,
    pub ran_alone: [u64; REASONS],
    pub statements: u64,
    pub groups: u64,
    pub connects: u64,
    pub connect_failures: u64,
    pub lost: u64,
}

/// What the handle and the actor share.
struct Shared {
    inbox: Mutex<Vec<Command>>,
    wake: Notify,
    /// How many groups' callers have had their turn.
    heard: AtomicU64,
    gauges: Mutex<Gauges>,
    measures: Mutex<Measures>,
    epoch: std::time::Instant,
}

/// A handle for the caller's thread. To drop it terminates the pool.
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// A pool on this runtime; its first connections are being opened.
    pub fn open(
        runtime: &Handle,
        backend: impl Into<Backend>,
        limits: Limits,
        options: Options,
        sink: Arc<dyn Sink>,
    ) -> Pool {
        let opening = limits.min_size;
        let gauges = Mutex::new(Gauges { size: opening, opening, healthy: true, ..Gauges::default() });
        let (inbox, wake, heard) = (Mutex::default(), Notify::new(), AtomicU64::new(0));
        let (measures, epoch) = (Mutex::default(), std::time::Instant::now());
        let shared = Arc::new(Shared { inbox, wake, heard, gauges, measures, epoch });
        let serving = runtime.spawn(actor::run(shared.clone(), backend.into(), limits, options, sink.clone()));
        runtime.spawn(async move {
            if serving.await.is_err_and(|error| error.is_panic()) {
                sink.complete(vec![Completion::Broken]);
            }
        });
        Pool { shared }
    }

    /// Put a command into the inbox; it is looked at after the next [`Pool::flush`].
    pub fn call(&self, command: Command) {
        self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(command);
    }

    /// Put all of them into the inbox.
    pub fn call_all(&self, commands: &mut Vec<Command>) {
        self.shared.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).append(commands);
    }

    /// The callers of so many groups ([`Completion::Delivered`]) have had their turn: what they called is in the inbox.
    pub fn heard(&self, groups: u64) {
        self.shared.heard.store(groups, Ordering::Release);
    }

    /// The caller's turn ends: have what was called looked at.
    pub fn flush(&self) {
        self.shared.wake.notify_one();
    }

    /// Seconds on the pool's clock.
    pub fn now(&self) -> f64 {
        self.shared.epoch.elapsed().as_secs_f64()
    }

    /// How the pool stands.
    pub fn gauges(&self) -> Gauges {
        self.shared.gauges.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// What was measured of statements on shared connections.
    pub fn measures(&self) -> Measures {
        self.shared.measures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.call(Command::Terminate);
        self.flush();
    }
}
