//! How many lanes carry WRITEs: one or two, whichever has carried more lately.
//!
//! Let F be what a commit costs with its fsync, N the statements that many tasks send again and again, s the server's and
//! c the client's time for each. There are two ways to carry them:
//!
//! - **One lane, which gathers.** The next group leaves when those who were answered have had their turn to come back, so
//!   that all N share a commit. Server and client wait for each other: F + N(s + c).
//! - **Two lanes, fed at once.** Server and client work at the same time, but on two groups, each with a commit of its
//!   own: max(2F, F + N(s + c)/2, Nc).
//!
//! Which is shorter depends on the disk, and F cannot be seen: an UPDATE that finds no row has no fsync. So both are
//! tried, one right after the other, and what was carried decides.

use super::NEVER;

/// What is carried is counted over so many seconds at least,
const INTERVAL: f64 = 0.05;
/// and so many groups.
const GROUPS: u64 = 8;
/// Two lanes must carry so many times what one does: they are more work for the disk, and figures are never exact.
const GAIN: f64 = 1.1;
/// After so many intervals with one number of lanes the other one is tried.
const TRIAL: u64 = 20;

/// Decides for one pool.
pub struct WriteLanes {
    /// What the rule says: the number that was chosen, or the other one while it is tried.
    pub lanes: usize,
    /// Seconds that the last group took, its commit included.
    pub took: f64,
    chosen: usize,
    may: bool,
    /// Statements per second with one lane, and with two, when they were last used.
    rates: [f64; 2],
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
            chosen: 1,
            may: most > 1,
            rates: [0.0, 0.0],
            until_trial: 1,
            began: -NEVER,
            last: -NEVER,
            statements: 0,
            groups: 0,
        }
    }

    /// Whether the next group is to leave only after those of the last have had their turn.
    pub fn gathers(&self) -> bool {
        self.may && self.lanes == 1
    }

    /// A group of `count` is committed after `seconds`.
    pub fn carried(&mut self, count: usize, seconds: f64, now: f64) {
        self.took = seconds;
        if !self.may {
            return;
        }
        if now - self.last > INTERVAL {
            self.begin(now); // nobody wrote for a while
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
        self.rates[self.lanes - 1] = rate;
        if self.lanes != self.chosen {
            let [one, two] = self.rates;
            self.chosen = if two > GAIN * one { 2 } else { 1 };
            (self.lanes, self.until_trial) = (self.chosen, TRIAL);
        } else if self.statements > self.groups {
            // else one waits for the other: there is nothing to divide
            self.until_trial = self.until_trial.saturating_sub(1);
            if self.until_trial == 0 {
                self.lanes = 3 - self.chosen;
            }
        }
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
