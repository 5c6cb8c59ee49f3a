//! `longshore-control`: arguments to configuration, configuration to a server, errors to an exit status.

use clap::Parser as _;
use control::config::{Arguments, Command, Serve};
use control::server::{Server, StartError};
use control::{keys, telemetry, token};
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
        Command::Secrets(command) => match keys::run(command).await {
            Ok(text) => print(&text),
            Err(error @ keys::RotateError::Start(_)) => fail(&error.into(), MISCONFIGURED),
            Err(error) => fail(&error.into(), FAILED),
        },
        Command::Authority { place } => match keys::root(&place).await {
            Ok(text) => print(&text),
            Err(error @ keys::RootError::Start(_)) => fail(&error.into(), MISCONFIGURED),
            Err(error) => fail(&error.into(), FAILED),
        },
        Command::Openapi => print(control::openapi()),
    }
}

async fn serve(config: &Serve) -> ExitCode {
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
        let ready = serde_json::json!({ "control": server.url() });
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
