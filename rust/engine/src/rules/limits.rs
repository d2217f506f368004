//! The numbers in the rules.

use super::cost::CostLimits;

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
