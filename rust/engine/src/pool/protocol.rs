//! What goes in and out of a pool: commands, completions, and what both carry.

use std::sync::Arc;
use std::sync::mpsc::Sender;

use bytes::Bytes;

use super::backend::Backend;
use crate::link::{
    ConnectError, Described, Feed, Lost, Notification, Rows, ServerError, SessionInfo, Settings, Short, Types,
};
use crate::scheduler::{ConnId, Kind, QueryId, Reason, RequestId, Verdict};

/// A query that the pool is told of.
#[derive(Clone, Debug)]
pub struct QueryInfo {
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
    /// Whether it waits behind no other (rule 8.4).
    pub urgent: bool,
}

/// The arguments of a statement, encoded as this description says. What is executed by SQLite always has them: it is
/// the caller that describes its queries ([`crate::sqlite::SqlitePlan::described`]).
pub type Params = (Arc<Described>, Short);

/// What is to be run.
#[derive(Clone, Debug)]
pub enum Source {
    /// A query that the pool was told of.
    Query(QueryId),
    /// SQL that is run as it is, and not remembered.
    Sql(Arc<str>),
}

/// One execution on an acquired connection.
#[derive(Debug)]
pub struct Call {
    /// The request.
    pub request: RequestId,
    /// The statement.
    pub source: Source,
    /// Whether it has arguments.
    pub with_args: bool,
    /// Them, if their types are known.
    pub params: Option<Params>,
    /// Where it fetches from a cursor: how the rows before came. The next ones are asked for in the formats of this.
    pub seen: Option<Arc<Described>>,
}

/// How a pool works with its caller.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections are replaced after about so many seconds.
    pub lifetime: f64,
    /// The caller looks at each new connection before it serves ([`Completion::Initialize`]).
    pub initializes: bool,
    /// The caller itself brings sessions back to their initial state ([`Completion::Reset`]).
    pub resets: bool,
    /// The caller is asked for the password of each connection ([`Completion::NeedsPassword`]).
    pub asks_password: bool,
    /// Statements alone that take so many seconds are reported ([`Completion::Slow`]).
    pub slow: Option<f64>,
    /// How many seconds the server may take to bring a session back to its initial state.
    pub patience: Option<f64>,
    /// The query that tells what types are made of that are not built in, which `$1` stands for
    /// ([`Completion::Types`]). None: the caller does not need to know.
    pub types_query: Option<Arc<str>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            lifetime: 3600.0,
            initializes: false,
            resets: false,
            asks_password: false,
            slow: None,
            patience: None,
            types_query: None,
        }
    }
}

/// What is known of a query from its executions.
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
    /// A query came to be known; it is named before its first statement.
    AddQuery(QueryId, QueryInfo),
    /// A query is not known any more.
    ForgetQuery(QueryId),
    /// A text is to be described again before it is run.
    DescribeAgain(QueryId),
    /// The types of a query may be out of date: an argument does not fit them.
    MayBeStale(QueryId, Arc<Described>),
    /// Types may have changed: what the caller was told of them is out of date.
    ForgetTypes,
    /// What the guard says of a query now, and whether a group with it checks deferred keys at once.
    Regroup(QueryId, Verdict, bool),
    /// What is known of a query from its executions?
    Experience(QueryId, Sender<Experience>),
    /// One statement. `params` is None where they could not be encoded yet; a statement without arguments needs none.
    Submit {
        /// The request.
        request: RequestId,
        /// The query.
        query: QueryId,
        /// Whether it has arguments.
        with_args: bool,
        /// Them, if their types are known.
        params: Option<Params>,
        /// Seconds on the pool's clock ([`Pool::now`]).
        deadline: Option<f64>,
    },
    /// The arguments that were asked for; None if they do not fit, which ends the statement.
    Provide(RequestId, Option<Params>),
    /// A caller wants a connection of its own.
    Acquire(RequestId, Option<f64>),
    /// The caller does not wait any more.
    Cancel(RequestId),
    /// Run statements on an acquired connection; `Completion::Ran` has the same token.
    Run(ConnId, u64, Vec<Call>),
    /// Ask for the types of texts on an acquired connection, without running it; `Completion::Ran` tells.
    Describe(ConnId, u64, Vec<Call>),
    /// Run a COPY on an acquired connection, as the request; `Completion::DataRequest` asks for its data or
    /// gives them, and wants one `Command::Feed` each time. `Completion::Ran` ends it.
    Copy(ConnId, u64, RequestId, Arc<str>),
    /// An answer to `Completion::DataRequest`.
    Feed(ConnId, Feed),
    /// Stop what runs on an acquired connection. It is not released before `Completion::Stopped` has come: until
    /// then the request may hit what runs next.
    Stop(ConnId, u64),
    /// A connection comes back, clean; false if it must not be used again.
    Release(ConnId, bool),
    /// Close a connection that is of no use any more, for this reason; the others are suspect too if `true`.
    Abort(ConnId, String, bool),
    /// The password that was asked for; else whether to ask again cannot help.
    Password(ConnId, Result<String, bool>),
    /// Whether floats in text are exact in a session as it begins: `extra_float_digits` is not reported.
    ExactFloats(ConnId, bool),
    /// A new connection is ready, and took so long for a first round trip; else whether opening another one cannot help
    /// either.
    Initialized(ConnId, Result<Option<f64>, bool>),
    /// A session is in its initial state again; false if it must not be used again.
    ResetDone(ConnId, bool),
    /// Bring the gauges up to date, and say so.
    Look(Sender<()>),
    /// Other bounds.
    Resize(usize, usize),
    /// Connections that are opened from now on lead there, and whether the caller is asked for their passwords.
    Retarget(Box<Backend>, bool),
    /// Replace every connection as soon as it is free.
    Expire,
    /// Finish what is there and take no new work.
    ShutDown,
    /// Close everything now.
    Terminate,
}

