//! What the scheduler works on: requests, connections, the actions that it returns, and the numbers in its rules.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::cost::{CostLimits, Kind, Text};
use super::queues::Queue;

/// A time that does not come.
pub const NEVER: f64 = f64::INFINITY;

/// A statement or a waiter, by the number that the pool gave it. A number is never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(pub u64);

/// A connection, numbered from 1 in the order in which they are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// A statement text, by the number that the pool gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TextId(pub u64);

/// Why a request is answered with an error that the server did not send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its deadline passed.
    Timeout,
    /// The connection was lost, the outcome is unknown.
    Lost,
    /// No connection could be opened.
    ConnectFailed,
    /// More callers wait than the pool allows.
    Overloaded,
    /// The pool is closed.
    Closed,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Open a connection; answer with `opened` or `open_failed`.
    Open(ConnId),
    /// Send the group and one Sync; answer with `finished` (or `lost`).
    Send(ConnId, Vec<ItemId>),
    /// Give the connection to a waiter; answer with `released` (or `lost`).
    Lend(ConnId, ItemId),
    /// Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection.
    Cancel(ConnId),
    /// Bring the session back to its initial state; answer with `reset_done` (or `lost`).
    Reset(ConnId),
    /// Close the connection; answer with `closed`.
    Close(ConnId),
    /// The group is final: give each statement's outcome to its caller; a `turn` follows once the callers have run.
    Deliver(Vec<ItemId>),
    /// Answer a request with an error; `sent`: whether the server may have seen it.
    Fail {
        /// The request.
        item: ItemId,
        /// Why.
        reason: Reason,
        /// Whether the server may have seen it.
        sent: bool,
    },
}

/// The states of a connection (rule 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A connect is under way.
    Opening,
    /// Nothing to do.
    Idle,
    /// Runs groups.
    Lane,
    /// Runs one statement.
    Alone,
    /// Exclusively held.
    Session,
    /// To be closed.
    Closing,
}

/// One connection, from the decision to open it until it is closed.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Connections of an older generation are not used again.
    pub generation: u64,
    /// What it does.
    pub state: State,
    /// When the attempt to open it began.
    pub began: f64,
    /// How many attempts had failed before.
    pub failures: u32,
    /// Until then it must have answered something, or it counts as an attempt that failed.
    pub unproven: f64,
    /// When it became idle.
    pub since: f64,
    /// When it is to be replaced.
    pub expires: f64,
    /// What the server has not answered yet.
    pub group: Vec<ItemId>,
    /// The kind of its group.
    pub kind: Kind,
    /// When the group was sent.
    pub started: f64,
    /// How many connections worked when it was sent, this one included.
    pub beside: usize,
    /// The shortest answer seen on it: what every statement costs on this link, whatever it does.
    pub round_trip: f64,
    /// A CancelRequest may still be on its way.
    pub cancelling: bool,
    /// When the server was first asked to stop the group.
    pub cancel_at: f64,
    /// When it is to be asked again.
    pub ask_at: f64,
    /// The session is being cleaned.
    pub resetting: bool,
    /// It must be cleaned.
    pub unclean: bool,
}

impl Conn {
    /// A connection that is being opened.
    pub fn new(generation: u64, now: f64) -> Self {
        Conn {
            generation,
            state: State::Opening,
            began: now,
            failures: 0,
            unproven: -NEVER,
            since: now,
            expires: NEVER,
            group: Vec::new(),
            kind: Kind::Other,
            started: 0.0,
            beside: 1,
            round_trip: NEVER,
            cancelling: false,
            cancel_at: NEVER,
            ask_at: 0.0,
            resetting: false,
            unclean: false,
        }
    }
}

/// Where an item stands. One that is answered, and runs on no connection, is in the table no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a queue.
    Queued,
    /// On a connection, unanswered.
    Sent,
    /// On a connection, but no caller waits for its answer.
    Done,
}

/// A request: a statement or an `acquire`.
#[derive(Clone, Debug)]
pub struct Item {
    /// The text of a statement; None for an `acquire`.
    pub text: Option<TextId>,
    /// When its caller must have an answer.
    pub deadline: Option<f64>,
    /// Its place in the order of arrival.
    pub ticket: u64,
    /// When it arrived.
    pub enqueued: f64,
    /// Where it stands.
    pub place: Place,
    /// The queue where it waits.
    pub queue: Queue,
    /// It must not be grouped any more.
    pub alone: bool,
    /// Where it runs.
    pub conn: ConnId,
}

/// Numbers are given in sequence, so they are their own hashes.
#[derive(Default)]
pub struct Sequential(u64);

