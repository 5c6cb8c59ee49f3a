//! A `PostgreSQL` server for the tests of this process, which ends with it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const PACKAGE: &str = "postgresql-15";
/// Starts a server in a new directory, says which, and stops it when stdin closes: however this process ends. A line
/// `stop` or `start` on stdin does that, and is said when it is done.
const SCRIPT: &str = r#"
set -e
directory=$(mktemp -d)
cd "$directory"
"$1/initdb" -A trust -U postgres -E UTF8 --locale=C.UTF-8 -N -D data >initdb.log 2>&1 || { cat initdb.log >&2; exit 1; }
start() {
    "$1/postgres" -D data -k "$directory" -c listen_addresses= -c fsync=off -c max_connections=200 >>server.log 2>&1 &
    until "$1/pg_isready" -q -h "$directory"; do kill -0 $! || { cat server.log >&2; exit 1; }; done
}
start "$1"
echo "$directory"
while read -r command; do
    case $command in
    stop) kill -QUIT $!; wait $! || true ;;
    start) start "$1" ;;
    esac
    echo "$command"
done
kill -QUIT $! || true
wait $! || true
cd / && rm -rf "$directory"
"#;

/// A server. The one for all tests is there for as long as this process runs.
pub(crate) struct Server {
    directory: PathBuf,
    /// Its stdin is what keeps it.
    script: Child,
    said: BufReader<ChildStdout>,
}

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Server {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let initdb = Path::new(PROGRAMS).join("initdb");
        assert!(
            initdb.exists(),
            "{} is not there: install the package {PACKAGE}",
            initdb.display()
        );
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
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut directory = String::new();
        said.read_line(&mut directory).unwrap();
        assert!(!directory.is_empty(), "the server did not start");
        Self { directory: PathBuf::from(directory.trim()), script: child, said }
    }

    /// Stops it at once, as a crash would, or starts it again.
    pub(crate) fn command(&mut self, command: &str) {
        writeln!(self.script.stdin.as_mut().unwrap(), "{command}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), command);
    }

    /// The URL of a new, empty database on it.
    pub(crate) fn new_database(&self) -> String {
        let directory = self.directory.to_str().unwrap();
        let name = format!("control_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        let created = Command::new(Path::new(PROGRAMS).join("createdb"))
            .args(["-h", directory, "-U", "postgres", &name])
            .status()
            .unwrap();
        assert!(created.success());
        format!("postgres://postgres@localhost/{name}?host={}", directory.replace('/', "%2F"))
    }
}

fn running_as_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// The URL of a new, empty database.
pub(crate) fn new_database() -> String {
    SERVER.new_database()
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
