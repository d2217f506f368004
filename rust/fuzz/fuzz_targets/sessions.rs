//! A server that says anything at all, from its first word on or once it has let the client in: a session with it ends,
//! with answers or an error.

#![no_main]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use db_pool_engine::link::{Column, CopyStream, Described, Execute, Feed, Lost, Outcome};
use db_pool_engine::postgres::{Config, Connection, Group, Host, connect};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;

/// AuthenticationOk, BackendKeyData, ReadyForQuery.
const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";
/// A session that takes longer hangs: the server has closed its end.
const HANGS: Duration = Duration::from_secs(20);

/// Where the server listens, and the runtime of both sides.
struct Place {
    runtime: Runtime,
    listener: UnixListener,
    folder: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("db-pool-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("no folder for the socket");
        let runtime = Builder::new_current_thread().enable_all().build().expect("no runtime");
        let guard = runtime.enter();
        let listener = UnixListener::bind(folder.join(".s.PGSQL.5432")).expect("no socket");
        drop(guard);
        Place { runtime, listener, folder }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

thread_local! {
    static PLACE: RefCell<Place> = RefCell::new(Place::new());
}

async fn serve(mut client: UnixStream, welcome: bool, words: &[u8]) {
    if welcome && client.write_all(WELCOME).await.is_err() {
        return;
    }
    let _ = client.write_all(words).await;
    let _ = client.shutdown().await;
    let mut rest = [0; 4096];
    while client.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

fn statements() -> Vec<Execute> {
    let columns = ["a", "b"].map(|name| Column { name: name.to_owned(), oid: 25, modifier: -1, format: 0 }).to_vec();
    let text = Arc::new(Described::new("known".to_owned(), "SELECT $1, 2".into(), vec![25], columns));
    let known = || Execute::known(&text, [Some(&b"1"[..])]);
    vec![known(), Execute::Direct("SELECT 1".into()), Execute::Describe("SELECT $1".into()), known()]
}

async fn session(mut link: Connection) -> Result<(), Lost> {
    let group = statements();
    for count in [group.len(), 1] {
        let answer = link.run(Group { statements: &group[..count], revocable: true, checks_keys: false }).await?;
        assert_eq!(answer.outcomes.len(), count);
        for outcome in &answer.outcomes {
            if let Outcome::Done { rows, .. } = outcome {
                let _ = rows.to_vec();
            }
        }
    }
    let (sender, mut answers) = unbounded_channel();
    let ask = |piece: Option<Bytes>| {
        let feed = if piece.is_some() { Feed::Data(Bytes::new()) } else { Feed::End };
        let _ = sender.send(feed);
    };
    link.run_copy("COPY t FROM STDIN", CopyStream { ask: &ask, answers: &mut answers }).await?;
    loop {
        link.watch().await?;
    }
}

async fn both(listener: &UnixListener, folder: &str, data: &[u8]) {
    let Some((first, words)) = data.split_first() else { return };
    let password = Some("secret".to_owned());
    let host = Host { host: folder.to_owned(), port: 5432, hostaddr: None, password };
    let user = "fuzz".to_owned();
    let config = Config { hosts: vec![host], dbname: user.clone(), user, ..Config::default() };
    let client = async {
        if let Ok(link) = connect(&config, None).await {
            let _ = session(link).await;
        }
    };
    let server = async {
        if let Ok((client, _)) = listener.accept().await {
            serve(client, first % 4 != 0, words).await;
        }
    };
    tokio::time::timeout(HANGS, async { tokio::join!(client, server) }).await.expect("the session hangs");
}

fuzz_target!(|data: &[u8]| {
    PLACE.with_borrow(|place| {
        let folder = place.folder.to_str().expect("a folder with a name");
        place.runtime.block_on(both(&place.listener, folder, data));
    });
});
