//! The program: its contract with scripts, and what is left after `kill -9`.

use crate::client::Client;
use crate::feed::Feed;
use crate::on_both_databases;
use crate::service::{Database, site};
use serde_json::Value;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

on_both_databases!(nothing_acknowledged_is_lost_by_kill, only_serve_makes_a_database);

fn program(database: &Database, arguments: &[&str]) -> Command {
    let place = database.place();
    let mut command = Command::new(env!("CARGO_BIN_EXE_longshore-control"));
    command
        .args(arguments)
        .env("LONGSHORE_CONTROL_DATA", &place.data_dir)
        .env_remove("DATABASE_URL");
    command.envs(place.database_url.map(|url| ("DATABASE_URL", url)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

pub(crate) async fn serve(database: &Database) -> (Child, Client) {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--json"];
    let mut child = program(database, &arguments).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let url = ready["control"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (_, token) = database.token(&["admin"]).await;
    (child, Client { address: url.parse().unwrap(), token: Some(token) })
}

async fn run(database: &Database, arguments: &[&str]) -> Output {
    let output = program(database, arguments).output();
    tokio::time::timeout(Duration::from_secs(20), output).await.expect("an end in time").unwrap()
}

async fn nothing_acknowledged_is_lost_by_kill(database: Database) {
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let (mut child, control) = serve(&database).await;
        for number in 0..10 {
            let site = site(&format!("s{round}-{number}"));
            acknowledged.push(control.post("/v1/sites", &site).await.expect(201).json());
        }
        // a change is under way while it dies
        let late = tokio::spawn(async move { control.post("/v1/sites", &site("late")).await });
        child.kill().await.unwrap();
        let _ = late.await;
    }
    let (_child, control) = serve(&database).await;
    let mut last = 0;
    for record in &acknowledged {
        let id = record["id"].as_str().unwrap();
        assert_eq!(control.get(&format!("/v1/sites/{id}")).await.expect(200).json(), *record);
        last = last.max(record["seq"].as_u64().unwrap());
    }
    let mut feed = Feed::open(&control, "").await;
    feed.hello().await;
    let (numbers, newest) = feed.numbers().await;
    assert!(newest >= last);
    // every site has its entry, and there is none of a site that is not there
    let sites = control.get("/v1/sites?limit=200").await.json();
    assert_eq!(numbers.len(), sites["sites"].as_array().unwrap().len());
    assert_eq!(numbers, (1..=newest).collect::<Vec<u64>>());
}

async fn only_serve_makes_a_database(database: Database) {
    let directory = database.place().data_dir;
    let create = ["token", "create", "--name", "x", "--scope", "admin"];
    for arguments in [&create[..], &["token", "list"]] {
        let output = run(&database, arguments).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{stderr}");
        assert!(stderr.contains("longshore-control serve"), "{stderr}");
        let named = database.place().database_url.is_some()
            || stderr.contains(&directory.display().to_string());
        assert!(named && !directory.exists(), "{stderr}");
    }
    let (child, _) = serve(&database).await;
    drop(child);
    assert_eq!(run(&database, &create).await.status.code(), Some(0));
}

/// An empty file, or one named by a URL that would have it made, is no database either.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_need_a_database_with_tables() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("control.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    let data_dir = directory.path().to_str().unwrap();
    let database = Database::sqlite();
    for (place, text) in
        [(["--database-url", &url], "unable to open"), (["--data-dir", data_dir], "no database in")]
    {
        let output = run(&database, &[&["token", "list"], &place[..]].concat()).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(text) && !file.exists(), "{stderr}");
    }
    std::fs::write(&file, "").unwrap();
    for place in [["--database-url", &url], ["--data-dir", data_dir]] {
        let output = run(&database, &[&["token", "list"], &place[..]].concat()).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("longshore-control serve"), "{stderr}");
    }
}

