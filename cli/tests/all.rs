//! The command as it is typed, without servers.

#![expect(clippy::unwrap_used, reason = "what a test prepares must work")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_longshore");
/// Nothing listens on port 1.
const NOBODY: &str = "http://127.0.0.1:1";

fn longshore(program: &Path, data: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LONGSHORE_DATA", data).env("LONGSHORE_CONTROL", NOBODY);
    command
}

/// Runs the words; returns what it printed as errors.
fn check(words: &[&str], expected: i32) -> String {
    let data = tempfile::tempdir().unwrap();
    let output = longshore(Path::new(PROGRAM), data.path()).args(words).output().unwrap();
    told(&output, expected)
}

fn told(output: &Output, expected: i32) -> String {
    let errors = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(expected), "{errors}");
    errors
}

#[test]
fn wrong_usage_exits_2() {
    for words in [
        &[][..],
        &["fly"],
        &["site", "get"],
        &["site", "get", "../tokens"],
        &["site", "put", "/nowhere/site.toml"],
        &["purge", "demo"],
        &["edge", "rm"],
        &["edge", "rm", "../sites"],
        &["cache"],
        &["cache", "inspect"],
        &["cache", "inspect", "http://a.example/", "-H", "no line"],
        &["cache", "list", "--limit", "0"],
        &["cache", "list", "--site", "../a"],
        &["cache", "stats", "--edge", "nonsense"],
        &["site", "put", "a.toml", "--wait=soon"],
        &["--control", "nonsense", "status"],
        &["up", "--control-listen", "127.0.0.1:0", "--http-listen", "8080"],
    ] {
        check(words, 2);
    }
}

#[test]
fn help_names_the_exit_codes_and_the_variables() {
    let output = Command::new(PROGRAM).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout.clone()).unwrap();
    told(&output, 0);
    for expected in ["Exit codes:", "LONGSHORE_CONTROL", "LONGSHORE_TOKEN", "LONGSHORE_DATA"] {
        assert!(help.contains(expected), "{expected} in {help}");
    }
}

#[test]
fn control_that_cannot_be_reached_exits_3() {
    for words in [
        &["status"][..],
        &["site", "list"],
        &["site", "get", "demo", "--json"],
        &["site", "rm", "demo"],
        &["edge", "list"],
        &["edge", "rm", "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2"],
        &["purge", "demo", "--everything", "--wait"],
    ] {
        let errors = check(words, 3);
        assert!(errors.contains(NOBODY) && errors.contains("longshore up"), "{errors}");
    }
}

/// A web server that has one answer to everything.
fn other_program(answer: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
            let closed = stream.write_all(answer.as_bytes());
            drop((closed, stream));
        }
    });
    url
}

#[test]
fn another_program_at_the_address_of_control_exits_3() {
    let html = "content-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
    let json = "content-type: application/json\r\ncontent-length: 12\r\n\r\n{\"status\":1}";
    for answer in [
        format!("HTTP/1.1 404 Not Found\r\n{html}"),
        format!("HTTP/1.1 401 Unauthorized\r\n{json}"),
        format!("HTTP/1.1 302 Found\r\nlocation: /login\r\n{html}"),
        format!("HTTP/1.1 502 Bad Gateway\r\n{html}"),
        format!("HTTP/1.1 200 OK\r\n{html}"),
        format!("HTTP/1.1 200 OK\r\n{json}"),
    ] {
        let answer = answer.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n").leak();
        let url = other_program(answer);
        for words in [
            &["status"][..],
            &["site", "list"],
            &["site", "get", "demo"],
            &["site", "rm", "demo"],
            &["edge", "rm", "edge_01J9Z3K8Q4W5E6R7T8Y9V0B1N2"],
            &["purge", "demo", "--everything"],
        ] {
            let errors = check(&[&["--control", &url], words].concat(), 3);
            let expected = format!("what answers at {url} is not control");
            assert!(errors.contains(&expected), "{answer} {errors}");
        }
    }
}

#[test]
fn a_document_that_is_no_toml_exits_1_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("site.toml");
    std::fs::write(&file, "name = 'a'\nhosts = [\n").unwrap();
    let file = file.to_str().unwrap();
    let errors = check(&["site", "put", file], 1);
    assert!(errors.contains(&format!("{file}: document: is no TOML")), "{errors}");
    assert!(errors.contains("line 2"), "{errors}");
}

/// A copy of the program in a directory with other programs of ours, or none.
fn install(directory: &Path, programs: &[(&str, &str)]) -> std::path::PathBuf {
    let copy = directory.join("longshore");
    // A link cannot be busy; across file systems there is none.
    std::fs::hard_link(PROGRAM, &copy)
        .or_else(|_| std::fs::copy(PROGRAM, &copy).map(|_| ()))
        .unwrap();
    for (name, script) in programs {
        let path = directory.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    copy
}

fn up(program: &Path, data: &Path) -> Command {
    let mut command = longshore(program, data);
    for address in
        ["LONGSHORE_CONTROL_ADDR", "LONGSHORE_EDGE_HTTP_ADDR", "LONGSHORE_EDGE_ADMIN_ADDR"]
    {
        command.env(address, "127.0.0.1:0");
    }
    command.arg("up");
    command
}

#[test]
fn up_says_which_program_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let program = install(directory.path(), &[]);
    let output = up(&program, &directory.path().join("data")).output().unwrap();
    let errors = told(&output, 1);
    assert!(errors.contains("longshore-control is neither in"), "{errors}");
}

#[test]
fn up_shows_the_end_of_the_log_of_a_program_that_died() {
    let directory = tempfile::tempdir().unwrap();
    let dies = "echo 'no more files' >&2; exit 7";
    let programs = [("longshore-control", dies), ("longshore-edge", dies)];
    let program = install(directory.path(), &programs);
    let output = up(&program, &directory.path().join("data")).output().unwrap();
    let errors = told(&output, 1);
    for expected in ["longshore-control stopped (exit status: 7)", "control.log", "no more files"] {
        assert!(errors.contains(expected), "{expected} in {errors}");
    }
}

#[test]
fn up_names_the_address_that_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut command = up(Path::new(PROGRAM), directory.path());
    let output = command.env("LONGSHORE_EDGE_ADMIN_ADDR", &address).output().unwrap();
    let errors = told(&output, 1);
    assert!(errors.contains(&address) && errors.contains("LONGSHORE_EDGE_ADMIN_ADDR"), "{errors}");
}

/// The end of the output comes when nobody is left who could write it.
#[test]
fn what_up_started_dies_with_it_even_by_kill_9() {
    let script = r#""$0" child --parent $$ -- sh -c 'echo started; exec sleep 1000' & wait"#;
    let mut command = Command::new("sh");
    let mut parent = command.args(["-c", script, PROGRAM]).stdout(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(parent.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert_eq!(line, "started\n");
    parent.kill().unwrap();
    parent.wait().unwrap();
    assert_eq!(printed.read_line(&mut line).unwrap(), 0);
    check(&["child", "--parent", "1", "--", "true"], 2);
}
