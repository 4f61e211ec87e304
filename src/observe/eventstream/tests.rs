use proptest::prelude::*;

use super::*;

/// What a message says: the texts of its three headers, and its payload.
type Message = ([Option<String>; 3], Vec<u8>);

#[derive(Default)]
struct Seen {
    messages: Vec<Message>,
    current: Message,
}

impl EventStreamMessages for Seen {
    fn begin(&mut self, headers: &Headers) {
        let texts = [
            headers.message_type(),
            headers.event_type(),
            headers.exception_type(),
        ];
        self.current = (texts.map(|text| text.map(str::to_owned)), Vec::new());
    }

    fn payload(&mut self, fragment: &[u8]) {
        self.current.1.extend_from_slice(fragment);
    }

    fn end(&mut self) {
        self.messages.push(std::mem::take(&mut self.current));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Between,
    Inside,
    Malformed,
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message>, End) {
    let (mut reader, mut seen) = (EventStreamReader::default(), Seen::default());
    let mut end = Ok(());
    for piece in pieces {
        end = reader.feed(piece, &mut seen);
    }
    let end = match end {
        Err(Malformed) => End::Malformed,
        Ok(()) if reader.is_between_messages() => End::Between,
        Ok(()) => End::Inside,
    };
    (seen.messages, end)
}

/// CRC-32 bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
        }
    }
    !sum
}

/// The format on a whole buffer, or on what is left of it.
fn reference(mut stream: &[u8]) -> (Vec<Message>, End) {
    let mut messages = Vec::new();
    loop {
        if stream.is_empty() {
            return (messages, End::Between);
        }
        if stream.len() < 12 {
            return (messages, End::Inside);
        }
        let number =
            |at: usize| u32::from_be_bytes(stream[at..at + 4].try_into().unwrap()) as usize;
        let (all, headers) = (number(0), number(4));
        if number(8) != checksum(&stream[..8]) as usize || all < 16 + headers {
            return (messages, End::Malformed);
        }
        let limits = (
            MAX_HEADERS_BYTES as usize,
            MAX_PAYLOAD_BYTES as usize + 16 + headers,
        );
        if headers > limits.0 || all > limits.1 {
            return (messages, End::Malformed);
        }
        let Some(texts) = reference_headers(&stream[12..(12 + headers).min(stream.len())]) else {
            return (messages, End::Malformed);
        };
        if stream.len() >= 12 + headers && texts.1 {
            return (messages, End::Malformed);
        }
        if stream.len() < all {
            return (messages, End::Inside);
        }
        if number(all - 4) != checksum(&stream[..all - 4]) as usize {
            return (messages, End::Malformed);
        }
        messages.push((texts.0, stream[12 + headers..all - 4].to_vec()));
        stream = &stream[all..];
    }
}

/// The texts of headers, and whether the last one is cut off; nothing when a type is unknown.
fn reference_headers(mut bytes: &[u8]) -> Option<([Option<String>; 3], bool)> {
    let mut texts = [None, None, None];
    fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (part, rest) = bytes.split_at_checked(length)?;
        *bytes = rest;
        Some(part)
    }
    while !bytes.is_empty() {
        let length = usize::from(take(&mut bytes, 1)?[0]);
        let Some([name @ .., code]) = take(&mut bytes, length + 1) else {
            return Some((texts, true));
        };
        let length = match code {
            0 | 1 => Some(0),
            2 => Some(1),
            3 => Some(2),
            4 => Some(4),
            5 | 8 => Some(8),
            9 => Some(16),
            6 | 7 => take(&mut bytes, 2)
                .map(|length| usize::from(u16::from_be_bytes(length.try_into().unwrap()))),
            _ => return None,
        };
        let Some(value) = length.and_then(|length| take(&mut bytes, length)) else {
            return Some((texts, true));
        };
        let names: [&[u8]; 3] = [b":message-type", b":event-type", b":exception-type"];
        if let (Some(at), 7) = (names.iter().position(|known| *known == name), code) {
            let text = String::from_utf8(value.to_vec()).ok();
            texts[at] = text.filter(|_| value.len() <= 64);
        }
    }
    Some((texts, false))
}

fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let lengths = [16 + headers.len() + payload.len(), headers.len()];
    let mut bytes: Vec<u8> = lengths
        .iter()
        .flat_map(|length| u32::try_from(*length).unwrap().to_be_bytes())
        .collect();
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes.extend([headers, payload].concat());
    bytes.extend(checksum(&bytes).to_be_bytes());
    bytes
}

