//! Replays the traces recorded by the Python tests (`tests/simple/traces`, whose README tells the format): every event
//! must cause the same actions, in the same order, and the same wake time.

use std::path::PathBuf;

use db_pool_engine::scheduler::{
    Action, ConnId, CostLimits, Kind, Limits, NEVER, Query, QueryId, Reason, RequestId, Scheduler,
};
use serde_json::{Value, json};

/// Where the traces are; DB_POOL_TRACES names another folder, for rules that are being changed.
fn folder() -> PathBuf {
    let own = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/simple/traces");
    std::env::var_os("DB_POOL_TRACES").map_or_else(own, PathBuf::from)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn count(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no count")) as usize
}

fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| panic!("{value} is no truth value"))
}

/// Takes the limits by name, and refuses a name that Rust does not know: it would be a rule that was not ported.
fn limits(entry: &Value) -> Limits {
    let (mut limits, entry) = (Limits::default(), entry.as_object().unwrap());
    let cost = entry["cost"].as_object().unwrap();
    for (name, value) in entry.iter().filter(|(name, _)| *name != "cost").chain(cost) {
        let value = value.as_bool().map_or_else(|| number(value), |flag| f64::from(u8::from(flag)));
        limits.set(name, value).unwrap();
    }
    limits
}

fn query(entry: &Value, limits: &CostLimits) -> Query<()> {
    let kind = match entry["kind"].as_str().unwrap() {
        "read" => Kind::Read,
        "write" => Kind::Write,
        _ => Kind::Other,
    };
    let mut query = Query::new(kind, flag(&entry["groupable"]), flag(&entry["dirties"]), ());
    if let Some([times, seconds, size]) = entry["observed"].as_array().map(Vec::as_slice) {
        query.observe(count(times) as u64, number(seconds), number(size), limits);
    }
    query
}

fn play(scheduler: &mut Scheduler<RequestId, ()>, event: &Value) -> Vec<Action<RequestId>> {
    let now = number(&event["at"]);
    let request = || RequestId(count(&event["item"]) as u64);
    let conn = || ConnId(count(&event["conn"]) as u64);
    let deadline = || event["deadline"].as_f64();
    match event["event"].as_str().unwrap() {
        "start" => scheduler.start(now),
        "end_of_tick" => scheduler.end_of_tick(now, count(&event["heard"]) as u64),
        "handle_timeout" => scheduler.handle_timeout(now),
        "expire" => scheduler.expire(now),
        "shut_down" => scheduler.shut_down(now),
        "terminate" => scheduler.terminate(),
        "submit" => scheduler.submit(request(), QueryId(count(&event["text"]) as u64), request(), deadline(), now),
        "acquire" => scheduler.acquire(request(), deadline(), now),
        "cancel" => scheduler.cancel(request(), now),
        "opened" => scheduler.opened(conn(), now, number(&event["lifetime"]), event["round_trip"].as_f64()),
        "open_failed" => scheduler.open_failed(conn(), now, flag(&event["permanent"]), number(&event["jitter"])),
        "finished" => {
            let (seconds, size) = (number(&event["seconds"]), number(&event["size"]));
            scheduler.finished(conn(), flag(&event["ok"]), now, seconds, size)
        }
        "measured" => {
            scheduler.measured(conn(), number(&event["seconds"]));
            Vec::new()
        }
        "lost" => {
            let (sent, evict_all, jitter) = (flag(&event["sent"]), flag(&event["evict_all"]), number(&event["jitter"]));
            scheduler.lost(conn(), now, sent, evict_all, jitter)
        }
        "released" => scheduler.released(conn(), now, flag(&event["healthy"])),
        "closed" => scheduler.closed(conn(), now),
        "cancel_closed" => scheduler.cancel_closed(conn(), now),
        "reset_done" => scheduler.reset_done(conn(), now),
        "resize" => scheduler.resize(now, count(&event["min_size"]), count(&event["max_size"])),
        other => panic!("an event that is not ported: {other}"),
    }
}

/// The payload of a request is its number.
fn shown(action: &Action<RequestId>) -> Value {
    let numbers = |requests: &[RequestId]| requests.iter().map(|request| request.0).collect::<Vec<_>>();
    match action {
        Action::Open(conn) => json!(["open", conn.0]),
        Action::Send(conn, group) => json!(["send", conn.0, numbers(group)]),
        Action::Lend(conn, request) => json!(["lend", conn.0, request.0]),
        Action::Cancel(conn) => json!(["cancel", conn.0]),
        Action::Reset(conn) => json!(["reset", conn.0]),
        Action::Close(conn) => json!(["close", conn.0]),
        Action::Deliver(group) => json!(["deliver", numbers(group)]),
        Action::Fail { request, reason, sent, .. } => {
            let reason = match reason {
                Reason::Timeout => "timeout",
                Reason::Lost => "lost",
                Reason::ConnectFailed => "connect_failed",
                Reason::Overloaded => "overloaded",
                Reason::Closed => "closed",
            };
            json!(["fail", request.0, reason, sent])
        }
    }
}

fn same_time(expected: &Value, wake: f64) -> bool {
    match expected.as_f64() {
        None => wake == NEVER,
        Some(at) => (at - wake).abs() <= 1e-9,
    }
}

/// Plays one file; the number of its events.
fn replay(name: &str, content: &str) -> usize {
    let mut lines = content.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(header["format"], 1);
    let mut scheduler = Scheduler::new(limits(&header["limits"]));
    for (id, entry) in header["texts"].as_array().unwrap().iter().enumerate() {
        let known = query(entry, &scheduler.limits.cost);
        scheduler.requests.add_query(QueryId(id as u64), known);
    }
    let mut events = 0;
    for event in lines {
        events += 1;
        let actions: Vec<Value> = play(&mut scheduler, &event).iter().map(shown).collect();
        assert_eq!(Value::Array(actions), event["do"], "{name}, event {events}: {event}");
        assert!(
            same_time(&event["wake"], scheduler.timeouts.next_timeout()),
            "{name}, event {events}: wake {}: {event}",
            scheduler.timeouts.next_timeout()
        );
    }
    if scheduler.is_drained() {
        assert_eq!(scheduler.kept().0, 0, "{name}: statements are kept after their answers");
    }
    events
}

#[test]
fn every_recorded_trace_gives_the_same_actions() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    assert!(!files.is_empty(), "no traces in {}", folder().display());
    for path in files {
        let events = replay(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
        assert!(events > 100, "{} has {events} events", path.display());
    }
}
