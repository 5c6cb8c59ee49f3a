//! One `longshore up` in a data directory.

use super::files::Layout;
use crate::failure::Failure;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};

/// Held as long as it lives; the kernel lets go of it when the process dies, however that comes.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "open is what it is for")] File);

/// Takes the lock, or says who has it.
pub(super) fn take(layout: &Layout) -> Result<Lock, Failure> {
    let path = layout.data.join("up.lock");
    let unusable = |error| Failure::file(&path, error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held(&mut file, layout)),
        Err(TryLockError::Error(error)) => return Err(unusable(error)),
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(unusable)?;
    Ok(Lock(file))
}

fn held(file: &mut File, layout: &Layout) -> Failure {
    let mut holder = String::new();
    _ = file.take(20).read_to_string(&mut holder);
    let (data, holder) = (layout.data.display(), holder.trim());
    let what = format!(
        "another `longshore up` (process {holder}) uses {data}; stop it, or set LONGSHORE_DATA to another directory"
    );
    Failure::Failed { what, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::make(directory.path()).unwrap();
        let first = take(&layout).unwrap();
        let refused = take(&layout).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(first);
        assert!(take(&layout).is_ok());
    }
}
