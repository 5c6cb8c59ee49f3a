//! The end of a program's log, for the person who asks why it stopped.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const BYTES_MAX: u64 = 16_384;
const LINES_MAX: usize = 10;

/// The last lines of the log at `path` that were written after its first `start` bytes, indented.
pub(super) fn of(path: &Path, start: u64) -> String {
    let text = read(path, start).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.len().saturating_sub(LINES_MAX);
    let lines: Vec<_> = lines.into_iter().skip(last).map(|line| format!("  {line}")).collect();
    if lines.is_empty() { "  (nothing)".to_owned() } else { lines.join("\n") }
}

fn read(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let end = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(end.saturating_sub(BYTES_MAX))))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_this_run_are_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let before = "an earlier run\n";
        let lines: String = (0..20).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, format!("{before}{lines}")).unwrap();
        let tail = of(&path, before.len() as u64);
        assert!(tail.starts_with("  line 10\n") && tail.ends_with("  line 19"), "{tail}");
        assert_eq!(of(&path, (before.len() + lines.len()) as u64), "  (nothing)");
        assert_eq!(of(Path::new("/nowhere"), 0), "  (nothing)");
    }
}
