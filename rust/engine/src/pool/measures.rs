//! What a pool measures of itself, as `db_pool_rs/metrics/histogram.py` does: same buckets, same rate.

use crate::declared::counters;

const LOWEST: f64 = 1e-6;
const HIGHEST: f64 = 3600.0;
const PER_OCTAVE: f64 = 12.0;

fn offset() -> f64 {
    1.0 - LOWEST.log2() * PER_OCTAVE
}

/// Counts of values by size.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// How many values fell into each bucket.
    pub counts: Vec<u64>,
    /// Their sum.
    pub total: f64,
    /// The largest.
    pub maximum: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        let last = (HIGHEST.log2() * PER_OCTAVE + offset()) as usize + 1;
        Histogram { counts: vec![0; last + 1], total: 0.0, maximum: 0.0 }
    }
}

impl Histogram {
    /// Add `count` equal values.
    pub fn record(&mut self, value: f64, count: u64) {
        let last = self.counts.len() - 1;
        let index = if value > LOWEST { (value.log2() * PER_OCTAVE + offset()) as usize } else { 0 };
        self.counts[index.min(last)] += count;
        self.total += value * count as f64;
        self.maximum = self.maximum.max(value);
    }
}

/// Events per second over the last ten seconds.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    counts: [u64; 10],
    second: u64,
    started: Option<f64>,
}

impl Rate {
    /// Count `count` events at `now`.
    pub fn add(&mut self, count: u64, now: f64) {
        self.advance(now as u64);
        self.started.get_or_insert(now);
        self.counts[(now as u64 % 10) as usize] += count;
    }

    /// Events per second at `now`; in the first second the span counts as one whole second.
    pub fn rate(&mut self, now: f64) -> f64 {
        let Some(started) = self.started else { return 0.0 };
        self.advance(now as u64);
        let span = now - f64::max(started, now.floor() - 9.0);
        self.counts.iter().sum::<u64>() as f64 / span.max(1.0)
    }

    fn advance(&mut self, second: u64) {
        for passed in (self.second + 1).max((second + 1).saturating_sub(10))..=second {
            self.counts[(passed % 10) as usize] = 0;
        }
        self.second = second;
    }
}

/// Of statements on shared connections.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // the names are those of PoolMetrics in Python
pub struct Measures {
    pub wait: Histogram,
    pub run: Histogram,
    pub group_size: Histogram,
    pub rate: Rate,
}

counters! {
    /// How the pool stood when it last decided something; the names are those of PoolGauges in Python.
    struct Gauges {
        /// Connections, opening and closing ones included.
        size,
        /// Those with nothing to do.
        idle,
        /// Those that are being opened.
        opening,
        /// Those that run groups.
        lanes,
        /// Those that run one statement.
        alone,
        /// Those that a caller holds.
        sessions,
        /// Requests that wait.
        waiting,
        /// Statements that were sent and are not answered.
        in_flight,
        /// The bounds of `size`.
        min_size,
        /// See `min_size`.
        max_size,
        /// How often all connections were to be replaced.
        generation,
    } beside {
        /// The last connect succeeded.
        healthy: bool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_where_they_do_in_python() {
        let mut histogram = Histogram::default();
        for (value, bucket) in [(0.0, 0), (1e-6, 0), (2e-6, 13), (0.001, 120), (1.0, 240), (7200.0, 382)] {
            histogram.record(value, 1);
            assert!(histogram.counts[bucket] > 0, "{value}: {:?}", histogram.counts.iter().rposition(|n| *n > 0));
        }
        assert_eq!(histogram.maximum, 7200.0);
    }

    #[test]
    fn a_rate_forgets() {
        let mut rate = Rate::default();
        rate.add(30, 100.5);
        assert_eq!(rate.rate(100.9), 30.0);
        assert_eq!(rate.rate(103.5), 10.0);
        assert_eq!(rate.rate(200.0), 0.0);
    }
}
