//! The guard's findings, for the engine; and what the engine knows of a query.

use db_pool_engine::pool::Command;
use db_pool_engine::scheduler::Verdict;
use pyo3::prelude::*;

use crate::convert;
use crate::pool::Pool;
use crate::query::Query;

#[pymethods]
impl Pool {
    /// What the guard says of a text now.
    #[allow(clippy::too_many_arguments)]
    fn regroup(
        &self,
        py: Python<'_>,
        text: &Query,
        kind: &str,
        groupable: bool,
        why: usize,
        dirties: bool,
        keys: bool,
    ) -> PyResult<()> {
        let verdict = Verdict { kind: convert::kind(kind)?, groupable, why, dirties };
        self.ask(py, Command::Regroup(text.id, verdict, keys))
    }

    /// How often a text was answered, its expected seconds, whether it is grouped now, whether its types are known.
    fn experience(&self, py: Python<'_>, text: &Query) -> (u64, f64, bool, bool) {
        self.learn_from_engine(py, |asked| Command::Experience(text.id, asked))
            .map_or((0, 0.0, false, false), |known| (known.seen, known.mean, known.fast, known.prepared))
    }
}
