//! Connections to components, kept open per thread.
//!
//! A request is written at most once: only one that was certainly not written is tried on another
//! connection, whatever its method.

use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::upload::Upload;

/// Shorter than what components usually allow (Node and uvicorn: 5 s). A component that closes
/// earlier and says so (`Keep-Alive: timeout=`) is believed.
const IDLE: Duration = Duration::from_secs(4);
const MOST_IDLE: usize = 256;

/// One thread's idle connections by address.
#[derive(Clone, Default)]
pub struct Pool(Rc<RefCell<HashMap<Arc<str>, Vec<Idle>>>>);

struct Idle {
    connection: Connection,
    until: Instant,
}

struct Connection {
    sender: SendRequest<Upload>,
    fd: RawFd,
}

/// A connection that is in use, and where it goes back to.
pub struct Lease {
    pool: Pool,
    address: Arc<str>,
    connection: Connection,
    may_idle: Duration,
}

/// Why no answer came.
pub enum Failure {
    /// Nothing was sent; the request can go elsewhere.
    Unsent(Box<Request<Upload>>, std::io::Error),
    /// Something may have been sent.
    Broken(hyper::Error),
}

impl Pool {
    /// Sends the request over an idle or a new connection.
    pub async fn send(
        &self,
        address: &Arc<str>,
        connect_timeout: Duration,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        loop {
            let (mut connection, fresh) = match self.take(address) {
                Some(idle) => (idle, false),
                None => match connect(address, connect_timeout).await {
                    Ok(new) => (new, true),
                    Err(error) => return Err(Failure::Unsent(Box::new(request), error)),
                },
            };
            let mut error = match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let may_idle = may_idle(response.headers());
                    let (pool, address) = (self.clone(), address.clone());
                    return Ok((response, Lease { pool, address, connection, may_idle }));
                }
                Err(error) => error,
            };
            match error.take_message() {
                Some(unsent) if fresh => {
                    let error = std::io::Error::other(error.into_error());
                    return Err(Failure::Unsent(Box::new(unsent), error));
                }
                Some(unsent) => request = unsent,
                None => return Err(Failure::Broken(error.into_error())),
            }
        }
    }

    /// The latest connection that can be written to now.
    fn take(&self, address: &str) -> Option<Connection> {
        let mut all = self.0.borrow_mut();
        let idle = all.get_mut(address)?;
        let now = Instant::now();
        let mut place = idle.len();
        while place > 0 {
            place -= 1;
            let Idle { connection, until } = &idle[place];
            if connection.sender.is_closed() || *until < now {
                idle.remove(place);
            } else if connection.sender.is_ready() {
                // Not ready: an answer came before the request was read whole.
                let connection = idle.remove(place).connection;
                if connection.is_quiet() {
                    return Some(connection);
                }
            }
        }
        None
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain(|i| !i.connection.sender.is_closed() && i.until > now);
            !idle.is_empty()
        });
    }
}

impl Connection {
    /// Whether the component has neither closed the connection nor sent anything. The kernel may
    /// know of an end that this thread was not told yet, and a request that is written after it is
    /// lost.
    fn is_quiet(&self) -> bool {
        let mut byte = 0_u8;
        // SAFETY: the sender is not closed, hence this thread's connection task lives, hence the
        // descriptor is open and its own; `byte` is one writable byte.
        let seen = unsafe {
            libc::recv(self.fd, (&raw mut byte).cast(), 1, libc::MSG_PEEK | libc::MSG_DONTWAIT)
        };
        seen < 0 && std::io::Error::last_os_error().kind() == std::io::ErrorKind::WouldBlock
    }
}

impl Lease {
    /// After the whole answer was read: the connection can serve the next request.
    pub fn give_back(self) {
        if self.connection.sender.is_closed() {
            return;
        }
        let mut all = self.pool.0.borrow_mut();
        let idle = all.entry(self.address).or_default();
        if idle.len() < MOST_IDLE {
            idle.push(Idle { connection: self.connection, until: Instant::now() + self.may_idle });
        }
    }
}

/// `Keep-Alive: timeout=5` means that at 5 s the component closes.
fn may_idle(headers: &HeaderMap) -> Duration {
    let said = headers.get("keep-alive").and_then(|value| value.to_str().ok());
    let timeout = said.and_then(|said| {
        said.split(',').find_map(|part| part.trim().strip_prefix("timeout=")?.parse().ok())
    });
    timeout.map_or(IDLE, |seconds: u64| IDLE.min(Duration::from_secs(seconds.saturating_sub(1))))
}

async fn connect(address: &str, limit: Duration) -> std::io::Result<Connection> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "connect timed out"))??;
    stream.set_nodelay(true)?;
    let fd = stream.as_raw_fd();
    let (sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(Connection { sender, fd })
}
