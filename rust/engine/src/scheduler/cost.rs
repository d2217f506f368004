//! What a statement is expected to cost: the part of the rules that learns.
//!
//! The scheduler keeps one [`Query`] per statement text. A query is *fast*, and may share a connection with others,
//! when it was answered at least `probes` times, its expected service time and its result are small, and it did not
//! recently take longer than a group may. Everything else, and everything unknown, is slow: a wrong "slow" costs one
//! connection for one round trip, a wrong "fast" makes other callers wait.

use crate::declared::limits;

/// How quickly the expected service time follows a lower sample: a busy program makes answers *look* late, so it falls
/// faster than it rises.
const FALL: f64 = 0.3;
/// How quickly it follows a higher one. A text that really became slow crosses the limit after one sample all the same.
const RISE: f64 = 0.05;
/// A recent maximum is forgotten at this rate per answered group.
const PEAK_DECAY: f64 = 0.9;

/// The lexical class of a statement, as far as the scheduler needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// May be grouped with READs.
    Read,
    /// May be grouped with WRITEs.
    Write,
    /// Everything that takes a connection to itself.
    Other,
}

/// How many reasons there are why a statement runs alone. The last is its cost, which is learned here.
pub const REASONS: usize = 5;

limits! {
    /// What counts as fast; times in seconds, sizes in bytes.
    struct CostLimits {
        /// The expected service time of a fast text.
        fast_time: f64 = 0.002,
        /// Its expected result.
        fast_bytes: f64 = 262_144.0,
        /// Its recent maximum.
        peak_time: f64 = 0.050,
        /// How often it must have been answered.
        probes: u64 = 3,
        /// A WRITE alone takes as long as its commit, whose fsync a group shares: this much of a WRITE's time does not
        /// count. (One that is slow by itself is found out in a group: see [`Query::stalled`].)
        commit_time: f64 = 0.020,
        /// A text that failed is not grouped for this long.
        failure_hold: f64 = 1.0,
    }
}

/// What the guard says of a text: its class, whether it may be grouped and why not, whether it may leave state on its
/// session.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Its class.
    pub kind: Kind,
    /// Whether it may be grouped.
    pub groupable: bool,
    /// Why not: a number of the caller's, below [`REASONS`].
    pub why: usize,
    /// Whether it may leave state on its session.
    pub dirties: bool,
}

/// One statement text as the scheduler knows it: class and cost.
pub struct Query<Q> {
    /// What the pool knows of it.
    pub info: Q,
    /// Its class.
    pub kind: Kind,
    /// Whether its class may be grouped at all under the pool's settings.
    pub groupable: bool,
    /// Whether it may leave state on its session.
    pub dirties: bool,
    /// Why it may not be grouped: a number of the caller's, below [`REASONS`].
    pub why: usize,
    /// Whether it may be grouped by experience.
    pub fast: bool,
    /// Whether it waits behind no other: it is the guard's (rule 8.4).
    pub urgent: bool,
    /// Expected service time.
    pub mean: f64,
    /// Expected bytes of its result.
    pub size: f64,
    /// It is not grouped before this time.
    pub held_until: f64,
    seen: u64,
    peak: f64,
    /// Statements that refer to it.
    pub(super) users: usize,
    /// The pool does not know it any more: it goes with its last statement.
    pub(super) forgotten: bool,
}

impl<Q> Query<Q> {
    /// A query of which nothing is known but its class.
    pub fn new(kind: Kind, groupable: bool, dirties: bool, info: Q) -> Self {
        Query {
            info,
            kind,
            groupable,
            dirties,
            why: 0,
            fast: false,
            urgent: false,
            mean: 0.0,
            size: 0.0,
            held_until: f64::NEG_INFINITY,
            seen: 0,
            peak: 0.0,
            users: 0,
            forgotten: false,
        }
    }

    /// Take in `count` executions of `seconds` service time and `size` bytes each; true if `fast` flipped.
    pub fn observe(&mut self, count: u64, seconds: f64, size: f64, limits: &CostLimits) -> bool {
        if self.seen == 0 {
            (self.mean, self.peak, self.size) = (seconds, seconds, size);
        } else {
            let rate = if seconds < self.mean { FALL } else { RISE };
            self.mean += (seconds - self.mean) * f64::min(1.0, rate * count as f64);
            self.peak = f64::max(seconds, self.peak * PEAK_DECAY);
            self.size += (size - self.size) * if size < self.size { RISE } else { FALL };
        }
        self.seen += count;
        self.judge(limits)
    }

    fn judge(&mut self, limits: &CostLimits) -> bool {
        let fast = self.groupable
            && self.seen >= limits.probes
            && self.mean <= limits.fast_time
            && self.size <= limits.fast_bytes
            && self.peak <= limits.peak_time;
        let flipped = fast != self.fast;
        self.fast = fast;
        flipped
    }

    /// It is of another class, or may be grouped, or no longer; true if its statements belong to another queue.
    pub fn permit(&mut self, verdict: Verdict, limits: &CostLimits) -> bool {
        let Verdict { kind, groupable, why, dirties } = verdict;
        let other_kind = kind != self.kind;
        (self.kind, self.groupable, self.dirties, self.why) = (kind, groupable, dirties, why.min(REASONS - 1));
        self.judge(limits) || other_kind
    }

    /// How often it was answered.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Its execution failed: keep it out of groups for a while. True if it could be grouped until now.
    pub fn failed(&mut self, now: f64, limits: &CostLimits) -> bool {
        let was_grouped = self.fast && now >= self.held_until;
        self.held_until = now + limits.failure_hold;
        was_grouped
    }

    /// It was part of a group that took too long: out of groups until it has proved itself some twenty times.
    pub fn stalled(&mut self, now: f64, limits: &CostLimits) -> bool {
        self.peak = 10.0 * limits.peak_time;
        let was_grouped = self.failed(now, limits);
        self.fast = false;
        was_grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_is_slow_until_it_was_probed() {
        let limits = CostLimits::default();
        let mut query = Query::new(Kind::Read, true, false, ());
        assert!(!query.observe(2, 0.0001, 100.0, &limits) && !query.fast);
        assert!(query.observe(1, 0.0001, 100.0, &limits) && query.fast);
    }

    #[test]
    fn a_query_that_became_slow_crosses_the_limit_at_once() {
        let limits = CostLimits::default();
        let mut query = Query::new(Kind::Read, true, false, ());
        query.observe(3, 0.0001, 100.0, &limits);
        assert!(query.observe(1, 0.2, 100.0, &limits) && !query.fast);
    }

    #[test]
    fn a_class_that_is_not_grouped_is_never_fast() {
        let mut query = Query::new(Kind::Other, false, false, ());
        assert!(!query.observe(10, 0.0, 0.0, &CostLimits::default()) && !query.fast);
    }
}
