//! Requests over HTTP/3: so many connections, so many at a time on each.

use crate::{Counts, Load, trust};
use anyhow::{Context as _, Result, ensure};
use bytes::{Buf as _, Bytes};
use h3::client::SendRequest;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Endpoint};
use std::sync::Arc;
use std::time::Instant;

type Sender = SendRequest<h3_quinn::OpenStreams, Bytes>;

pub(crate) async fn run(load: &Load) -> Result<Counts> {
    let counts = Arc::new(Counts::default());
    let crypto = QuicClientConfig::try_from(trust::client(b"h3")?)?;
    let mut transport = quinn::TransportConfig::default();
    transport.stream_receive_window((4_u32 << 20).into());
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    let mut workers = Vec::new();
    for _ in 0..load.connections {
        let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
        let connection = endpoint.connect_with(config.clone(), load.address, &load.host)?.await?;
        let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
        tokio::spawn(async move { std::future::poll_fn(|cx| driver.poll_close(cx)).await });
        for _ in 0..load.streams {
            let (load, counts, sender) = (load.clone(), Arc::clone(&counts), sender.clone());
            workers.push(tokio::spawn(ask(load, sender, counts)));
        }
    }
    for worker in workers {
        worker.await?;
    }
    Ok(Arc::into_inner(counts).unwrap_or_default())
}

async fn ask(load: Load, mut sender: Sender, counts: Arc<Counts>) {
    while Instant::now() < load.until {
        match one(&load, &mut sender).await {
            Ok(bytes) => counts.request(bytes),
            Err(_) => return counts.failure(),
        }
    }
}

async fn one(load: &Load, sender: &mut Sender) -> Result<usize> {
    let uri = format!("https://{}{}", load.host, load.path);
    let request = http::Request::get(uri).body(())?;
    let mut stream = sender.send_request(request).await?;
    stream.finish().await?;
    let response = stream.recv_response().await?;
    ensure!(response.status() == 200, "no 200");
    let mut read = 0;
    while let Some(data) = stream.recv_data().await? {
        read += data.remaining();
    }
    let length = response.headers().get("content-length").context("no content-length")?;
    ensure!(length.to_str()?.parse() == Ok(read), "half a body");
    Ok(read)
}
