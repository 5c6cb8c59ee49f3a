//! How many descriptors has this process open, and how many may it have?

/// Descriptors that are open; 0 where the system doesn't tell.
pub(crate) fn count() -> u64 {
    let directory = "/proc/self/fd";
    // Linux tells their number as the size since 6.2; before that they are counted
    match std::fs::metadata(directory).map(|known| known.len()) {
        Ok(count) if count > 0 => count,
        _ => std::fs::read_dir(directory).map_or(0, |files| files.count() as u64),
    }
}

/// Descriptors that may be open; the largest number where there is no limit.
pub(crate) fn max() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_is_counted() {
        let before = count();
        let files: Vec<_> =
            (0..100).map(|_| std::fs::File::open("/proc/self/status").unwrap()).collect();
        assert!(count() >= before + 90 && count() <= max(), "{before} {}", count());
        drop(files);
    }
}
