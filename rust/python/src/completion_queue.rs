//! From the pool's thread to the event loop's: a queue, and a pair of sockets whose reading end the loop watches.
//!
//! The first completion after the queue was emptied writes one byte; those that follow are taken along.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use db_pool_engine::link::{Described, Rows};
use db_pool_engine::pool::{Completion, Sink};

use crate::codec;
use crate::socket_pair::{Socket, descriptor, pair};

/// How many are delivered in one tick of the loop at most: other tasks must not wait for all.
const SLICE: usize = 512;

pub struct CompletionQueue {
    queue: Mutex<VecDeque<Completion>>,
    signalled: AtomicBool,
    /// To read from and to write to; None after `close`.
    ends: Mutex<Option<(Socket, Socket)>>,
    /// Built-in types that travel as text, since codecs have them.
    overridden: RwLock<Vec<u32>>,
}

impl CompletionQueue {
    pub fn new() -> std::io::Result<Self> {
        let (reading, writing) = pair()?;
        reading.set_nonblocking(true)?;
        writing.set_nonblocking(true)?;
        let (queue, signalled, ends) = (Mutex::default(), AtomicBool::new(false), Mutex::new(Some((reading, writing))));
        Ok(CompletionQueue { queue, signalled, ends, overridden: RwLock::default() })
    }

    /// Codecs have these built-in types from now on.
    pub fn override_types(&self, oids: Vec<u32>) {
        *self.overridden.write().unwrap_or_else(PoisonError::into_inner) = oids;
    }

    fn with_ends<T>(&self, work: impl FnOnce(&Socket, &Socket) -> T) -> Option<T> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.as_ref().map(|(reading, writing)| work(reading, writing))
    }

    /// What the loop watches; None after `close`.
    pub fn descriptor(&self) -> Option<i64> {
        self.with_ends(|reading, _| descriptor(reading))
    }

    /// Completions are not read any more.
    pub fn close(&self) {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// What has come; if that is very much, the loop looks again for the rest.
    pub fn take(&self) -> VecDeque<Completion> {
        let mut bytes = [0; 16];
        self.with_ends(|mut reading, _| reading.read(&mut bytes).is_ok()); // what is not there to be read is no error
        self.signalled.store(false, Ordering::SeqCst);
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() <= SLICE {
            return std::mem::take(&mut *queue);
        }
        let slice = queue.drain(..SLICE).collect();
        drop(queue);
        self.signal();
        slice
    }

    /// Have the loop look again.
    pub fn signal(&self) {
        if !self.signalled.swap(true, Ordering::SeqCst) {
            self.with_ends(|_, mut writing| writing.write(&[1]).is_ok()); // full: then the loop is awake
        }
    }

    /// What could not be handed out stays first in the queue.
    pub fn put_back(&self, mut rest: VecDeque<Completion>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        rest.append(&mut queue);
        *queue = rest;
        drop(queue);
        self.signal();
    }
}

impl Sink for CompletionQueue {
    fn formats(&self, text: &mut Described) {
        codec::formats(text, &self.overridden.read().unwrap_or_else(PoisonError::into_inner));
    }

    fn types_in(&self, rows: &Rows, text: &Described) -> Vec<u32> {
        codec::types_in(rows, text, &self.overridden.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn complete(&self, batch: Vec<Completion>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        self.signal();
    }
}
