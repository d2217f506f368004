//! Who waits: four queues with one order.
//!
//! Statements wait where they can be served: fast READs and fast WRITEs in queues of their own, so that a group is taken
//! from the head of one queue; everything that needs a connection to itself in `Alone`; `acquire` in `Sessions`. A
//! ticket, given on arrival, orders all of them: whoever has the lowest ticket of the four heads is served first.
//!
//! Where the database has one writer, every WRITE waits among the WRITEs, also one that needs a connection to itself: it
//! cannot run before those that came first, and would keep a connection from readers while it waits.

use std::collections::VecDeque;

use super::actions::{ItemId, TextId};
use super::cost::Kind;
use super::items::{Items, Place};

/// The queues, by what is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Fast READs.
    Reads,
    /// Fast WRITEs.
    Writes,
    /// Statements that need a connection to themselves.
    Alone,
    /// Those who want to hold a connection.
    Sessions,
}

/// The queues of statements; sessions have deadlines of their own.
pub const STATEMENTS: [Queue; 3] = [Queue::Reads, Queue::Writes, Queue::Alone];
const ALL: [Queue; 4] = [Queue::Reads, Queue::Writes, Queue::Alone, Queue::Sessions];

/// The waiting statements and sessions of one pool.
pub struct Queues {
    /// The database has one writer.
    pub one_writer: bool,
    queues: [VecDeque<ItemId>; 4],
    /// How many wait.
    pub waiting: usize,
    last_ticket: u64,
}

impl Queues {
    /// Nobody waits.
    pub fn new(one_writer: bool) -> Self {
        Queues { one_writer, queues: Default::default(), waiting: 0, last_ticket: 0 }
    }

    /// Who waits in one queue, in order.
    pub fn of(&self, queue: Queue) -> &VecDeque<ItemId> {
        &self.queues[queue as usize]
    }

    fn of_mut(&mut self, queue: Queue) -> &mut VecDeque<ItemId> {
        &mut self.queues[queue as usize]
    }

    /// The queue where a statement belongs at `now`.
    fn place(&self, items: &Items, id: ItemId, now: f64) -> Queue {
        match (items.text_of(id).kind, items.may_share(id, now)) {
            (Kind::Read, true) => Queue::Reads,
            (_, true) => Queue::Writes,
            (Kind::Write, false) if self.one_writer => Queue::Writes,
            _ => Queue::Alone,
        }
    }

    /// A new statement, or somebody who wants a session (no text), goes to the end of its queue.
    pub fn add(&mut self, items: &mut Items, id: ItemId, text: Option<TextId>, deadline: Option<f64>, now: f64) {
        self.last_ticket += 1;
        self.waiting += 1;
        items.add(id, text, deadline, self.last_ticket, now);
        let queue = if text.is_some() { self.place(items, id, now) } else { Queue::Sessions };
        self.of_mut(queue).push_back(id);
    }

    /// Statements that were sent, and must be sent again, keep their tickets and so their turn.
    pub fn put_back(&mut self, items: &mut Items, statements: &[ItemId], now: f64) {
        for id in statements {
            items.get_mut(*id).place = Place::Queued;
        }
        self.waiting += statements.len();
        for queue in STATEMENTS {
            let here: Vec<ItemId> =
                statements.iter().copied().filter(|id| self.place(items, *id, now) == queue).collect();
            merge(self.of_mut(queue), &here, items);
        }
    }

    /// The head of a queue leaves it.
    pub fn pop(&mut self, queue: Queue) -> ItemId {
        self.waiting -= 1;
        self.of_mut(queue).pop_front().expect("bug: an empty queue is served")
    }

    /// Take a queued item out, and forget it.
    pub fn remove(&mut self, items: &mut Items, id: ItemId) {
        let ticket = items.get(id).ticket;
        for queue in &mut self.queues {
            // Every queue is ordered by ticket.
            let at = queue.partition_point(|other| items.get(*other).ticket < ticket);
            if queue.get(at) == Some(&id) {
                queue.remove(at);
                self.waiting -= 1;
                items.remove(id);
                return;
            }
        }
        panic!("bug: a queued item is in no queue");
    }

    /// What is known of `text` changed: its waiting statements move to the queue where they now belong.
    pub fn rehome(&mut self, items: &Items, text: TextId, now: f64) {
        for queue in STATEMENTS {
            let moves = |id: &ItemId| items.text_id(*id) == text && self.place(items, *id, now) != queue;
            let (moving, kept): (Vec<_>, VecDeque<_>) = {
                let (moving, kept): (Vec<_>, Vec<_>) = self.of(queue).iter().copied().partition(moves);
                (moving, kept.into())
            };
            if let Some(first) = moving.first() {
                let target = self.place(items, *first, now);
                *self.of_mut(queue) = kept;
                merge(self.of_mut(target), &moving, items);
            }
        }
    }

    /// The queues that are not empty, the one whose head came first in front.
    pub fn heads(&self, items: &Items) -> impl Iterator<Item = Queue> + use<> {
        let ticket = |queue: Queue| self.of(queue).front().map_or(u64::MAX, |head| items.get(*head).ticket);
        let mut order = ALL.map(|queue| (ticket(queue), queue));
        order.sort_by_key(|(ticket, _)| *ticket);
        order.into_iter().filter(|(ticket, _)| *ticket != u64::MAX).map(|(_, queue)| queue)
    }

    /// Everybody who waits, queue by queue.
    pub fn all(&self) -> Vec<ItemId> {
        self.queues.iter().flatten().copied().collect()
    }
}

/// Put `statements`, ordered by ticket, into a queue ordered by ticket; usually they belong to one of its ends.
fn merge(queue: &mut VecDeque<ItemId>, statements: &[ItemId], items: &Items) {
    let ticket = |id: &ItemId| items.get(*id).ticket;
    let (Some(first), Some(last)) = (statements.first(), statements.last()) else { return };
    if queue.back().is_none_or(|back| ticket(back) < ticket(first)) {
        queue.extend(statements);
    } else if queue.front().is_some_and(|front| ticket(last) < ticket(front)) {
        for id in statements.iter().rev() {
            queue.push_front(*id);
        }
    } else {
        queue.extend(statements);
        queue.make_contiguous().sort_by_key(ticket);
    }
}
