//! Values as compressed bytes, and bytes in pieces that an object can hold.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most bytes in one object; the API server takes 1 MiB with everything around it.
pub const PIECE: usize = 700 * 1024;
/// Most bytes that a packed value may unfold to.
const UNPACKED: u64 = 256 * 1024 * 1024;

/// A value as compressed JSON.
pub fn pack<T: Serialize>(value: &T) -> Vec<u8> {
    let json = serde_json::to_vec(value).expect("plain values have a JSON form");
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&json).expect("memory takes everything");
    packed.finish().expect("memory takes everything")
}

/// The value again, or why it cannot be had.
pub fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let mut json = Vec::new();
    let read = GzDecoder::new(bytes).take(UNPACKED).read_to_end(&mut json);
    read.map_err(|e| format!("it is damaged: {e}"))?;
    serde_json::from_slice(&json).map_err(|e| format!("this version cannot read it: {e}"))
}

/// The bytes in pieces, at least one.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    if bytes.is_empty() { vec![bytes] } else { bytes.chunks(PIECE).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_damage_is_told() {
        let value: Vec<String> = (0..1000).map(|n| format!("line {n}")).collect();
        let packed = pack(&value);
        assert!(packed.len() < 5_000, "{} bytes", packed.len());
        assert_eq!(unpack::<Vec<String>>(&packed), Ok(value));
        let cut = unpack::<Vec<String>>(&packed[..packed.len() / 2]).expect_err("cut off");
        assert!(cut.contains("damaged"), "{cut}");
        let other = unpack::<u32>(&packed).expect_err("no number");
        assert!(other.contains("cannot read"), "{other}");
    }

    #[test]
    fn pieces_fit_into_an_object_and_none_is_lost() {
        let bytes: Vec<u8> = (0..2 * PIECE + 1).map(|n| n as u8).collect();
        let split = pieces(&bytes);
        assert_eq!(split.iter().map(|p| p.len()).collect::<Vec<_>>(), [PIECE, PIECE, 1]);
        assert_eq!(split.concat(), bytes);
        assert_eq!(pieces(b"").len(), 1);
    }
}
