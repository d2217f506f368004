//! What is sent for a group: all of it, or what is missing first: from the server its types, from the caller its
//! arguments.
//!
//! Half a group of the pool's must not be committed, so its types are asked for before all else. A borrower's statements
//! are sent up to the one whose types must be asked for: what it means may depend on them.

use std::sync::Arc;

use super::actor::{Actor, Payload};
use super::member::Job;
use super::{Completion, Source};
use crate::scheduler::{ConnId, ItemId, Kind};
use crate::wire::{Described, Execute, Short};

/// What is to be done for a group.
struct Plan {
    statements: Vec<Execute>,
    /// The statement whose types the server is asked for, in the end.
    asked: Option<ItemId>,
    /// Statements whose arguments are missing.
    missing: Vec<(ItemId, Arc<Described>)>,
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
        if self.member(conn).describing {
            return self.describe(conn);
        }
        let member = self.member(conn);
        let group = std::mem::take(&mut member.group);
        let (at, lent, plain, exact) = (member.at, member.lent, member.plain, member.exact);
        let mut plan = self.plan(&group[at..], lent, plain, exact);
        let member = self.member(conn);
        member.exact = plan.exact;
        member.group = group;
        member.missing = plan.missing.len();
        if plan.missing.is_empty() {
            let run = plan.statements.len() - usize::from(plan.asked.is_some());
            member.sent = member.sent || run > 0;
            (member.run, member.asked) = (run, plan.asked);
            return member.send(Job {
                checks_keys: run > 1 && plan.checks_keys,
                statements: std::mem::take(&mut plan.statements),
                revocable: plan.revocable,
                shared: !lent,
                ..Job::default()
            });
        }
        if self.looks_up(conn, &plan.missing) {
            return;
        }
        for (item, text) in plan.missing {
            self.awaiting.insert(item, conn);
            self.batch.push(Completion::NeedsParams(item, text));
        }
    }

    /// Ask for the types of the one statement, also where they are known: they may have changed.
    fn describe(&mut self, conn: ConnId) {
        let item = self.member(conn).group[0];
        let sql = match &self.payloads[&item].source {
            Source::Known(text) => self.texts.info(*text).sql.clone(),
            Source::Plain(sql) => sql.clone(),
        };
        let member = self.member(conn);
        member.asked = Some(item);
        member.send(Job { statements: vec![Execute::Describe(sql)], revocable: true, ..Job::default() });
    }

    fn plan(&mut self, group: &[ItemId], lent: bool, styles: bool, exact: bool) -> Plan {
        let (statements, missing) = (Vec::with_capacity(group.len()), Vec::new());
        let mut plan = Plan { statements, asked: None, missing, revocable: true, checks_keys: false, exact };
        let mut last: Option<Arc<Described>> = None;
        for item in group {
            let payload = self.payloads.get_mut(item).expect("bug: a statement that is not there");
            if let (Source::Plain(sql), None) = (&payload.source, &payload.under) {
                // of several executions in a row of a text that is not kept, the first is asked for
                payload.under = last.take().filter(|last| payload.with_args && last.sql == *sql);
            }
            let (sql, kind, asks) = match &payload.source {
                Source::Plain(sql) => (sql, Kind::Other, sql.contains('$')),
                Source::Known(text) => {
                    let info = self.texts.info(*text);
                    let of_its_own = payload.under.is_some() && fetches(&info.sql);
                    if !of_its_own && payload.under.as_ref().is_none_or(|under| under.plan.is_none()) {
                        payload.under = self.texts.described(*text).cloned();
                    }
                    plan.checks_keys = plan.checks_keys || (info.keys && !lent);
                    let sensitive = info.kind != Kind::Other || fetches(&info.sql);
                    (&info.sql, info.kind, info.asks || (sensitive && !(styles && plan.exact)))
                }
            };
            let digits = match &payload.source {
                _ if !lent && kind != Kind::Other => false,
                Source::Plain(sql) => names_digits(sql),
                Source::Known(text) => self.texts.names_digits(*text),
            };
            plan.exact = plan.exact && !digits;
            plan.revocable = plan.revocable && kind != Kind::Other;
            if matches!(payload.source, Source::Plain(_)) {
                last.clone_from(&payload.under);
            } else {
                last = None;
            }
            match &payload.under {
                None if payload.with_args || asks => {
                    if !lent {
                        (plan.statements, plan.missing) = (Vec::new(), Vec::new());
                    }
                    plan.asked = Some(*item);
                    plan.statements.push(Execute::Describe(sql.clone()));
                    break;
                }
                None => plan.statements.push(Execute::Direct(sql.clone())),
                Some(text) => match params(payload, text) {
                    Some(params) => {
                        let careful = kind != Kind::Read && plan.exact; // rounded floats must not come as text
                        plan.statements.push(Execute::Known { text: text.clone(), params, careful });
                    }
                    None => plan.missing.push((*item, text.clone())),
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
