//! The `longshore` command: arguments in, an exit code out.

mod args;
mod client;
mod command;
mod edge;
mod failure;
mod output;
mod settings;
mod up;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output { json: args.json };
    // One thread: children ask the kernel to be told of the death of the thread that started them, which must be this.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(run(args, output)),
        Err(error) => Err(Failure::failed("can't start", error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

async fn run(args: Args, output: Output) -> Result<(), Failure> {
    let client = |settings| client::Client::new(&settings);
    match args.command {
        Command::Up(up) => up::run(&up, &args.given.data_dir, output).await,
        Command::Child(child) => up::children::become_program(&child),
        Command::Site(site) => {
            command::site::run(site, &client(args.given.resolve()?)?, output).await
        }
        Command::Certificate(certificate) => {
            command::certificate::run(certificate, &client(args.given.resolve()?)?, output).await
        }
        Command::Domains(domains) => {
            command::domains::run(domains, &client(args.given.resolve()?)?, output).await
        }
        Command::Edge(edge) => {
            command::edge::run(&edge, &client(args.given.resolve()?)?, output).await
        }
        Command::Purge(purge) => {
            command::purge::run(&purge, &client(args.given.resolve()?)?, output).await
        }
        Command::Revalidate(asked) => {
            command::purge::revalidate(&asked, &client(args.given.resolve()?)?, output).await
        }
        Command::Warm(asked) => {
            command::purge::warm(&asked, &client(args.given.resolve()?)?, output).await
        }
        Command::Purges(asked) => {
            command::purges::run(&asked, &client(args.given.resolve()?)?, output).await
        }
        Command::Explain(explain) => command::explain::run(explain, args.given, output).await,
        Command::Cache(cache) => command::cache::run(cache, args.given, output).await,
        Command::Status => command::status::run(&client(args.given.resolve()?)?, output).await,
    }
}
