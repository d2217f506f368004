//! A connection as the scheduler sees it: a state, and what runs on it.

use super::NEVER;
use super::actions::ItemId;
use super::cost::Kind;

/// The states of a connection.
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
