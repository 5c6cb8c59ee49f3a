//! Gives the body of a stored response out: at once, or block by block.

use crate::disk::directory::Directory;
use crate::disk::read::{Failure, Mode};
use crate::disk::record::BLOCK_BYTES;
use crate::disk::segment::Segment;
use bytes::Bytes;
use std::sync::Arc;

pub(super) const BLOCK: u64 = BLOCK_BYTES as u64;
/// Blocks that one of the directory's threads verifies before others have their turn.
const BLOCKS_AT_ONCE: u64 = 8;

/// How often a block is waited for by those who were promised it.
const ATTEMPTS: u32 = 3;

/// The body of a stored response.
pub(crate) enum StoredBody {
    /// All of it, verified.
    Whole(Bytes),
    /// One to be read piece by piece. It was verified once, and is again.
    Streamed(DiskBody),
}

/// Why a body can't be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// It isn't what was written any more.
    #[error("a stored body has changed on disk")]
    Damaged,
    /// The device failed.
    #[error("a stored body could not be read")]
    Failed(#[source] std::io::Error),
    /// The device didn't answer, or too much waits for it.
    #[error("a stored body could not be read in time")]
    Late,
}

/// Reads a body that is too large to be held. Its segment stays readable as long as this is there.
pub(crate) struct DiskBody {
    pub(super) directory: Arc<Directory>,
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
    pub(super) length: u64,
    pub(super) checksums: Arc<[u64]>,
}

impl Clone for DiskBody {
    fn clone(&self) -> Self {
        Self {
            directory: Arc::clone(&self.directory),
            segment: Arc::clone(&self.segment),
            checksums: Arc::clone(&self.checksums),
            ..*self
        }
    }
}

impl DiskBody {
    /// Bytes of the whole body.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// The verified bytes from `from` to the end of their block; empty at the end.
    ///
    /// # Errors
    /// [`BodyError`], where the bytes can't be read or are not what was written.
    pub(crate) async fn read(&self, from: u64) -> Result<Bytes, BodyError> {
        if from >= self.length {
            return Ok(Bytes::new());
        }
        let bytes = Bytes::from(self.block(from / BLOCK).await?);
        Ok(bytes.slice(usize::try_from(from % BLOCK).unwrap_or_default()..))
    }

    /// It was whole when it was begun with, so what fails is perhaps only one read of it.
    async fn block(&self, block: u64) -> Result<Vec<u8>, BodyError> {
        let mut read = self.directory.block(self, block, Mode::Now);
        for _ in 0..ATTEMPTS {
            match read {
                Ok(bytes) => return Ok(bytes),
                Err(Failure::Blocks) => {}
                Err(failure) => drop(self.error(failure)),
            }
            let body = self.clone();
            let wait = move |directory: &Arc<Directory>| directory.block(&body, block, Mode::Wait);
            read = self.directory.wait_for(wait).await.ok_or(BodyError::Late)?;
        }
        read.map_err(|failure| self.error(failure))
    }

    /// Reads all of it once, so that a damaged one isn't begun with. False where it is, or it takes too long.
    pub(super) async fn verify(&self) -> bool {
        let began = std::time::Instant::now();
        let blocks = self.length.div_ceil(BLOCK);
        let mut block = 0;
        while block < blocks && began.elapsed() < self.directory.shared.read_timeout {
            let (body, end) = (self.clone(), blocks.min(block + BLOCKS_AT_ONCE));
            let verify = move |directory: &Arc<Directory>| {
                (block..end)
                    .try_for_each(|block| directory.block(&body, block, Mode::Wait).map(drop))
            };
            match self.directory.wait_for(verify).await {
                Some(Ok(())) => block = end,
                Some(Err(failure)) => {
                    self.error(failure);
                    return false;
                }
                None => return false,
            }
        }
        block == blocks
    }

    /// Counts what happened.
    fn error(&self, failure: Failure) -> BodyError {
        match failure {
            Failure::Failed(error) => {
                self.directory.read_failed(&error);
                BodyError::Failed(error)
            }
            Failure::Blocks => BodyError::Late,
            Failure::Damaged | Failure::Gone | Failure::Other => {
                self.directory.counters.checksum_failures.add(1);
                BodyError::Damaged
            }
        }
    }
}