/// What the pool tells its caller.
#[derive(Debug)]
pub enum Completion {
    /// A statement was executed, and is committed.
    Done {
        /// Whose.
        request: RequestId,
        /// Its command tag.
        tag: Arc<str>,
        /// Its rows.
        rows: Rows,
        /// How to read them; None if it has none.
        shape: Option<Arc<Described>>,
        /// What the values depend on.
        settings: Arc<Settings>,
    },
    /// So many groups are answered, and all their results were handed out before this. [`Pool::acknowledge`] is to be
    /// called once their callers have run.
    Delivered(u64),
    /// What the server told of a text that was not run ([`Command::Describe`]).
    Described(RequestId, Types),
    /// The server refused a statement.
    Failed(RequestId, ServerError),
    /// The columns are of other types than when the text was described, and cannot be read in the format asked for.
    Changed(RequestId),
    /// The arguments did not fit, as the caller has said.
    Unfit(RequestId),
    /// The pool could not serve a call.
    Refused {
        /// Whose.
        request: RequestId,
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
    NeedsParams(RequestId, Arc<Described>),
    /// What the server told of types that are not built in, before the caller is asked for arguments of them.
    Types(Vec<u32>, Rows),
    /// A connection is acquired; what its server tells of the session.
    Acquired(RequestId, ConnId, Option<SessionInfo>),
    /// What was run on an acquired connection.
    Ran(u64, Result<Ran, Lost>),
    /// A COPY wants a piece of its data (None), or gives one.
    DataRequest(u64, Option<Bytes>),
    /// Notifications for the caller that holds that connection.
    Notified(ConnId, Vec<Notification>),
    /// The server was asked to stop, and whether it has closed the connection of the request: if not, the request may
    /// still hit what runs next.
    Stopped(u64, bool),
    /// An acquired connection is lost.
    AcquiredLost(ConnId, Lost),
    /// A new connection is handed out to be looked at; answer with [`Command::Initialized`].
    Initialize(ConnId),
    /// A session is handed out to be brought back to its initial state; answer with [`Command::ResetDone`].
    Reset(ConnId),
    /// A password is wanted; answer with [`Command::Password`].
    NeedsPassword(ConnId),
    /// A connection serves from now on.
    Opened(ConnId),
    /// One could not be opened.
    NotOpened(ConnectError),
    /// One was lost.
    Gone(Lost),
    /// The server said something besides.
    Notice(ConnId, ServerError),
    /// A statement alone took so many seconds.
    Slow(Arc<str>, f64),
    /// The pool was shut down or terminated, and its last connection is closed. Commands that come
    /// later are not looked at.
    Ended,
    /// The pool's task panicked, which is a bug: no call will be answered any more, and the outcome of those that run
    /// is unknown.
    Broken,
}

/// How the statements of an acquired connection ended.
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
    /// Types that only the rows name, and of which the server may have to be asked: those of the fields of records.
    fn types_in(&self, _rows: &Rows, _text: &Described) -> Vec<u32> {
        Vec::new()
    }
    /// Take results; called once for everything that was decided at once.
    fn complete(&self, batch: Vec<Completion>);
}