fn header(name: &str, code: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    let mut bytes = [&[length], name.as_bytes(), &[code]].concat();
    if matches!(code, 6 | 7) {
        bytes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    }
    bytes.extend(value);
    bytes
}

#[test]
fn the_empty_message_of_the_specification_is_read() {
    let empty = [
        0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff,
    ];
    assert_eq!(empty, *message(b"", b""));
    assert_eq!(
        read([&empty[..]]),
        (vec![([None, None, None], Vec::new())], End::Between)
    );
}

#[test]
fn three_headers_are_kept_when_they_are_short_texts() {
    let long = "x".repeat(65);
    let headers = [
        header(":message-type", 7, b"exception"),
        header(":event-type", 6, b"bytes"),
        header(":exception-type", 7, long.as_bytes()),
        header(&"n".repeat(200), 9, &[0; 16]),
        header("", 1, b""),
    ];
    let (messages, end) = read([&message(&headers.concat(), b"{}")[..]]);
    assert_eq!(
        messages,
        [([Some("exception".to_owned()), None, None], b"{}".to_vec())]
    );
    assert_eq!(end, End::Between);
    let again = header(":event-type", 7, b"chunk");
    let stream = [message(&headers.concat(), b""), message(&again, b"")].concat();
    let texts = read([&stream[..]]).0[1].0.clone();
    assert_eq!(
        texts,
        [None, Some("chunk".to_owned()), None],
        "nothing is left of the message before"
    );
}

#[test]
fn impossible_lengths_and_types_end_the_reading_for_good() {
    let prelude = |all: u32, headers: u32| {
        let mut bytes = [all.to_be_bytes(), headers.to_be_bytes()].concat();
        bytes.extend(checksum(&bytes).to_be_bytes());
        bytes
    };
    for bad in [
        prelude(15, 0),
        prelude(20, 5),
        prelude(u32::MAX, 0),
        prelude(u32::MAX, u32::MAX),
        prelude(MAX_HEADERS_BYTES + 17, MAX_HEADERS_BYTES + 1),
        message(&header("n", 10, b""), b""),
        message(&header("n", 4, b"123"), b""),
        message(b"\x05name", b""),
    ] {
        let stream = [message(b"", b"good"), bad, message(b"", b"never seen")].concat();
        for size in [1, stream.len()] {
            let (messages, end) = read(stream.chunks(size));
            assert_eq!((messages.len(), end), (1, End::Malformed));
        }
    }
}

fn headers() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just(":message-type".to_owned()),
        Just(":event-type".to_owned()),
        Just(":exception-type".to_owned()),
        "[:a-z-]{0,20}",
    ];
    let value = prop_oneof![
        (2..6u8).prop_map(|code| (code, vec![code; 1 << (code - 2)])),
        (0..2u8).prop_map(|code| (code, Vec::new())),
        (6..8u8, prop::collection::vec(any::<u8>(), 0..80)),
        "[a-zA-Z]{0,70}".prop_map(|text| (7, text.into_bytes())),
        Just((8, vec![8; 8])),
        Just((9, vec![9; 16])),
    ];
    prop::collection::vec((name, value), 0..5).prop_map(|headers| {
        let headers = headers
            .iter()
            .map(|(name, (code, value))| header(name, *code, value));
        headers.collect::<Vec<_>>().concat()
    })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..60);
    let good =
        (headers(), payload.clone()).prop_map(|(headers, payload)| message(&headers, &payload));
    let any_headers = prop::collection::vec(any::<u8>(), 0..20);
    let odd = (any_headers, payload).prop_map(|(headers, payload)| message(&headers, &payload));
    let part = prop_oneof![8 => good, 1 => odd, 1 => prop::collection::vec(any::<u8>(), 0..20)];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_chunking_gives_what_the_format_says(
        stream in stream(),
        size in 1..9usize,
        cut in any::<prop::sample::Index>(),
        damage in prop::option::of((any::<prop::sample::Index>(), 1..=255u8)),
        truncation in any::<prop::sample::Index>(),
        truncates: bool,
    ) {
        let mut stream = stream;
        if let (Some((at, bits)), false) = (damage, stream.is_empty()) {
            let at = at.index(stream.len());
            stream[at] ^= bits;
        }
        if truncates {
            stream.truncate(truncation.index(stream.len() + 1));
        }
        let whole = read([&stream[..]]);
        prop_assert_eq!(&whole, &reference(&stream));
        prop_assert_eq!(&read(stream.chunks(size)), &whole);
        let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
        prop_assert_eq!(&read([head, b"", tail]), &whole);
    }
}
