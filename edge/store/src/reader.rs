//! Gives a body out: a complete one in one piece, one being filled as it arrives.

use crate::disk::DiskBody;
use crate::fill::{Body, Progress};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// What is given at a time of a complete body: so little that a slow client takes it before it counts as stalled.
const PIECE_MAX_BYTES: usize = 1 << 20;

/// Why a body can't be read to its end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadError {
    /// The fetch it came from broke off. What was read so far is not the whole.
    #[error("the response broke off while it was being filled")]
    BrokenOff,
    /// It could not be read from disk any more.
    #[error("the response could not be read from disk")]
    Unreadable,
}

/// Reads one body once, whole or a range of it.
pub struct Reader {
    source: Source,
    /// Bytes to leave out before the first that is given.
    skip: u64,
    /// Bytes yet to be given.
    left: u64,
}

enum Source {
    Complete(Bytes),
    /// And the position of the next byte.
    Disk(DiskBody, u64),
    Filling {
        body: Arc<Body>,
        place: usize,
        changed: watch::Receiver<()>,
    },
}

impl Reader {
    pub(crate) fn of(body: Bytes) -> Self {
        Self { source: Source::Complete(body), skip: 0, left: u64::MAX }
    }

    pub(crate) fn streaming(body: DiskBody) -> Self {
        Self { source: Source::Disk(body, 0), skip: 0, left: u64::MAX }
    }

    /// `is_own`: the body is fetched for this reader.
    pub(crate) fn following(body: &Arc<Body>, is_own: bool) -> Option<Self> {
        let changed = body.watch();
        let place = body.join(is_own)?;
        let source = Source::Filling { body: Arc::clone(body), place, changed };
        Some(Self { source, skip: 0, left: u64::MAX })
    }

    /// Restricts what is given to the bytes from `start` up to, not including, `end`, counted in the whole body.
    /// Before the first read only, for a body being filled; of a complete one, any time.
    pub fn seek(&mut self, start: u64, end: Option<u64>) {
        self.skip = start;
        if let Source::Disk(_, position) = &mut self.source {
            (*position, self.skip) = (start, 0);
        }
        self.left = end.map_or(u64::MAX, |end| end.saturating_sub(start));
    }

    /// Whether a range can be sought again after reading.
    #[must_use]
    pub const fn rewinds(&self) -> bool {
        matches!(self.source, Source::Complete(_) | Source::Disk(..))
    }

    /// The whole body at once, where it is complete.
    #[must_use]
    pub fn whole(&self) -> Option<Bytes> {
        match &self.source {
            Source::Complete(body) => Some(body.clone()),
            Source::Disk(..) | Source::Filling { .. } => None,
        }
    }

    /// The next piece, or none at the end. Waits for a fill as long as the fill lasts.
    ///
    /// # Errors
    /// [`ReadError::BrokenOff`] when the fill failed; never an early end.
    pub async fn read(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            let chunk = match &mut self.source {
                Source::Complete(body) => {
                    let body = body.clone();
                    return Ok(self.piece(&body));
                }
                Source::Disk(body, position) => {
                    let bytes = body.read(*position).await.map_err(|_| ReadError::Unreadable)?;
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    *position += bytes.len() as u64;
                    bytes
                }
                Source::Filling { body, place, changed } => {
                    changed.mark_unchanged();
                    match body.next(*place) {
                        Ok(chunk) => chunk,
                        Err(Progress::Complete) => return Ok(None),
                        Err(Progress::Failed) => return Err(ReadError::BrokenOff),
                        Err(Progress::Filling) => {
                            changed.changed().await.map_err(|_| ReadError::BrokenOff)?;
                            continue;
                        }
                    }
                }
            };
            if let Some(piece) = self.cut(chunk) {
                return Ok(Some(piece));
            }
        }
    }

    /// The next piece of a complete body.
    fn piece(&mut self, body: &Bytes) -> Option<Bytes> {
        let start = usize::try_from(self.skip).unwrap_or(usize::MAX).min(body.len());
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let end = start + (body.len() - start).min(left).min(PIECE_MAX_BYTES);
        let length = (end - start) as u64;
        self.skip += length;
        self.left -= length;
        (length > 0).then(|| body.slice(start..end))
    }

    /// The part of `chunk` that lies in the range sought.
    fn cut(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        let length = chunk.len() as u64;
        if self.skip >= length {
            self.skip -= length;
            return None;
        }
        let start = usize::try_from(self.skip).ok()?;
        let mut piece = chunk.split_off(start);
        self.skip = 0;
        if let Ok(left) = usize::try_from(self.left) {
            piece.truncate(left);
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        (!piece.is_empty()).then_some(piece)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Source::Filling { body, place, .. } = &self.source {
            body.leave(*place);
        }
    }
}