/// What `longshore up` has in its directory is found without a flag.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_of_up_is_found() {
    let up = tempfile::tempdir().unwrap();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_longshore-control"));
        command.args(arguments).env_clear().env("LONGSHORE_DATA", up.path());
        command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command
    };
    let listen = ["serve", "--listen", "127.0.0.1:0", "--json"];
    let mut child = program(&listen).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    assert!(up.path().join("control/control.db").is_file());
    assert!(program(&["token", "list"]).status().await.unwrap().success());
    assert!(!up.path().join("control.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_its_user_can_read_what_it_stores() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Database::sqlite();
    let directory = database.place().data_dir;
    std::fs::create_dir(&directory).unwrap();
    let (_child, control) = serve(&database).await;
    control.post("/v1/sites", &site("a")).await.expect(201);
    for name in ["control.db", "control.db-wal", "control.db-shm"] {
        let mode = std::fs::metadata(directory.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_and_sigint_stop_it_with_followers_connected() {
    for signal in ["-TERM", "-INT"] {
        let database = Database::sqlite();
        let (mut child, control) = serve(&database).await;
        let mut feed = Feed::open(&control, "").await;
        feed.hello().await;
        feed.until_current().await;
        let id = child.id().unwrap().to_string();
        Command::new("kill").args([signal, &id]).status().await.unwrap();
        let status = tokio::time::timeout(Duration::from_secs(9), child.wait()).await.unwrap();
        assert_eq!(status.unwrap().code(), Some(0));
        assert_eq!(feed.next().await, crate::feed::Event::End);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_or_missing_is_said() {
    let database = Database::sqlite();
    let (_child, control) = serve(&database).await;
    let taken = control.address.to_string();
    for (arguments, text) in [
        (&["serve", "--listen", &taken][..], "cannot listen on"),
        (&["serve", "--listen", "nowhere"], "cannot listen on"),
    ] {
        let output = run(&database, arguments).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {stderr}");
        assert!(stderr.contains(text), "{arguments:?} {stderr}");
    }
    for (arguments, text) in [
        (
            &["serve", "--listen", "127.0.0.1:0", "--data-dir", "/proc/none"][..],
            "cannot write the data directory",
        ),
        (&["serve", "--listen", "127.0.0.1:0", "--database-url", "mysql://x"], "must begin with"),
        (&["token", "create", "--name", "x", "--scope", "all"], "is no scope"),
        (&["token", "revoke", "x"], "is not an id"),
        (&["serve", "--followers-max", "0"], "must be a number"),
        (&["reign"], "unrecognized subcommand"),
    ] {
        let output = run(&database, arguments).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {stderr}");
        assert!(stderr.contains(text), "{arguments:?} {stderr}");
    }
    for arguments in [&["--help"][..], &["--version"], &["serve", "--help"], &["openapi"]] {
        assert_eq!(run(&database, arguments).await.status.code(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_made_listed_and_revoked_while_it_serves() {
    let database = Database::sqlite();
    let (_child, control) = serve(&database).await;
    let create = ["token", "create", "--name", "ci", "--scope", "sites:read", "purge"];
    let secret = String::from_utf8(run(&database, &create).await.stdout).unwrap();
    let client = control.with(Some(secret.trim().to_owned()));
    client.get("/v1/sites").await.expect(200);
    let listed = run(&database, &["token", "list", "--json"]).await.stdout;
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    let tokens = listed["tokens"].as_array().unwrap();
    let ours = tokens.iter().find(|token| token["name"] == "ci").unwrap();
    assert_eq!(ours["scopes"], serde_json::json!(["sites:read", "purge"]));
    let id = ours["id"].as_str().unwrap();
    let revoke = ["token", "revoke", "--json", id];
    let revoked = run(&database, &revoke).await;
    assert_eq!(revoked.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&revoked.stdout), format!("{{\"revoked\":\"{id}\"}}\n"));
    client.get("/v1/sites").await.expect(401);
    assert_eq!(run(&database, &revoke).await.status.code(), Some(1));
}
