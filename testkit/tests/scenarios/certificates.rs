//! Certificates from control to clients: uploaded, replaced, removed, of the local authority; and that keys stay secret.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use crate::scene::{HOST, site};
use crate::up::longshore;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use testkit::{Authority, Control, Edge, EdgeOptions, Issued, Origin, Tls, Up, eventually};

/// Control, and an edge that follows it and listens for TLS.
struct World {
    control: Control,
    edge: Edge,
    _origin: Origin,
    files: TempDir,
}

impl World {
    async fn start() -> Self {
        let (control, origin) = (Control::start().await, Origin::start().await);
        origin.on("/*").respond(200).header("Cache-Control", "max-age=60").body("x");
        let token = control.token(&["edge"]).await;
        let edge = EdgeOptions::new().control(&control.url(), &token).https();
        let edge = Edge::start(edge).await;
        edge.wait_ready().await;
        let files = TempDir::new().expect("a temporary directory can be made");
        Self { control, edge, _origin: origin, files }
    }

    async fn put_site(&self, hosts: &[&str], tls: Value) {
        let mut document = site("a", HOST, &self._origin.url(), json!({}));
        document["hosts"] = json!(hosts);
        document["tls"] = tls;
        let record = self.control.put_site(&document).await;
        self.control.wait_adopted(&self.edge, record.seq).await;
    }

