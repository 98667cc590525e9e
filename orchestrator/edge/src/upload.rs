//! A request's body on its way to a component, bounded, and with a clock for who keeps whom waiting.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

pub enum Upload {
    Empty,
    Passed { body: Incoming, left: Option<u64>, progress: Rc<Progress> },
    Copied(Full<Bytes>),
}

/// The body grew over the limit, or the client broke off.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the body is larger than allowed")]
    TooLarge,
    #[error(transparent)]
    Client(#[from] hyper::Error),
}

/// When the upload last moved, and who has to move it next.
pub struct Progress {
    pub at: Cell<Instant>,
    pub waits_for_client: Cell<bool>,
}

impl Progress {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { at: Cell::new(Instant::now()), waits_for_client: Cell::new(false) })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Copied(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Passed { body, left, progress } => {
                let frame = Pin::new(body).poll_frame(cx).map_err(UploadError::Client);
                progress.waits_for_client.set(frame.is_pending());
                if frame.is_ready() {
                    progress.at.set(Instant::now());
                }
                if let (Some(left), Poll::Ready(Some(Ok(frame)))) = (left, &frame) {
                    let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                    match left.checked_sub(size) {
                        Some(rest) => *left = rest,
                        None => return Poll::Ready(Some(Err(UploadError::TooLarge))),
                    }
                }
                frame
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Copied(body) => body.is_end_stream(),
            Self::Passed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Copied(body) => body.size_hint(),
            Self::Passed { body, .. } => body.size_hint(),
        }
    }
}
