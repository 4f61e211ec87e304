//! Entry for fuzzers: any bytes, as the beginning of an agent's connection.

use bytes::Bytes;

use super::{Hello, HelloReader};

/// Reads the bytes, all at once and in pieces as long as the first of them says. Panics when a byte
/// is lost, or when the cuts make a difference.
pub fn fuzz_client_hello(bytes: &[u8]) {
    let Some((size, wire)) = bytes.split_first() else {
        return;
    };
    let size = usize::from(*size).max(1);
    let (whole, pieces) = (read(wire, wire.len().max(1)), read(wire, size));
    assert_eq!(whole, pieces, "in pieces of {size}");
}

/// What the reader makes of it: a hello, a refusal, or a wish for more.
fn read(wire: &[u8], size: usize) -> Result<Option<Hello>, &'static str> {
    let mut reader = HelloReader::new(Bytes::new());
    for (number, piece) in wire.chunks(size).enumerate() {
        reader.kept.extend_from_slice(piece);
        let parsed = reader.parse();
        assert_eq!(
            reader.bytes(),
            wire.get(..(number * size + piece.len()))
                .unwrap_or_default(),
            "every byte is kept"
        );
        match parsed {
            Ok(None) => {}
            Ok(hello) => return Ok(hello),
            // Which of its mistakes is met first depends on the cut.
            Err(_) => return Err("refused"),
        }
    }
    Ok(None)
}