    /// Runs `longshore certificate`. What it printed as JSON, or why it did not.
    async fn certificate(&self, words: &[&str]) -> Result<Value, String> {
        let words = [&["certificate", "--json"], words].concat();
        let output = longshore(&self.control, &words).await;
        match output.status.success() {
            true => Ok(serde_json::from_slice(&output.stdout).expect("JSON")),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files.path().join(name);
        std::fs::write(&path, text).expect("the directory can be written");
        path
    }

    /// Uploads, by the words before the files, and waits until the edge has it.
    async fn upload(&self, words: &[&str], issued: &Issued) -> Result<Value, String> {
        self.upload_pair(words, &issued.chain, &issued.key).await
    }

    async fn upload_pair(&self, words: &[&str], chain: &str, key: &str) -> Result<Value, String> {
        let (chain, key) = (self.file("chain.pem", chain), self.file("key.pem", key));
        let files = [chain.to_str().expect("UTF-8"), key.to_str().expect("UTF-8"), "--wait"];
        self.certificate(&[words, &files].concat()).await
    }
}

fn id(record: &Value) -> &str {
    record["id"].as_str().expect("an id")
}

#[tokio::test]
async fn what_is_uploaded_is_served_until_it_is_removed() {
    let world = World::start().await;
    world.put_site(&[HOST], json!({})).await;
    let (first, second) = (Authority::new(), Authority::new());
    let record = world.upload(&["add"], &first.issue(&[HOST])).await.expect("it is taken");
    let mut client = world.edge.connect_secure(HOST, &Tls::trusting(&first)).await;
    assert_eq!(client.get(HOST, "/").await.status, 200);
    let listed = world.certificate(&["ls"]).await.expect("a list");
    assert_eq!(listed["certificates"][0]["id"], record["id"]);
    let replace = ["replace", id(&record)];
    world.upload(&replace, &second.issue(&[HOST])).await.expect("it is taken");
    world.edge.connect_secure(HOST, &Tls::trusting(&second)).await;
    assert!(world.edge.try_connect_secure(HOST, &Tls::trusting(&first)).await.is_err());
    // a connection stays
    assert_eq!(client.get(HOST, "/").await.status, 200);
    let kept = world.certificate(&["rm", id(&record)]).await.expect_err("the host needs it");
    assert!(kept.contains("the only valid one"), "{kept}");
    world.certificate(&["rm", id(&record), "--force"]).await.expect("it is removed");
    eventually("the edge to forget it", || async {
        world.edge.try_connect_secure(HOST, &Tls::trusting(&second)).await.err()
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_its_reason() {
    let world = World::start().await;
    let authority = Authority::new();
    let issued = authority.issue(&[HOST]);
    let other = authority.issue(&[HOST]);
    let refused = async |chain: &str, key: &str, expected: &str| {
        let told = world.upload_pair(&["add"], chain, key).await.expect_err(expected);
        assert!(told.contains(expected), "{expected}: {told}");
    };
    refused(&issued.chain, &other.key, "key: is not the private key of the first").await;
    let reversed = format!("{}{}", authority.root(), issued.chain);
    refused(&reversed, &issued.key, "chain[0]: is out of order: it issued chain[1]").await;
    let old = authority.issue_for(&[HOST], -200, -100);
    refused(&old.chain, &old.key, "chain[0]: expired").await;
    let early = authority.issue_for(&[HOST], 3_600, 7_200);
    refused(&early.chain, &early.key, "chain[0]: is not valid yet").await;
    let client = authority.issue_to_client("somebody");
    refused(&client.chain, &client.key, "chain[0]: is not for servers").await;
    refused("no PEM", &issued.key, "chain: must be certificates in PEM").await;
    refused(&issued.chain, &issued.chain, "key: has something that is no private key").await;
    let listed = world.certificate(&["ls"]).await.expect("a list");
    assert_eq!(listed["certificates"], json!([]));
    let whole = format!("{}{}", issued.chain, authority.root());
    world.upload_pair(&["add"], &whole, &issued.key).await.expect("it is taken");
}

/// Keys as people have them, made by openssl.
#[tokio::test]
async fn keys_of_every_form_are_served() {
    let world = World::start().await;
    let at = |name: &str| world.files.path().join(name).to_str().expect("UTF-8").to_owned();
    let openssl = async |words: &[&str]| {
        let output = tokio::process::Command::new("openssl").args(words).output().await;
        let output = output.expect("openssl is not there: install the package openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let (key, chain) = (at("made.key"), at("made.pem"));
    for (make, label) in [
        (&["genrsa", "-traditional", "-out", &key, "2048"][..], "RSA PRIVATE KEY"),
        (&["genrsa", "-out", &key, "3072"], "PRIVATE KEY"),
        (&["ecparam", "-name", "prime256v1", "-genkey", "-out", &key], "EC PRIVATE KEY"),
        (&["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", &key], "EC PRIVATE KEY"),
    ] {
        openssl(make).await;
        let written = std::fs::read_to_string(&key).expect("a key");
        assert!(written.contains(&format!("-----BEGIN {label}-----")), "{written}");
        let name = format!("subjectAltName=DNS:{HOST}");
        let request = ["req", "-x509", "-key", &key, "-subj", "/CN=x", "-days", "2", "-addext"];
        let more = [&name, "-addext", "basicConstraints=critical,CA:FALSE", "-out", &chain];
        openssl(&[&request[..], &more].concat()).await;
        let record =
            world.certificate(&["add", &chain, &key, "--wait"]).await.expect("it is taken");
        let root = std::fs::read_to_string(&chain).expect("a certificate");
        world.put_site(&[HOST], json!({})).await;
        world.edge.connect_secure(HOST, &Tls::trusting_root(&root)).await;
        world.certificate(&["rm", id(&record), "--force"]).await.expect("it is removed");
    }
    openssl(&["genrsa", "-out", &key, "1024"]).await;
    let request = ["req", "-x509", "-key", &key, "-subj", "/CN=x", "-days", "2", "-out", &chain];
    openssl(&[&request[..], &["-addext", "subjectAltName=DNS:a.example"]].concat()).await;
    let told = world.certificate(&["add", &chain, &key]).await.expect_err("it is too weak");
    assert!(told.contains("has an RSA key of 1024 bits; 2048 to 8192 are taken"), "{told}");
}

#[tokio::test]
async fn a_site_of_the_local_authority_is_served_by_all_its_names() {
    let world = World::start().await;
    let hosts = ["a.localhost", "*.a.localhost", "127.0.0.1"];
    world.put_site(&hosts, json!({ "certificate": "local" })).await;
    let root = eventually("the root", || async {
        let answer = world.control.call("GET", "/v1/authority").send().await;
        (answer.status == 200).then(|| answer.text().to_owned())
    })
    .await;
    let printed = world.control.run(&["authority"]).await;
    assert_eq!(String::from_utf8_lossy(&printed.stdout), root);
    let tls = Tls::trusting_root(&root);
    for host in ["a.localhost", "x.a.localhost", "127.0.0.1"] {
        eventually(host, || async { world.edge.try_connect_secure(host, &tls).await.ok() }).await;
    }
    let mut client = world.edge.connect_secure("x.a.localhost", &tls).await;
    assert_eq!(client.get("x.a.localhost", "/").await.status, 200);
}

#[tokio::test]
async fn up_serves_its_demo_site_over_tls() {
    let up = Up::start().await;
    let root = std::fs::read_to_string(up.data().join("root.pem")).expect("a root");
    let url = format!("https://demo.localhost:{}/", up.https().port());
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--cacert"]).arg(up.data().join("root.pem")).arg(&url);
    let page = curl.output().await.expect("curl is not there: install the package curl");
    let shown = String::from_utf8_lossy(&page.stdout);
    assert!(shown.contains("<!doctype html>"), "{}", String::from_utf8_lossy(&page.stderr));
    assert!(root.starts_with("-----BEGIN CERTIFICATE-----"), "{root}");
    assert!(up.program.log().contains(&url) || up.program.ready["demo_https"] == json!(url));
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Nothing of a private key is where it could be read: not in a database, a journal, a log or the feed.
#[tokio::test]
async fn private_keys_are_in_no_file_and_no_stream() {
    let world = World::start().await;
    let authority = Authority::new();
    let issued = authority.issue(&[HOST]);
    world.put_site(&[HOST], json!({})).await;
    world.upload(&["add"], &issued).await.expect("it is taken");
    let wrong = authority.issue(&[HOST]);
    world.upload_pair(&["add"], &issued.chain, &wrong.key).await.expect_err("another key");
    world.edge.connect_secure(HOST, &Tls::trusting(&authority)).await;
    let base64: String = issued.key.lines().filter(|line| !line.starts_with('-')).collect();
    // the digits of the secret itself: after the head of PKCS #8, which is the same in all keys
    let piece = |text: &str| text.get(48..64).expect("a key is longer").to_owned();
    let pieces = [piece(&base64), piece(wrong.key.lines().nth(1).expect("a key"))];
    let raw = decoded(&base64);
    // PKCS #8 of P-256: the secret is 32 bytes from 36 on
    let raw = &raw[36..68];
    let secrets = std::fs::read_to_string(world.control.directory().join("secrets.key"));
    let secrets = secrets.expect("the secrets key");
    let mut looked_at = 0;
    for path in [files(world.control.directory()), files(world.edge.directory())].concat() {
        let bytes = std::fs::read(&path).expect("a file");
        let has = |piece: &[u8]| bytes.windows(piece.len()).any(|part| part == piece);
        assert!(!pieces.iter().any(|piece| has(piece.as_bytes())), "{}", path.display());
        assert!(!has(raw) && !has(b"BEGIN PRIVATE KEY"), "{}", path.display());
        let is_key = path.file_name().is_some_and(|name| name == "secrets.key");
        assert!(is_key || !has(secrets.trim().as_bytes()), "{}", path.display());
        looked_at += 1;
    }
    assert!(looked_at > 5, "files were found");
    let control = world.control.address().to_string();
    let feed = tokio::process::Command::new("curl")
        .args(["-sN", "--max-time", "2", "-H"])
        .arg(format!("Authorization: Bearer {}", world.control.admin_token()))
        .arg(format!("http://{control}/v1/feed?after=0"))
        .output()
        .await
        .expect("curl is not there: install the package curl");
    let feed = String::from_utf8_lossy(&feed.stdout);
    assert!(feed.contains("certificate_put"), "{feed}");
    assert!(!pieces.iter().any(|piece| feed.contains(piece)) && !feed.contains("PRIVATE KEY"));
}

/// The bytes that base64 stands for.
fn decoded(base64: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = base64.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let values: Vec<u32> = values.map(|value| u32::try_from(value).expect("below 64")).collect();
    let groups = values.chunks(4).map(|group| {
        let bits = group.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - group.len()));
        bits.to_be_bytes()[1..].to_vec()
    });
    groups.flatten().collect()
}

#[tokio::test]
async fn the_secrets_key_has_to_be_the_right_one() {
    let mut world = World::start().await;
    let authority = Authority::new();
    world.put_site(&[HOST], json!({})).await;
    world.upload(&["add"], &authority.issue(&[HOST])).await.expect("it is taken");
    let control = &mut world.control;
    let key = control.directory().join("secrets.key");
    assert_eq!(control.program.stop().await, Some(0));
    let aside = control.directory().join("aside.key");
    std::fs::rename(&key, &aside).expect("it can be moved");
    let missing = control.try_start_again(&[]).await.expect_err("the key is away");
    assert_eq!(missing.code, Some(2), "{missing}");
    assert!(missing.log.contains("the database has secrets, and their key is not in"), "{missing}");
    assert!(!key.exists(), "no other key is made");
    std::fs::write(&key, "00".repeat(32)).expect("it can be written");
    let open = control.try_start_again(&[]).await.expect_err("others may read it");
    assert!(open.log.contains("may be read by others"), "{open}");
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(&key, private).expect("it can be set");
    let wrong = control.try_start_again(&[]).await.expect_err("it is another key");
    assert!(wrong.log.contains("is not the one this database was sealed under"), "{wrong}");
    std::fs::rename(&aside, &key).expect("it can be moved");
    let new = control.directory().join("new.key");
    let new = new.to_str().expect("UTF-8");
    let rotated = control.run(&["secrets", "rotate", "--new-key-file", new]).await;
    assert!(rotated.status.success(), "{}", String::from_utf8_lossy(&rotated.stderr));
    let old = control.try_start_again(&[]).await.expect_err("it is the key before");
    assert!(old.log.contains("is not the one this database was sealed under"), "{old}");
    control.try_start_again(&["--secrets-key-file", new]).await.expect("it is the right key");
    let again = authority.issue(&["b.example"]);
    world.put_site(&[HOST, "b.example"], json!({})).await;
    world.upload(&["add"], &again).await.expect("it is taken");
    world.edge.connect_secure("b.example", &Tls::trusting(&authority)).await;
    world.edge.connect_secure(HOST, &Tls::trusting(&authority)).await;
}
