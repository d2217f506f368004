//! What the guard has found, told to the engine; and what the engine knows of a text, told to whoever asks.

use db_pool_engine::pool::Command;
use pyo3::prelude::*;

use crate::convert;
use crate::pool::Pool;
use crate::text::Text;

#[pymethods]
impl Pool {
    /// A text is of another class than it seemed, or may be grouped, or no longer, for this reason.
    fn regroup(&self, py: Python<'_>, text: &Text, kind: &str, groupable: bool, why: usize) -> PyResult<()> {
        self.ask(py, Command::Regroup(text.id, convert::kind(kind)?, groupable, why))
    }

    /// Whether groups that may write begin with the check of deferred keys.
    fn check_keys_at_once(&self, py: Python<'_>, at_once: bool) -> PyResult<()> {
        self.ask(py, Command::CheckKeys(at_once))
    }

    /// How often a text was answered, its expected seconds, whether it is grouped now, whether its types are known.
    fn experience(&self, py: Python<'_>, text: &Text) -> (u64, f64, bool, bool) {
        self.learn_from_engine(py, |asked| Command::Experience(text.id, asked))
            .map_or((0, 0.0, false, false), |known| (known.seen, known.mean, known.fast, known.prepared))
    }
}
