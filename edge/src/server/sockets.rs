//! The sockets that clients and operators come in by: bound here, or had from who started this process.
//!
//! A service manager hands them over by number and name (`LISTEN_FDS`, `LISTEN_FDNAMES`), an edge that is being upgraded
//! with the addresses that they were bound for.

use super::bind;
use anyhow::Context as _;
use rustix::io::{FdFlags, fcntl_setfd};
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

/// The first that a service manager hands over (`sd_listen_fds(3)`).
const FIRST: i32 = 3;
/// Sockets that may be handed over.
pub(super) const SOCKETS_MAX: usize = 64;

/// A socket that was handed over.
#[derive(Debug)]
pub(super) struct Inherited {
    /// The section of the configuration that it is for.
    pub(super) name: String,
    /// The address it was bound for, as it was configured; none where it is to be used whatever is.
    pub(super) address: Option<String>,
    pub(super) socket: OwnedFd,
}

/// The sockets of this process, to be handed on.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    inherited: Vec<Inherited>,
    kept: Vec<(String, String, OwnedFd)>,
}

impl Sockets {
    pub(super) fn new(inherited: Vec<Inherited>) -> Self {
        Self { inherited, kept: Vec::new() }
    }

    /// Listens at the address that the key `name.listen` has: at the socket that was handed over for it, or at one of its
    /// own.
    pub(super) fn tcp(&mut self, key: &str, address: &str) -> anyhow::Result<TcpListener> {
        let context = || format!("{key}: can't listen on {address}");
        let listener = match self.take(key, address) {
            Some(socket) => TcpListener::from(socket),
            None => bind::listen(key, address)?,
        };
        listener.set_nonblocking(true).with_context(context)?;
        listener.local_addr().with_context(context)?;
        self.keep(key, address, listener.as_fd()).with_context(context)?;
        Ok(listener)
    }

    /// The socket that was handed over for a key and this address.
    pub(super) fn take(&mut self, key: &str, address: &str) -> Option<OwnedFd> {
        let name = section(key);
        let is_it = |one: &Inherited| {
            one.name == name && one.address.as_ref().is_none_or(|own| own == address)
        };
        let place = self.inherited.iter().position(is_it)?;
        Some(self.inherited.remove(place).socket)
    }

    /// Has a socket handed on to who follows on this process.
    pub(super) fn keep(
        &mut self,
        key: &str,
        address: &str,
        socket: BorrowedFd<'_>,
    ) -> std::io::Result<()> {
        let own = socket.try_clone_to_owned()?;
        self.kept.push((section(key).to_owned(), address.to_owned(), own));
        Ok(())
    }

    /// Those to be handed on: their names, the addresses they are bound for, and themselves.
    pub(super) fn kept(&self) -> impl Iterator<Item = (&str, &str, BorrowedFd<'_>)> {
        self.kept.iter().map(|(name, address, socket)| (&**name, &**address, socket.as_fd()))
    }

    /// Lets go of those that would be handed on.
    pub(super) fn release(&mut self) {
        self.kept.clear();
    }

    /// Closes what was handed over and nobody wants.
    pub(super) fn close_others(&mut self) {
        for other in self.inherited.drain(..) {
            tracing::warn!(socket.name = other.name, "a socket was handed over that nothing uses");
        }
    }
}

fn section(key: &str) -> &str {
    key.split_once('.').map_or(key, |(section, _)| section)
}

/// What a service manager hands over to this process. To be called first of all.
pub(super) fn from_manager() -> Vec<Inherited> {
    let variable = |name: &str| std::env::var(name).ok();
    let number = |name: &str| variable(name).and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").and_then(|count| usize::try_from(count).ok());
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    (FIRST..)
        .take(count.unwrap_or_default().min(SOCKETS_MAX))
        .map(|number| {
            // what has no name of ours is for clients
            let name = names.next().map(section).filter(|name| !name.is_empty());
            let name = name.unwrap_or("http").to_owned();
            Inherited { name, address: None, socket: take_number(number) }
        })
        .collect()
}

#[expect(unsafe_code, reason = "a service manager tells of sockets by number alone")]
fn take_number(number: i32) -> OwnedFd {
    // Safety: LISTEN_PID names this process, so this one was opened for it before it began and belongs to nobody else in
    // it; each number is taken once.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    // programs that are started here have no use for it; where it can't be used at all, its first use says so
    fcntl_setfd(&socket, FdFlags::CLOEXEC).ok();
    socket
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_used_for_the_address_it_was_bound_for() {
        let bound = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
        let inherited = |name: &str, address: Option<&str>| Inherited {
            name: name.to_owned(),
            address: address.map(str::to_owned),
            socket: bound(),
        };
        let mut sockets =
            Sockets::new(vec![inherited("http", Some("127.0.0.1:80")), inherited("admin", None)]);
        assert!(sockets.take("http.listen", "127.0.0.1:81").is_none(), "it is bound for another");
        assert!(sockets.take("https.listen", "127.0.0.1:80").is_none(), "it is for another");
        assert!(sockets.take("http.listen", "127.0.0.1:80").is_some());
        assert!(sockets.take("http.listen", "127.0.0.1:80").is_none(), "it is taken");
        sockets.tcp("admin.listen", "127.0.0.1:1").unwrap();
        let kept: Vec<_> = sockets.kept().map(|(name, address, _)| (name, address)).collect();
        assert_eq!(kept, [("admin", "127.0.0.1:1")]);
    }
}
