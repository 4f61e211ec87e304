//! Content codings (RFC 9110, 8.4) of bodies that are whole, or that break off after a flush.

use std::io::Write as _;

use super::dice::Dice;

pub const ALL: [&str; 3] = ["br", "gzip", "zstd"];

/// The bytes of `plain` in a coding. Unless it is whole, everything can be read and the end of the
/// coding is missing.
pub fn encode(coding: Option<&str>, plain: &[u8], is_whole: bool, dice: &mut Dice) -> Vec<u8> {
    match coding {
        None => plain.to_vec(),
        Some("br") => {
            let mut encoder =
                brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, 4, WINDOW_BITS);
            encoder.write_all(plain).expect("memory");
            if is_whole {
                encoder.into_inner()
            } else {
                encoder.flush().expect("memory");
                encoder.get_ref().clone()
            }
        }
        Some("gzip") => {
            let level = flate2::Compression::new(1 + dice.below(9) as u32);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).expect("memory");
            if is_whole {
                encoder.finish().expect("memory")
            } else {
                encoder.flush().expect("memory");
                encoder.get_ref().clone()
            }
        }
        Some("zstd") => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).expect("memory");
            encoder.window_log(WINDOW_BITS).expect("a window");
            encoder.write_all(plain).expect("memory");
            if is_whole {
                encoder.finish().expect("memory")
            } else {
                encoder.flush().expect("memory");
                encoder.get_ref().clone()
            }
        }
        Some(other) => panic!("{other} is none of these codings"),
    }
}

const BUFFER_BYTES: usize = 4096;

/// Windows of 128 KiB: hundreds of answers are read at a time.
const WINDOW_BITS: u32 = 17;
