//! `longshore up`: control, one edge and a demo site on this machine, until told to stop.

mod addresses;
mod certificate;
pub(crate) mod children;
mod demo;
mod files;
mod lock;
mod origin;
mod tail;
mod tokens;
mod under_way;

use crate::args::Up as Args;
use crate::client::{Ask, Client};
use crate::command::wait;
use crate::failure::Failure;
use crate::output::Output;
use crate::settings::{Settings, UP_FILE, UpFile};
use addresses::Addresses;
use children::{Children, Program};
use demo::Demo;
use files::Layout;
use reqwest::Method;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

const ADOPTION_LIMIT: Duration = Duration::from_secs(20);
const READY_LIMIT: Duration = Duration::from_secs(20);
const SAME_REQUEST: Duration = Duration::from_secs(1);
const READY_POLL: Duration = Duration::from_millis(20);

/// Runs everything until a signal, or until a part of it dies.
pub(crate) async fn run(args: &Args, data_dir: &Path, output: Output) -> Result<(), Failure> {
    let mut stop = Stop::new()?;
    let layout = Layout::make(data_dir)?;
    let _lock = lock::take(&layout)?;
    let addresses = Addresses::free(args)?;
    let mut children = Children::default();
    let outcome = tokio::select! {
        biased;
        () = stop.asked() => Ok(()),
        outcome = serve(&addresses, &layout, &mut children, output) => outcome,
    };
    output.note(if outcome.is_ok() { "\nStopping." } else { "Stopping the rest." });
    if let Some(requests) = children.requests_under_way().await {
        output.note(&under_way::told(requests));
    }
    tokio::select! {
        biased;
        () = children.stop() => {}
        () = Stop::asked_again() => output.note("Not waiting."),
    }
    children.kill().await;
    outcome
}

/// Starts one after the other, and returns only when something is wrong.
async fn serve(
    addresses: &Addresses,
    layout: &Layout,
    children: &mut Children,
    output: Output,
) -> Result<(), Failure> {
    let [control_program, edge_program] = Program::find_all()?;
    let mut demo = Demo::open(layout).await?;
    let control = children.start(&control_program, &addresses.control(layout), layout).await?;
    let control = addresses::reachable(&control, "control")?;
    let starting = async {
        let token = tokens::ensure(&control_program, layout, &control, &mut demo).await?;
        let settings = Settings { control: control.clone(), token: Some(token), ca_file: None };
        let client = Client::new(&settings)?;
        let standing = demo.put(&client).await?;
        Ok((client, standing))
    };
    let (client, standing) = children.unless_one_dies(starting).await?;
    let local = children.unless_one_dies(certificate::of_demo(&client, standing)).await?;
    let root_file = certificate::write_root(&client, layout).await?;
    layout.ensure_edge_config()?;
    let edge = children.start(&edge_program, &addresses.edge(layout, &control), layout).await?;
    let https = addresses::reachable_secure(&edge, "https")?;
    let up = UpFile {
        control: addresses::written(&control),
        edge: addresses::written(&addresses::reachable(&edge, "http")?),
        admin: addresses::written(&addresses::reachable(&edge, "admin")?),
        edge_https: addresses::written(&https),
        demo: demo::url(standing, &addresses::reachable(&edge, "http")?),
        demo_https: local.and_then(|_| demo::url(standing, &https)),
        root_file,
        token_file: layout.token(),
    };
    children
        .unless_one_dies(settle(&up, &client, standing.seq().max(local), layout, output))
        .await?;
    files::write(&layout.data.join(UP_FILE), &serde_json::to_vec(&up).unwrap_or_default(), 0o644)?;
    announce(&up, layout, output);
    children.unless_one_dies(demo.serve()).await
}

/// Waits until the edge serves by what control holds.
async fn settle(
    up: &UpFile,
    client: &Client,
    seq: Option<u64>,
    layout: &Layout,
    output: Output,
) -> Result<(), Failure> {
    let since = Instant::now();
    let admin = addresses::parse(&up.admin)?;
    let edge = Client::new(&Settings { control: admin, token: None, ca_file: None })?;
    let ask = || Ask { path: &["readyz"], ..Ask::default() };
    while let Err(failure) = edge.send(Method::GET, ask()).await {
        if since.elapsed() > READY_LIMIT {
            let what =
                format!("the edge does not become ready; see {}", layout.log("edge").display());
            return Err(Failure::failed(what, failure));
        }
        tokio::time::sleep(READY_POLL).await;
    }
    let Some(seq) = seq else { return Ok(()) };
    if let Err(failure) = wait::adopted(client, seq, None, since, ADOPTION_LIMIT).await {
        output.note(&format!("longshore: the demo site: {}", failure.lines().join("\n")));
    }
    Ok(())
}

fn announce(up: &UpFile, layout: &Layout, output: Output) {
    let UpFile { control, edge, edge_https, admin, demo, .. } = up;
    let (data, command) = (layout.data.display(), layout.command());
    let removed = "removed; see `site put` for one of your own";
    let first = match demo {
        Some(_) => {
            format!("curl -i -H 'Host: {}' {edge}/    # twice: the second is a hit", demo::HOST)
        }
        None => format!("{command} status"),
    };
    let secure = match (&up.demo_https, &up.root_file) {
        (Some(url), Some(root)) => {
            format!("  curl -i --cacert {} {url}\n", files::quote(root))
        }
        _ => String::new(),
    };
    let demo = demo.as_deref().unwrap_or(removed);
    let demo_https = up.demo_https.as_ref().map(|url| format!("             {url}\n"));
    let root = up.root_file.as_ref().map(|root| format!("  root       {}\n", root.display()));
    let (demo_https, root) = (demo_https.unwrap_or_default(), root.unwrap_or_default());
    let text = format!(
        "Longshore is up.

  demo site  {demo}
{demo_https}  edge       {edge}
             {edge_https}
  control    {control}
  admin      {admin}/metrics
  data       {data}
{root}
Try, in another terminal:

  {first}
{secure}  {command} edge list
  {command} site list

Ctrl-C stops everything; what is stored stays."
    );
    if output.json {
        output.note(&text);
    }
    output.result(up, || text);
}

/// The signals that ask for an end.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::failed("no signals", error));
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(listen);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// One request can come as several signals: from the terminal, and from the program that started this one.
    async fn asked_again() {
        tokio::time::sleep(SAME_REQUEST).await;
        match Self::new() {
            Ok(mut again) => again.asked().await,
            Err(_) => std::future::pending().await,
        }
    }
}
