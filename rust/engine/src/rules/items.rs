//! Statements and waiters by number, from their arrival until nothing refers to them any more.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::actions::{ConnId, ItemId, TextId};
use super::cost::{CostLimits, Text};
use super::queues::Queue;

/// Where an item stands. One that is answered, and runs on no connection, is in the table no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a queue.
    Queued,
    /// On a connection, unanswered.
    Sent,
    /// On a connection, but nobody waits for its answer.
    Done,
}

/// Somebody who waits.
#[derive(Clone, Debug)]
pub struct Item {
    /// The text of a statement; None for a waiter, who wants a connection to himself.
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

/// Who waits or runs, and the texts of statements.
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
