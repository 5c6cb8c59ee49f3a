//! A site of real files behind nginx, as an operator has it: put, changed, and served whatever control does.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::up::longshore;
use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testkit::{Client, Control, Edge, Program, Response, eventually};
use tokio::net::TcpStream;
use tokio::process::Command;

const PROGRAM: &str = "/usr/sbin/nginx";
const HOST: &str = "files.example";
const PAGE: &str = "<!doctype html><title>Files</title><h1>Files</h1>\n";
const MIB: usize = 1_048_576;
const LARGE_BYTES: usize = 200 * MIB;

/// nginx, serving files from a directory of its own.
struct Nginx {
    _program: Program,
    directory: TempDir,
    address: SocketAddr,
}

impl Nginx {
    async fn start() -> Self {
        let there = Path::new(PROGRAM).exists();
        assert!(there, "{PROGRAM} is not there: install the package nginx");
        let directory = TempDir::new().expect("a temporary directory can be made");
        write_files(directory.path()).expect("the directory can be written");
        // nginx can't say which port the kernel chose, so the kernel is asked before
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("the kernel has a port");
        let config = directory.path().join("nginx.conf");
        std::fs::write(&config, configuration(address)).expect("the directory can be written");
        let mut command = Command::new(PROGRAM);
        command.arg("-p").arg(directory.path()).arg("-c").arg(config).args(["-e", "stderr"]);
        command.kill_on_drop(true);
        let program = Program::spawn("nginx", command, directory.path());
        eventually("nginx to listen", || async { TcpStream::connect(address).await.ok() }).await;
        Self { _program: program, directory, address }
    }

    /// The site's document.
    fn document(&self, more: &str) -> String {
        let address = self.address;
        format!(
            "name = 'files'\nhosts = ['{HOST}']\norigins = [{{ name = 'nginx', url = 'http://{address}' }}]\n{more}"
        )
    }

    fn large(&self) -> File {
        File::open(self.directory.path().join("site/large.bin")).expect("the file was written")
    }
}

fn configuration(address: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid;
        events {{}}
        http {{
            access_log off; absolute_redirect off; sendfile on;
            client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;
            types {{ text/html html; }} default_type application/octet-stream;
            server {{
                listen {address}; root site; etag on;
                location / {{ add_header Cache-Control max-age=3600; }}
                location = /old {{ return 301 /index.html; }}
            }}
        }}\n"
    )
}

/// A page, and a large file in which no two blocks are the same.
fn write_files(directory: &Path) -> std::io::Result<()> {
    let site = directory.join("site");
    std::fs::create_dir(&site)?;
    std::fs::write(site.join("index.html"), PAGE)?;
    let mut file = File::create(site.join("large.bin"))?;
    let mut block = vec![0; MIB];
    for (index, byte) in (0_u32..).zip(&mut block) {
        *byte = index.wrapping_mul(2_654_435_761).to_be_bytes()[0];
    }
    for number in 0..LARGE_BYTES / MIB {
        block[..8].copy_from_slice(&number.to_be_bytes());
        file.write_all(&block)?;
    }
    Ok(())
}

/// Sends a GET with a field more, and reads the head of the answer.
async fn ask(edge: &Edge, path: &str, field: &str) -> (Client, Response) {
    let mut client = edge.connect().await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{field}\r\n")).await;
    let head = client.head().await.expect("an answer");
    (client, head)
}

/// Reads a body and compares it with the file, from `start` on. Returns its length.
async fn compare(client: &mut Client, file: &File, start: usize) -> usize {
    let mut at = start;
    let mut expected = Vec::new();
    while let Some(piece) = client.piece().await.expect("a whole body") {
        expected.resize(piece.len(), 0);
        file.read_exact_at(&mut expected, at as u64).expect("the body is no longer than the file");
        assert!(piece == expected, "the body differs within {} bytes after {at}", piece.len());
        at += piece.len();
    }
    at - start
}

