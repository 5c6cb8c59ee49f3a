//! `longshore-control`: arguments to configuration, configuration to a server, errors to an exit status.

use clap::Parser as _;
use control::config::{Arguments, Command, Serve};
use control::server::{Server, StartError};
use control::{telemetry, token};
use std::io::Write as _;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

const FAILED: u8 = 1;
const MISCONFIGURED: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = telemetry::start() {
        return fail(
            &anyhow::Error::new(error).context("LONGSHORE_LOG is no filter"),
            MISCONFIGURED,
        );
    }
    match arguments.command {
        Command::Serve(config) => serve(&config).await,
        Command::Token(command) => match token::run(command).await {
            Ok(text) => print(&text),
            Err(error @ token::TokenError::Start(_)) => fail(&error.into(), MISCONFIGURED),
            Err(error) => fail(&error.into(), FAILED),
        },
        Command::Openapi => print(control::openapi()),
    }
}

/// Has a crash leave no core dump, and no other process read this one's memory: it holds private keys. Not where
/// `LONGSHORE_CORE_DUMPS` is set.
fn hide_memory() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, setrlimit};
    if std::env::var_os("LONGSHORE_CORE_DUMPS").is_some() {
        return;
    }
    let none = Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum };
    // a program that core dumps are piped to doesn't look at the limit
    let hidden = setrlimit(Resource::Core, none)
        .and_then(|()| rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = hidden {
        tracing::warn!(%error, "core dumps can't be turned off");
    }
}

async fn serve(config: &Serve) -> ExitCode {
    hide_memory();
    let (terminate, interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return fail(&error.into(), FAILED),
        };
    let server = match Server::start(config).await {
        Ok(server) => server,
        Err(error @ StartError::Listen { .. }) => return fail(&error.into(), FAILED),
        Err(error) => return fail(&error.into(), MISCONFIGURED),
    };
    if config.json {
        let ready = serde_json::json!({ "control": format!("http://{}", server.address()) });
        print(&format!("{ready}\n"));
    }
    let (mut terminate, mut interrupt) = (terminate, interrupt);
    server
        .run(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        })
        .await;
    ExitCode::SUCCESS
}

fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FAILED),
    }
}

fn fail(error: &anyhow::Error, status: u8) -> ExitCode {
    tracing::error!("{error:#}");
    ExitCode::from(status)
}
