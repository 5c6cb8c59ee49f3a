//! Runs what a page shows in a terminal, and compares what comes out.
//!
//! In a `console` block a line that begins with `$ ` is a command; those after it are what it prints, where `…` stands
//! for anything on a line, and alone for any lines. `^C` stops what runs. A `toml` block that begins with
//! `# NAME.toml` is that file. Pages name the default addresses; here they are others.

use super::markdown::{Block, Document};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use testkit::{Program, Up, program_path, within};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// One thing a reader does.
pub(crate) enum Step {
    File { name: String, text: String },
    Command { place: String, command: String, expected: Vec<String> },
}

/// Everything a page has its reader do, in order.
pub(crate) fn steps(document: &Document) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in document.all_blocks() {
        match block.language.as_str() {
            "toml" => steps.extend(file(&block)),
            "console" => steps.extend(commands(&block)),
            _ => {}
        }
    }
    steps
}

fn file(block: &Block) -> Option<Step> {
    let name = block.text.lines().next()?.strip_prefix("# ")?;
    let named = name.ends_with(".toml") && !name.contains([' ', '/']);
    named.then(|| Step::File { name: name.to_owned(), text: block.text.clone() })
}

fn commands(block: &Block) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in block.text.lines() {
        let begun = line.strip_prefix("$ ").or_else(|| (line == "^C").then_some(line));
        match (begun, steps.last_mut()) {
            (Some(command), _) => steps.push(Step::Command {
                place: block.place.clone(),
                command: command.to_owned(),
                expected: Vec::new(),
            }),
            (None, Some(Step::Command { expected, .. })) => expected.push(line.to_owned()),
            (None, _) => panic!("{}: begins without a command", block.place),
        }
    }
    steps
}

/// A shell in a directory of its own, and what a reader started.
pub(crate) struct Terminal {
    shell: Shell,
    directory: TempDir,
    up: Option<Up>,
    edge: Option<Program>,
    /// Ports as pages write them, and as they are.
    ports: Vec<(String, String)>,
}

impl Terminal {
    /// A terminal in which `longshore up` runs, and a web server where pages have one on port 8000.
    pub(crate) async fn start(origin: SocketAddr) -> Self {
        let directory = TempDir::new().unwrap();
        let shell = Shell::start(directory.path());
        let ports = vec![(":8000".to_owned(), format!(":{}", origin.port()))];
        let mut terminal = Self { shell, directory, up: None, edge: None, ports };
        let up = Up::start().await;
        std::os::unix::fs::symlink(up.data(), terminal.directory.path().join("data")).unwrap();
        terminal.bind(":7070", up.control());
        terminal.bind_edge(&up.program.ready, "edge");
        terminal.bind(":8443", up.https());
        terminal.up = Some(up);
        terminal
    }

    /// Does one step and compares.
    pub(crate) async fn run(&mut self, step: &Step) {
        let (place, command, expected) = match step {
            Step::File { name, text } => {
                return std::fs::write(self.directory.path().join(name), self.real(text)).unwrap();
            }
            Step::Command { place, command, expected } => (place, command, expected),
        };
        let printed = self.execute(command).await;
        let printed: Vec<String> = printed.lines().map(|line| self.written(line)).collect();
        let (expected, printed) = (trimmed(expected), trimmed(&printed));
        let shown = printed.join("\n");
        assert!(
            matches(expected, printed),
            "{place}: `{command}` printed\n{shown}\nand not\n{}\n",
            expected.join("\n")
        );
    }

    async fn execute(&mut self, command: &str) -> String {
        match command {
            "make up" | "longshore up" => {
                let up = self.up.as_ref().expect("it runs from the start, once");
                up.program.log()
            }
            "^C" => self.interrupt().await,
            _ => match command.strip_suffix(" &") {
                Some(edge) => self.start_edge(edge).await,
                None => self.shell.execute(&self.real(command)).await,
            },
        }
    }

    /// Stops what was started last, as Ctrl-C does, and returns what it says to that.
    async fn interrupt(&mut self) -> String {
        if let Some(mut edge) = self.edge.take() {
            assert_eq!(edge.stop().await, Some(0));
            return String::new();
        }
        let up = self.up.as_mut().expect("something runs");
        let before = up.program.log().len();
        assert_eq!(up.program.stop().await, Some(0));
        up.program.log().split_off(before)
    }

