use proptest::prelude::*;

use super::*;

type Event = (Option<String>, Vec<u8>);

#[derive(Default)]
struct Seen {
    data: Vec<u8>,
    events: Vec<Event>,
}

impl SseEvents for Seen {
    fn data(&mut self, fragment: &[u8]) {
        self.data.extend_from_slice(fragment);
    }

    fn dispatch(&mut self, name: Option<&str>) {
        self.events
            .push((name.map(str::to_owned), std::mem::take(&mut self.data)));
    }
}

fn scan<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, bool) {
    let (mut scanner, mut seen) = (SseScanner::default(), Seen::default());
    for piece in pieces {
        scanner.feed(piece, &mut seen);
    }
    (seen.events, scanner.is_mid_event())
}

/// The rules of the specification on a whole buffer, with the line ends normalised first.
fn reference(stream: &[u8]) -> Vec<Event> {
    let stream = stream.strip_prefix(&MARK).unwrap_or(stream);
    // One char for each byte, so that the text tools apply; the same table back again gives the
    // bytes.
    let text: String = stream.iter().map(|byte| char::from(*byte)).collect();
    let bytes = |text: &str| {
        text.chars()
            .map(|c| u8::try_from(c).unwrap())
            .collect::<Vec<u8>>()
    };
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let Some((complete, _)) = text.rsplit_once('\n') else {
        return Vec::new();
    };
    let (mut events, mut data, mut name) = (Vec::new(), Vec::new(), String::new());
    for line in complete.split('\n') {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "event" => name = value.to_owned(),
            "" if line.is_empty() => {
                let name = std::mem::take(&mut name);
                if !data.is_empty() {
                    let short = bytes(&name)
                        .into_iter()
                        .take(MAX_NAME_BYTES)
                        .collect::<Vec<_>>();
                    let valid = short
                        .utf8_chunks()
                        .next()
                        .map(|c| c.valid().to_owned())
                        .filter(|n| !n.is_empty());
                    events.push((valid, bytes(&std::mem::take(&mut data).join("\n"))));
                }
            }
            _ => {}
        }
    }
    events
}

/// Events and the documents between them, in the order in which they end; a document ends with its
/// line.
fn scan_documents<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut scanner, mut seen) = (SseScanner::default(), Seen::default());
    let (mut lines, mut document) = (Vec::new(), None::<Vec<u8>>);
    for mut piece in pieces {
        while !piece.is_empty() {
            if let Some(bytes) = &mut document {
                let end = piece
                    .iter()
                    .position(|byte| *byte == b'\n')
                    .unwrap_or(piece.len());
                bytes.extend_from_slice(&piece[..end]);
                piece = &piece[end..];
                lines.extend(
                    (!piece.is_empty())
                        .then(|| String::from_utf8(document.take().unwrap()).unwrap()),
                );
            } else {
                piece = scanner.feed_to_document(piece, &mut seen);
                lines.extend(
                    seen.events
                        .drain(..)
                        .map(|(_, data)| String::from_utf8(data).unwrap()),
                );
                document = (!piece.is_empty()).then(Vec::new);
            }
        }
    }
    lines
}

#[test]
fn a_document_that_begins_a_line_is_left_to_its_reader() {
    let stream = "data: one\n\n{\"a\":1}\ndata: two\n [2]\nx{}\n: {}\ndata: {3}\n\n";
    let expected = ["one", "{\"a\":1}", "two", "[2]", "{3}"];
    assert_eq!(scan_documents([stream.as_bytes()]), expected);
    assert_eq!(scan_documents(stream.as_bytes().chunks(1)), expected);
    assert_eq!(
        scan([stream.as_bytes()]).0,
        data(&["one", "two\n{3}"]),
        "as an agent reads it"
    );
}

fn data(texts: &[&str]) -> Vec<Event> {
    texts
        .iter()
        .map(|text| (None, text.as_bytes().to_vec()))
        .collect()
}

