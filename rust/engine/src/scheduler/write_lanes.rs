//! How many lanes carry WRITEs: one or two, whichever carries more.
//!
//! Let F be what a commit costs with its fsync, N the statements that many tasks send again and again, s the server's
//! and c the client's time for each. Each group is a commit, so a lane *gathers*: its next group leaves when the
//! callers that it answered have had their tick to come back. There are two ways to carry the N:
//!
//! - **One lane.** All share a commit. Server and client wait for each other: F + N(s + c).
//! - **Two lanes.** Server and client work at the same time, but on two groups, each with a commit of its own:
//!   max(2F, F + N(s + c)/2, Nc).
//!
//! Which is shorter depends on the disk, and F cannot be seen: an UPDATE that finds no row has no fsync. So both are
//! tried, one right after the other, and what was carried decides: on average over the last trials, since on a busy
//! machine a single one says little. A trial that says otherwise than they did is repeated at once.

use super::model::NEVER;

/// What is carried is counted over so many seconds at least,
const INTERVAL: f64 = 0.05;
/// and so many groups.
const GROUPS: u64 = 8;
/// Two lanes must carry so many times what one does: they are more work for the disk.
const GAIN: f64 = 1.1;
/// After so many intervals with one number of lanes the other one is tried.
const TRIAL: u64 = 20;
/// How many trials are remembered; the first so many follow one another.
const MEMORY: u64 = 4;

/// Decides for one pool.
pub struct WriteLanes {
    /// What the rule says: the number that was chosen, or the other one while it is tried.
    pub lanes: usize,
    /// Seconds that the last group took, its commit included.
    pub took: f64,
    /// Whether a lane waits for the callers that it has answered.
    pub gathers: bool,
    chosen: usize,
    /// Statements per second in the last interval with the number that was chosen.
    usual: f64,
    /// What two lanes carry, as a part of what both numbers do: on average over the last trials.
    two: f64,
    trials: u64,
    until_trial: u64,
    began: f64,
    last: f64,
    statements: u64,
    groups: u64,
}

impl WriteLanes {
    /// Where there is but one writer (`most` is 1), there is one lane, fed at once.
    pub fn new(most: usize) -> Self {
        WriteLanes {
            lanes: 1,
            took: 0.0,
            gathers: most > 1,
            chosen: 1,
            usual: 0.0,
            two: 0.0,
            trials: 0,
            until_trial: 1,
            began: -NEVER,
            last: -NEVER,
            statements: 0,
            groups: 0,
        }
    }

    /// A group of `count` is committed after `seconds`.
    pub fn carried(&mut self, count: usize, seconds: f64, now: f64) {
        self.took = seconds;
        if !self.gathers {
            return;
        }
        if now - self.last > INTERVAL {
            self.begin(now); // no WRITEs for a while
        } else {
            self.statements += count as u64;
            self.groups += 1;
            if now - self.began >= INTERVAL && self.groups >= GROUPS {
                self.judge(self.statements as f64 / (now - self.began));
                self.begin(now);
            }
        }
        self.last = now;
    }

    fn begin(&mut self, now: f64) {
        (self.began, self.statements, self.groups) = (now, 0, 0);
    }

    /// An interval is over in which `rate` statements per second were carried.
    fn judge(&mut self, rate: f64) {
        if self.lanes != self.chosen {
            return if self.lanes == 2 { self.tried(self.usual, rate) } else { self.tried(rate, self.usual) };
        }
        self.usual = rate;
        if self.statements > self.groups {
            // else one waits for the other: there is nothing to divide
            self.until_trial = self.until_trial.saturating_sub(1);
            if self.until_trial == 0 {
                self.lanes = 3 - self.chosen;
            }
        }
    }

    /// A trial is over: so much was carried by one lane, and by two.
    fn tried(&mut self, one: f64, two: f64) {
        self.trials = (self.trials + 1).min(MEMORY);
        self.two += (two / (one + two) - self.two) / self.trials as f64;
        self.chosen = if self.two > GAIN * (1.0 - self.two) { 2 } else { 1 };
        self.lanes = self.chosen;
        let agrees = (two > GAIN * one) == (self.chosen == 2);
        self.until_trial = if agrees && self.trials == MEMORY { TRIAL } else { 1 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule says in the end, while `rate(lanes)` statements per second are carried in groups of 32.
    fn said(most: usize, seconds: f64, rate: impl Fn(usize) -> f64) -> usize {
        let (mut rule, mut now) = (WriteLanes::new(most), 0.0);
        while now < seconds {
            now += 32.0 / rate(rule.lanes);
            rule.carried(32, 0.001, now);
        }
        rule.lanes
    }

    #[test]
    fn two_lanes_must_carry_a_tenth_more() {
        for (gain, lanes) in [(1.05, 1), (1.15, 2), (0.9, 1)] {
            assert_eq!(said(10, 0.9, |now| 50_000.0 * if now == 2 { gain } else { 1.0 }), lanes);
        }
    }

    #[test]
    fn one_writer_stays_one() {
        assert_eq!(said(1, 0.9, |now| 10_000.0 * now as f64), 1);
    }
}
