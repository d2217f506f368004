//! The statements that one connection has prepared: a set with an order, the least recently used first.

use std::collections::{BTreeMap, HashMap};

/// Names of prepared statements on one connection, at most `limit`.
pub struct Prepared {
    limit: usize,
    clock: u64,
    by_name: HashMap<String, u64>,
    by_use: BTreeMap<u64, String>,
}

impl Prepared {
    /// None yet.
    pub fn new(limit: usize) -> Self {
        Prepared { limit, clock: 0, by_name: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// Whether the server has prepared it; it is being used.
    pub fn touch(&mut self, name: &str) -> bool {
        let Some(used) = self.by_name.get_mut(name) else { return false };
        self.clock += 1;
        let name = self.by_use.remove(used).expect("bug: two maps disagree");
        *used = self.clock;
        self.by_use.insert(self.clock, name);
        true
    }

    /// The server has prepared it.
    pub fn add(&mut self, name: &str) {
        if !name.is_empty() && !self.touch(name) {
            self.clock += 1;
            self.by_name.insert(name.to_owned(), self.clock);
            self.by_use.insert(self.clock, name.to_owned());
        }
    }

    /// Take out what must go before one more is prepared.
    pub fn surplus(&mut self) -> Option<String> {
        if self.by_name.len() < self.limit.max(1) {
            return None;
        }
        let (_, name) = self.by_use.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }

    /// The server has dropped them all.
    pub fn clear(&mut self) {
        self.by_name.clear();
        self.by_use.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut prepared = Prepared::new(2);
        prepared.add("a");
        prepared.add("b");
        assert!(prepared.touch("a") && !prepared.touch("c"));
        assert_eq!(prepared.surplus().as_deref(), Some("b"));
        assert_eq!(prepared.surplus(), None);
        prepared.clear();
        assert!(!prepared.touch("a"));
    }
}
