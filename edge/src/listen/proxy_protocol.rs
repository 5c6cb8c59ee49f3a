//! For whom does a proxy in front of this edge speak? The PROXY protocol, versions 1 and 2, as
//! `proxy-protocol.txt` has it.
//!
//! It is read from proxies that are trusted, and from nobody else. From these a connection has to begin with it: without,
//! whoever gets at the edge by way of the proxy could say it themselves.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a line of version 1, its end included.
const LINE_MAX: usize = 107;
/// Bytes before what version 2 says a length of.
const FIXED: usize = 16;
/// Bytes of addresses and of what may follow them, which is skipped.
const REST_MAX: usize = 4_096;

/// What a proxy has said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// It speaks for this client.
    For(SocketAddr),
    /// It speaks for itself, or for somebody without an address.
    Itself,
}

/// What came is not the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the PROXY protocol")]
pub(super) struct Wrong;

/// What is known of a beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// So many more bytes are the proxy's, at least.
    Wants(usize),
    /// The rest of a line is wanted, of unknown length.
    WantsLine,
    Whole(Said),
}

/// Reads what the proxy says, and nothing after it.
pub(super) async fn read(tcp: &mut TcpStream) -> io::Result<Said> {
    let wrong = |wrong| io::Error::new(io::ErrorKind::InvalidData, wrong);
    let mut bytes = Vec::with_capacity(LINE_MAX);
    loop {
        let wanted = match begin(&bytes).map_err(wrong)? {
            Beginning::Whole(said) => return Ok(said),
            Beginning::Wants(wanted) => wanted,
            Beginning::WantsLine => {
                // looked at first, since what follows the line is the client's
                let mut ahead = [0; LINE_MAX];
                let seen = tcp.peek(&mut ahead).await?;
                let seen = ahead.get(..seen).unwrap_or_default();
                memchr::memchr(b'\n', seen).map_or(seen.len(), |end| end + 1)
            }
        };
        let start = bytes.len();
        bytes.resize(start + wanted, 0);
        tcp.read_exact(bytes.get_mut(start..).unwrap_or_default()).await?;
        if wanted == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Reads the beginning of what a proxy says. Pure.
fn begin(bytes: &[u8]) -> Result<Beginning, Wrong> {
    let Some((first, _)) = bytes.split_first_chunk::<12>() else {
        return Ok(Beginning::Wants(SIGNATURE.len() - bytes.len()));
    };
    if first == SIGNATURE { begin_binary(bytes) } else { begin_line(bytes) }
}

fn begin_line(bytes: &[u8]) -> Result<Beginning, Wrong> {
    if !bytes.starts_with(b"PROXY ") || bytes.len() > LINE_MAX {
        return Err(Wrong);
    }
    let Some(line) = bytes.strip_suffix(b"\n") else {
        return if bytes.len() < LINE_MAX { Ok(Beginning::WantsLine) } else { Err(Wrong) };
    };
    let line = line.strip_suffix(b"\r").ok_or(Wrong)?;
    let line = std::str::from_utf8(line).map_err(|_| Wrong)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Beginning::Whole(Said::Itself));
    }
    let mut next = || words.next().ok_or(Wrong);
    let (source, target, source_port, target_port) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(Wrong);
    }
    let address = |text: &str| -> Result<IpAddr, Wrong> {
        match family {
            Some("TCP4") => text.parse().map(IpAddr::V4).map_err(|_| Wrong),
            Some("TCP6") => text.parse().map(IpAddr::V6).map_err(|_| Wrong),
            _ => Err(Wrong),
        }
    };
    let (source, _) = (address(source)?, address(target)?);
    let (port, _) = (port(source_port)?, port(target_port)?);
    Ok(Beginning::Whole(Said::For(SocketAddr::new(source, port))))
}

/// A port without sign or leading zeros.
fn port(text: &str) -> Result<u16, Wrong> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = text.len() > 1 && text.starts_with('0');
    if !is_plain || has_zero { Err(Wrong) } else { text.parse().map_err(|_| Wrong) }
}

fn begin_binary(bytes: &[u8]) -> Result<Beginning, Wrong> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(Beginning::Wants(FIXED - bytes.len()));
    };
    let [.., version_and_command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_MAX || version_and_command >> 4 != 2 {
        return Err(Wrong);
    }
    let is_local = match version_and_command & 0xf {
        0 => true,
        1 => false,
        _ => return Err(Wrong),
    };
    if rest.len() < length {
        return Ok(Beginning::Wants(length - rest.len()));
    }
    let said = match family {
        _ if is_local => Said::Itself,
        0x11 => Said::For(source::<4, 12>(rest)?),
        0x21 => Said::For(source::<16, 36>(rest)?),
        // families that a TCP connection has no address of
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Said::Itself,
        _ => return Err(Wrong),
    };
    Ok(Beginning::Whole(said))
}

