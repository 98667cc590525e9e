//! Connections to components, kept open per thread.
//!
//! A request is written at most once: only one that was certainly not written is tried on another
//! connection, whatever its method.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::forward::Upload;

/// Components have to keep idle connections open longer than this, or a request may meet a
/// connection that is just being closed.
const IDLE: Duration = Duration::from_secs(10);
const MOST_IDLE: usize = 256;

type Idle = Vec<(SendRequest<Upload>, Instant)>;

/// One thread's connections by address.
#[derive(Clone, Default)]
pub struct Pool(Rc<RefCell<HashMap<Rc<str>, Idle>>>);

/// A connection that is in use, and where it goes back to.
pub struct Lease {
    pool: Pool,
    address: Rc<str>,
    sender: SendRequest<Upload>,
}

/// Why no answer came.
pub enum Failure {
    /// No connection; nothing was sent. The request can go elsewhere.
    Connect(Box<Request<Upload>>, std::io::Error),
    /// Something may have been sent.
    Broken(hyper::Error),
}

impl Pool {
    /// Sends the request over an idle or a new connection.
    pub async fn send(
        &self,
        address: &str,
        connect_timeout: Duration,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        while let Some((address, mut sender)) = self.take(address) {
            if sender.ready().await.is_err() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    return Ok((response, Lease { pool: self.clone(), address, sender }));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Failure::Broken(error.into_error())),
                },
            }
        }
        let mut sender = match connect(address, connect_timeout).await {
            Ok(sender) => sender,
            Err(error) => return Err(Failure::Connect(Box::new(request), error)),
        };
        match sender.try_send_request(request).await {
            Ok(response) => {
                Ok((response, Lease { pool: self.clone(), address: address.into(), sender }))
            }
            Err(error) => Err(Failure::Broken(error.into_error())),
        }
    }

    fn take(&self, address: &str) -> Option<(Rc<str>, SendRequest<Upload>)> {
        let mut all = self.0.borrow_mut();
        let key = all.get_key_value(address)?.0.clone();
        let idle = all.get_mut(address)?;
        while let Some((sender, since)) = idle.pop() {
            if !sender.is_closed() && since.elapsed() < IDLE {
                return Some((key, sender));
            }
        }
        None
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.0.borrow_mut().retain(|_, idle| {
            idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
            !idle.is_empty()
        });
    }
}

impl Lease {
    /// After the whole answer was read: the connection can serve the next request.
    pub fn give_back(self) {
        if self.sender.is_closed() {
            return;
        }
        let mut all = self.pool.0.borrow_mut();
        let idle = all.entry(self.address).or_default();
        if idle.len() < MOST_IDLE {
            idle.push((self.sender, Instant::now()));
        }
    }
}

async fn connect(address: &str, limit: Duration) -> std::io::Result<SendRequest<Upload>> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "connect timed out"))??;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(false)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(std::io::Error::other)?;
    tokio::task::spawn_local(connection.with_upgrades());
    Ok(sender)
}
