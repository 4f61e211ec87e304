use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::limit::MAX_STEP;
use super::*;

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(plain: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(plain, 3).unwrap()
}

pub(crate) fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut encoder = ::brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
    encoder.write_all(plain).unwrap();
    encoder.into_inner()
}

fn decoder(codings: &[&str]) -> Decoder {
    Decoder::new(
        &codings
            .iter()
            .map(|coding| (*coding).to_owned())
            .collect::<Vec<_>>(),
        &Memory::default(),
    )
    .unwrap()
}

/// Feeds the pieces and returns what came out, whether the data are complete, and the first error.
fn decode<'a>(
    codings: &[&str],
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, bool, Option<CodingError>) {
    let mut decoder = decoder(codings);
    let mut plain = Vec::new();
    let error = pieces.into_iter().find_map(|piece| {
        decoder
            .feed(piece, &mut |out| plain.extend_from_slice(out))
            .err()
    });
    (plain, decoder.is_complete(), error)
}

/// `{"answer":"aa...a"}` with a hundred times `a`, written by the brotli of node (quality 5).
const BROTLI: &[u8] = include_bytes!("testdata/answer.br");
const BROTLI_PLAIN: &[u8] = include_bytes!("testdata/answer.json");
/// 64 MiB of zeros.
const BROTLI_BOMB: &[u8] = include_bytes!("testdata/bomb.br");

fn samples() -> Vec<(Vec<&'static str>, Vec<u8>, Vec<u8>)> {
    let plain = b"data: {\"text\":\"h\xc3\xa9llo\"}\n\n".repeat(40);
    let members = [gzip(&plain), gzip(b""), gzip(b"tail")].concat();
    vec![
        (vec![], plain.clone(), plain.clone()),
        (vec!["identity"], plain.clone(), plain.clone()),
        (vec!["none"], plain.clone(), plain.clone()),
        (vec!["utf-8", "binary"], plain.clone(), plain.clone()),
        (vec!["none", "gzip"], gzip(&plain), plain.clone()),
        (vec!["identity"], gzip(&plain), plain.clone()),
        (vec![], gzip(&plain), plain.clone()),
        (vec!["gzip"], gzip(&plain), plain.clone()),
        (vec!["x-gzip"], members, [&plain[..], b"tail"].concat()),
        (vec!["deflate"], zlib(&plain), plain.clone()),
        (vec!["deflate"], raw_deflate(&plain), plain.clone()),
        (
            vec!["zstd"],
            [zstd(&plain), zstd(b"tail")].concat(),
            [&plain[..], b"tail"].concat(),
        ),
        (vec!["br"], BROTLI.to_vec(), BROTLI_PLAIN.to_vec()),
        (vec!["gzip", "zstd"], zstd(&gzip(&plain)), plain.clone()),
        (
            vec!["zstd", "gzip"],
            gzip(&[zstd(&plain), zstd(b"tail")].concat()),
            [&plain[..], b"tail"].concat(),
        ),
        (vec!["deflate", "gzip"], gzip(&zlib(&plain)), plain.clone()),
        (vec!["br", "gzip"], gzip(BROTLI), BROTLI_PLAIN.to_vec()),
        (vec!["gzip", "identity", "gzip"], gzip(&gzip(&plain)), plain),
    ]
}

#[test]
fn every_coding_is_taken_off_at_every_cut() {
    for (codings, coded, plain) in samples() {
        assert_eq!(
            decode(&codings, coded.chunks(1)),
            (plain.clone(), true, None),
            "{codings:?}"
        );
        for cut in 0..=coded.len() {
            let (head, tail) = coded.split_at(cut);
            assert_eq!(
                decode(&codings, [head, tail]),
                (plain.clone(), true, None),
                "{codings:?} at {cut}"
            );
        }
    }
}

#[test]
fn a_body_cut_short_is_incomplete_not_damaged() {
    for (codings, coded, plain) in samples()
        .into_iter()
        .filter(|(_, coded, plain)| coded != plain)
    {
        let (head, _) = coded.split_at(coded.len() - 1);
        let (out, complete, error) = decode(&codings, [head]);
        assert!(
            plain.starts_with(&out) && !complete && error.is_none(),
            "{codings:?}"
        );
        assert!(
            decode(&codings, [&b""[..]]).1,
            "an empty body is complete in {codings:?}"
        );
    }
}

