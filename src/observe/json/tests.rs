use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value as Tree, json};

use super::*;

const LISTED: [&str; 12] = [
    "", "a", "a.b", "a.b.c", "a[]", "a[].b", "[]", "[].a", "[][]", "b", "b.a[].c", "é",
];

static PATHS: LazyLock<Paths<&'static str>> =
    LazyLock::new(|| Paths::new(LISTED.map(|path| (path, path))));

/// Everything handed out as `path=value`, and how the reading ended.
fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Status) {
    let mut reader = PathReader::new(&PATHS);
    let mut seen = Vec::new();
    let mut on = |path: &str, value: Value<'_>| seen.push(show(path, value));
    for piece in pieces {
        reader.feed(piece, &mut on);
    }
    let status = reader.finish(&mut on);
    (seen, status)
}

fn show(path: &str, value: Value<'_>) -> String {
    match value {
        Value::Array => format!("{path}=["),
        Value::Bool(bool) => format!("{path}={bool}"),
        Value::End => format!("{path}=end"),
        Value::Key(key) => format!("{path}=key {key:?}"),
        Value::Null => format!("{path}=null"),
        Value::Number(text) => format!("{path}={text}"),
        Value::Object => format!("{path}={{"),
        Value::String { text, cut } => format!("{path}={text:?}{}", if cut { ".." } else { "" }),
    }
}

/// Every document of a text that holds several, one after the other.
#[test]
fn what_follows_a_document_is_given_back() {
    let text = "{\"a\":1}[{\"a\":2}]\n{\"a\":\"}\"}x";
    for size in [1, 2, 3, text.len()] {
        let (mut reader, mut seen, mut rests) = (PathReader::new(&PATHS), Vec::new(), Vec::new());
        for mut piece in text.as_bytes().chunks(size) {
            while !piece.is_empty() {
                piece =
                    reader.feed_document(piece, &mut |path, value| seen.push(show(path, value)));
                if reader.status() != Status::Incomplete {
                    rests.extend(piece.first().copied());
                    piece = piece
                        .split_at(
                            piece
                                .iter()
                                .take_while(|byte| !b"{[".contains(byte))
                                .count(),
                        )
                        .1;
                    reader.reset();
                }
            }
        }
        let numbers: Vec<_> = seen
            .iter()
            .filter(|line| line.starts_with("a=") || line.starts_with("[].a="))
            .collect();
        assert_eq!(numbers, ["a=1", "[].a=2", "a=\"}\""], "in pieces of {size}");
        if size == text.len() {
            assert_eq!(rests, [b'[', b'\n', b'x']);
        }
    }
}

fn read_text(document: &str) -> (Vec<String>, Status) {
    read([document.as_bytes()])
}

#[test]
fn values_come_in_document_order_with_repeated_keys() {
    let (seen, status) =
        read_text(r#" {"a":{"b":1,"x":{"b":2}},"b":true,"a":[{"b":"x"},null,[7]],"a":-1.5e3} "#);
    let expected = [
        "={",
        "a={",
        "a.b=1",
        "a=end",
        "b=true",
        "a=[",
        "a[]={",
        "a[].b=\"x\"",
        "a[]=end",
        "a[]=null",
        "a[]=[",
        "a[]=end",
        "a=end",
        "a=-1.5e3",
        "=end",
    ];
    assert_eq!(
        (seen, status),
        (expected.map(str::to_owned).to_vec(), Status::Complete)
    );
}

#[test]
fn only_the_exact_place_matches() {
    for document in [
        r#"{"x":"{\"a\":1}","ab":1,"A":1,"a ":1}"#,
        r#"{"x":{"a":1},"y":[{"a":1,"b":2}]}"#,
        r#"{"a.b":1,"a[]":1,"":{"a":1}}"#,
    ] {
        assert_eq!(read_text(document).0, ["={", "=end"], "{document}");
    }
}

#[test]
fn a_star_stands_for_every_key_that_is_not_listed() {
    static STARRED: LazyLock<Paths<&'static str>> = LazyLock::new(|| {
        Paths::new(["m.*", "m.*.n", "m.listed", "*.only"].map(|path| (path, path)))
    });
    let long = "k".repeat(MAX_TEXT_BYTES + 1);
    let document = format!(
        r#"{{"m":{{"a":{{"n":1,"x":2}},"listed":{{"n":3}},"\u0062":"B","{long}":4}},"y":{{"only":5}},"m2":[{{"only":6}}]}}"#
    );
    let expected = [
        r#"m.*=key "a""#,
        "m.*={",
        "m.*.n=1",
        "m.*=end",
        "m.listed={",
        "m.listed=end",
        r#"m.*=key "b""#,
        r#"m.*="B""#,
        "*.only=5",
    ];
    for size in [1, 7, document.len()] {
        let mut reader = PathReader::new(&STARRED);
        let mut seen = Vec::new();
        for piece in document.as_bytes().chunks(size) {
            reader.feed(piece, &mut |path, value| seen.push(show(path, value)));
        }
        assert_eq!(
            (seen, reader.status()),
            (expected.map(str::to_owned).to_vec(), Status::Complete)
        );
    }
}

