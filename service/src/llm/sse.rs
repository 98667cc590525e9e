//! Server-sent events, cut out of bytes as they come.

use bytes::{Bytes, BytesMut};

use super::Failure;

/// An event that is longer is none of a language model's.
const LONGEST: usize = 1024 * 1024;

#[derive(Default)]
pub(super) struct Events {
    rest: BytesMut,
    data: String,
}

impl Events {
    pub(super) fn push(&mut self, bytes: &Bytes) {
        self.rest.extend_from_slice(bytes);
    }

    /// The data of the next event that is there whole.
    pub(super) fn next(&mut self) -> Result<Option<String>, Failure> {
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line = self.rest.split_to(end + 1);
            let line = std::str::from_utf8(&line).map_err(|_| Failure::Garbled("not UTF-8"))?;
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() && !self.data.is_empty() {
                return Ok(Some(std::mem::take(&mut self.data)));
            }
            // Names, ids and comments: the data says the same.
            if let Some(data) = line.strip_prefix("data:") {
                if !self.data.is_empty() {
                    self.data.push('\n');
                }
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            }
        }
        if self.rest.len() + self.data.len() > LONGEST {
            return Err(Failure::Garbled("an event without an end"));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_wherever_the_bytes_are_cut() {
        let text = "event: a\r\ndata: {\"t\":\"ü\"}\r\n\r\n: ping\n\ndata:one\ndata: two\n\n";
        for cut in 1..text.len() {
            let mut events = Events::default();
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                events.push(&Bytes::copy_from_slice(piece));
                while let Some(data) = events.next().expect("well-formed") {
                    found.push(data);
                }
            }
            assert_eq!(found, ["{\"t\":\"ü\"}", "one\ntwo"], "cut at {cut}");
        }
    }

    #[test]
    fn what_never_ends_is_refused() {
        let mut events = Events::default();
        events.push(&Bytes::from("data: ".to_owned() + &"x".repeat(LONGEST)));
        assert!(events.next().is_err());
    }
}
