//! What a borrower asks of the connection that is lent to him: one thing at a time, and each has a token.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::actor::{Actor, Payload};
use super::connection_task::Job;
use super::{Call, Completion, Source};
use crate::link::{Feed, Lost};
use crate::scheduler::{ConnId, RequestId, StatementRequest};

impl Actor {
    /// Run his statements.
    pub(super) fn run_lent(&mut self, conn: ConnId, token: u64, calls: Vec<Call>, now: f64) {
        if self.engage(conn, token, calls, now) {
            self.start(conn);
        }
    }

    /// Ask for the types of a text.
    pub(super) fn describe_lent(&mut self, conn: ConnId, token: u64, call: Call, now: f64) {
        if self.engage(conn, token, vec![call], now) {
            self.member(conn).describing = true;
            self.start(conn);
        }
    }

    /// Run a COPY, whose data he gives or takes.
    pub(super) fn copy_lent(&mut self, conn: ConnId, token: u64, item: RequestId, sql: Arc<str>, now: f64) {
        let call = Call { item, source: Source::Plain(sql.clone()), with_args: false, params: None };
        if self.engage(conn, token, vec![call], now) {
            let (feed, answers) = mpsc::unbounded_channel();
            let member = self.member(conn);
            (member.run, member.sent, member.feed) = (1, true, Some(feed));
            member.send(Job { copy: Some((sql, answers)), ..Job::default() });
        }
    }

    /// He has answered a COPY's question. One that has ended meanwhile asks for nothing.
    pub(super) fn feed(&mut self, conn: ConnId, feed: Feed) {
        if let Some(answers) = self.members.get(&conn).and_then(|member| member.feed.as_ref()) {
            let _ = answers.send(feed);
        }
    }

    /// The connection is his and free: it is busy with these now.
    fn engage(&mut self, conn: ConnId, token: u64, calls: Vec<Call>, now: f64) -> bool {
        let free = self.members.get(&conn).is_some_and(|member| member.lent && member.token.is_none());
        if !free {
            let lost = Lost { sent: false, ..Lost::new("the connection is gone") };
            self.batch.push(Completion::Ran(token, Err(lost)));
            return false;
        }
        let group = calls.iter().map(|call| call.item).collect();
        for Call { item, source, with_args, params } in calls {
            let (query, plain) = match source {
                Source::Known(query) => (Some(query), None),
                Source::Plain(sql) => (None, Some(sql)),
            };
            let payload = Payload::new(plain, with_args, params);
            self.scheduler.requests.hold(item, StatementRequest { query, payload }, now);
        }
        let member = self.member(conn);
        member.token = Some(token);
        member.begin(group);
        true
    }
}
