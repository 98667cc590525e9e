//! Where in a client's HTTP/2 bytes the reader is: RFC 9113, 3.4 and 4.1, lengths only.

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

pub enum Frames {
    Preface {
        seen: usize,
    },
    /// In the nine bytes before a body. `in_block`: only CONTINUATION may come now.
    Head {
        bytes: [u8; HEAD],
        have: usize,
        in_block: bool,
    },
    Body {
        left: usize,
        in_block: bool,
    },
    /// Not HTTP/2, or of no interest any more.
    Untold,
}

impl Default for Frames {
    fn default() -> Self {
        Self::Preface { seen: 0 }
    }
}

impl Frames {
    /// Whether a frame of its own may stand here.
    pub fn is_between(&self) -> bool {
        matches!(self, Self::Head { have: 0, in_block: false, .. })
    }

    /// How many bytes there are at least before the next such place.
    pub fn rest(&self) -> usize {
        match self {
            Self::Preface { seen } => PREFACE.len() - seen,
            Self::Head { have, .. } => HEAD - have,
            Self::Body { left, .. } => *left,
            Self::Untold => usize::MAX,
        }
    }

    /// Goes on to the end of what it is in, or of `bytes`; returns how many were passed.
    pub fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = bytes.len().min(self.rest());
        match self {
            Self::Preface { seen } => {
                if bytes[..passed] != PREFACE[*seen..*seen + passed] {
                    *self = Self::Untold;
                    return bytes.len();
                }
                *seen += passed;
                if *seen == PREFACE.len() {
                    *self = Self::next(false);
                }
            }
            Self::Head { bytes: head, have, in_block } => {
                head[*have..*have + passed].copy_from_slice(&bytes[..passed]);
                *have += passed;
                if *have == HEAD {
                    let left = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    let in_block = match head[3] {
                        HEADERS | CONTINUATION => head[4] & END_HEADERS == 0,
                        _ => *in_block,
                    };
                    *self = match left {
                        0 => Self::next(in_block),
                        left => Self::Body { left, in_block },
                    };
                }
            }
            Self::Body { left, in_block } => {
                *left -= passed;
                if *left == 0 {
                    *self = Self::next(*in_block);
                }
            }
            Self::Untold => {}
        }
        passed
    }

    fn next(in_block: bool) -> Self {
        Self::Head { bytes: [0; HEAD], have: 0, in_block }
    }
}