#[test]
fn bytes_come_out_as_soon_as_they_can_be_decoded() {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    let mut zst = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    for (coding, encoder) in [("gzip", &mut gz as &mut dyn Encoder), ("zstd", &mut zst)] {
        let mut decoder = decoder(&[coding]);
        for event in ["data: 1\n\n", "data: 22\n\n"] {
            let mut out = Vec::new();
            decoder
                .feed(&encoder.flushed(event.as_bytes()), &mut |bytes| {
                    out.extend_from_slice(bytes)
                })
                .unwrap();
            assert_eq!(out, event.as_bytes(), "{coding}");
        }
    }
}

trait Encoder {
    fn flushed(&mut self, plain: &[u8]) -> Vec<u8>;
}

impl Encoder for GzEncoder<Vec<u8>> {
    fn flushed(&mut self, plain: &[u8]) -> Vec<u8> {
        self.write_all(plain).unwrap();
        self.flush().unwrap();
        std::mem::take(self.get_mut())
    }
}

impl Encoder for ::zstd::stream::write::Encoder<'_, Vec<u8>> {
    fn flushed(&mut self, plain: &[u8]) -> Vec<u8> {
        self.write_all(plain).unwrap();
        self.flush().unwrap();
        std::mem::take(self.get_mut())
    }
}

#[test]
fn optional_gzip_header_fields_are_skipped() {
    let plain = gzip(b"x");
    let header = |flags, fields: &[u8]| {
        [&plain[..3], &[flags], &plain[4..10], fields, &plain[10..]].concat()
    };
    let all = header(0b1_1110, b"\x03\x00abcname\0comment\0\x12\x34");
    let empty_extra = header(0b0_0100, b"\x00\x00");
    for coded in [all, empty_extra] {
        assert_eq!(
            decode(&["gzip"], coded.chunks(1)),
            (b"x".to_vec(), true, None)
        );
    }
}

/// Of the two signs of a zlib stream, a raw one may have either.
#[test]
fn raw_deflate_that_looks_half_like_zlib_is_raw() {
    let by_chance = (0..1000).map(|number| number.to_string().into_bytes());
    let divisible = by_chance
        .map(|plain| (raw_deflate(&plain), plain))
        .find(|(coded, _)| u16::from_be_bytes([coded[0], coded[1]]).is_multiple_of(31))
        .unwrap();
    // A stored block whose padding has a bit of "method 8": five bits are skipped, whatever they are.
    let stored = (
        b"\x08\x05\x00\xfa\xffhello\x03\x00".to_vec(),
        b"hello".to_vec(),
    );
    assert!(divisible.0[0] & 0x0f != 8 && !0x0805_u16.is_multiple_of(31));
    for (coded, plain) in [divisible, stored] {
        assert_eq!(
            decode(&["deflate"], [coded.as_slice()]),
            (plain, true, None),
            "{coded:x?}"
        );
    }
}

