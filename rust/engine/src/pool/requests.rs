//! What is sent for a group: all of it, or what is missing first: from the server its types, from the caller its
//! arguments.
//!
//! Half a group of the pool's must not be committed, so its types are asked for before all else. The statements of a
//! caller that holds the connection are sent up to the one whose types must be asked for: what it means may depend on
//! them.

use std::sync::Arc;

use super::Completion;
use super::actor::{Actor, Payload};
use super::connection_task::Job;
use crate::link::{Described, Execute, Short};
use crate::scheduler::{ConnId, Kind, Query, RequestId};

/// What is to be done for a group.
struct GroupPlan {
    statements: Vec<Execute>,
    /// The statement whose types the server is asked for, in the end.
    asked: Option<RequestId>,
    /// Statements whose arguments are missing.
    missing: Vec<(RequestId, Arc<Described>)>,
    /// Nothing of it can commit before the Sync.
    revocable: bool,
    /// It may write, and deferred keys are checked at the end of each statement.
    checks_keys: bool,
    /// Floats in text are exact, afterwards.
    exact: bool,
}

impl Actor {
    /// Go on with the group of `conn`.
    pub(super) fn start(&mut self, conn: ConnId) {
        if self.probes(conn) {
            return;
        }
        if self.task(conn).describing {
            return self.describe(conn);
        }
        let task = self.task(conn);
        let group = std::mem::take(&mut task.group);
        let (at, acquired, iso_styles, exact) = (task.at, task.acquired, task.iso_styles, task.exact);
        let mut plan = self.group_plan(&group[at..], acquired, iso_styles, exact);
        let task = self.task(conn);
        task.exact = plan.exact;
        task.group = group;
        task.missing = plan.missing.len();
        if plan.missing.is_empty() {
            let run = plan.statements.len() - usize::from(plan.asked.is_some());
            task.sent = task.sent || run > 0;
            (task.run, task.asked) = (run, plan.asked);
            return task.send(Job {
                checks_keys: run > 1 && plan.checks_keys,
                statements: std::mem::take(&mut plan.statements),
                revocable: plan.revocable,
                shared: !acquired,
                ..Job::default()
            });
        }
        if self.looks_up(conn, &plan.missing) {
            return;
        }
        for (request, text) in plan.missing {
            self.payload(request).awaiting = Some(conn);
            self.batch.push(Completion::NeedsParams(request, text));
        }
    }

    /// Ask for the types of the statements, also where they are known: they may have changed.
    fn describe(&mut self, conn: ConnId) {
        let group = self.task(conn).group.clone();
        let statements = group.iter().map(|request| Execute::Describe(self.sql(*request))).collect();
        let task = self.task(conn);
        (task.run, task.asked) = (group.len() - 1, group.last().copied());
        task.send(Job { statements, revocable: true, ..Job::default() });
    }

    fn group_plan(&mut self, group: &[RequestId], acquired: bool, iso_styles: bool, exact: bool) -> GroupPlan {
        let (statements, missing) = (Vec::with_capacity(group.len()), Vec::new());
        let mut plan = GroupPlan { statements, asked: None, missing, revocable: true, checks_keys: false, exact };
        let mut last: Option<Arc<Described>> = None;
        for request in group {
            let (payload, query) = self.scheduler.requests.payload_and_query(*request);
            if let (Some(sql), None) = (&payload.raw_sql, &payload.under) {
                // of several executions in a row of a text that is not kept, the first is asked for
                payload.under = last.take().filter(|last| payload.with_args && last.sql == *sql);
            }
            let of_its_own; // what it returns was told with rows before, or just now
            let (sql, kind, asks) = match (&payload.raw_sql, query) {
                (Some(sql), _) => {
                    of_its_own = payload.under.is_some() && fetches(sql);
                    let sensitive = !(iso_styles && plan.exact) && may_have_rows(sql);
                    (sql, Kind::Other, sensitive || sql.contains('$'))
                }
                (None, Some(Query { kind, info, .. })) => {
                    of_its_own = payload.under.is_some() && fetches(&info.sql);
                    if !of_its_own && payload.under.as_ref().is_none_or(|under| under.plan.is_none()) {
                        payload.under = info.described.clone();
                    }
                    plan.checks_keys = plan.checks_keys || (info.keys && !acquired);
                    let sensitive = *kind != Kind::Other || fetches(&info.sql);
                    (&info.sql, *kind, info.asks || (sensitive && !(iso_styles && plan.exact)))
                }
                (None, None) => unreachable!("bug: a statement without SQL"),
            };
            let digits = match query {
                _ if !acquired && kind != Kind::Other => false,
                Some(query) if payload.raw_sql.is_none() => query.info.names_digits,
                _ => names_digits(sql),
            };
            plan.exact = plan.exact && !digits;
            plan.revocable = plan.revocable && kind != Kind::Other;
            last = payload.under.clone().filter(|_| payload.raw_sql.is_some());
            match &payload.under {
                None if payload.with_args || asks => {
                    if !acquired {
                        (plan.statements, plan.missing) = (Vec::new(), Vec::new());
                    }
                    plan.asked = Some(*request);
                    plan.statements.push(Execute::Describe(sql.clone()));
                    break;
                }
                None => plan.statements.push(Execute::Direct(sql.clone())),
                Some(text) => match params(payload, text) {
                    Some(params) => {
                        let careful = !of_its_own && kind != Kind::Read && plan.exact; // rounded floats must not come as text
                        plan.statements.push(Execute::Known { text: text.clone(), params, careful });
                    }
                    None => plan.missing.push((*request, text.clone())),
                },
            }
        }
        plan
    }
}

/// Whether a statement may change how floats are written, which the server does not report.
pub(super) fn names_digits(sql: &str) -> bool {
    const NAME: &[u8] = b"extra_float_digits";
    sql.as_bytes().windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

/// Whether a text may have rows: one that controls a transaction or a session has none.
fn may_have_rows(sql: &str) -> bool {
    const NONE: [&str; 15] = [
        "ABORT",
        "BEGIN",
        "COMMIT",
        "DEALLOCATE",
        "DISCARD",
        "END",
        "LISTEN",
        "NOTIFY",
        "RELEASE",
        "RESET",
        "ROLLBACK",
        "SAVEPOINT",
        "SET",
        "START",
        "UNLISTEN",
    ];
    let word = sql.trim_start().split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or_default();
    !NONE.iter().any(|one| one.eq_ignore_ascii_case(word))
}

/// The rows of a cursor: what they are is good for this statement only.
pub(super) fn fetches(sql: &str) -> bool {
    sql.starts_with("FETCH ")
}

/// The arguments as this description says, if the caller has encoded them so.
fn params(payload: &Payload, text: &Arc<Described>) -> Option<Short> {
    if !payload.with_args && text.param_oids.is_empty() {
        return Some(Short::default());
    }
    let (under, params) = payload.params.as_ref()?;
    Arc::ptr_eq(under, text).then(|| params.clone())
}
