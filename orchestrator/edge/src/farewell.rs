//! Time for requests that a client sends before it knows that its HTTP/2 connection is to end.
//!
//! h2 says GOAWAY and PING, and as soon as the PING is answered it refuses every later stream. But
//! a client answers at once and may have the head of a request in its send buffer behind that
//! answer; RFC 9113, 6.8 wants it to be allowed for. So the answer is withheld from h2 for a while
//! and everything else passes. This knows where frames begin, and nothing of what is in them.

mod frames;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use frames::Frames;

/// How long the answer is withheld: more than one round trip around the world.
const GRACE: Duration = Duration::from_millis(500);
/// The PING that h2 sends with its first GOAWAY, acknowledged. No other PING has this payload, so
/// nothing is ever withheld on a connection that was not told to go.
const ANSWER: &[u8; 17] = b"\0\0\x08\x06\x01\0\0\0\0\x0b\x7b\xa2\xf0\x8b\x9b\xfe\x54";
/// Most that is read at once in the rare cases in which it is not read in place.
const ASIDE: usize = 1024;

/// A connection whose client gets the time to be heard.
pub struct Farewell<S> {
    io: S,
    wait: Duration,
    frames: Frames,
    /// How much of [`ANSWER`] the latest bytes were, when it is not clear yet whether they are one.
    begun: usize,
    /// Runs while an answer is withheld.
    grace: Option<Pin<Box<Sleep>>>,
    /// What goes to the reader before anything else is read.
    due: Vec<u8>,
}

impl<S> Farewell<S> {
    pub fn new(io: S) -> Self {
        let frames = Frames::default();
        Self { io, wait: GRACE, frames, begun: 0, grace: None, due: Vec::new() }
    }

    /// Takes an answer out of bytes that just came; returns how many of them go to the reader.
    fn scan(&mut self, bytes: &mut [u8]) -> usize {
        let (mut at, mut end) = (0, bytes.len());
        while at < end {
            if self.grace.is_none() && self.frames.is_between() {
                let same = ANSWER.iter().zip(&bytes[at..end]).take_while(|(a, b)| a == b).count();
                if same == ANSWER.len() {
                    bytes.copy_within(at + same..end, at);
                    end -= same;
                    self.grace = Some(Box::pin(tokio::time::sleep(self.wait)));
                    continue;
                }
                if at + same == end {
                    self.begun = same;
                    return at;
                }
            }
            at += self.frames.pass(&bytes[at..end]);
        }
        end
    }

    fn is_grace_over(&mut self, cx: &mut Context<'_>) -> bool {
        let over =
            |grace: &mut Pin<Box<Sleep>>| grace.is_elapsed() || grace.as_mut().poll(cx).is_ready();
        self.grace.as_mut().is_some_and(over)
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.due.len().min(buf.remaining());
        buf.put_slice(&self.due[..length]);
        self.due.drain(..length);
    }
}

impl<S: AsyncRead + Unpin> Farewell<S> {
    /// Reads at most `limit` bytes that are not simply passed on. False at the end of the stream.
    fn poll_aside(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<bool>> {
        let mut space = [0; ASIDE];
        let mut part = ReadBuf::new(&mut space[..limit.min(ASIDE)]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let mut bytes = ANSWER[..std::mem::take(&mut self.begun)].to_vec();
        bytes.extend_from_slice(part.filled());
        if part.filled().is_empty() {
            self.frames = Frames::Untold;
        }
        let pass = self.scan(&mut bytes);
        bytes.truncate(pass);
        self.due = bytes;
        Poll::Ready(Ok(!part.filled().is_empty()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Farewell<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if matches!(this.frames, Frames::Untold) && this.due.is_empty() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        loop {
            if !this.due.is_empty() {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            let over = this.is_grace_over(cx);
            if over && this.frames.is_between() {
                this.due = ANSWER.to_vec();
                this.grace = None;
                this.frames = Frames::Untold;
            } else if this.begun > 0 || over {
                // Not beyond the place where something may have to be put in or left out.
                let limit = match this.begun {
                    0 => this.frames.rest(),
                    begun => ANSWER.len() - begun,
                };
                if !ready!(this.poll_aside(cx, limit))? && this.due.is_empty() {
                    return Poll::Ready(Ok(()));
                }
            } else {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                let came = buf.filled().len() - before;
                let pass = this.scan(&mut buf.filled_mut()[before..]);
                buf.set_filled(before + pass);
                // Nothing to pass on is not the end of the stream, which came as nothing.
                if pass > 0 || came == 0 {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Farewell<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
