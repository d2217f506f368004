//! The decoders of rows that were made, kept for those that come next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use db_pool_engine::link::{Described, Settings};
use pyo3::prelude::*;

use crate::handle::Handle;
use crate::values::RowDecoder;

/// Decoders that are kept: as described, and for rows that came before that.
const MOST: usize = 2;

struct Made {
    described: Arc<Described>,
    settings: Arc<Settings>,
    /// Of what was known of types.
    version: u64,
    decoder: Arc<RowDecoder>,
}

/// Those of one text, or of one cursor.
#[derive(Default)]
pub struct Decoders(Mutex<Vec<Made>>);

impl Decoders {
    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What reads rows that came under this description, from a session with these settings.
    pub fn decoder(
        &self,
        py: Python<'_>,
        handle: &Arc<Handle>,
        described: &Arc<Described>,
        settings: &Arc<Settings>,
    ) -> PyResult<Arc<RowDecoder>> {
        let depends = described.has_records || !described.foreign_columns.is_empty();
        let version = if depends { handle.catalog_version(py)? } else { 0 };
        let same = |one: &&Made| {
            one.version == version
                && Arc::ptr_eq(&one.described, described)
                && (Arc::ptr_eq(&one.settings, settings) || one.settings == *settings)
        };
        if let Some(found) = self.made().iter().find(same) {
            return Ok(found.decoder.clone());
        }
        let decoder = Arc::new(RowDecoder::new(py, described, settings, Some(handle))?); // not under the lock: it runs Python
        let (described, settings) = (described.clone(), settings.clone());
        let mut made = self.made();
        if made.len() >= MOST {
            made.remove(0);
        }
        made.push(Made { described, settings, version, decoder: decoder.clone() });
        Ok(decoder)
    }

    /// None of them counts any more.
    pub fn clear(&self) {
        self.made().clear();
    }
}