#[test]
fn every_rule_by_example() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        ("\n\n\r\r\r\n", &[]),
        ("data: a\n\n", &["a"]),
        ("data:a\n\ndata:  b\n\n", &["a", " b"]),
        ("data: a\r\n\r\ndata: b\r\rdata: c\n\r\n", &["a", "b", "c"]),
        ("data: a\ndata: b\ndata:\ndata\n\n", &["a\nb\n\n"]),
        ("data\n\n", &[""]),
        ("data:\n\n", &[""]),
        (": comment\ndata: a\n:\n: data: b\n\n", &["a"]),
        (
            "id: 1\nretry: 5\nDATA: x\ndatax: y\ndat: z\n data: w\n\n",
            &[],
        ),
        ("data: a:b: c\n\n", &["a:b: c"]),
        ("\u{feff}data: a\n\n", &["a"]),
        ("\u{feff}\u{feff}data: a\n\n", &[]),
        ("data: a\n\n\u{feff}data: b\n\n", &["a"]),
        ("data: a\n", &[]),
        ("data: a\n\ndata: b", &["a"]),
        ("data: h\u{e9}llo \u{1f600}\n\n", &["h\u{e9}llo \u{1f600}"]),
    ];
    for (stream, expected) in cases {
        assert_eq!(scan([stream.as_bytes()]).0, data(expected), "{stream:?}");
        assert_eq!(
            reference(stream.as_bytes()),
            data(expected),
            "the reference on {stream:?}"
        );
    }
}

#[test]
fn names_belong_to_their_event_and_are_bounded() {
    let long = "x".repeat(MAX_NAME_BYTES + 10);
    let stream = format!(
        "event: a\nevent:b\ndata: 1\n\ndata: 2\n\nevent: c\n\ndata: 3\n\nevent\ndata: 4\n\nevent: {long}\ndata\n\n"
    );
    let names: Vec<_> = scan([stream.as_bytes()])
        .0
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            Some("b".to_owned()),
            None,
            None,
            None,
            Some("x".repeat(MAX_NAME_BYTES))
        ]
    );
}

#[test]
fn the_end_of_the_stream_inside_an_event_is_noticed() {
    for whole in [
        "",
        "\u{feff}",
        "data: a\n\n",
        "data: a\r\r",
        "event: x\n",
        "data: a\n\n: ping",
        "data: a\n\nid: 3",
    ] {
        assert!(!scan([whole.as_bytes()]).1, "{whole:?}");
    }
    for cut in [
        "data: a\n",
        "data: a",
        "data",
        "da",
        "event: x",
        "data: a\r",
        "event: x\ndata:",
        "data: a\n: ping",
    ] {
        assert!(scan([cut.as_bytes()]).1, "{cut:?}");
    }
}

#[test]
fn an_endless_event_passes_without_being_kept() {
    struct Count(usize);
    impl SseEvents for Count {
        fn data(&mut self, fragment: &[u8]) {
            self.0 += fragment.len();
        }
        fn dispatch(&mut self, _: Option<&str>) {}
    }
    let (mut scanner, mut count) = (SseScanner::default(), Count(0));
    scanner.feed(b"data: ", &mut count);
    for _ in 0..1000 {
        scanner.feed(&[b'x'; 16 << 10], &mut count);
    }
    assert_eq!(count.0, 1000 * (16 << 10));
    assert!(
        size_of::<SseScanner>() < 256,
        "all that the scanner ever keeps"
    );
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let token = prop_oneof![
        8 => prop::sample::select(vec!["data", "data:", "data: ", "event:", "event: e", ":", "id: 1", "\u{feff}", "x"]),
        8 => prop::sample::select(vec!["\n", "\r", "\r\n", "\n\n", "\r\n\r\n", " ", "\u{1f600}"]),
    ];
    let text = prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes());
    prop_oneof![4 => text, 1 => prop::collection::vec(any::<u8>(), 0..100)]
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn any_chunking_gives_what_the_specification_says(stream in stream(), size in 1..9usize, cut in any::<prop::sample::Index>()) {
        let expected = reference(&stream);
        let whole = scan([&stream[..]]);
        prop_assert_eq!(&whole.0, &expected);
        prop_assert_eq!(&scan(stream.chunks(size)), &whole);
        let (head, tail) = stream.split_at(cut.index(stream.len() + 1));
        prop_assert_eq!(&scan([head, b"", tail]), &whole);
    }
}
