//! Handshakes, as many as there can be, with one small request each.

use crate::{Counts, Load, trust};
use anyhow::Result;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Tickets that a connection may come back with; a server gives some with each handshake.
const SESSIONS: usize = 256;

pub(crate) async fn run(load: &Load, resumed: bool) -> Result<Counts> {
    let counts = Arc::new(Counts::default());
    let mut workers = Vec::new();
    for _ in 0..load.connections {
        let mut config = trust::client(b"http/1.1")?;
        config.resumption = match resumed {
            true => Resumption::in_memory_sessions(SESSIONS),
            false => Resumption::disabled(),
        };
        let (load, counts, config) = (load.clone(), Arc::clone(&counts), Arc::new(config));
        workers.push(tokio::spawn(async move {
            while Instant::now() < load.until {
                match one(&load, &config, &counts).await {
                    Ok(bytes) => counts.request(bytes),
                    Err(_) => counts.failure(),
                }
            }
        }));
    }
    for worker in workers {
        worker.await?;
    }
    Ok(Arc::into_inner(counts).unwrap_or_default())
}

async fn one(load: &Load, config: &Arc<ClientConfig>, counts: &Counts) -> Result<usize> {
    let tcp = TcpStream::connect(load.address).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(load.host.clone())?;
    let mut tls = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", load.path, load.host);
    tls.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; 16_384];
    let mut read = tls.read(&mut buffer).await?;
    anyhow::ensure!(buffer.starts_with(b"HTTP/1.1 200"), "no 200");
    let head = buffer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0) + 4;
    let text = String::from_utf8_lossy(buffer.get(..head).unwrap_or_default()).to_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let whole = head + length.and_then(|length| length.parse::<usize>().ok()).unwrap_or(0);
    while read < whole {
        let more = tls.read(buffer.get_mut(read..).unwrap_or_default()).await?;
        anyhow::ensure!(more > 0, "half a body");
        read += more;
    }
    if tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed) {
        counts.resumed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(read)
}
