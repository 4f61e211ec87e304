use std::io::Write as _;

use flate2::write::GzEncoder;

use super::*;

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(message).expect("memory");
    encoder.finish().expect("memory")
}

#[test]
fn compression_is_undone() {
    assert_eq!(
        uncompressed(false, &gzip(b"message")).expect("gzip"),
        "message"
    );
    let packed = gzip(b"message");
    let length = u32::try_from(packed.len()).expect("a length");
    let framed = [&[1], &length.to_be_bytes()[..], &packed].concat();
    assert_eq!(
        uncompressed(true, &framed).expect("gzip"),
        &b"\0\0\0\0\x07message"[..]
    );
    for broken in [&b""[..], b"\x01", b"\x01\0\0\0\x02no"] {
        assert!(uncompressed(true, broken).is_err(), "{broken:?}");
    }
}
