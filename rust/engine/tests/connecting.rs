//! Opening sessions on a real server: every way to log in, every sslmode, several hosts.

mod server;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use db_pool_engine::postgres::{Config, Host, SslMode, TargetAttrs, connect};
use server::Server;

fn with_tls(server: &Server, user: &str, mode: SslMode, host: &str) -> Config {
    let mut config = server.config(user);
    config.ssl.mode = mode;
    config.ssl.rootcert = Some(server.path("ca.crt"));
    config.hosts[0].host = host.to_owned();
    config.hosts[0].hostaddr = Some("127.0.0.1".to_owned());
    config
}

#[tokio::test]
async fn every_way_to_log_in() {
    let server = Server::shared();
    for user in ["postgres", "plain", "hashed", "scram"] {
        let link = connect(&server.config(user), None).await.unwrap_or_else(|error| panic!("{user}: {error:?}"));
        assert_eq!(link.parameter("session_authorization").as_deref(), Some(user));
        assert!(!link.is_tls() && link.cancel_key().process_id() > 0);
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_with_its_code_and_is_permanent() {
    let server = Server::shared();
    for user in ["plain", "hashed", "scram"] {
        let error = connect(&server.config(user), Some("wrong")).await.err().unwrap();
        assert!(error.permanent, "{error:?}");
        assert_eq!(error.sqlstate.as_deref(), Some("28P01"));
        assert_eq!(error.attempts.len(), 1);
        assert!(!format!("{error:?}").contains("wrong"));
    }
}

#[tokio::test]
async fn no_password_and_no_database_are_permanent() {
    let server = Server::shared();
    let error = connect(&server.config("scram"), Some("")).await.err().unwrap();
    assert!(error.permanent && error.sqlstate.is_none(), "{error:?}");
    let config = Config { dbname: "nowhere".to_owned(), ..server.config("postgres") };
    let error = connect(&config, None).await.err().unwrap();
    assert_eq!((error.permanent, error.sqlstate.as_deref()), (true, Some("3D000")));
}

#[tokio::test]
async fn every_sslmode() {
    let server = Server::shared();
    for (mode, user, host, tls) in [
        (SslMode::Disable, "scram", "localhost", Some(false)),
        (SslMode::Allow, "scram", "localhost", Some(false)),
        (SslMode::Allow, "onlytls", "localhost", Some(true)),
        (SslMode::Prefer, "scram", "localhost", Some(true)),
        (SslMode::Require, "scram", "localhost", Some(true)),
        (SslMode::VerifyCa, "scram", "elsewhere", Some(true)),
        (SslMode::VerifyFull, "scram", "localhost", Some(true)),
        (SslMode::VerifyFull, "scram", "elsewhere", None),
        (SslMode::Disable, "onlytls", "localhost", None),
    ] {
        let found = connect(&with_tls(&server, user, mode, host), None).await;
        assert_eq!(found.as_ref().ok().map(|link| link.is_tls()), tls, "{mode:?} as {user}: {:?}", found.err());
    }
}

#[tokio::test]
async fn an_unknown_authority_is_refused_for_good() {
    let server = Server::shared();
    let mut config = with_tls(&server, "scram", SslMode::VerifyCa, "localhost");
    config.ssl.rootcert = Some(server.path("client.crt"));
    assert!(connect(&config, None).await.err().unwrap().permanent);
    config.ssl.rootcert = None;
    assert!(connect(&config, None).await.err().unwrap().message.contains("could not connect to PostgreSQL"));
}

#[tokio::test]
async fn channel_binding_is_used_over_tls_and_refused_without() {
    let server = Server::shared();
    let mut config = with_tls(&server, "scram", SslMode::Require, "localhost");
    config.channel_binding = Some(true);
    connect(&config, None).await.unwrap();
    config.channel_binding = Some(false);
    connect(&config, None).await.unwrap();
    config.channel_binding = Some(true);
    config.ssl.mode = SslMode::Disable;
    let error = connect(&config, None).await.err().unwrap();
    assert!(error.permanent && error.attempts[0].contains("channel binding required"), "{error:?}");
}

#[tokio::test]
async fn client_certificates() {
    let server = Server::shared();
    let mut config = with_tls(&server, "certified", SslMode::VerifyFull, "localhost");
    assert!(connect(&config, None).await.is_err());
    (config.ssl.cert, config.ssl.key) = (Some(server.path("client.crt")), Some(server.path("client.key")));
    connect(&config, None).await.unwrap();
}

#[tokio::test]
async fn the_next_host_is_tried_and_every_failure_is_told() {
    let server = Server::shared();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut config = server.config("postgres");
    let dead = Host { port: closed, ..config.hosts[0].clone() };
    config.hosts.insert(0, dead.clone());
    connect(&config, None).await.unwrap();
    config.hosts = vec![dead.clone(), dead];
    let error = connect(&config, None).await.err().unwrap();
    assert_eq!((error.attempts.len(), error.permanent), (2, false));
}

#[tokio::test]
async fn a_host_that_is_silent_costs_connect_timeout() {
    let server = Server::shared();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = server.config("postgres");
    let port = silent.local_addr().unwrap().port();
    config.hosts.insert(0, Host { port, ..config.hosts[0].clone() });
    config.connect_timeout = Some(Duration::from_millis(300));
    connect(&config, None).await.unwrap();
}

#[tokio::test]
async fn the_kind_of_session_that_is_wanted() {
    let server = Server::shared();
    for (target, found) in [
        (TargetAttrs::Any, true),
        (TargetAttrs::ReadWrite, true),
        (TargetAttrs::ReadOnly, false),
        (TargetAttrs::Primary, true),
        (TargetAttrs::Standby, false),
        (TargetAttrs::PreferStandby, true),
    ] {
        let config = Config { target, ..server.config("postgres") };
        assert_eq!(connect(&config, None).await.is_ok(), found, "{target:?}");
    }
}

#[tokio::test]
async fn settings_travel_with_the_login_and_sockets_work() {
    let server = Server::shared();
    let mut config = server.config("postgres");
    config.settings =
        vec![("application_name".to_owned(), "tests".to_owned()), ("TimeZone".into(), "Asia/Tokyo".into())];
    config.hosts[0].host = server.path("").trim_end_matches('/').to_owned();
    let link = connect(&config, None).await.unwrap();
    let parameter = |name| link.parameter(name);
    assert_eq!(
        (parameter("application_name").as_deref(), parameter("TimeZone").as_deref()),
        (Some("tests"), Some("Asia/Tokyo"))
    );
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let server = Server::shared();
    let folder = std::env::temp_dir().join(format!("db-pool-key-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let key = folder.join("client.key");
    std::fs::copy(server.path("client.key"), &key).unwrap();
    let mut config = with_tls(&server, "certified", SslMode::VerifyFull, "localhost");
    config.ssl.cert = Some(server.path("client.crt"));
    config.ssl.key = Some(key.to_str().unwrap().to_owned());
    for (mode, refused) in [(0o600, false), (0o604, true), (0o620, true), (0o601, true), (0o400, false)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        match connect(&config, None).await {
            Ok(_) => assert!(!refused, "{mode:o}"),
            Err(error) => {
                assert!(refused && error.permanent, "{mode:o}: {error:?}");
                assert!(error.attempts[0].contains("has group or world access"), "{error:?}");
            }
        }
    }
    config.ssl.key = Some(folder.to_str().unwrap().to_owned());
    assert!(connect(&config, None).await.err().unwrap().attempts[0].contains("cannot be used"));
    std::fs::remove_dir_all(&folder).unwrap();
}
