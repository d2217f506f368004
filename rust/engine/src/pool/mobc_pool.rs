//! mobc makes and counts the sessions; our scheduler says when, and which session serves which request.
//!
//! A session is checked out for as long as the scheduler knows it, and never comes back to mobc's idle list: mobc hands
//! out *some* idle session, the scheduler a certain one. So the traps of mobc 0.9 are stepped round: its check-out test
//! and idle limit are never reached, `max_open` is unlimited because the scheduler counts (mobc's own limit cannot be
//! changed later), waiting for its semaphore never happens, and what is closed is taken out with `into_inner`.

use mobc::{Manager, async_trait};

use crate::link::ConnectError;
use crate::postgres::{Config, Connection, connect};

tokio::task_local! {
    /// The password for the session that this task opens, where it is asked for each time: mobc passes nothing on.
    static PASSWORD: Option<String>;
}

/// Opens sessions.
pub struct Sessions(pub Config);

#[async_trait]
impl Manager for Sessions {
    type Connection = Connection;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let password = PASSWORD.try_with(Clone::clone).unwrap_or_default();
        connect(&self.0, password.as_deref()).await
    }

    /// Signs of life are asked for in front of a statement (`postgres::Connection`), which costs no round trip of its
    /// own.
    async fn check(&self, link: Connection) -> Result<Connection, ConnectError> {
        Ok(link)
    }

    /// What was not taken out with `into_inner` belonged to a task that ended early: do not use it again.
    fn validate(&self, _: &mut Connection) -> bool {
        false
    }
}

/// The pool of sessions.
pub fn new(config: Config) -> mobc::Pool<Sessions> {
    mobc::Pool::builder().max_open(0).test_on_check_out(false).get_timeout(None).build(Sessions(config))
}

/// Open a session; `password` takes the place of the configured one.
pub async fn open(
    pool: &mobc::Pool<Sessions>,
    password: Option<String>,
) -> Result<mobc::Connection<Sessions>, ConnectError> {
    PASSWORD.scope(password, pool.get()).await.map_err(|error| match error {
        mobc::Error::Inner(error) => error,
        other => ConnectError::new(other.to_string()),
    })
}