impl Hasher for Sequential {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }
    fn write_u64(&mut self, number: u64) {
        // The high bits choose the group of buckets and the low ones the bucket: spread what is sequential.
        self.0 = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// A map whose keys are numbers given in sequence.
pub type ById<K, V> = HashMap<K, V, BuildHasherDefault<Sequential>>;

/// Requests that wait or run, and the texts of statements.
#[derive(Default)]
pub struct Items {
    items: ById<ItemId, Item>,
    texts: ById<TextId, Text>,
}

impl Items {
    /// The pool came to know a text.
    pub fn add_text(&mut self, id: TextId, text: Text) {
        self.texts.insert(id, text);
    }

    /// The pool does not know the text any more.
    pub fn forget_text(&mut self, id: TextId) {
        let text = self.text_mut(id);
        text.forgotten = true;
        if text.users == 0 {
            self.texts.remove(&id);
        }
    }

    /// How many items and texts there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.items.len(), self.texts.len())
    }

    /// A new item.
    pub fn add(&mut self, id: ItemId, text: Option<TextId>, deadline: Option<f64>, ticket: u64, now: f64) {
        if let Some(text) = text {
            self.text_mut(text).users += 1;
        }
        let place = Place::Queued;
        let (queue, conn) = (Queue::Sessions, ConnId(0));
        let item = Item { text, deadline, ticket, enqueued: now, place, queue, alone: false, conn };
        let before = self.items.insert(id, item);
        assert!(before.is_none(), "bug: {id:?} was used before");
    }

    /// Nothing refers to the item any more.
    pub fn remove(&mut self, id: ItemId) {
        let item = self.items.remove(&id).expect("bug: an item was answered twice");
        if let Some(text_id) = item.text {
            let text = self.text_mut(text_id);
            text.users -= 1;
            if text.users == 0 && text.forgotten {
                self.texts.remove(&text_id);
            }
        }
    }

    /// The item, unless it was answered.
    pub fn find(&self, id: ItemId) -> Option<&Item> {
        self.items.get(&id)
    }

    /// An item that is there.
    pub fn get(&self, id: ItemId) -> &Item {
        &self.items[&id]
    }

    /// An item that is there.
    pub fn get_mut(&mut self, id: ItemId) -> &mut Item {
        self.items.get_mut(&id).expect("bug: an item that is not there")
    }

    /// The text of a statement.
    pub fn text_of(&self, id: ItemId) -> &Text {
        &self.texts[&self.text_id(id)]
    }

    /// Whether a statement may share a connection with others at `now`.
    pub fn may_share(&self, id: ItemId, now: f64) -> bool {
        let text = self.text_of(id);
        text.fast && !self.get(id).alone && now >= text.held_until
    }

    /// The number of a statement's text.
    pub fn text_id(&self, id: ItemId) -> TextId {
        self.get(id).text.expect("bug: a waiter has no text")
    }

    /// A text, unless it went with its last statement.
    pub fn find_text(&mut self, id: TextId) -> Option<&mut Text> {
        self.texts.get_mut(&id)
    }

    /// A text that is there.
    pub fn text_mut(&mut self, id: TextId) -> &mut Text {
        self.texts.get_mut(&id).expect("bug: a text that is not there")
    }

    /// See [`Text::observe`].
    pub fn observe(&mut self, text: TextId, count: u64, seconds: f64, size: f64, limits: &CostLimits) -> bool {
        self.text_mut(text).observe(count, seconds, size, limits)
    }
}

/// The numbers in the rules; times in seconds. The defaults are Python's.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections that are kept open.
    pub min_size: usize,
    /// The most connections that the server ever sees.
    pub max_size: usize,
    /// The most callers that may wait.
    pub max_waiting: usize,
    /// How long a call without a deadline waits for its turn.
    pub acquire_timeout: f64,
    /// How long a connection above `min_size` may idle.
    pub idle_timeout: f64,
    /// The most statements in one group.
    pub group_max: usize,
    /// The most time that a group is expected to take.
    pub group_time: f64,
    /// A queue is divided over the free lanes in pieces of at least this many statements.
    pub piece_min: usize,
    /// A group that runs longer is broken up.
    pub stall: f64,
    /// How long the head of the READs may be expected to wait before one more lane is taken.
    pub lane_wait: f64,
    /// The same for WRITEs.
    pub write_lane_wait: f64,
    /// Lanes for READs from the start.
    pub read_lanes: usize,
    /// The most lanes for WRITEs.
    pub max_write_lanes: usize,
    /// Whether a group that stalls is broken up.
    pub breaks_stalls: bool,
    /// Whether READs whose connection was lost are sent again.
    pub retry_reads: bool,
    /// How long the server may take to react to a CancelRequest before idle connections are replaced too.
    pub suspect: f64,
    /// How long the server may take to react to a CancelRequest before the connection counts as dead. Where nothing can
    /// be cancelled from outside (`breaks_stalls` is false) it is asked, but never given up.
    pub cancel_grace: f64,
    /// Pause before a CancelRequest is repeated, doubled each time: the server ignores one that comes too early.
    pub cancel_pause: f64,
    /// Pause after the first failed connect.
    pub backoff: f64,
    /// The pause is doubled up to this value.
    pub backoff_max: f64,
    /// What counts as fast.
    pub cost: CostLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            min_size: 1,
            max_size: 10,
            max_waiting: 100_000,
            acquire_timeout: 30.0,
            idle_timeout: 600.0,
            group_max: 64,
            group_time: 0.002,
            piece_min: 8,
            stall: 0.050,
            lane_wait: 0.001,
            write_lane_wait: 0.005,
            read_lanes: 2,
            max_write_lanes: 10,
            breaks_stalls: true,
            retry_reads: false,
            suspect: 0.25,
            cancel_grace: 1.5,
            cancel_pause: 0.05,
            backoff: 0.05,
            backoff_max: 0.35,
            cost: CostLimits::default(),
        }
    }
}