#[test]
fn damage_is_final() {
    let mut bad_sum = gzip(b"hello");
    *bad_sum.iter_mut().rev().nth(5).unwrap() ^= 1;
    let trailing = [raw_deflate(b"hello"), b"x".to_vec()].concat();
    let cases: [(&str, &[u8]); 6] = [
        ("gzip", b"data: not gzip"),
        ("gzip", &bad_sum),
        ("deflate", &trailing),
        ("deflate", b"\x07\xff\xff"),
        ("br", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("zstd", b"not zstd at all"),
    ];
    for (coding, coded) in cases {
        let mut decoder = decoder(&[coding]);
        assert_eq!(
            decoder.feed(coded, &mut |_| {}),
            Err(CodingError::Damaged),
            "{coding}"
        );
        let silent = &mut |_: &[u8]| panic!("nothing comes out after an error");
        assert_eq!(
            decoder.feed(&gzip(b"hello"), silent),
            Err(CodingError::Damaged)
        );
        assert!(!decoder.is_complete());
    }
}

#[test]
fn unknown_codings_and_deep_stacks_are_unsupported() {
    let names = |codings: &[&str]| {
        codings
            .iter()
            .map(|coding| (*coding).to_owned())
            .collect::<Vec<_>>()
    };
    let new = |codings: &[&str]| Decoder::new(&names(codings), &Memory::default()).err();
    assert_eq!(new(&["compress"]), Some(CodingError::Unsupported));
    assert_eq!(
        new(&["gzip", "gzip", "gzip"]),
        Some(CodingError::Unsupported)
    );
    assert_eq!(
        new(&["identity", "gzip", "identity", "br", "identity"]),
        None
    );
}

#[test]
fn bombs_stop_at_the_ratio_in_small_pieces() {
    let zeros = vec![0; 64 << 20];
    let nested = gzip(&gzip(&zeros));
    for (codings, bomb) in [
        (vec!["gzip"], gzip(&zeros)),
        (vec!["deflate"], zlib(&zeros)),
        (vec!["zstd"], zstd(&zeros)),
        (vec!["br"], BROTLI_BOMB.to_vec()),
        (vec!["gzip", "gzip"], nested),
    ] {
        let (mut total, mut largest) = (0, 0);
        let mut measure = |out: &[u8]| {
            total += out.len() as u64;
            largest = largest.max(out.len());
        };
        let result = decoder(&codings).feed(&bomb, &mut measure);
        assert_eq!(result, Err(CodingError::Budget), "{codings:?}");
        assert!(
            total <= RATIO_FREE.max(MAX_RATIO * bomb.len() as u64) && largest <= MAX_STEP,
            "{codings:?}"
        );
    }
}

#[test]
fn the_absolute_budget_holds_whatever_the_ratio() {
    let mut budget = Budget {
        received: u64::MAX / 2,
        unpacked: MAX_OUTPUT - 1,
    };
    assert_eq!(budget.spend(1), Ok(()));
    assert_eq!(budget.spend(1), Err(CodingError::Budget));
}

/// A stream of that window, flushed but not ended.
fn zstd_of_window(log: u32, plain: &[u8]) -> Vec<u8> {
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder
        .set_parameter(::zstd::stream::raw::CParameter::WindowLog(log))
        .unwrap();
    encoder.flushed(plain)
}

const BUDGET: usize = 1 << 20;

/// A decoder with a budget of its own.
fn metered(coding: &str, budget: usize) -> (Decoder, Memory) {
    let memory = Memory::new(budget);
    (Decoder::new(&[coding.to_owned()], &memory).unwrap(), memory)
}

fn all_is_back(memory: &Memory) -> bool {
    memory.share().cover(BUDGET).is_ok()
}

#[test]
fn windows_are_held_from_the_first_byte_that_needs_them_to_the_end_of_the_data() {
    let plain = b"{\"text\":\"hello\"}".repeat(9);
    let coded = [
        ("gzip", gzip(&plain)),
        ("deflate", zlib(&plain)),
        ("zstd", zstd(&plain)),
        ("br", BROTLI.to_vec()),
    ];
    for (coding, coded) in coded {
        let (mut decoder, memory) = metered(coding, BUDGET);
        assert!(all_is_back(&memory), "{coding}: nothing is held before");
        let (head, tail) = coded.split_at(coded.len() - 1);
        decoder.feed(head, &mut |_| {}).unwrap();
        assert!(!all_is_back(&memory), "{coding}: a window is held");
        decoder.feed(tail, &mut |_| {}).unwrap();
        assert!(
            decoder.is_complete() && all_is_back(&memory),
            "{coding}: nothing is held after"
        );

        let (mut unwanted, memory) = metered(coding, BUDGET);
        unwanted.feed(head, &mut |_| {}).unwrap();
        unwanted.ignore_rest();
        assert!(
            unwanted.is_complete() && all_is_back(&memory),
            "{coding}: nobody wants the rest"
        );
        assert_eq!(
            unwanted.feed(b"anything", &mut |_| panic!("not decoded")),
            Ok(())
        );
    }
}

#[test]
fn a_body_that_finds_no_memory_is_given_up_and_holds_none() {
    for (codings, coded, _) in samples() {
        let [coding] = codings.as_slice() else {
            continue;
        };
        if CODINGS.contains(coding) {
            let (mut decoder, memory) = metered(coding, 4 << 10);
            assert_eq!(
                decoder.feed(&coded, &mut |_| {}),
                Err(CodingError::Memory),
                "{coding}"
            );
            assert!(
                !decoder.is_complete() && memory.share().cover(4 << 10).is_ok(),
                "{coding}"
            );
        }
    }
}

#[test]
fn a_window_counts_as_it_is_filled_and_no_larger_one_is_taken_than_providers_use() {
    let plain = b"[".repeat(60 << 10);
    let (mut decoder, memory) = metered("zstd", BUDGET);
    let mut length = 0;
    decoder
        .feed(&zstd_of_window(23, &plain), &mut |piece| {
            length += piece.len()
        })
        .unwrap();
    assert!(
        length == plain.len() && !all_is_back(&memory),
        "8 MiB of window, of which little is used"
    );
    let (mut decoder, memory) = metered("zstd", BUDGET);
    assert_eq!(
        decoder.feed(&zstd_of_window(24, &plain), &mut |_| {}),
        Err(CodingError::Memory)
    );
    assert!(all_is_back(&memory));
    // A window of 16 MiB, of which a block of 2 MiB takes as much, and one of 8 MiB more than is
    // taken.
    for (announced, fed) in [
        (b"\xcf\xff\xff\x8f[", Ok(())),
        (b"\xcf\xff\xff\xbf[", Err(CodingError::Memory)),
    ] {
        let (mut decoder, _) = metered("br", usize::MAX);
        assert_eq!(decoder.feed(announced, &mut |_| {}), fed);
    }
}

/// An array of words that cannot be compressed, with so many blanks between them that the whole is no
/// bomb yet.
fn dense(length: usize) -> Vec<u8> {
    let mut random = 1_u64;
    let mut word = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        format!("{:08x}", random >> 32)
    };
    let mut plain = b"[".to_vec();
    while plain.len() < length {
        let words: String = std::iter::repeat_with(&mut word).take(8).collect();
        plain.extend_from_slice(format!("\"{words}\",{:4000}", "").as_bytes());
    }
    plain.truncate(length);
    plain
}

