//! How a server ends, and how it comes back with what it had stored.

use crate::cpu::family;
use crate::servers::{Server, Setting};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Ends a server as an operator does. Control goes on.
pub(crate) async fn terminate(server: &mut Server) {
    for process in &mut server.processes {
        process.stop().await;
    }
    if let Some((_, edge)) = &mut server.edge {
        edge.program.stop().await;
    }
}

/// Ends every process of a server at once, with SIGKILL. Control goes on.
pub(crate) async fn kill(server: &mut Server) -> Result<()> {
    for id in family(&server.ids())? {
        let id = i32::try_from(id).ok().and_then(Pid::from_raw).context("no process id")?;
        // one may be gone by itself
        let _gone = kill_process(id, Signal::KILL);
    }
    for process in &mut server.processes {
        process.exit_code().await;
    }
    if let Some((_, edge)) = &mut server.edge {
        edge.program.exit_code().await;
    }
    Ok(())
}

/// Starts an ended server with the same setting.
pub(crate) async fn start_again(server: Server, setting: &Setting) -> Result<Server> {
    let Some((control, mut edge)) = server.edge else {
        return Server::start(server.name, setting).await;
    };
    edge.start_again().await;
    let address = edge.http();
    Ok(Server {
        name: server.name,
        address,
        secure: None,
        processes: Vec::new(),
        edge: Some((control, edge)),
    })
}
