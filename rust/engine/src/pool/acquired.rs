//! Commands for a connection that its caller has acquired: one at a time, and each has a token.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::actor::{Actor, Payload};
use super::connection_task::Job;
use super::{Call, Completion, Source};
use crate::link::{Feed, Lost};
use crate::scheduler::{ConnId, RequestId, StatementRequest};

impl Actor {
    /// A caller has the connection now.
    pub(super) fn hand_over(&mut self, conn: ConnId, request: RequestId) {
        let task = self.task(conn);
        task.acquired = true;
        let info = task.info.clone();
        self.batch.push(Completion::Acquired(request, conn, info));
    }

    /// Run statements.
    pub(super) fn run_acquired(&mut self, conn: ConnId, token: u64, calls: Vec<Call>, now: f64) {
        if self.engage(conn, token, calls, now) {
            self.start(conn);
        }
    }

    /// Ask for the types of texts.
    pub(super) fn describe_acquired(&mut self, conn: ConnId, token: u64, calls: Vec<Call>, now: f64) {
        if self.engage(conn, token, calls, now) {
            self.task(conn).describing = true;
            self.start(conn);
        }
    }

    /// Run a COPY, whose data the caller gives or takes.
    pub(super) fn copy_acquired(&mut self, conn: ConnId, token: u64, request: RequestId, sql: Arc<str>, now: f64) {
        let call = Call { request, source: Source::Sql(sql.clone()), with_args: false, params: None, seen: None };
        if self.engage(conn, token, vec![call], now) {
            let (feed, answers) = mpsc::unbounded_channel();
            let task = self.task(conn);
            (task.run, task.sent, task.feed) = (1, true, Some(feed));
            task.send(Job { copy: Some((sql, answers)), ..Job::default() });
        }
    }

    /// The caller has answered a COPY's question. One that has ended meanwhile asks for nothing.
    pub(super) fn feed(&mut self, conn: ConnId, feed: Feed) {
        if let Some(answers) = self.tasks.get(&conn).and_then(|task| task.feed.as_ref()) {
            let _ = answers.send(feed);
        }
    }

    /// If the caller still holds the connection and nothing runs on it, these calls become its group.
    fn engage(&mut self, conn: ConnId, token: u64, calls: Vec<Call>, now: f64) -> bool {
        let free = self.tasks.get(&conn).is_some_and(|task| task.acquired && task.token.is_none());
        if !free {
            let lost = Lost { sent: false, ..Lost::new("the connection is gone") };
            self.batch.push(Completion::Ran(token, Err(lost)));
            return false;
        }
        let group = calls.iter().map(|call| call.request).collect();
        for Call { request, source, with_args, params, seen } in calls {
            let (query, raw_sql) = match source {
                Source::Query(query) => (Some(query), None),
                Source::Sql(sql) => (None, Some(sql)),
            };
            let mut payload = Payload::new(raw_sql, with_args, params);
            payload.under = payload.under.or(seen);
            self.scheduler.requests.hold(request, StatementRequest { query, payload }, now);
        }
        let task = self.task(conn);
        task.token = Some(token);
        task.begin(group);
        true
    }
}
