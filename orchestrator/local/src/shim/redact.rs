//! Keeps secret values out of logs: a component that prints its own secret still does not put it
//! on the disk, into evidence or before whoever reads the logs.

/// Longest line that is kept whole; a longer one is cut into several.
const LINE_MAX: usize = 64 * 1024;
/// Shorter parts of a value would be found everywhere.
const SHORTEST: usize = 6;

/// Cuts output into lines without the hidden values.
pub(crate) struct Redacted {
    hidden: Vec<Vec<u8>>,
    rest: Vec<u8>,
}

impl Redacted {
    pub fn new(values: &[String]) -> Self {
        Self { hidden: patterns(values), rest: Vec::new() }
    }

    /// Gives the whole lines among what came in so far.
    pub fn feed(&mut self, bytes: &[u8], line: &mut dyn FnMut(&[u8])) {
        self.rest.extend_from_slice(bytes);
        let whole = match self.rest.iter().rposition(|b| *b == b'\n') {
            Some(at) => at + 1,
            None if self.rest.len() >= LINE_MAX => self.rest.len(),
            None => return,
        };
        let mut lines: Vec<u8> = self.rest.drain(..whole).collect();
        self.hide(&mut lines);
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        line(&lines);
    }

    /// Gives what came after the last newline.
    pub fn finish(&mut self, line: &mut dyn FnMut(&[u8])) {
        if !self.rest.is_empty() {
            self.feed(b"\n", line);
        }
    }

    fn hide(&self, bytes: &mut Vec<u8>) {
        for hidden in &self.hidden {
            replace(bytes, hidden);
        }
    }
}

/// The same for a text that is shown to people.
pub(crate) fn redact(text: &str, values: &[String]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for hidden in patterns(values) {
        replace(&mut bytes, &hidden);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whole values, and the lines of those that have several: output is looked at line by line.
fn patterns(values: &[String]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for value in values {
        let lines = value.lines().map(str::trim).filter(|l| l.len() >= SHORTEST);
        all.extend(std::iter::once(value.trim()).chain(lines).map(|v| v.as_bytes().to_vec()));
    }
    all.retain(|v| v.len() >= SHORTEST);
    // The longest first: a value may be part of another.
    all.sort_by_key(|v| std::cmp::Reverse(v.len()));
    all.dedup();
    all
}

fn replace(bytes: &mut Vec<u8>, hidden: &[u8]) {
    const SHOWN: &[u8] = b"[hidden]";
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(hidden.len()).position(|w| w == hidden) {
        let start = at + found;
        bytes.splice(start..start + hidden.len(), SHOWN.iter().copied());
        at = start + SHOWN.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(values: &[&str], chunks: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|v| v.to_string()).collect();
        let mut redacted = Redacted::new(&values);
        let mut out = Vec::new();
        for chunk in chunks {
            redacted.feed(chunk.as_bytes(), &mut |l| out.extend_from_slice(l));
        }
        redacted.finish(&mut |l| out.extend_from_slice(l));
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn a_value_is_hidden_even_when_it_comes_in_two_pieces() {
        assert_eq!(lines(&["canary-1"], &["x canary", "-1 y\nz"]), "x [hidden] y\nz\n");
        assert_eq!(lines(&["line-one\nline-two"], &["line-two\n"]), "[hidden]\n");
        assert_eq!(lines(&["a"], &["a b a\n"]), "a b a\n", "too short to be told from words");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = "x".repeat(LINE_MAX + 10);
        let out = lines(&[], &[&long, "end\n"]);
        assert_eq!(out.len(), LINE_MAX + 10 + 1 + 4);
    }
}