    async fn start_edge(&mut self, command: &str) -> String {
        assert!(command.starts_with("longshore-edge --json "), "`{command}` says where it listens");
        let mut bash = bash(self.directory.path());
        bash.args(["-c", &format!("exec {}", self.real(command))]);
        for variable in ["LONGSHORE_EDGE_HTTP_ADDR", "LONGSHORE_EDGE_ADMIN_ADDR"] {
            bash.env(variable, "127.0.0.1:0");
        }
        let edge = Program::start("longshore-edge", bash, self.directory.path()).await;
        let edge = edge.unwrap_or_else(|error| panic!("{error}"));
        let printed = edge.ready.clone();
        self.bind_edge(&printed, "http");
        self.edge = Some(edge);
        // the order of the members is the program's, which a parsed value has lost
        format!("{{\"http\":{},\"admin\":{}}}", printed["http"], printed["admin"])
    }

    fn bind_edge(&mut self, ready: &Value, http: &str) {
        for (port, member) in [(":8080", http), (":9180", "admin")] {
            let address = ready[member].as_str().unwrap().trim_start_matches("http://");
            self.bind(port, address.parse().unwrap());
        }
    }

    fn bind(&mut self, written: &str, real: SocketAddr) {
        self.ports.retain(|(port, _)| port != written);
        self.ports.push((written.to_owned(), format!(":{}", real.port())));
    }

    /// What a page writes, with the ports that are.
    fn real(&self, text: &str) -> String {
        let ports = self.ports.iter();
        ports.fold(text.to_owned(), |text, (written, real)| text.replace(written, real))
    }

    /// What was printed, as a page writes it: its ports, and columns apart by two spaces.
    fn written(&self, line: &str) -> String {
        let ports = self.ports.iter();
        ports.fold(line.trim_end().to_owned(), |line, (written, real)| line.replace(real, written))
    }

    /// Stops what still runs.
    pub(crate) async fn end(mut self) {
        if let Some(mut edge) = self.edge.take() {
            edge.stop().await;
        }
        if let Some(up) = self.up.as_mut().filter(|up| up.program.id().is_some()) {
            up.program.stop().await;
        }
    }
}

/// One bash for all commands of a page, so that variables live on.
struct Shell {
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    status: i32,
    _process: Child,
}

impl Shell {
    fn start(directory: &Path) -> Self {
        let mut bash = bash(directory);
        bash.args(["--noprofile", "--norc", "-s"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = bash.spawn().unwrap();
        let stdin = process.stdin.take().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { stdin, stdout, status: 0, _process: process }
    }

    /// Runs a command to its end and returns what it prints, standard error included.
    async fn execute(&mut self, command: &str) -> String {
        let before = self.status;
        let script = format!(
            "(exit {before})\n{{\n{command}\n}} </dev/null 2>&1\nprintf '\\n\\001%d\\n' $?\n"
        );
        self.stdin.write_all(script.as_bytes()).await.unwrap();
        let mut printed = String::new();
        loop {
            let line = within(&format!("`{command}` to end"), self.stdout.next_line()).await;
            let line = line.unwrap().expect("bash goes on");
            if let Some(status) = line.strip_prefix('\u{1}') {
                self.status = status.parse().unwrap();
                return printed;
            }
            printed.push_str(&line);
            printed.push('\n');
        }
    }
}

/// A bash that finds the built programs, in an environment without settings.
fn bash(directory: &Path) -> Command {
    let programs = program_path("longshore");
    let mut path = programs.parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command.env_clear().env("PATH", path).env("HOME", directory).env("LC_ALL", "C.UTF-8");
    command.current_dir(directory).kill_on_drop(true);
    command
}

/// Without empty lines at either end.
fn trimmed(lines: &[String]) -> &[String] {
    let full = |line: &String| !line.is_empty();
    let start = lines.iter().position(full).unwrap_or(lines.len());
    let end = lines.iter().rposition(full).map_or(start, |last| last + 1);
    &lines[start..end]
}

/// Whether lines are as expected; a line of `…` alone is any lines.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "…" => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, after)| line_matches(first, line) && matches(rest, after)),
    }
}

/// Whether a line is as expected; `…` is anything, and columns may be of other widths.
fn line_matches(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (narrow(expected), narrow(printed));
    let mut pieces = expected.split('…');
    let Some(mut rest) = printed.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn narrow(line: &str) -> String {
    let words = line.split("  ").map(str::trim).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("  ")
}

#[test]
fn an_ellipsis_stands_for_anything() {
    let check = |expected: &str, printed: &str, same: bool| {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(matches(&lines(expected), &lines(printed)), same, "{expected} {printed}");
    };
    check("a", "a", true);
    check("a", "b", false);
    check("a", "a\nb", false);
    check("a … c", "a b c", true);
    check("a … c", "a b d", false);
    check("a\n…\nd", "a\nb\nc\nd", true);
    check("a\n…", "a", true);
    check("a\n…\nd", "a\nb", false);
    check("ID  …  X", "ID     1        X", true);
}
