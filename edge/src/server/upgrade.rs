//! Has another process follow on this one without a request being refused: the same program, perhaps a newer one, with the
//! same arguments (docs/adr/0024-upgrade.md).
//!
//! They talk over the standard input of the new one. It is sent the sockets, says `prepared` once it has read and checked
//! all that can be, is told `go` once this one has left the directories, and says `serving`. When either is gone, or takes
//! too long, the new one ends, and this one takes up everything again.

use super::sockets::{Inherited, SOCKETS_MAX, Sockets};
use anyhow::{Context as _, anyhow, bail, ensure};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use std::io::{BufRead as _, BufReader, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Set for a process that follows on another.
const VARIABLE: &str = "LONGSHORE_UPGRADE";
/// How long the new process may take to be prepared, and then to serve.
pub(super) const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const SERVE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the new one waits for the old: it may have much to write out.
const GO_TIMEOUT: Duration = Duration::from_secs(60);
const NAMES_MAX_BYTES: usize = 16_384;

pub(super) const PREPARED: &str = "prepared";
pub(super) const GO: &str = "go";
pub(super) const SERVING: &str = "serving";

/// The process that follows on this one, as long as it does not serve.
pub(super) struct Successor {
    child: Child,
    channel: tokio::io::BufReader<tokio::net::UnixStream>,
}

impl Successor {
    /// Starts it, and hands it the sockets.
    pub(super) fn start(sockets: &Sockets) -> anyhow::Result<Self> {
        let mut arguments = std::env::args_os();
        let program = arguments.next().context("this process does not know its own name")?;
        let (own, its) = UnixStream::pair()?;
        let mut command = Command::new(&program);
        command.args(arguments).env(VARIABLE, "1").stdin(Stdio::from(OwnedFd::from(its)));
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        let child = command
            .spawn()
            .with_context(|| format!("`{}` can't be started", program.to_string_lossy()))?;
        send(&own, sockets).context("the sockets can't be handed over")?;
        own.set_nonblocking(true)?;
        let channel = tokio::net::UnixStream::from_std(own)?;
        Ok(Self { child, channel: tokio::io::BufReader::new(channel) })
    }

    /// Waits for a word.
    pub(super) async fn hear(&mut self, word: &str, at_most: Duration) -> anyhow::Result<()> {
        let mut line = String::new();
        let read = timeout(at_most, self.channel.read_line(&mut line)).await;
        let read = read.map_err(|_| {
            anyhow!("the new process did not say `{word}` within {} s", at_most.as_secs())
        })?;
        // one that ends with something unread resets the channel
        ensure!(read.is_ok_and(|read| read > 0), "the new process ended before it said `{word}`");
        ensure!(line.trim_end() == word, "the new process said {:?}", line.trim_end());
        Ok(())
    }

    pub(super) async fn say(&mut self, word: &str) -> anyhow::Result<()> {
        self.channel.get_mut().write_all(format!("{word}\n").as_bytes()).await?;
        Ok(())
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it, and waits until it holds nothing any more.
    pub(super) async fn end(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::error!(%error, "the new process can't be ended");
        }
    }
}

/// The process that this one follows on.
pub(super) struct Predecessor {
    channel: BufReader<UnixStream>,
}

impl Predecessor {
    /// The one that has started this one, if it has, and the sockets it hands over.
    pub(super) fn meet() -> anyhow::Result<Option<(Self, Vec<Inherited>)>> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let context = || format!("{VARIABLE} is set, and no edge that is being upgraded is there");
        let socket = std::io::stdin().as_fd().try_clone_to_owned().with_context(context)?;
        let channel = UnixStream::from(socket);
        channel.set_read_timeout(Some(PREPARE_TIMEOUT)).with_context(context)?;
        let inherited = receive(&channel).with_context(context)?;
        Ok(Some((Self { channel: BufReader::new(channel) }, inherited)))
    }

    /// Says that all is prepared, and waits until the directories are free.
    pub(super) fn wait_for_go(&mut self) -> anyhow::Result<()> {
        self.say(PREPARED)?;
        self.channel.get_ref().set_read_timeout(Some(GO_TIMEOUT))?;
        let mut line = String::new();
        self.channel.read_line(&mut line).context("the running edge says nothing")?;
        match line.trim_end() {
            GO => Ok(()),
            "" => bail!("the running edge goes on itself"),
            other => bail!("the running edge said {other:?}"),
        }
    }

    /// Says that this process serves.
    pub(super) fn relieve(mut self) -> anyhow::Result<()> {
        self.say(SERVING)
    }

    fn say(&mut self, word: &str) -> anyhow::Result<()> {
        let said = self.channel.get_mut().write_all(format!("{word}\n").as_bytes());
        said.context("the running edge can't be told")
    }
}

/// One line of a name and an address for each socket, and the sockets in this order.
fn send(channel: &UnixStream, sockets: &Sockets) -> anyhow::Result<()> {
    let (mut names, mut handed) = (String::new(), Vec::<BorrowedFd<'_>>::new());
    for (name, address, socket) in sockets.kept().take(SOCKETS_MAX) {
        names.push_str(&format!("{name} {address}\n"));
        handed.push(socket);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    ensure!(control.push(SendAncillaryMessage::ScmRights(&handed)), "too many sockets");
    let sent =
        sendmsg(channel, &[IoSlice::new(names.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    ensure!(sent == names.len(), "the names of the sockets are too long");
    Ok(())
}

fn receive(channel: &UnixStream) -> anyhow::Result<Vec<Inherited>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut names = vec![0; NAMES_MAX_BYTES];
    let received = recvmsg(
        channel,
        &mut [IoSliceMut::new(&mut names)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let names = std::str::from_utf8(names.get(..received.bytes).unwrap_or_default())?;
    let sockets = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(sockets) => sockets.collect(),
        _ => Vec::new(),
    });
    let sockets: Vec<OwnedFd> = sockets.collect();
    ensure!(!sockets.is_empty() && sockets.len() == names.lines().count(), "no sockets came");
    let told = names.lines().zip(sockets);
    told.map(|(line, socket)| {
        let (name, address) = line.split_once(' ').context("a socket without a name")?;
        Ok(Inherited { name: name.to_owned(), address: Some(address.to_owned()), socket })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_handed_over_with_their_names() {
        let mut sockets = Sockets::default();
        let http = sockets.tcp("http.listen", "127.0.0.1:0").unwrap().local_addr().unwrap();
        sockets.tcp("admin.listen", "localhost:0").unwrap();
        let (own, its) = UnixStream::pair().unwrap();
        send(&own, &sockets).unwrap();
        let received = receive(&its).unwrap();
        let names: Vec<_> =
            received.iter().map(|one| (&*one.name, one.address.as_deref())).collect();
        assert_eq!(names, [("http", Some("127.0.0.1:0")), ("admin", Some("localhost:0"))]);
        let mut inherited = Sockets::new(received);
        let same = inherited.tcp("http.listen", "127.0.0.1:0").unwrap();
        assert_eq!(same.local_addr().unwrap(), http);
        drop(own);
        assert!(receive(&its).is_err(), "nobody is there");
    }
}
