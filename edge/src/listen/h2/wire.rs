//! The bytes under a connection of HTTP/2: metered on their way in, and gathered on their way out.
//!
//! The crate `h2` flushes after each frame with a body. That is put off until it has nothing more to write, so that what
//! answers many requests leaves in few pieces.

use super::meter::{Excess, Meter};
use bytes::{Buf, BytesMut};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout};

/// How much of what an ended client has sent is read, and how long, so that it sees why and not a reset.
const LINGER_BYTES: usize = 65_536;
const LINGER: Duration = Duration::from_secs(1);

/// One of two ends of the same bytes: the crate `h2` has the other.
pub(super) struct Wire<S>(Arc<Mutex<Shared<S>>>);

struct Shared<S> {
    stream: S,
    /// What was read before.
    ahead: BytesMut,
    meter: Meter,
    is_flushed: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The two ends.
    pub(super) fn new(stream: S, ahead: BytesMut) -> (Self, Self) {
        let meter = Meter::new(Instant::now());
        let shared = Arc::new(Mutex::new(Shared { stream, ahead, meter, is_flushed: true }));
        (Self(Arc::clone(&shared)), Self(shared))
    }

    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what was put off.
    pub(super) fn poll_flush_all(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if !shared.is_flushed {
            ready!(Pin::new(&mut shared.stream).poll_flush(cx))?;
            shared.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn excess(&self) -> Option<Excess> {
        self.lock().meter.excess
    }

    /// Since when the first frame, or the rest of a head, is waited for.
    pub(super) fn held_since(&self) -> Option<Instant> {
        self.lock().meter.held_since()
    }

    /// Says no more, and reads a little of what still comes. The other end is gone by now.
    pub(super) async fn linger(self) {
        let Some(shared) = Arc::into_inner(self.0) else { return };
        let Shared { mut stream, .. } = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        let lingering = async {
            stream.shutdown().await?;
            let mut left = LINGER_BYTES;
            let mut scratch = [0; 4_096];
            while left > 0 {
                match stream.read(&mut scratch).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // the client has broken off or goes on sending: either way it was told
        drop(timeout(LINGER, lingering).await);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        let Shared { stream, ahead, meter, .. } = &mut *shared;
        if meter.excess.is_some() {
            // nothing more is taken from it; whoever drives the connection looks before it waits
            return Poll::Pending;
        }
        let before = into.filled().len();
        if ahead.is_empty() {
            ready!(Pin::new(stream).poll_read(cx, into))?;
        } else {
            let length = ahead.len().min(into.remaining());
            into.put_slice(ahead.get(..length).unwrap_or_default());
            ahead.advance(length);
        }
        meter.receive(into.filled().get(before..).unwrap_or_default(), Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.lock();
        let written = ready!(Pin::new(&mut shared.stream).poll_write(cx, bytes))?;
        shared.meter.send(written);
        shared.is_flushed = false;
        Poll::Ready(Ok(written))
    }

    /// Puts it off until whoever drives the connection has it done.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush_all(cx))?;
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }
}