async fn check_small_answers(edge: &Edge) {
    let first = edge.get(HOST, "/index.html").await;
    assert_eq!((first.status, first.text()), (200, PAGE));
    assert_eq!(first.field("content-type"), Some("text/html"));
    let second = edge.get(HOST, "/index.html").await;
    assert!(second.is_hit() && second.text() == PAGE, "{}", second.head);
    let tag = second.field("etag").expect("nginx sends one").to_owned();
    let (_, head) = ask(edge, "/index.html", &format!("If-None-Match: {tag}\r\n")).await;
    assert_eq!(head.status, 304);
    assert_eq!(edge.get(HOST, "/nothing.html").await.status, 404);
    let redirect = edge.get(HOST, "/old").await;
    assert_eq!((redirect.status, redirect.field("location")), (301, Some("/index.html")));
}

async fn check_large_file(edge: &Edge, file: &File) {
    let began = Instant::now();
    let (mut client, head) = ask(edge, "/large.bin", "").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.field("content-length"), Some(LARGE_BYTES.to_string().as_str()));
    assert_eq!(compare(&mut client, file, 0).await, LARGE_BYTES);
    report(&format!("{} MiB compared in {:?}", LARGE_BYTES / MIB, began.elapsed()));
    for (range, start) in [
        ("-1000".to_owned(), LARGE_BYTES - 1_000),
        (format!("{}-", LARGE_BYTES - 1), LARGE_BYTES - 1),
        (format!("{}-{}", LARGE_BYTES - 70_000, LARGE_BYTES + 5), LARGE_BYTES - 70_000),
    ] {
        let (mut client, head) =
            ask(edge, "/large.bin", &format!("Range: bytes={range}\r\n")).await;
        assert_eq!(head.status, 206, "{range}: {}", head.head);
        let expected = format!("bytes {start}-{}/{LARGE_BYTES}", LARGE_BYTES - 1);
        assert_eq!(head.field("content-range"), Some(expected.as_str()));
        assert_eq!(compare(&mut client, file, start).await, LARGE_BYTES - start);
    }
    let (_, head) = ask(edge, "/large.bin", &format!("Range: bytes={LARGE_BYTES}-\r\n")).await;
    assert_eq!(head.status, 416, "{}", head.head);
}

/// Replaces the site by one request to the API. Returns how long it took until the edge redirected `/moved`.
async fn redirect(control: &Control, edge: &Edge, nginx: &Nginx, to: &str) -> Duration {
    let rule = format!("[[rules]]\npaths = ['/moved']\nredirect = {{ to = '{to}' }}\n");
    let began = Instant::now();
    let put = control.call("PUT", "/v1/sites/files").header("If-Match", "*");
    let put = put.header("Content-Type", "application/toml").body(nginx.document(&rule));
    let answer = put.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    eventually("the changed redirect", || async {
        let answer = edge.get(HOST, "/moved").await;
        (answer.status == 302 && answer.field("location") == Some(to)).then_some(())
    })
    .await;
    began.elapsed()
}

#[expect(clippy::print_stderr, reason = "figures for those who run it with --nocapture")]
fn report(figure: &str) {
    eprintln!("nginx: {figure}");
}

#[tokio::test]
async fn files_are_served_and_changes_adopted_whatever_control_does() {
    let nginx = Nginx::start().await;
    let mut control = Control::start().await;
    // room for all of the large file, and the others
    let mut edge = control.edge_with("[memory]\ncapacity_bytes = 1000000000\n").await;
    let file = nginx.directory.path().join("files.toml");
    std::fs::write(&file, nginx.document("")).expect("the directory can be written");
    let file = file.to_str().expect("the path is text");
    let put = longshore(&control, &["site", "put", file, "--wait"]).await;
    assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    check_small_answers(&edge).await;
    check_large_file(&edge, &nginx.large()).await;

    let process = edge.program.id();
    let took = redirect(&control, &edge, &nginx, "/index.html").await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert_eq!(edge.program.id(), process);
    assert!(edge.get(HOST, "/index.html").await.is_hit(), "what was stored stays stored");
    report(&format!("a change was served after {took:?}"));

    assert_eq!(control.program.stop().await, Some(0));
    check_small_answers(&edge).await;
    assert_eq!(edge.program.stop().await, Some(0));
    edge.start_again().await;
    edge.wait_ready().await;
    check_small_answers(&edge).await;
    assert_eq!(edge.get(HOST, "/moved").await.field("location"), Some("/index.html"));

    control.start_again().await;
    let took = redirect(&control, &edge, &nginx, "/large.bin").await;
    report(&format!("a change made before the edge was back was served after {took:?}"));
    check_small_answers(&edge).await;
}
