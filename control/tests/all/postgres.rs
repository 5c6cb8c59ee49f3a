//! A `PostgreSQL` server for the tests of this process, which ends with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PACKAGE: &str = "postgresql-15";
/// Starts a server in a new directory, says which, and stops it when stdin closes: however this process ends.
const SCRIPT: &str = r#"
set -e
directory=$(mktemp -d)
cd "$directory"
"$1/initdb" -A trust -U postgres -E UTF8 --locale=C.UTF-8 -N -D data >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
"$1/postgres" -D data -k "$directory" -c listen_addresses= -c fsync=off -c max_connections=200 >server.log 2>&1 &
until "$1/pg_isready" -q -h "$directory"; do kill -0 $! || { cat server.log >&2; exit 1; }; done
echo "$directory"
read -r _ || true
kill -QUIT $!
wait $! || true
cd / && rm -rf "$directory"
"#;

struct Server {
    directory: PathBuf,
    /// Its stdin is open for as long as this process runs.
    _script: Child,
}

static SERVER: LazyLock<Server> = LazyLock::new(start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

fn start() -> Server {
    let initdb = Path::new(PROGRAMS).join("initdb");
    assert!(initdb.exists(), "{} is not there: install the package {PACKAGE}", initdb.display());
    // it refuses to run as root
    let mut command = if running_as_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.args(["-c", SCRIPT, "sh", PROGRAMS]).current_dir("/");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut directory = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut directory).unwrap();
    assert!(!directory.is_empty(), "the server did not start");
    Server { directory: PathBuf::from(directory.trim()), _script: child }
}

fn running_as_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// The URL of a new, empty database.
pub(crate) fn new_database() -> String {
    let directory = SERVER.directory.to_str().unwrap();
    let name = format!("control_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    let created = Command::new(Path::new(PROGRAMS).join("createdb"))
        .args(["-h", directory, "-U", "postgres", &name])
        .status()
        .unwrap();
    assert!(created.success());
    format!("postgres://postgres@localhost/{name}?host={}", directory.replace('/', "%2F"))
}

/// With `sslmode=require` the server is asked for TLS, and spoken to in TLS alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_encrypted_where_the_url_says_so() {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://x@{}/x?sslmode=require", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).unwrap();
        stream.write_all(b"S").unwrap();
        let mut record = [0; 1];
        stream.read_exact(&mut record).unwrap();
        (request, record)
    });
    let place = control::config::Place { data_dir: "/nowhere".into(), database_url: Some(url) };
    let list = control::config::TokenCommand::List { place, json: true };
    assert!(control::token::run(list).await.is_err());
    // RFC 8446 §5.1: a handshake
    assert_eq!(server.join().unwrap(), (SSL_REQUEST, [22]));
}
