//! The listening sockets: bound here, passed to the edge, taken over from a living edge.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, sockopt};

/// Connections that wait for an edge, among them those that come while one is replaced.
const BACKLOG: i32 = 4096;

/// Bound sockets by their address as it stands in the environment file.
#[derive(Default)]
pub(super) struct Sockets {
    held: BTreeMap<String, Held>,
}

struct Held {
    socket: OwnedFd,
    listens: bool,
}

impl Sockets {
    /// Takes up a socket that is bound and listens.
    pub fn adopt(&mut self, address: &str, socket: OwnedFd) {
        self.held.insert(address.into(), Held { socket, listens: true });
    }

    /// Binds the address unless it is held already.
    pub fn reserve(&mut self, address: &str) -> Result<(), String> {
        if !self.held.contains_key(address) {
            let socket = bind(address).map_err(|e| explain(address, &e))?;
            self.held.insert(address.into(), Held { socket, listens: false });
        }
        Ok(())
    }

    /// Binds the address if need be, and lets clients in.
    pub fn listen(&mut self, address: &str) -> Result<(), String> {
        self.reserve(address)?;
        if let Some(held) = self.held.get_mut(address).filter(|h| !h.listens) {
            rustix::net::listen(&held.socket, BACKLOG).map_err(|e| explain(address, &e.into()))?;
            held.listens = true;
        }
        Ok(())
    }

    /// The descriptors by address.
    pub fn descriptors(&self) -> impl Iterator<Item = (&str, RawFd)> {
        self.held.iter().map(|(a, h)| (a.as_str(), h.socket.as_raw_fd()))
    }

    pub fn descriptor(&self, address: &str) -> Option<RawFd> {
        self.held.get(address).map(|h| h.socket.as_raw_fd())
    }

    pub fn addresses(&self) -> Vec<String> {
        self.held.keys().cloned().collect()
    }

    /// Gives back what is not among `wanted`: clients are turned away there from now on, even
    /// where an edge that drains still has the socket.
    pub fn keep_only(&mut self, wanted: &[&str]) {
        self.held.retain(|address, held| {
            let keep = wanted.contains(&address.as_str());
            if !keep {
                let _ = rustix::net::shutdown(&held.socket, rustix::net::Shutdown::Both);
            }
            keep
        });
    }
}

fn bind(address: &str) -> io::Result<OwnedFd> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    for resolved in address.to_socket_addrs()? {
        match bind_to(resolved) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn bind_to(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    // Two sockets that do not listen may share an address: only listening shows who has it.
    Ok(socket)
}

fn explain(address: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{address} is in use by another process\n  hint: end that process, or give another \
             address in `edge.listen` (or `edge.metrics_listen`)"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "this user may not listen on {address}\n  hint: ports below 1024 need CAP_NET_BIND_SERVICE; \
             choose a higher one"
        ),
        io::ErrorKind::AddrNotAvailable => {
            format!("{address} is not an address of this machine\n  hint: correct `edge.listen`")
        }
        _ => format!("cannot listen on {address}: {error}\n  hint: correct `edge.listen`"),
    }
}

/// Sends the sockets with their addresses; the other side is [`receive`].
pub(crate) fn send(
    stream: &std::os::unix::net::UnixStream,
    sockets: &[(String, OwnedFd)],
) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    for (address, socket) in sockets {
        let fds = [socket.as_fd()];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let line = format!("{address}\n");
        sendmsg(stream, &[io::IoSlice::new(line.as_bytes())], &mut control, SendFlags::empty())?;
    }
    Ok(())
}

/// Takes the sockets that an edge has.
pub(crate) fn receive(path: &std::path::Path) -> io::Result<Vec<(String, OwnedFd)>> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut found = Vec::new();
    loop {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut text = [0; 512];
        // Data with descriptors is never joined with other data: a call gives one address.
        let got = recvmsg(
            &stream,
            &mut [io::IoSliceMut::new(&mut text)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        if got.bytes == 0 {
            return Ok(found);
        }
        let address = String::from_utf8_lossy(&text[..got.bytes]).trim().to_string();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                found.extend(fds.map(|fd| (address.clone(), fd)));
            }
        }
    }
}