/// Feeds the bytes as the relay does, in pieces of `size`, with a pause at each limit. Returns what
/// came out of each step.
fn steps(codings: &[&str], coded: &[u8], size: usize) -> Vec<Vec<u8>> {
    let (mut decoder, mut rest, mut steps) = (decoder(codings), coded, Vec::new());
    let (mut length, mut length_when_complete) = (0, None);
    while !rest.is_empty() {
        let mut step = Vec::new();
        let piece = &rest[..size.min(rest.len())];
        let read = decoder.feed_some(piece, &mut DecodeLimit::default(), &mut |out| {
            step.extend_from_slice(out)
        });
        let read = read.unwrap_or_else(|error| panic!("{codings:?}: {error}"));
        assert!(read > 0 || !step.is_empty(), "{codings:?}: no progress");
        rest = &rest[read..];
        length += step.len();
        if decoder.is_complete() {
            length_when_complete.get_or_insert(length);
        }
        steps.push(step);
    }
    assert_eq!(
        length_when_complete,
        Some(length),
        "{codings:?}: complete when all has come out, and not before"
    );
    steps
}

#[test]
fn decoding_pauses_after_a_few_kib_and_goes_on_without_new_bytes() {
    let plain = dense(600 << 10);
    for (codings, coded) in [
        (vec!["gzip"], gzip(&plain)),
        (vec!["deflate"], zlib(&plain)),
        (vec!["deflate"], raw_deflate(&plain)),
        (vec!["zstd"], zstd(&plain)),
        (vec!["br"], brotli(&plain)),
        (vec!["gzip", "gzip"], gzip(&gzip(&plain))),
        (vec!["gzip", "zstd"], zstd(&gzip(&plain))),
        (vec!["zstd", "gzip"], gzip(&zstd(&plain))),
    ] {
        for size in [1, 64, 4096, coded.len()] {
            let steps = steps(&codings, &coded, size);
            assert!(
                steps.iter().all(|step| step.len() <= MAX_STEP),
                "{codings:?} by {size}"
            );
            assert!(
                steps.concat() == plain,
                "{codings:?} by {size}: {} bytes of {}",
                steps.concat().len(),
                plain.len()
            );
        }
    }
}

