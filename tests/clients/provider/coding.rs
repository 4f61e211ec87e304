//! Content codings of answers.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Coding {
    Brotli,
    Gzip,
    Identity,
    Zstd,
}

impl Coding {
    /// The coding with a name of HTTP.
    pub(super) fn named(name: &str) -> Self {
        let all = [Self::Brotli, Self::Gzip, Self::Zstd];
        let named = all.into_iter().find(|coding| coding.name() == Some(name));
        named.expect("a coding")
    }

    /// Its name in HTTP, if it changes anything.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::Brotli => Some("br"),
            Self::Gzip => Some("gzip"),
            Self::Identity => None,
            Self::Zstd => Some("zstd"),
        }
    }

    /// This coding, if an `Accept-Encoding` names it.
    pub(super) fn accepted_by(self, accepted: &str) -> Self {
        let mut names = accepted
            .split(',')
            .map(|name| name.split(';').next().unwrap_or_default().trim());
        match self.name() {
            Some(own) if names.any(|name| name == own) => self,
            _ => Self::Identity,
        }
    }

    /// Encodes a body of several pieces, each flushed so that it can be read by itself.
    pub(super) fn encode(self, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        match self {
            Self::Identity => pieces.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                let mut coded = Vec::new();
                for piece in pieces {
                    encoder.write_all(piece).expect("memory");
                    encoder.flush().expect("memory");
                    coded.push(std::mem::take(encoder.get_mut()));
                }
                coded.push(encoder.finish().expect("memory"));
                coded
            }
            Self::Brotli => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, 5, 20);
                let mut coded = Vec::new();
                for piece in pieces {
                    encoder.write_all(piece).expect("memory");
                    encoder.flush().expect("memory");
                    coded.push(std::mem::take(encoder.get_mut()));
                }
                coded.push(encoder.into_inner());
                coded
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
                let mut coded = Vec::new();
                for piece in pieces {
                    encoder.write_all(piece).expect("memory");
                    encoder.flush().expect("memory");
                    coded.push(std::mem::take(encoder.get_mut()));
                }
                coded.push(encoder.finish().expect("memory"));
                coded
            }
        }
    }

    /// The body that a `Content-Encoding` describes.
    ///
    /// # Panics
    /// When the client has used a coding that is not known here, or not well.
    pub(super) fn decode(name: Option<&str>, body: &[u8]) -> Vec<u8> {
        match name {
            None | Some("identity") => body.to_vec(),
            Some("zstd") => zstd::decode_all(body).expect("zstd of the client"),
            Some(other) => panic!("a client sent a body as {other}"),
        }
    }
}

const BUFFER_BYTES: usize = 4096;
