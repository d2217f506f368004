//! The pools, behind one small interface: a point select and an insert.

use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use sqlx::postgres::PgPoolOptions;
use tokio_postgres::{NoTls, Statement};

use crate::{Failure, Job};

/// An open pool, and the texts that it is asked.
#[derive(Clone)]
pub struct Client {
    pool: Pool,
    point: Arc<str>,
    insert: Arc<str>,
}

#[derive(Clone)]
enum Pool {
    /// tokio-postgres has no pool: tasks share clients, on each of which their statements follow one another at once.
    Shared(Arc<Vec<Shared>>),
    Deadpool(deadpool_postgres::Pool),
    Sqlx(sqlx::PgPool),
}

struct Shared {
    client: tokio_postgres::Client,
    point: Statement,
    insert: Statement,
}

/// Open the contender of the job.
pub async fn open(job: &Job) -> Result<Client, Failure> {
    let point: Arc<str> = format!("SELECT abalance FROM {}.pgbench_accounts WHERE aid = $1", job.schema).into();
    let insert: Arc<str> = format!("INSERT INTO {}.inserted (k, v) VALUES ($1, $2)", job.schema).into();
    let pool = match job.contender.as_str() {
        "tokio-postgres" => Pool::Shared(Arc::new(shared(job, &point, &insert).await?)),
        "deadpool-postgres" => Pool::Deadpool(deadpool(job).await?),
        "sqlx" => {
            let size = job.max_size as u32;
            let options = PgPoolOptions::new().min_connections(size).max_connections(size).test_before_acquire(false);
            Pool::Sqlx(options.connect(&job.dsn).await?)
        }
        other => return Err(format!("no contender {other} here").into()),
    };
    Ok(Client { pool, point, insert })
}

async fn shared(job: &Job, point: &str, insert: &str) -> Result<Vec<Shared>, Failure> {
    let mut clients = Vec::new();
    for _ in 0..job.max_size {
        let (client, connection) = tokio_postgres::connect(&job.dsn, NoTls).await?;
        tokio::spawn(connection);
        let (point, insert) = (client.prepare(point).await?, client.prepare(insert).await?);
        clients.push(Shared { client, point, insert });
    }
    Ok(clients)
}

async fn deadpool(job: &Job) -> Result<deadpool_postgres::Pool, Failure> {
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let manager = Manager::from_config(job.dsn.parse()?, NoTls, manager);
    let pool = deadpool_postgres::Pool::builder(manager).max_size(job.max_size).build()?;
    let mut all = Vec::new();
    for _ in 0..job.max_size {
        all.push(pool.get().await?);
    }
    Ok(pool)
}

impl Client {
    /// One row by its key, for the task of this number.
    pub async fn point(&self, number: usize, account: i32) -> Result<(), Failure> {
        match &self.pool {
            Pool::Shared(clients) => {
                let shared = &clients[number % clients.len()];
                shared.client.query_one(&shared.point, &[&account]).await?.get::<_, i32>(0);
            }
            Pool::Deadpool(pool) => {
                let client = pool.get().await?;
                let statement = client.prepare_cached(&self.point).await?;
                client.query_one(&statement, &[&account]).await?.get::<_, i32>(0);
            }
            Pool::Sqlx(pool) => {
                sqlx::query_scalar::<_, i32>(&self.point).bind(account).fetch_one(pool).await?;
            }
        }
        Ok(())
    }

    /// One durable insert.
    pub async fn insert(&self, number: usize, key: i32) -> Result<(), Failure> {
        match &self.pool {
            Pool::Shared(clients) => {
                let shared = &clients[number % clients.len()];
                shared.client.execute(&shared.insert, &[&key, &"hello"]).await?;
            }
            Pool::Deadpool(pool) => {
                let client = pool.get().await?;
                let statement = client.prepare_cached(&self.insert).await?;
                client.execute(&statement, &[&key, &"hello"]).await?;
            }
            Pool::Sqlx(pool) => {
                sqlx::query(&self.insert).bind(key).bind("hello").execute(pool).await?;
            }
        }
        Ok(())
    }
}
