//! One run of one pool in Rust: a job as JSON on standard input, its figures as JSON on standard output, as
//! `db_pool_rs/tools/_contender.py` has them. The benchmark builds and starts it.
//!
//! Each pool is used as its documentation advises for speed: connections that are all open before the clock starts,
//! statements that are prepared once on each.

mod clients;

use std::error::Error;
use std::time::{Duration, Instant};

use clients::Client;
use rand::Rng;
use serde::Deserialize;

/// What is asked for: the fields of `Job` that matter here.
#[derive(Clone, Deserialize)]
pub struct Job {
    contender: String,
    workload: String,
    tasks: usize,
    seconds: f64,
    dsn: String,
    schema: String,
    scale: i32,
    max_size: usize,
}

pub type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let job: Job = serde_json::from_reader(std::io::stdin())?;
    let client = clients::open(&job).await?;
    serve(&job, &client, Duration::from_secs_f64(f64::min(1.0, job.seconds / 3.0))).await?;
    let (begun, processor) = (Instant::now(), processor_seconds());
    let mut latencies = serve(&job, &client, Duration::from_secs_f64(job.seconds)).await?;
    let (elapsed, processor) = (begun.elapsed().as_secs_f64(), processor_seconds() - processor);
    latencies.sort();
    let count = latencies.len();
    let part = |percent: usize| latencies[count * percent / 100].as_secs_f64() * 1e3;
    let figures = serde_json::json!({
        "rate": count as f64 / elapsed,
        "p50_ms": part(50),
        "p95_ms": part(95),
        "p99_ms": part(99),
        "cpu_us": processor / count as f64 * 1e6,
        "memory_mb": memory_mb()?,
    });
    println!("{figures}");
    Ok(())
}

/// The latencies of tasks that do the work for some time, each at least once.
async fn serve(job: &Job, client: &Client, time: Duration) -> Result<Vec<Duration>, Failure> {
    let deadline = Instant::now() + time;
    let tasks: Vec<_> = (0..job.tasks)
        .map(|number| {
            let (job, client) = (job.clone(), client.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let begun = Instant::now();
                    one(&job, &client, number).await?;
                    latencies.push(begun.elapsed());
                    if Instant::now() >= deadline {
                        return Ok::<_, Failure>(latencies);
                    }
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    Ok(all)
}

/// One operation of the workload.
async fn one(job: &Job, client: &Client, number: usize) -> Result<(), Failure> {
    let account = rand::rng().random_range(1..=100_000 * job.scale);
    match job.workload.as_str() {
        "point" => client.point(number, account).await,
        "insert" => client.insert(number, account % 100_000).await,
        other => Err(format!("no workload {other} here").into()),
    }
}

/// Seconds of processor time of this process, all threads.
fn processor_seconds() -> f64 {
    // SAFETY: the structure is written before it is read, and is zero until then.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Resident memory in MiB.
fn memory_mb() -> Result<f64, Failure> {
    let pages = std::fs::read_to_string("/proc/self/statm")?;
    let resident: f64 = pages.split(' ').nth(1).ok_or("no resident pages")?.parse()?;
    // SAFETY: it takes a number and gives one.
    Ok(resident * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64 / 1048576.0)
}
