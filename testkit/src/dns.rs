//! A DNS server that has the records a test gives it (RFC 1035), over UDP and TCP.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const QUERY_MAX_BYTES: usize = 4_096;

/// What a name has.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Record {
    Address(IpAddr),
    Alias(String),
    Text(String),
}

#[derive(Debug, Default)]
struct Zone {
    records: BTreeMap<String, Vec<Record>>,
    /// Whether nothing is answered but that it fails.
    fails: bool,
}

/// A running server. It ends when it is dropped.
#[derive(Debug)]
pub struct Dns {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    directory: Arc<TempDir>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Dns {
    /// Starts on a port the kernel chooses, with no records.
    ///
    /// # Panics
    /// When no port is free for both UDP and TCP.
    pub async fn start() -> Self {
        let (udp, tcp) = sockets().await;
        let address = tcp.local_addr().expect("a socket has an address");
        let zone: Arc<Mutex<Zone>> = Arc::default();
        let directory = Arc::new(TempDir::new().expect("a temporary directory can be made"));
        let answers = Answers { zone: Arc::clone(&zone), directory: Arc::clone(&directory) };
        let tasks =
            [tokio::spawn(serve_udp(udp, answers.clone())), tokio::spawn(serve_tcp(tcp, answers))];
        Self { address, zone, directory, tasks }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A directory whose files are TXT records too: a file's name is the record's, each of its lines a text.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Has `name` lead to an address and nothing else. `*.` at its beginning is any label.
    ///
    /// # Panics
    /// When it is no address.
    pub fn point(&self, name: &str, address: &str) {
        let address = address.parse().expect("an address");
        self.put(name, |record| !matches!(record, Record::Text(_)), Record::Address(address));
    }

    /// Has `name` be an alias of another (CNAME).
    pub fn alias(&self, name: &str, of: &str) {
        self.put(name, |_| true, Record::Alias(of.to_owned()));
    }

    /// Has `name` have a text and no other one.
    pub fn text(&self, name: &str, text: &str) {
        self.put(name, |record| matches!(record, Record::Text(_)), Record::Text(text.to_owned()));
    }

    /// Has `name` have nothing.
    pub fn remove(&self, name: &str) {
        self.lock().records.remove(name);
    }

    /// Has every question fail (SERVFAIL), or not.
    pub fn fail(&self, fails: bool) {
        self.lock().fails = fails;
    }

    fn put(&self, name: &str, replaces: impl Fn(&Record) -> bool, record: Record) {
        let mut zone = self.lock();
        let records = zone.records.entry(name.to_owned()).or_default();
        records.retain(|earlier| !replaces(earlier));
        records.push(record);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One port, for UDP and TCP.
async fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..20 {
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("the kernel has a port");
        let address = tcp.local_addr().expect("a socket has an address");
        if let Ok(udp) = UdpSocket::bind(address).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for UDP and TCP");
}

#[derive(Clone)]
struct Answers {
    zone: Arc<Mutex<Zone>>,
    directory: Arc<TempDir>,
}

async fn serve_udp(socket: UdpSocket, answers: Answers) {
    let mut query = [0; QUERY_MAX_BYTES];
    while let Ok((length, client)) = socket.recv_from(&mut query).await {
        if let Some(answer) = query.get(..length).and_then(|query| answers.answer(query)) {
            // a client that has gone asks for nothing
            let _gone = socket.send_to(&answer, client).await;
        }
    }
}

async fn serve_tcp(listener: TcpListener, answers: Answers) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_stream(stream, answers.clone()));
    }
}

async fn serve_stream(mut stream: TcpStream, answers: Answers) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; length.into()];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some(answer) = answers.answer(&query) else { return };
        let length = u16::try_from(answer.len()).expect("answers are short");
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

impl Answers {
    /// The answer to a message with one question.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(query)?;
        let question = query.get(12..end + 4)?;
        let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
        let zone = self.zone.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut answers, mut is_there) = (Vec::new(), false);
        let mut asked = name;
        // an alias is followed as far as it goes here
        for _ in 0..8 {
            let found = self.records(&zone, &asked);
            is_there |= !found.is_empty();
            answers.extend(found.iter().filter_map(|record| data(&asked, record, kind)));
            match found.into_iter().find_map(|record| match record {
                Record::Alias(of) => Some(of),
                Record::Address(_) | Record::Text(_) => None,
            }) {
                Some(of) => asked = of,
                None => break,
            }
        }
        let code = if zone.fails {
            2
        } else if is_there {
            0
        } else {
            3
        };
        if zone.fails {
            answers.clear();
        }
        let count = u16::try_from(answers.len()).ok()?.to_be_bytes();
        // a response, authoritative, recursion available
        let flags = [0x84 | (query.get(2)? & 1), 0x80 | code];
        let head = [query.get(..2)?, &flags, &[0, 1], &count, &[0, 0, 0, 0]].concat();
        Some([head, question.to_vec(), answers.concat()].concat())
    }

    fn records(&self, zone: &Zone, name: &str) -> Vec<Record> {
        let below = name.split_once('.').map(|(_, below)| format!("*.{below}"));
        let exact = zone.records.get(name);
        let found = exact.or_else(|| zone.records.get(&below?));
        let mut records = found.cloned().unwrap_or_default();
        let file = std::fs::read_to_string(self.directory.path().join(name));
        let texts = file.unwrap_or_default();
        records.extend(texts.lines().map(|line| Record::Text(line.to_owned())));
        records
    }
}

/// The name of the question, in lower case, and where it ends.
fn read_name(query: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = query.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

/// A record as an answer has it, where it is of the kind asked for.
fn data(name: &str, record: &Record, asked: u16) -> Option<Vec<u8>> {
    let (kind, data) = match record {
        Record::Address(IpAddr::V4(address)) => (1_u16, address.octets().to_vec()),
        Record::Address(IpAddr::V6(address)) => (28, address.octets().to_vec()),
        Record::Alias(of) => (5, written(of)),
        Record::Text(text) => (16, [&[u8::try_from(text.len()).ok()?], text.as_bytes()].concat()),
    };
    if kind != asked && kind != 5 {
        return None;
    }
    let length = u16::try_from(data.len()).ok()?.to_be_bytes();
    let class_and_ttl = [0, 1, 0, 0, 0, 1];
    Some([&written(name)[..], &kind.to_be_bytes(), &class_and_ttl, &length, &data].concat())
}

fn written(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a label is short"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