#[test]
fn the_end_of_the_data_is_found_wherever_the_window_ends() {
    // The window of deflate has 32 KiB.
    let around = |kib: usize| ((kib << 10) - 3)..=((kib << 10) + 3);
    for length in [4, 16, 28, 32, 64, 96].into_iter().flat_map(around) {
        let plain = dense(length);
        for (coding, coded) in [
            ("gzip", gzip(&plain)),
            ("deflate", zlib(&plain)),
            ("deflate", raw_deflate(&plain)),
            ("zstd", zstd(&plain)),
        ] {
            for size in [1, 7, coded.len()] {
                assert!(
                    steps(&[coding], &coded, size).concat() == plain,
                    "{coding} of {length} bytes by {size}"
                );
            }
        }
    }
}

#[test]
fn a_step_without_input_changes_nothing() {
    for (codings, coded, plain) in samples() {
        let pieces = coded.chunks(1).flat_map(|byte| [&b""[..], byte, b""]);
        assert_eq!(decode(&codings, pieces), (plain, true, None), "{codings:?}");
    }
}

/// The header of a member is no data yet, also where the coding around it has nothing more to give.
#[test]
fn no_window_is_taken_for_a_header_alone() {
    const HEADER_BYTES: usize = 10;
    let inner = gzip(b"hello");
    let (header, data) = inner.split_at(HEADER_BYTES);
    let mut outer = ::zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    let [coded_header, coded_data] = [header, data].map(|part| outer.flushed(part));
    for (codings, header, data) in [
        (&["gzip"][..], header, data),
        (&["gzip", "zstd"], &coded_header, &coded_data),
    ] {
        let least = |pieces: &[&[u8]]| {
            let is_enough = |budget: &usize| {
                let names: Vec<String> = codings.iter().map(|name| (*name).to_owned()).collect();
                let mut decoder = Decoder::new(&names, &Memory::new(*budget)).unwrap();
                pieces
                    .iter()
                    .all(|piece| decoder.feed(piece, &mut |_| {}).is_ok())
            };
            let mut budgets = (0..=BUDGET).step_by(1 << 10);
            budgets.find(is_enough).expect("a budget that is enough")
        };
        let [head_alone, all] = [least(&[header, b""]), least(&[header, data])];
        assert!(
            all - head_alone >= super::codec::INFLATE_BYTES,
            "{codings:?}: {head_alone} and {all} bytes"
        );
    }
}

#[test]
fn several_bodies_share_the_limit_of_one_step() {
    let coded = zstd(&dense(3 << 10));
    let (mut limit, mut length) = (DecodeLimit::default(), 0);
    let mut count = |out: &[u8]| length += out.len();
    let mut decoders = [decoder(&["zstd"]), decoder(&["zstd"])];
    let read = decoders
        .each_mut()
        .map(|decoder| decoder.feed_some(&coded, &mut limit, &mut count).unwrap());
    assert!(limit.is_reached() && length == MAX_STEP);
    assert_eq!(read[0], coded.len());
    assert!(read[1] < coded.len(), "the rest comes again");
    let mut plain = decoder(&[]);
    let read = plain.feed_some(b"text", &mut limit, &mut |_| {});
    assert_eq!(read, Ok(4), "what is not coded needs no limit");
}

#[test]
fn what_comes_before_damage_is_passed_on() {
    let mut inner = gzip(b"hello");
    *inner.iter_mut().rev().nth(5).unwrap() ^= 1;
    for (codings, coded) in [
        (vec!["gzip"], inner.clone()),
        (vec!["gzip", "zstd"], zstd(&inner)),
        (vec!["zstd", "gzip"], {
            let mut outer = gzip(&zstd(b"hello"));
            *outer.iter_mut().rev().nth(5).unwrap() ^= 1;
            outer
        }),
    ] {
        let decoded = decode(&codings, [coded.as_slice()]);
        assert_eq!(
            decoded,
            (b"hello".to_vec(), false, Some(CodingError::Damaged)),
            "{codings:?}"
        );
    }
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), flip in 0..300usize) {
        for (codings, mut coded, _) in samples() {
            decode(&codings, bytes.chunks(7));
            if let Some(byte) = coded.get_mut(flip) {
                *byte ^= 0x55;
            }
            decode(&codings, coded.chunks(11));
        }
    }
}
