//! What a run stands on: origins, control, and an edge with a disk tier that is started again and again.

use super::Fault;
use super::content::{SITES, host};
use super::layer::Layer;
use super::ledger::Ledger;
use super::origin::Origin;
use super::room::Small;
use anyhow::Result;
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use testkit::{Control, Edge, EdgeOptions, Failed, eventually};
use tokio::time::interval;

const PAGES_PER_SITE: usize = 60;
const MIB: u64 = 1 << 20;
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const POLLS_MAX: usize = 100;

/// The memory is small, so that most hits come from disk.
const CONFIG: &str = "\
[memory]
capacity_bytes = 33554432
filling_max_bytes = 8388608
slice_bytes = 131072
[disk]
index_max_bytes = 2097152
queue_max_bytes = 12582912
reading_max_bytes = 4194304
read_timeout_seconds = 1
retry_seconds = 1
";

pub(crate) struct Stage {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) control: Control,
    pub(crate) edge: Edge,
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) layer: Option<Layer>,
    pub(crate) small: Option<Small>,
    options: EdgeOptions,
    _origins: Vec<Origin>,
    // after what is mounted in it
    _home: TempDir,
}

/// What the edge says of its disk tier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DiskState {
    pub(crate) out: u64,
    pub(crate) checksum_failures: u64,
    is_idle: bool,
}

impl Stage {
    pub(crate) async fn set(fault: Fault) -> Result<Self> {
        let home = TempDir::new()?;
        let ledger = Arc::new(Ledger::new(PAGES_PER_SITE));
        let under = home.path().join("store");
        let small = if fault == Fault::Full { Some(Small::mount(&under)?) } else { None };
        if small.is_none() {
            std::fs::create_dir(&under)?;
        }
        let (count, bytes) = match fault {
            Fault::Full => (1, 64 * MIB),
            Fault::Crowded => (2, 16 * MIB),
            _ => (2, 256 * MIB),
        };
        let directories: Vec<_> = (0..count).map(|number| under.join(number.to_string())).collect();
        let layer = match fault {
            Fault::Errors | Fault::Lies => {
                Some(Layer::build(home.path(), &under, fault == Fault::Lies).await?)
            }
            _ => None,
        };
        let control = Control::start().await;
        let token = control.token(&["edge"]).await;
        let config = config(&directories, bytes);
        let options = EdgeOptions::new().control(&control.url(), &token).config(&config);
        let mut options = options.without_access_log();
        if let Some(layer) = &layer {
            options = layer.below(options);
        }
        let edge = Edge::start(options.clone()).await;
        let _origins = origins(&ledger, &control, &edge).await?;
        Ok(Self {
            ledger,
            control,
            edge,
            directories,
            layer,
            small,
            options,
            _origins,
            _home: home,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.edge.http()
    }

    /// Starts the edge again, and waits until it serves.
    pub(crate) async fn start_edge(&mut self) -> Result<(), Box<Failed>> {
        self.edge = Edge::try_start(self.options.clone()).await?;
        self.edge.wait_ready().await;
        Ok(())
    }

    pub(crate) async fn disk_state(&self) -> DiskState {
        let metrics = self.edge.metrics().await;
        let sum = |name: &str| metrics.sum(name, &[]);
        let used = sum("longshore_edge_disk_in");
        DiskState {
            out: self.directories.len() as u64 - whole(used),
            checksum_failures: whole(sum("longshore_edge_disk_checksum_failures_total")),
            is_idle: sum("longshore_edge_store_queue_bytes") == 0.0,
        }
    }

    /// Waits until nothing waits to be written any more. False where that can't be said.
    pub(crate) async fn settles(&self) -> bool {
        let mut ticks = interval(POLL_INTERVAL);
        for _ in 0..POLLS_MAX {
            ticks.tick().await;
            let state = self.disk_state().await;
            if state.out > 0 {
                return false;
            }
            if state.is_idle {
                return true;
            }
        }
        false
    }

    /// Waits until all that an earlier run left is found.
    pub(crate) async fn recovered(&self) {
        eventually("the disk tier to be recovered", || async {
            let metrics = self.edge.metrics().await;
            let is_done = |directory: &PathBuf| {
                let label = format!("path=\"{}\"", directory.display());
                metrics.sum("longshore_edge_disk_recovery_seconds", &[&label]) > 0.0
            };
            self.directories.iter().all(is_done).then_some(())
        })
        .await;
    }
}

fn whole(number: f64) -> u64 {
    format!("{number:.0}").parse().unwrap_or_default()
}

fn config(directories: &[PathBuf], bytes: u64) -> String {
    let sections = directories.iter().map(|directory| {
        let path = directory.display();
        format!("[[disk.directories]]\npath = \"{path}\"\ncapacity_bytes = {bytes}\n")
    });
    CONFIG.to_owned() + &sections.collect::<String>()
}

/// Starts an origin for each site, and has the edge serve them.
async fn origins(ledger: &Arc<Ledger>, control: &Control, edge: &Edge) -> Result<Vec<Origin>> {
    let mut origins = Vec::new();
    for site in 0..SITES {
        let origin = Origin::start(site, ledger).await?;
        let document = json!({
            "name": name(site),
            "hosts": [host(site)],
            "origins": [{ "name": "main", "url": format!("http://{}", origin.address) }],
        });
        let record = control.put_site(&document).await;
        control.wait_adopted(edge, record.seq).await;
        origins.push(origin);
    }
    Ok(origins)
}

/// The name of a site's document.
pub(crate) fn name(site: usize) -> String {
    format!("site-{site}")
}
