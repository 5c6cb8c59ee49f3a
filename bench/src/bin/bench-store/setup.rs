//! What every measurement stands on: an origin, a directory, and servers of a given size.

use crate::load::Load;
use crate::object::noise;
use crate::origin::Origin;
use crate::servers::{Server, Setting};
use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, getrlimit};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::process::Command;

const MIB: u64 = 1 << 20;
/// For a memory tier as small as the configuration allows.
pub(crate) const TIER_OFF_BYTES: u64 = 0;
/// What nginx needs in shared memory for a response; "one megabyte can store about 8 thousand keys".
const NGINX_KEY_BYTES: u64 = MIB / 8_000;

/// How large a server is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) threads: usize,
    /// Bytes of responses in memory: the edge's memory tier at least, and all of Varnish.
    pub(crate) tier_bytes: u64,
    /// What the edge may use memory for altogether. Without, it follows from the tier.
    pub(crate) capacity_bytes: Option<u64>,
    /// Responses the index of the disk tier has room for, and nginx's zone.
    pub(crate) responses: u64,
    /// What the edge may use for responses being filled, as much for those that wait to be written, and two and a half
    /// times as much for those being read.
    pub(crate) buffer_bytes: u64,
    /// Bytes on disk.
    pub(crate) disk_bytes: u64,
    /// Whether the edge has a disk tier.
    pub(crate) edge_disk: bool,
    /// Whether Varnish keeps its responses in a file.
    pub(crate) varnish_file: bool,
    /// Whether nginx keeps files open. It then finds removed ones among them, and so has more than it may.
    pub(crate) nginx_open_files: bool,
}

impl Shape {
    /// Memory and disk, one thread. `BENCH_DISK=no` has the edge keep in memory what would be on disk.
    pub(crate) fn new(tier_bytes: u64, disk_bytes: u64, responses: u64) -> Self {
        let edge_disk = std::env::var("BENCH_DISK").map_or(true, |wanted| wanted != "no");
        let tier_bytes = if edge_disk { tier_bytes } else { tier_bytes.max(disk_bytes) };
        Self {
            threads: 1,
            tier_bytes,
            capacity_bytes: None,
            responses,
            buffer_bytes: 8 * MIB,
            disk_bytes,
            edge_disk,
            varnish_file: false,
            nginx_open_files: true,
        }
    }

    /// The edge has no disk tier.
    pub(crate) fn in_memory(tier_bytes: u64, responses: u64) -> Self {
        Self { edge_disk: false, ..Self::new(tier_bytes, tier_bytes, responses) }
    }

    /// What the edge calls `memory.capacity_bytes`: all it uses memory for. It keeps a sixteenth for slices, and wants an
    /// eighth for responses.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let least = self
            .beside_bytes()
            .div_ceil(13)
            .max((self.beside_bytes() + self.tier_bytes).div_ceil(15));
        self.capacity_bytes.unwrap_or(least * 16)
    }

    /// What the edge's memory tier comes to.
    pub(crate) fn edge_tier_bytes(&self) -> u64 {
        (self.memory_bytes() / 16 * 15).saturating_sub(self.beside_bytes())
    }

    fn beside_bytes(&self) -> u64 {
        let of_disk = self.index_bytes() + self.buffer_bytes + self.reading_bytes();
        self.buffer_bytes + if self.edge_disk { of_disk } else { 0 }
    }

    fn reading_bytes(&self) -> u64 {
        self.buffer_bytes / 2 * 5
    }

    /// 64 bytes a response is what is promised.
    fn index_bytes(&self) -> u64 {
        (self.responses * 64).max(MIB / 4)
    }

    fn disk_sections(&self, directory: &str) -> String {
        if !self.edge_disk {
            return String::new();
        }
        let (index_bytes, queue_bytes) = (self.index_bytes(), self.buffer_bytes);
        let (reading_bytes, disk_bytes) = (self.reading_bytes(), self.disk_bytes);
        format!(
            "[disk]\nindex_max_bytes = {index_bytes}\nqueue_max_bytes = {queue_bytes}\n\
             reading_max_bytes = {reading_bytes}\n[[disk.directories]]\npath = \"{directory}\"\ncapacity_bytes = {disk_bytes}\n"
        )
    }
}

/// Origin, directory, and the bytes of all bodies.
pub(crate) struct Bench {
    pub(crate) origin: Origin,
    pub(crate) noise: Arc<Vec<u8>>,
    directory: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let noise = Arc::new(noise());
        Ok(Self { origin: Origin::start(Arc::clone(&noise))?, noise, directory: TempDir::new()? })
    }

    /// A setting in a directory of its own.
    pub(crate) fn setting(&self, name: &str, shape: &Shape) -> Result<Setting> {
        let directory = self.directory.path().join(name);
        std::fs::create_dir(&directory)?;
        let stored = directory.join("stored");
        std::fs::create_dir(&stored)?;
        let path = stored.display().to_string();
        let bytes = shape.disk_bytes;
        let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(65_536);
        let open_files = match shape.nginx_open_files {
            true => format!("max={}", shape.responses.min(descriptors / 4 * 3)),
            false => "off".to_owned(),
        };
        let values = vec![
            ("threads", shape.threads.to_string()),
            ("memory_bytes", shape.memory_bytes().to_string()),
            ("filling_bytes", shape.buffer_bytes.to_string()),
            ("disk", shape.disk_sections(&path)),
            ("descriptors", descriptors.to_string()),
            ("open_files", open_files),
            ("keys_bytes", (shape.responses * NGINX_KEY_BYTES).max(MIB / 4).to_string()),
            ("disk_bytes", bytes.to_string()),
        ];
        let varnish_storage = match shape.varnish_file {
            true => format!("file,{path}/varnish,{bytes}"),
            false => format!("malloc,{}", shape.tier_bytes),
        };
        let peers = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/store");
        let origin = self.origin.address;
        Ok(Setting { peers, directory, origin, access_log: false, values, varnish_storage })
    }

    /// Removes what a server left on disk.
    pub(crate) fn clear(&self, setting: &Setting) -> Result<()> {
        Ok(std::fs::remove_dir_all(&setting.directory)?)
    }

    pub(crate) fn load(&self, server: &Server) -> Load {
        Load::new(server.address, &self.noise)
    }
}

/// Writes to disk what the system still holds, so that it doesn't do so during a measurement.
pub(crate) async fn flush() -> Result<()> {
    let status = Command::new("sync").status().await.context("can't run sync")?;
    ensure!(status.success(), "sync: {status}");
    Ok(())
}

/// The servers of `BENCH_SERVERS`, or all of `names`.
pub(crate) fn wanted(names: &[&'static str]) -> Vec<&'static str> {
    let Ok(wanted) = std::env::var("BENCH_SERVERS") else { return names.to_vec() };
    let wanted: Vec<&str> = wanted.split_whitespace().collect();
    names.iter().copied().filter(|name| wanted.contains(name)).collect()
}
