// One run of one pool of Node.js: a job as JSON on standard input, its figures as JSON on standard output, as
// _contender.py has them. The benchmark starts it; the packages `pg` and `postgres` are those of the current folder.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";

const require = createRequire(`${process.cwd()}/`);
const job = JSON.parse(readFileSync(0, "utf8"));

const texts = {
  point: `SELECT abalance FROM ${job.schema}.pgbench_accounts WHERE aid = $1`,
  insert: `INSERT INTO ${job.schema}.inserted (k, v) VALUES ($1, $2)`,
};
const account = () => 1 + Math.floor(Math.random() * 100000 * job.scale);
const values = { point: () => [account()], insert: () => [account() % 100000, "hello"] }[job.workload];
const text = texts[job.workload];
if (text === undefined) throw new Error(`no workload ${job.workload} here`);

// Each pool as its documentation advises for speed: connections that are open before the clock starts, and statements
// that are prepared once on each.
const clients = {
  "node-pg": async () => {
    const pool = new (require("pg").Pool)({ connectionString: job.dsn, max: job.max_size });
    const opened = await Promise.all(Array.from({ length: job.max_size }, () => pool.connect()));
    opened.forEach((client) => client.release());
    return () => pool.query({ name: job.workload, text, values: values() });
  },
  "node-postgres": async () => {
    const loaded = require("postgres");
    const sql = (loaded.default ?? loaded)(job.dsn, { max: job.max_size });
    await Promise.all(Array.from({ length: job.max_size }, () => sql.unsafe("SELECT 1")));
    return () => sql.unsafe(text, values(), { prepare: true });
  },
};

async function serve(work, seconds) {
  const latencies = [];
  const deadline = performance.now() + seconds * 1000;
  const task = async () => {
    let now = performance.now();
    do {
      const begun = now;
      await work();
      now = performance.now();
      latencies.push(now - begun);
    } while (now < deadline);
  };
  await Promise.all(Array.from({ length: job.tasks }, task));
  return latencies;
}

const work = await clients[job.contender]();
await serve(work, Math.min(1, job.seconds / 3));
const [begun, before] = [performance.now(), process.cpuUsage()];
const latencies = (await serve(work, job.seconds)).sort((one, other) => one - other);
const [elapsed, used] = [(performance.now() - begun) / 1000, process.cpuUsage(before)];
const count = latencies.length;
const part = (percent) => latencies[Math.floor((count * percent) / 100)];
const figures = {
  rate: count / elapsed,
  p50_ms: part(50),
  p95_ms: part(95),
  p99_ms: part(99),
  cpu_us: (used.user + used.system) / count,
  memory_mb: process.memoryUsage.rss() / 2 ** 20,
};
process.stdout.write(`${JSON.stringify(figures)}\n`, () => process.exit(0));
