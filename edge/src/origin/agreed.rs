//! A connection that is to become a WebSocket: how long may its origin take to agree, and how long may both be silent
//! then?
//!
//! Pingora has one timeout for reads, for as long as a connection lasts. So the connection itself keeps both, and counts
//! what is written as a sign of life too.

use async_trait::async_trait;
use pingora_core::connectors::l4::Connect;
use pingora_core::protocols::l4::socket::SocketAddr as PingoraAddress;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora_error::{Error, ErrorType, OrErr as _, Result};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Whether the origin of one request has agreed, and how long silence may last before and after.
#[derive(Debug)]
pub(crate) struct Agreement {
    agreed: AtomicBool,
    before: Duration,
    after: Duration,
}

impl Agreement {
    pub(crate) const fn new(before: Duration, after: Duration) -> Self {
        Self { agreed: AtomicBool::new(false), before, after }
    }

    /// Notes that the origin has agreed.
    pub(crate) fn reach(&self) {
        self.agreed.store(true, Ordering::Release);
    }

    fn silence_max(&self) -> Duration {
        if self.agreed.load(Ordering::Acquire) { self.after } else { self.before }
    }
}

/// Connects for one request.
#[derive(Debug)]
pub(crate) struct Connector(pub(crate) Arc<Agreement>);

#[async_trait]
impl Connect for Connector {
    async fn connect(&self, address: &PingoraAddress) -> Result<Stream> {
        let Some(address) = address.as_inet() else {
            return Error::e_explain(ErrorType::SocketError, "no address of the internet");
        };
        let tcp = TcpStream::connect(address).await.map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::ConnectionRefused => ErrorType::ConnectRefused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    ErrorType::ConnectNoRoute
                }
                io::ErrorKind::TimedOut => ErrorType::ConnectTimedout,
                _ => ErrorType::ConnectError,
            };
            Error::because(kind, "connecting for a WebSocket", error)
        })?;
        tcp.set_nodelay(true).or_err(ErrorType::SocketError, "setting TCP_NODELAY")?;
        let watched = Watched {
            tcp,
            agreement: Arc::clone(&self.0),
            heard: Instant::now(),
            sleep: Box::pin(sleep(self.0.before)),
        };
        Ok(Stream::from(VirtualSocketStream::new(Box::new(watched))))
    }
}

/// A connection that ends when it was silent for too long.
#[derive(Debug)]
struct Watched {
    tcp: TcpStream,
    agreement: Arc<Agreement>,
    /// When the last bytes went either way.
    heard: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Watched {
    /// Ready once it was silent for too long.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let deadline = self.heard + self.agreement.silence_max();
            if deadline <= Instant::now() {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            if self.sleep.deadline() != deadline {
                self.sleep.as_mut().reset(deadline);
            }
            ready!(self.sleep.as_mut().poll(cx));
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match Pin::new(&mut this.tcp).poll_read(cx, buffer) {
            Poll::Ready(read) => {
                this.heard = Instant::now();
                Poll::Ready(read)
            }
            Poll::Pending => this.poll_silence(cx).map(Err),
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.tcp).poll_write(cx, bytes));
        this.heard = Instant::now();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

impl VirtualSocket for Watched {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.tcp.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::{advance, pause};

    async fn connected() -> (Stream, TcpStream, Arc<Agreement>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let agreement = Arc::new(Agreement::new(Duration::from_secs(5), Duration::from_secs(600)));
        let address = PingoraAddress::Inet(listener.local_addr().unwrap());
        let connector = Connector(Arc::clone(&agreement));
        let (stream, accepted) = tokio::join!(connector.connect(&address), listener.accept());
        (stream.unwrap(), accepted.unwrap().0, agreement)
    }

    #[tokio::test]
    async fn an_origin_that_does_not_agree_in_time_is_left() {
        let (mut stream, _origin, _) = connected().await;
        pause();
        let began = Instant::now();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 5);
    }

    #[tokio::test]
    async fn once_agreed_silence_may_last_and_writing_is_no_silence() {
        let (mut stream, mut origin, agreement) = connected().await;
        origin.write_all(b"a").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
        agreement.reach();
        pause();
        advance(Duration::from_secs(590)).await;
        stream.write_all(b"b").await.unwrap();
        stream.flush().await.unwrap();
        let began = Instant::now();
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 600);
    }
}
