//! What became of a statement.

use db_pool_engine::link::Outcome;

/// The command tag of one that was executed.
pub fn tag(outcome: &Outcome) -> &str {
    let Outcome::Done { tag, .. } = outcome else { panic!("{outcome:?}") };
    tag
}

/// The SQLSTATE of one that was refused.
pub fn code(outcome: &Outcome) -> &str {
    let Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    error.code()
}