/// The source: an address of `WIDTH` bytes, and a port after the target's address. Both ends take `BOTH` bytes.
fn source<const WIDTH: usize, const BOTH: usize>(bytes: &[u8]) -> Result<SocketAddr, Wrong> {
    let (both, _) = bytes.split_first_chunk::<BOTH>().ok_or(Wrong)?;
    let (address, rest) = both.split_first_chunk::<WIDTH>().ok_or(Wrong)?;
    let port = rest.get(WIDTH..WIDTH + 2).ok_or(Wrong)?;
    let address = match *address.as_slice() {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        ref bytes => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).map_err(|_| Wrong)?)),
    };
    let port = port.iter().fold(0, |port, byte| port << 8 | u16::from(*byte));
    Ok(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    fn check(bytes: &[u8], expected: Result<Beginning, Wrong>) {
        assert_eq!(begin(bytes), expected, "{}", bytes.escape_ascii());
    }

    fn said(address: &str) -> Result<Beginning, Wrong> {
        Ok(Beginning::Whole(Said::For(address.parse().unwrap())))
    }

    fn binary(version_and_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[version_and_command, family][..], &length, rest].concat()
    }

    #[test]
    fn lines_tell_the_client() {
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", said("192.0.2.1:56324"));
        check(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", said("[2001:db8::1]:1"));
        check(b"PROXY UNKNOWN\r\n", Ok(Beginning::Whole(Said::Itself)));
        check(b"PROXY UNKNOWN a b c d e\r\n", Ok(Beginning::Whole(Said::Itself)));
        check(b"", Ok(Beginning::Wants(12)));
        check(b"PROXY ", Ok(Beginning::Wants(6)));
        check(b"PROXY TCP4 1", Ok(Beginning::WantsLine));
    }

    #[test]
    fn wrong_lines_are_none() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.000.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNIX a b c d\r\n",
        ] {
            check(line.as_bytes(), Err(Wrong));
        }
        check(format!("PROXY UNKNOWN {}", "x".repeat(LINE_MAX)).as_bytes(), Err(Wrong));
    }

    #[test]
    fn binary_heads_tell_the_client() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 187];
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 16], &[0, 80, 0, 81]].concat();
        check(&binary(0x21, 0x11, &v4), said("192.0.2.1:56324"));
        check(&binary(0x21, 0x21, &v6), said("[2001:db8::1]:80"));
        let with_more = [&v4[..], &[3, 0, 4, 1, 2, 3, 4]].concat();
        check(&binary(0x21, 0x11, &with_more), said("192.0.2.1:56324"));
        for (version_and_command, family) in [(0x20, 0x11), (0x20, 0), (0x21, 0), (0x21, 0x31)] {
            let head = binary(version_and_command, family, &v4);
            check(&head, Ok(Beginning::Whole(Said::Itself)));
        }
        check(&binary(0x21, 0x11, &v4)[..15], Ok(Beginning::Wants(1)));
        check(&binary(0x21, 0x11, &v4)[..20], Ok(Beginning::Wants(8)));
        for (version_and_command, family) in
            [(0x11, 0x11), (0x22, 0x11), (0x21, 0x41), (0x21, 0x13)]
        {
            check(&binary(version_and_command, family, &v4), Err(Wrong));
        }
        check(&binary(0x21, 0x11, &v4[..11]), Err(Wrong));
        check(&binary(0x21, 0x21, &v4), Err(Wrong));
        check(&binary(0x21, 0x11, &vec![0; REST_MAX + 1]), Err(Wrong));
    }

    /// What is said in `bytes`, which come in pieces, and what is left of them for the client.
    async fn spoken(bytes: &[u8], piece: usize) -> (io::Result<Said>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        proxy.set_nodelay(true).unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let sending = async {
            for piece in bytes.chunks(piece) {
                proxy.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(proxy);
        };
        let (said, ()) = tokio::join!(read(&mut tcp), sending);
        let mut left = Vec::new();
        tcp.read_to_end(&mut left).await.unwrap();
        (said, left)
    }

    #[tokio::test]
    async fn nothing_after_it_is_read() {
        let v4 = binary(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 9, 0, 9]);
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 9 9\r\n".to_vec();
        for head in [v4, line] {
            for piece in [1, 5, 1_000] {
                let (said, left) =
                    spoken(&[&head[..], b"GET / HTTP/1.1\r\n\r\n"].concat(), piece).await;
                assert_eq!(said.unwrap(), Said::For("192.0.2.1:9".parse().unwrap()));
                assert_eq!(left, b"GET / HTTP/1.1\r\n\r\n");
            }
        }
    }

    #[tokio::test]
    async fn what_ends_before_is_none() {
        for head in
            [&b""[..], b"PROXY", b"PROXY TCP4 192.0.2.1", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c123"]
        {
            let (said, _) = spoken(head, 100).await;
            assert_eq!(said.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_wants_are_bounded(bytes in prop::collection::vec(any::<u8>(), 0..300), has_signature in any::<bool>()) {
            let bytes = if has_signature { [SIGNATURE, &bytes[..]].concat() } else { bytes };
            if let Ok(Beginning::Wants(wanted)) = begin(&bytes) {
                prop_assert!((1..=REST_MAX).contains(&wanted));
            }
        }
    }
}
