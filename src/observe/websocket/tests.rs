use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::*;

/// Every message of a direction as text, and what else came.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    current: Vec<u8>,
    messages: Vec<String>,
}

impl Messages for Seen {
    fn fragment(&mut self, _: Direction, payload: &[u8]) {
        self.current.extend_from_slice(payload);
    }

    fn end_message(&mut self, direction: Direction) {
        let text = String::from_utf8(std::mem::take(&mut self.current)).unwrap();
        self.messages.push(format!("{direction:?} {text}"));
    }

    fn close(&mut self, direction: Direction) {
        self.messages.push(format!("{direction:?} closes"));
    }
}

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        length @ ..126 => frame.push(masked | u8::try_from(length).unwrap()),
        length @ 126..=0xffff => {
            frame.push(masked | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(masked | 127);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    frame
}

fn read(
    extensions: &str,
    direction: Direction,
    bytes: &[u8],
    size: usize,
) -> Result<Vec<String>, ObserverFailure> {
    let mut socket = WebSocket::new(extensions, &Memory::default());
    let mut seen = Seen::default();
    for piece in bytes.chunks(size) {
        socket.read_all(direction, piece, &mut seen)?;
    }
    Ok(seen.messages)
}

/// Compresses messages with one window for all of them.
fn deflated(messages: &[&str]) -> Vec<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let compressed = messages.iter().map(|message| {
        encoder.write_all(message.as_bytes()).unwrap();
        encoder.flush().unwrap();
        let mut bytes = std::mem::take(encoder.get_mut());
        assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
        bytes.truncate(bytes.len() - 4);
        bytes
    });
    compressed.collect()
}

#[test]
fn messages_are_unmasked_and_put_together_whatever_stands_between_their_frames() {
    let bytes = [
        frame(0x01, b"Hel", Some(MASK)),
        frame(0x89, b"ping", Some(MASK)),
        frame(0x00, b"lo ", Some([0; 4])),
        frame(0x80, b"you", Some(MASK)),
        frame(0x82, b"", Some(MASK)),
        frame(0x81, "x".repeat(70_000).as_bytes(), Some(MASK)),
        frame(0x88, b"\x03\xe8", Some(MASK)),
    ]
    .concat();
    let long = format!("ToProvider {}", "x".repeat(70_000));
    let expected = [
        "ToProvider Hello you",
        "ToProvider ",
        &long,
        "ToProvider closes",
    ];
    for size in [1, 2, 3, 7, 4096, bytes.len()] {
        assert_eq!(
            read("", Direction::ToProvider, &bytes, size).unwrap(),
            expected,
            "{size}"
        );
    }
}

#[test]
fn compressed_messages_share_their_window_unless_it_was_agreed_otherwise() {
    let texts = [
        "{\"type\":\"a long text, a long text\"}",
        "{\"type\":\"a long text, again\"}",
    ];
    let frames = deflated(&texts).concat_frames();
    let expected = texts.map(|text| format!("ToAgent {text}"));
    for size in [1, 5, frames.len()] {
        let seen = read(
            "permessage-deflate; server_max_window_bits=12",
            Direction::ToAgent,
            &frames,
            size,
        );
        assert_eq!(seen.unwrap(), expected);
    }
    let alone: Vec<u8> = texts
        .iter()
        .flat_map(|text| deflated(&[text]).concat_frames())
        .collect();
    let agreed = "permessage-deflate; server_no_context_takeover";
    assert_eq!(
        read(agreed, Direction::ToAgent, &alone, 3).unwrap(),
        expected
    );
    assert_eq!(
        read("", Direction::ToAgent, &frames, 99),
        Err(ObserverFailure::WebSocketMalformed),
        "compressed without having been agreed on"
    );
}

#[test]
fn a_compressed_message_is_read_in_steps_of_a_few_kib() {
    let text = format!("{{\"text\":\"{}\"}}", "a long text, ".repeat(5_000));
    let frames: Vec<u8> = deflated(&[&text, "{}"])
        .iter()
        .flat_map(|payload| frame(0xc1, payload, Some(MASK)))
        .collect();
    let expected = [format!("ToProvider {text}"), "ToProvider {}".to_owned()];
    for size in [1, 7, frames.len()] {
        let mut socket = WebSocket::new("permessage-deflate", &Memory::default());
        let (mut seen, mut rest, mut most) = (Seen::default(), frames.as_slice(), 0);
        while !rest.is_empty() {
            let (before, piece) = (seen.current.len(), &rest[..size.min(rest.len())]);
            let mut limit = DecodeLimit::default();
            let read = socket.read(Direction::ToProvider, piece, &mut limit, &mut seen);
            rest = &rest[read.unwrap()..];
            most = most.max(seen.current.len().saturating_sub(before));
        }
        assert!(seen.messages == expected, "by {size}");
        assert!((1..=4 << 10).contains(&most), "{most} bytes by {size}");
    }
}

trait ConcatFrames {
    fn concat_frames(&self) -> Vec<u8>;
}

impl ConcatFrames for Vec<Vec<u8>> {
    fn concat_frames(&self) -> Vec<u8> {
        self.iter()
            .flat_map(|payload| frame(0xc1, payload, None))
            .collect()
    }
}

#[test]
fn a_window_needs_memory_that_is_there() {
    let memory = Memory::new(1 << 10);
    let mut socket = WebSocket::new("permessage-deflate", &memory);
    let bytes = deflated(&["text"]).concat_frames();
    let read = socket.read_all(Direction::ToAgent, &bytes, &mut Seen::default());
    assert_eq!(read, Err(ObserverFailure::MemoryBudget));
}

#[test]
fn what_is_no_frame_ends_the_reading() {
    let table: [(&str, Vec<u8>); 7] = [
        ("a continuation of nothing", frame(0x80, b"x", None)),
        (
            "a message inside a message",
            [frame(0x01, b"x", None), frame(0x81, b"y", None)].concat(),
        ),
        ("an opcode that does not exist", frame(0x83, b"x", None)),
        ("a control frame in parts", frame(0x09, b"x", None)),
        ("a long control frame", frame(0x89, &[0; 126], None)),
        ("a reserved bit", frame(0x91, b"x", None)),
        ("no length", [&[0x81, 127][..], &[0xff; 8]].concat()),
    ];
    for (what, bytes) in table {
        let read = read("", Direction::ToAgent, &bytes, 3);
        assert_eq!(read, Err(ObserverFailure::WebSocketMalformed), "{what}");
    }
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_bytes_in_any_pieces_are_read_alike(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..40usize) {
        let whole = |size| {
            let mut socket = WebSocket::new("permessage-deflate", &Memory::default());
            let mut seen = Raw::default();
            let read = bytes.chunks(size).try_for_each(|piece| socket.read_all(Direction::ToAgent, piece, &mut seen));
            // How much of damaged data comes out depends on how much was there at once.
            (read, read.is_ok().then_some(seen.0))
        };
        prop_assert_eq!(whole(size), whole(bytes.len().max(1)));
    }
}

/// All payloads, with an end after each.
#[derive(Debug, Default, PartialEq, Eq)]
struct Raw(Vec<u8>);

impl Messages for Raw {
    fn fragment(&mut self, _: Direction, payload: &[u8]) {
        self.0.extend_from_slice(payload);
    }

    fn end_message(&mut self, _: Direction) {
        self.0.push(b'|');
    }

    fn close(&mut self, _: Direction) {
        self.0.push(b'!');
    }
}
