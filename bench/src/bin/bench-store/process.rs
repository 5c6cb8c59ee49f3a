//! What the system knows of a server's processes beside their time: memory and bytes written.

use crate::cpu::family;
use crate::servers::Server;
use anyhow::{Context, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Resident memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Resident {
    pub(crate) now: u64,
    pub(crate) highest: u64,
}

/// The memory of a server's first process.
pub(crate) fn resident(server: &Server) -> Result<Resident> {
    let id = server.ids().first().copied().context("the server ended")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kibibytes = |name| field(&status, name).with_context(|| format!("no {name} in {status}"));
    Ok(Resident { now: kibibytes("VmRSS")? << 10, highest: kibibytes("VmHWM")? << 10 })
}

/// Bytes that a server's processes caused to be written to disk, in whole pages (proc(5), `write_bytes`).
pub(crate) fn written(server: &Server) -> Result<u64> {
    let mut sum = 0;
    for id in family(&server.ids())? {
        let io = std::fs::read_to_string(format!("/proc/{id}/io"))?;
        sum += field(&io, "write_bytes").unwrap_or_default();
    }
    Ok(sum)
}

/// Whether a process of the server has `words` in its title, as nginx's have.
pub(crate) fn runs(server: &Server, words: &str) -> Result<bool> {
    let titles = family(&server.ids())?.into_iter().map(|id| {
        // one that ended is not running
        std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default()
    });
    Ok(titles.into_iter().any(|title| String::from_utf8_lossy(&title).contains(words)))
}

/// Bytes of disk that the files in a directory take.
pub(crate) fn files_bytes(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // a cache may remove a file at any time
        let Ok(metadata) = entry.metadata() else { continue };
        sum += match metadata.is_dir() {
            true => files_bytes(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(sum)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let io = "write_bytes: 4096\ncancelled_write_bytes: 5\nVmRSS:\t   12 kB\n";
        assert_eq!(field(io, "write_bytes"), Some(4_096));
        assert_eq!((field(io, "VmRSS"), field(io, "bytes")), (Some(12), None));
    }
}
