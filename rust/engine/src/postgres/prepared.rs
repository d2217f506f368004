//! The statements that one connection has prepared: a set with an order, the least recently used first.
//!
//! What is sent is taken for done until the answer comes: a group may use a text several times, and more texts than are
//! to be kept. If the group fails, [`Prepared::rollback`] goes back to what the server has confirmed.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Names of prepared statements on one connection, at most `limit`.
pub struct Prepared {
    limit: usize,
    clock: u64,
    by_name: HashMap<String, u64>,
    by_use: BTreeMap<u64, String>,
    there: HashSet<String>,
}

impl Prepared {
    /// None yet.
    pub fn new(limit: usize) -> Self {
        let (by_name, by_use, there) = (HashMap::new(), BTreeMap::new(), HashSet::new());
        Prepared { limit, clock: 0, by_name, by_use, there }
    }

    /// Whether it will be there; it is being used.
    pub fn touch(&mut self, name: &str) -> bool {
        let Some(used) = self.by_name.get_mut(name) else { return false };
        self.clock += 1;
        let name = self.by_use.remove(used).expect("bug: two maps disagree");
        *used = self.clock;
        self.by_use.insert(self.clock, name);
        true
    }

    /// It is being prepared.
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

    /// The server has prepared it.
    pub fn was_added(&mut self, name: &str) {
        if !name.is_empty() {
            self.there.insert(name.to_owned());
        }
    }

    /// The server has dropped it.
    pub fn was_dropped(&mut self, name: &str) {
        self.there.remove(name);
    }

    /// A part of what was sent was not executed.
    pub fn rollback(&mut self) {
        let there = std::mem::take(&mut self.there);
        self.by_name.retain(|name, _| there.contains(name));
        self.by_use.retain(|_, name| there.contains(name));
        there.iter().for_each(|name| self.add(name));
        self.there = there;
    }

    /// The server has dropped them all.
    pub fn clear(&mut self) {
        self.by_name.clear();
        self.by_use.clear();
        self.there.clear();
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

    #[test]
    fn what_was_not_executed_is_not_there() {
        let mut prepared = Prepared::new(2);
        prepared.add("a");
        prepared.was_added("a");
        assert_eq!((prepared.surplus(), prepared.add("b"), prepared.surplus()), (None, (), Some("a".to_owned())));
        prepared.add("c");
        prepared.rollback();
        assert!(prepared.touch("a") && !prepared.touch("b") && !prepared.touch("c"));
    }
}