#[test]
fn keys_match_decoded() {
    let long = "a".repeat(MAX_TEXT_BYTES + 1);
    let document = format!(
        r#"{{"\u0061":{{"\u0062":1}},"\u00e9":2,"é":3,"{long}":4,"a\u0000":5,"\ud83d":6}}"#
    );
    let seen = read_text(&document).0;
    assert_eq!(seen, ["={", "a={", "a.b=1", "a=end", "é=2", "é=3", "=end"]);
}

#[test]
fn strings_are_decoded_and_cut() {
    let cases = [
        (r#""""#.to_owned(), r#"="""#.to_owned()),
        (
            r#""\"\\\/\b\f\n\r\t""#.into(),
            format!("={:?}", "\"\\/\u{8}\u{c}\n\r\t"),
        ),
        (
            r#""h\u00e9 \ud83d\ude00é""#.into(),
            format!("={:?}", "hé 😀é"),
        ),
        (
            r#""\ud83dx\ud83d\ud83d\ude00\ude00\ud83d""#.into(),
            format!("={:?}", "\u{fffd}x\u{fffd}😀\u{fffd}\u{fffd}"),
        ),
        (
            format!("{:?}", "x".repeat(256)),
            format!("={:?}", "x".repeat(256)),
        ),
        (
            format!("{:?}", "x".repeat(257)),
            format!("={:?}..", "x".repeat(256)),
        ),
        (
            format!("\"{}é\"", "x".repeat(255)),
            format!("={:?}..", "x".repeat(255)),
        ),
    ];
    for (document, expected) in cases {
        assert_eq!(
            read_text(&document),
            (vec![expected.clone()], Status::Complete),
            "{document}"
        );
        assert_eq!(
            read(document.as_bytes().chunks(1)).0,
            [expected],
            "{document}"
        );
    }
    assert_eq!(
        read([&b"\"ab\xffcd\""[..]]).0,
        ["=\"ab\".."],
        "text ends where it is not UTF-8"
    );
}

#[test]
fn numbers_too_long_to_keep_are_not_handed_out() {
    let digits = "7".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(read_text(&digits), (vec![], Status::Complete));
    assert_eq!(
        read_text(&digits[1..]),
        (vec![format!("={}", &digits[1..])], Status::Complete)
    );
}

#[test]
fn wrong_and_unfinished_are_told_apart() {
    for malformed in [
        "x",
        "]",
        "}",
        ",",
        ":",
        "{]",
        "[}",
        "[,]",
        "[1,]",
        "[1 2]",
        "{,}",
        "{1:2}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "--1",
        "1x",
        "tru e",
        "truex",
        "nul]",
        "[tru]",
        r#""\x""#,
        r#""\u12g4""#,
        "{} {}",
        "1 2",
        "[]]",
        "'a'",
        "\u{feff}{}",
    ] {
        assert_eq!(read_text(malformed).1, Status::Malformed, "{malformed}");
        assert!(
            serde_json::from_str::<Tree>(malformed).is_err(),
            "{malformed}"
        );
    }
    for unfinished in [
        "",
        " ",
        "{",
        "[",
        r#"{"a"#,
        r#"{"a""#,
        r#"{"a":"#,
        r#"{"a":1"#,
        r#"{"a":1,"#,
        "[1",
        "[1,",
        "\"",
        r#""\"#,
        r#""\u12"#,
    ] {
        let mut reader = PathReader::new(&PATHS);
        assert_eq!(
            reader.feed(unfinished.as_bytes(), &mut |_, _| {}),
            Status::Incomplete,
            "{unfinished}"
        );
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(read_text(&nested(MAX_DEPTH)).1, Status::Complete);
    assert_eq!(read_text(&nested(MAX_DEPTH + 1)).1, Status::Malformed);
    let mut reader = PathReader::new(&PATHS);
    reader.feed("{\"a\":".repeat(1_000_000).as_bytes(), &mut |_, _| {});
    assert!(
        reader.open.capacity() <= 2 * MAX_DEPTH,
        "the stack does not grow with hostile nesting"
    );
}

#[test]
fn a_reader_can_begin_again() {
    let mut reader = PathReader::new(&PATHS);
    assert!(!reader.has_begun());
    reader.feed(br#" {"a":{"b":"#, &mut |_, _| {});
    assert!(reader.has_begun());
    reader.reset();
    assert!(!reader.has_begun());
    let mut seen = Vec::new();
    let status = reader.feed(br#"{"b":1}"#, &mut |path, value| {
        seen.push(show(path, value))
    });
    assert_eq!(
        (seen.join(" "), status),
        ("={ b=1 =end".to_owned(), Status::Complete)
    );
}

/// What one reader hands out for a stream of documents, and new ones for each.
fn read_stream(documents: &[Vec<u8>]) -> [Vec<(Vec<String>, Status)>; 2] {
    let mut reader = PathReader::new(&PATHS);
    let mut feed = |document: &[u8]| {
        let mut seen = Vec::new();
        reader.reset();
        let status = reader.feed(document, &mut |path, value| seen.push(show(path, value)));
        (seen, status)
    };
    let at_once = documents.iter().map(|document| feed(document)).collect();
    let alone = |document: &Vec<u8>| {
        let mut seen = Vec::new();
        let mut reader = PathReader::new(&PATHS);
        let status = reader.feed(document, &mut |path, value| seen.push(show(path, value)));
        (seen, status)
    };
    [at_once, documents.iter().map(alone).collect()]
}

#[test]
fn documents_that_repeat_are_read_like_any_other() {
    let long = format!("{:?}", "x".repeat(MAX_TEXT_BYTES + 1));
    let digits = "7".repeat(MAX_TEXT_BYTES + 1);
    let documents = [
        "\"x\"",
        "\"\"",
        r#""_""#,
        r#""\u00e9\n""#,
        r#""\q""#,
        r#""\""#,
        "1",
        "-1.5e3",
        "01",
        "1.",
        "-",
        "null",
        "{}",
        &long,
        &digits,
    ];
    let documents =
        documents.map(|value| format!(r#"{{"a":{value},"x":[{value},"y"],"b":{value}}}"#));
    let each_after_each = documents
        .iter()
        .flat_map(|one| documents.iter().flat_map(move |other| [one, one, other]));
    let stream: Vec<_> = each_after_each
        .map(|document| document.clone().into_bytes())
        .collect();
    let [repeated, alone] = read_stream(&stream);
    for ((document, repeated), alone) in stream.iter().zip(repeated).zip(alone) {
        assert_eq!(repeated, alone, "{}", String::from_utf8_lossy(document));
    }
}

#[test]
fn documents_that_differ_in_strings_and_numbers_are_of_one_shape() {
    let mut reader = PathReader::new(&PATHS);
    let document = |string: &str, number: &str| {
        format!(r#"{{"a":"{string}","x":["{string}",{number}],"b":{number}}}"#)
    };
    for _ in 0..2 {
        reader.reset();
        reader.feed(document("text", "12").as_bytes(), &mut |_, _| {});
    }
    let long = "x".repeat(300);
    for (string, number) in [
        ("text", "12"),
        ("texts", "123"),
        ("", "1"),
        ("t\\n\\u00e9", "-0.5e3"),
        (&long, "12"),
    ] {
        let document = document(string, number);
        let mut seen = Vec::new();
        let on = &mut |path: &str, value: Value<'_>| seen.push(show(path, value));
        assert_eq!(
            reader
                .repetition
                .as_mut()
                .unwrap()
                .read(document.as_bytes(), &mut reader.text, on),
            Some(document.len()),
            "{document}"
        );
        assert_eq!(seen, read_text(&document).0);
    }
    for other in [
        "{}",
        r#"{"a":1,"x":["text",12],"b":12}"#,
        r#"{"a":"text","x":["text",12],"b":12"#,
    ] {
        let read = reader.repetition.as_mut().unwrap().read(
            other.as_bytes(),
            &mut reader.text,
            &mut |_, _| {},
        );
        assert_eq!(read, None, "{other}");
    }
}

#[test]
fn elements_that_repeat_are_read_like_any_other() {
    let long = format!("{:?}", "x".repeat(MAX_TEXT_BYTES + 1));
    let values = [
        "\"x\"",
        r#""\u00e9\n""#,
        "1",
        "-1.5e3",
        "null",
        "{}",
        "[]",
        &long,
    ];
    let elements = values.map(|value| format!(r#"{{"a":{value},"x":[{{"a":{value}}}],"b":2}}"#));
    let each_after_each = elements
        .iter()
        .flat_map(|one| elements.iter().flat_map(move |other| [one, one, other]));
    let document = format!(
        "[{}]",
        each_after_each.cloned().collect::<Vec<_>>().join(",\r\n")
    );
    let read = |pieces: Vec<&[u8]>| {
        let (mut reader, mut seen) = (PathReader::new(&PATHS), Vec::new());
        for piece in pieces {
            reader.feed(piece, &mut |path, value| seen.push(show(path, value)));
        }
        let is_learned = format!("{:?}", reader.elements).contains("document");
        (seen, reader.status(), is_learned)
    };
    let (expected, status, is_learned) = read(document.as_bytes().chunks(1).collect());
    assert_eq!((status, is_learned), (Status::Complete, false));
    let sizes = [2, 7, 64, document.len()].map(|size| document.as_bytes().chunks(size).collect());
    let by_line = document
        .as_bytes()
        .split_inclusive(|byte| *byte == b'\r')
        .collect();
    for pieces in sizes.into_iter().chain([by_line]) {
        let (seen, status, _) = read(pieces);
        assert_eq!((&seen, status), (&expected, Status::Complete));
    }
    assert!(
        read(vec![document.as_bytes()]).2,
        "elements have been compared"
    );
}

#[test]
fn lasting_values_are_left_out_only_where_they_repeat() {
    static LASTING: LazyLock<Paths<&str>> =
        LazyLock::new(|| Paths::new([("a", "a"), ("b", "b")]).lasting(|tag| tag == "a"));
    let mut reader = PathReader::new(&LASTING);
    let mut read = |document: &str| {
        reader.reset();
        let mut seen = Vec::new();
        reader.feed(document.as_bytes(), &mut |tag, value| {
            seen.push(show(tag, value))
        });
        seen.join(" ")
    };
    let of = |a, b| format!(r#"{{"a":{a},"b":{b}}}"#);
    for (document, seen) in [
        (of(1, 1), "a=1 b=1"),
        (of(1, 1), "b=1"),
        (of(1, 2), "b=2"),
        (of(3, 2), "a=3 b=2"),
        // The same as in the document that was learned, but not as in the one before.
        (of(1, 2), "a=1 b=2"),
        (of(1, 2), "b=2"),
        (r#"{"a":7}"#.to_owned(), "a=7"),
        (of(1, 2), "a=1 b=2"),
        (of(1, 2), "b=2"),
    ] {
        assert_eq!(read(&document), seen, "{document}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_kept_of_documents_that_repeat() {
    let mut reader = PathReader::new(&PATHS);
    for _ in 0..3 {
        reader.reset();
        reader.feed(
            br#"{"secret":"canary","a":{"x":["canary"]},"b":1}"#,
            &mut |_, _| {},
        );
    }
    let kept = format!("{:?}", reader.repetition);
    let canary = format!("{:?}", b"canary");
    assert!(
        kept.contains("document") && !kept.contains(canary.trim_matches(['[', ']'])),
        "{kept}"
    );
}

#[test]
fn what_is_not_asked_for_is_not_kept() {
    let document = br#"{"secret":"canary","a":{"x":"canary"},"canary":["#;
    for size in [1, 7, document.len()] {
        let mut reader = PathReader::new(&PATHS);
        for piece in document.chunks(size) {
            reader.feed(piece, &mut |_, _| {});
        }
        assert!(
            !reader
                .text
                .kept()
                .windows(6)
                .any(|window| window == b"canary"),
            "{size} at once"
        );
    }
    assert!(size_of::<PathReader<&str>>() < 512);
}

/// What must be handed out for a tree at a path of the table, if it is in the table.
fn expect(tree: &Tree, path: Option<String>, seen: &mut Vec<String>) {
    let listed = path.clone().filter(|path| LISTED.contains(&path.as_str()));
    let mut say = |value: Value<'_>| seen.extend(listed.as_ref().map(|path| show(path, value)));
    let join = |key: &str| {
        path.as_ref()
            .filter(|_| !key.is_empty() && !key.contains(['.', '[']))
            .map(|path| {
                if path.is_empty() {
                    key.to_owned()
                } else {
                    format!("{path}.{key}")
                }
            })
    };
    match tree {
        Tree::Null => say(Value::Null),
        Tree::Bool(bool) => say(Value::Bool(*bool)),
        Tree::Number(number) => say(Value::Number(&number.to_string())),
        Tree::String(text) => say(Value::String { text, cut: false }),
        Tree::Array(elements) => {
            say(Value::Array);
            elements.iter().for_each(|element| {
                expect(element, path.as_ref().map(|path| format!("{path}[]")), seen)
            });
            seen.extend(listed.map(|path| show(&path, Value::End)));
        }
        Tree::Object(members) => {
            say(Value::Object);
            members
                .iter()
                .for_each(|(key, value)| expect(value, join(key), seen));
            seen.extend(listed.map(|path| show(&path, Value::End)));
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Tree::from),
        any::<i64>().prop_map(Tree::from),
        any::<f64>().prop_map(Tree::from),
        "\\PC{0,20}".prop_map(Tree::from),
        Just(json!("{\"a\":{\"b\":1}}\n\u{1}\u{1f600}")),
    ];
    let key = prop_oneof![8 => prop::sample::select(vec!["a", "b", "c", "é"]).prop_map(str::to_owned), 1 => "\\PC{0,6}"];
    leaf.prop_recursive(6, 60, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::from),
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| Tree::Object(members.into_iter().collect())),
        ]
    })
}

/// The document with every character of its strings outside printable ASCII escaped.
fn ascii(document: &str) -> String {
    let escape = |c: char| match c {
        ' '..='~' | '\n' => c.to_string(),
        _ => c
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04X}"))
            .collect(),
    };
    document.chars().map(escape).collect()
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn agrees_with_serde_json_for_every_chunking(tree in tree(), size in 1..9usize) {
        let mut expected = Vec::new();
        expect(&tree, Some(String::new()), &mut expected);
        let compact = serde_json::to_string(&tree).unwrap();
        let pretty = serde_json::to_string_pretty(&tree).unwrap();
        for document in [&compact, &pretty, &ascii(&compact)] {
            prop_assert_eq!(&read_text(document), &(expected.clone(), Status::Complete));
            prop_assert_eq!(&read(document.as_bytes().chunks(size)).0, &expected);
        }
    }

    #[test]
    fn documents_that_nearly_repeat_are_read_like_any_other(
        tree in tree(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, prop::sample::select(vec!["", "\"", "\\", "1", "x", ",", "{", "]", "é", "\\n", ".", "-", "e", "\"a\":2"])), 1..12),
    ) {
        let document = serde_json::to_vec(&tree).unwrap();
        let edited = |(at, removed, inserted): (prop::sample::Index, usize, &str)| {
            let mut edited = document.clone();
            let at = at.index(edited.len());
            edited.splice(at..(at + removed).min(document.len()), inserted.bytes());
            [document.clone(), edited]
        };
        let stream: Vec<_> = [document.clone(), document.clone()].into_iter().chain(edits.into_iter().flat_map(edited)).collect();
        let [repeated, alone] = read_stream(&stream);
        prop_assert_eq!(repeated, alone);
    }

    /// What is behind each is left alone, be it on the same line or on the next one.
    #[test]
    fn bare_documents_that_nearly_repeat_are_read_like_any_other(
        tree in tree(),
        numbers in prop::collection::vec(any::<u8>(), 1..8),
        behind in prop::sample::select(vec!["", "\n", "\r\n", " \n", "\u{c}", "{}", "\n{}", ",x", "\n\n[1]"]),
    ) {
        let document = |number: &u8| format!("{{\"a\":{number},\"x\":{tree}}}{behind}");
        let read = |reader: &mut PathReader<&'static str>, text: &str| {
            let mut seen = Vec::new();
            let rest = reader.feed_document(text.as_bytes(), &mut |path, value| seen.push(show(path, value)));
            (seen, String::from_utf8_lossy(rest).into_owned(), reader.status())
        };
        let mut of_stream = PathReader::new(&PATHS);
        for text in numbers.iter().map(document) {
            of_stream.reset();
            let alone = read(&mut PathReader::new(&PATHS), &text);
            prop_assert_eq!(read(&mut of_stream, &text), alone);
        }
    }

    #[test]
    fn judges_any_tokens_as_serde_json_does(
        tokens in prop::collection::vec(prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"a\"", "1", "0", "-", ".", "e", "true", "null", " ", "\"\\n\""]), 0..12),
        size in 1..5usize,
    ) {
        let document = tokens.concat();
        let whole = read_text(&document);
        prop_assert_eq!(whole.1 == Status::Complete, serde_json::from_str::<serde::de::IgnoredAny>(&document).is_ok(), "{}", document);
        prop_assert_eq!(read(document.as_bytes().chunks(size)), whole);
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let whole = read([&bytes[..]]);
        prop_assert_eq!(read(bytes.chunks(1)), whole);
    }
}
