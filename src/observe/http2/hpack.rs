//! Header compression of one direction (RFC 7541).
//!
//! Header blocks enter, each exactly once and in order, since they share a table; the listed fields
//! leave. Of every other field the table keeps the size and nothing else: names and values that
//! nobody may know are never taken.

use std::collections::VecDeque;
use std::sync::Arc;

use super::huffman;
use super::statics::{STATIC_NAMES, static_value};
use crate::observe::exchange::Listed;
use crate::observe::head;
use crate::observe::memory::{Memory, Share};
use crate::record::ObserverFailure;

/// The decoder of one direction.
pub(super) struct Hpack {
    /// The dynamic table, newest first.
    table: VecDeque<Entry>,
    /// Its size, and how large it may become, as section 4.1 counts.
    size: usize,
    limit: usize,
    /// The largest limit that the encoder may choose.
    allowed: usize,
    /// What the table takes beyond its default size, which every connection may have.
    share: Share,
    /// What is handed out beside the fields of any message.
    listed: Listed,
}

/// A field of the dynamic table.
struct Entry {
    name: Name,
    /// Empty when the name is not on the list.
    value: Vec<u8>,
    size: usize,
}

/// A field's name, as far as anyone needs it.
#[derive(Clone)]
struct Name {
    listed: Option<ListedName>,
    length: usize,
}

/// A name that is handed out.
#[derive(Clone)]
enum ListedName {
    /// One with a listed ending.
    ByEnding(Arc<str>),
    /// One that is listed itself.
    Whole(&'static str),
}

/// A field that stands in the block itself.
struct Literal {
    name: Name,
    /// Empty when the name is not on the list.
    value: Vec<u8>,
    /// What it counts, as section 4.1 counts.
    size: usize,
}

/// A string as it stands in a block.
struct Text<'a> {
    bytes: &'a [u8],
    is_huffman: bool,
}

/// The block is damaged or out of step with the table.
struct Malformed;

impl From<Malformed> for ObserverFailure {
    fn from(Malformed: Malformed) -> Self {
        Self::Http2Malformed
    }
}

impl Hpack {
    /// The decoder of the first block; a large table is kept out of `memory`.
    pub(super) fn new(memory: &Memory, listed: Listed) -> Self {
        let (limit, allowed) = (DEFAULT_TABLE_BYTES, DEFAULT_TABLE_BYTES);
        Self {
            table: VecDeque::new(),
            size: 0,
            limit,
            allowed,
            share: memory.share(),
            listed,
        }
    }

    /// The fields that are handed out beside those of any message.
    pub(super) fn listed(&self) -> Listed {
        self.listed
    }

    /// Sets the table size that the other side announced. The largest announced value counts: which
    /// blocks were made before a smaller one was acknowledged cannot be known from outside, and
    /// need not be, since the encoder says in the block itself what it uses (section 4.2).
    pub(super) fn allow(&mut self, announced: u32) {
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        self.allowed = self.allowed.max(announced.min(MAX_TABLE_BYTES));
    }

    /// Decodes a block and hands out the listed fields. After an error the table is out of step for
    /// good.
    ///
    /// A reference of one byte stands for a field of any length, so that the fields are counted and
    /// not the bytes of the block: what one block stands for is limited like what it may hold.
    pub(super) fn decode(
        &mut self,
        mut block: &[u8],
        mut field: impl FnMut(&str, &[u8]),
    ) -> Result<(), ObserverFailure> {
        let mut room = MAX_LIST_BYTES;
        while let Some(first) = block.first() {
            let size = match first {
                0x80.. => {
                    let (name, value, size) = self.indexed(integer(&mut block, 7)?)?;
                    if let Some(name) = name {
                        field(name, value);
                    }
                    size
                }
                0x40..=0x7f => {
                    let literal = self.literal(&mut block, 6, &mut field)?;
                    let size = literal.size;
                    self.insert(literal)?;
                    size
                }
                0x20..=0x3f => {
                    let limit = integer(&mut block, 5)?;
                    if limit > self.allowed {
                        return Err(Malformed.into());
                    }
                    self.limit = limit;
                    self.evict(limit);
                    0
                }
                0x00..=0x1f => self.literal(&mut block, 4, &mut field)?.size,
            };
            room = room.checked_sub(size).ok_or(ObserverFailure::Limit)?;
        }
        Ok(())
    }

    /// Reads a literal field and hands it out when it is listed.
    fn literal(
        &self,
        block: &mut &[u8],
        prefix_bits: u32,
        field: &mut impl FnMut(&str, &[u8]),
    ) -> Result<Literal, Malformed> {
        let name = match integer(block, prefix_bits)? {
            0 => Name::of(&Text::read(block)?.decode()?, self.listed),
            index => self.name(index)?,
        };
        let text = Text::read(block)?;
        let (value, length) = match name.listed() {
            None => (Vec::new(), text.length()?),
            Some(listed) => {
                let value = text.decode()?;
                field(listed, &value);
                let length = value.len();
                (value, length)
            }
        };
        let size = name.length + length + ENTRY_OVERHEAD;
        Ok(Literal { name, value, size })
    }

    /// The name, when it is listed, the value and the size of a field in the static or the dynamic
    /// table (section 2.3.3).
    fn indexed(&self, index: usize) -> Result<(Option<&str>, &[u8], usize), Malformed> {
        if let Some(value) = static_value(index) {
            let name = self.name(index)?;
            let size = name.length + value.len() + ENTRY_OVERHEAD;
            // No name of the static table has a listed ending.
            let listed = match name.listed {
                Some(ListedName::Whole(listed)) => Some(listed),
                _ => None,
            };
            return Ok((listed, value.as_bytes(), size));
        }
        let entry = index
            .checked_sub(STATIC_NAMES.len() + 1)
            .and_then(|place| self.table.get(place));
        let entry = entry.ok_or(Malformed)?;
        Ok((entry.name.listed(), &entry.value, entry.size))
    }

    fn name(&self, index: usize) -> Result<Name, Malformed> {
        let place = index.checked_sub(1).ok_or(Malformed)?;
        match (
            STATIC_NAMES.get(place),
            place.checked_sub(STATIC_NAMES.len()),
        ) {
            (Some(name), _) => Ok(Name::of(name.as_bytes(), self.listed)),
            (None, dynamic) => Ok(dynamic
                .and_then(|place| self.table.get(place))
                .ok_or(Malformed)?
                .name
                .clone()),
        }
    }

    /// Adds a field to the table. One that is larger than the table empties it (section 4.4).
    fn insert(&mut self, Literal { name, value, size }: Literal) -> Result<(), ObserverFailure> {
        self.evict(self.limit.saturating_sub(size));
        if size <= self.limit {
            self.size += size;
            self.share
                .cover(self.size.saturating_sub(DEFAULT_TABLE_BYTES))?;
            self.table.push_front(Entry { name, value, size });
        }
        Ok(())
    }

    fn evict(&mut self, limit: usize) {
        while self.size > limit {
            let Some(oldest) = self.table.pop_back() else {
                return;
            };
            self.size -= oldest.size;
        }
    }
}

impl Name {
    fn of(name: &[u8], listed: Listed) -> Self {
        let whole = PSEUDO_FIELDS
            .into_iter()
            .chain(head::COMMON_FIELDS)
            .chain(listed.names())
            .find(|listed| listed.as_bytes() == name);
        let by_ending = || {
            listed.ending_of(name)?;
            Some(ListedName::ByEnding(std::str::from_utf8(name).ok()?.into()))
        };
        Self {
            listed: whole.map(ListedName::Whole).or_else(by_ending),
            length: name.len(),
        }
    }

    fn listed(&self) -> Option<&str> {
        self.listed.as_ref().map(|name| match name {
            ListedName::ByEnding(name) => &**name,
            ListedName::Whole(name) => name,
        })
    }
}

impl<'a> Text<'a> {
    /// Takes a string from the front of `block` (section 5.2).
    fn read(block: &mut &'a [u8]) -> Result<Self, Malformed> {
        let is_huffman = block.first().ok_or(Malformed)? & 0x80 != 0;
        let length = integer(block, 7)?;
        let (bytes, rest) = block.split_at_checked(length).ok_or(Malformed)?;
        *block = rest;
        Ok(Self { bytes, is_huffman })
    }

    fn length(&self) -> Result<usize, Malformed> {
        if !self.is_huffman {
            return Ok(self.bytes.len());
        }
        let mut length = 0;
        huffman::decode(self.bytes, |_| length += 1).ok_or(Malformed)?;
        Ok(length)
    }

    fn decode(&self) -> Result<Vec<u8>, Malformed> {
        if !self.is_huffman {
            return Ok(self.bytes.to_vec());
        }
        let mut octets = Vec::new();
        huffman::decode(self.bytes, |octet| octets.push(octet)).ok_or(Malformed)?;
        Ok(octets)
    }
}

/// Takes an integer from the front of `block` (section 5.1). An error beyond 2^28, which nothing in
/// a block can need.
fn integer(block: &mut &[u8], prefix_bits: u32) -> Result<usize, Malformed> {
    let (first, mut rest) = block.split_first().ok_or(Malformed)?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value == mask {
        let mut shift = 0;
        loop {
            let (byte, after) = rest.split_first().filter(|_| shift < 28).ok_or(Malformed)?;
            rest = after;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Ok(value)
}

/// The pseudo-fields that observation needs.
const PSEUDO_FIELDS: [&str; 4] = [":method", ":path", ":protocol", ":status"];
/// What each field costs beside its name and value (section 4.1).
const ENTRY_OVERHEAD: usize = 32;
/// What both sides may use before any SETTINGS (RFC 9113 section 6.5.2).
const DEFAULT_TABLE_BYTES: usize = 4096;
/// Most that the fields of one block may count, as section 4.1 counts: 32 bytes each, and what is
/// in them. Servers refuse lists beyond 8 to 64 KiB (SETTINGS_MAX_HEADER_LIST_SIZE counts in the
/// same way).
const MAX_LIST_BYTES: usize = 128 * 1024;
/// The largest table that an agent in use announces (Chromium); a side may announce 4 GiB and so
/// ask us to keep them.
const MAX_TABLE_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use loona_hpack::Decoder;
    use proptest::prelude::*;

    use super::*;

    /// The listed fields, and whether the block was decoded to its end.
    fn ours(hpack: &mut Hpack, block: &[u8]) -> (Vec<(String, Vec<u8>)>, bool) {
        let mut fields = Vec::new();
        let decoded = hpack.decode(block, |name, value| {
            fields.push((name.to_owned(), value.to_vec()))
        });
        (fields, decoded.is_ok())
    }

    fn theirs(decoder: &mut Decoder<'_>, block: &[u8]) -> (Vec<(String, Vec<u8>)>, bool) {
        let mut fields = Vec::new();
        let decoded = decoder.decode_with_cb(block, |name, value| {
            if let Some(listed) = Name::of(&name, Listed::default()).listed() {
                fields.push((listed.to_owned(), value.to_vec()));
            }
        });
        (fields, decoded.is_ok())
    }

    fn both() -> (Hpack, Decoder<'static>) {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(DEFAULT_TABLE_BYTES);
        (Hpack::new(&Memory::default(), Listed::default()), decoder)
    }

    #[test]
    fn the_static_table_is_that_of_the_specification() {
        for index in 0..=62_u8 {
            let (mut hpack, mut decoder) = both();
            let indexed = [0x80 | index];
            assert_eq!(
                ours(&mut hpack, &indexed),
                theirs(&mut decoder, &indexed),
                "{index}"
            );
            let mut everything = Vec::new();
            let known = Decoder::new()
                .decode_with_cb(&indexed, |name, _| everything = name.to_vec())
                .is_ok();
            let name = hpack.name(index.into()).ok();
            assert_eq!(
                name.map(|name| name.length),
                known.then_some(everything.len())
            );
        }
    }

    #[test]
    fn the_table_holds_no_value_that_is_not_listed() {
        let mut hpack = Hpack::new(&Memory::default(), Listed::default());
        let fields = [
            ("authorization", "CANARY"),
            ("x-canary", "CANARY"),
            (":path", "/a"),
        ];
        let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let block: Vec<u8> = fields
            .iter()
            .flat_map(|(n, v)| [vec![0x40], string(n), string(v)].concat())
            .collect();
        assert_eq!(
            ours(&mut hpack, &block),
            (vec![(":path".to_owned(), b"/a".to_vec())], true)
        );
        assert_eq!(hpack.table.len(), 3);
        assert!(
            hpack
                .table
                .iter()
                .all(|entry| entry.name.listed.is_some() || entry.value.is_empty())
        );
        assert_eq!(hpack.size, 3 * 32 + 13 + 6 + 8 + 6 + 5 + 2);
    }

    #[test]
    fn what_a_block_stands_for_is_limited_like_what_it_holds() {
        let mut hpack = Hpack::new(&Memory::default(), Listed::default());
        let mut block = b"\x40\x0bretry-after\x7f\xa1\x1e".to_vec();
        block.extend([b'9'; 4000]);
        assert_eq!(hpack.decode(&block, |_, _| {}), Ok(()));
        let size = "retry-after".len() + 4000 + ENTRY_OVERHEAD;
        let references = |count: usize| vec![0xbe; count];
        let mut seen = 0;
        assert_eq!(
            hpack.decode(&references(MAX_LIST_BYTES / size), |_, _| seen += 1),
            Ok(())
        );
        assert_eq!(seen, MAX_LIST_BYTES / size);
        let mut seen = 0;
        let too_many = hpack.decode(&references(100_000), |_, _| seen += 1);
        assert_eq!(
            (too_many, seen),
            (Err(ObserverFailure::Limit), MAX_LIST_BYTES / size + 1)
        );
        let empty_fields = hpack.decode(
            &[0x10, 0x01, b'x', 0x00].repeat(MAX_LIST_BYTES / 32),
            |_, _| {},
        );
        assert_eq!(empty_fields, Err(ObserverFailure::Limit));
    }

    #[test]
    fn integers_end_within_their_bytes() {
        let read = |mut bytes: &[u8], bits| Some((integer(&mut bytes, bits).ok()?, bytes.len()));
        assert_eq!(read(&[0b1110_1010, 9], 5), Some((10, 1)));
        assert_eq!(read(&[0x1f, 0x9a, 0x0a], 5), Some((1337, 0)));
        assert_eq!(read(&[0x7f, 0], 7), Some((127, 0)));
        for bad in [
            &[0x1f][..],
            &[0x1f, 0x80],
            &[0x1f, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[],
        ] {
            assert_eq!(read(bad, 5), None, "{bad:?}");
        }
    }

    /// One representation of a field: any reference, or a literal that may be added to the table.
    fn representation() -> impl Strategy<Value = Vec<u8>> {
        let text = prop::sample::select(vec![
            "",
            "/a",
            "200",
            ":path",
            ":status",
            "x-unlisted",
            "retry-after",
        ]);
        let coded = prop::collection::vec(any::<u8>(), 0..6);
        let raw = |text: &str| [&[u8::try_from(text.len()).unwrap()][..], text.as_bytes()].concat();
        let literal = (0x40_u8..0x7f, text.clone())
            .prop_map(move |(first, value)| [vec![first], raw(value)].concat());
        let named = (
            prop::sample::select(vec![0x00, 0x10, 0x40]),
            text.clone(),
            text,
        )
            .prop_map(move |(first, name, value)| [vec![first], raw(name), raw(value)].concat());
        let huffman = coded.prop_map(|coded| {
            [vec![0x44, 0x80 | u8::try_from(coded.len()).unwrap()], coded].concat()
        });
        let size = (0x20_u8..0x3f).prop_map(|first| vec![first, 0x84]);
        let large = (0_u8..31).prop_map(|high| vec![0x3f, 0x80 | high, high, 0x84]);
        prop_oneof![
            any::<u8>().prop_map(|b| vec![0x80 | b]),
            literal,
            named,
            huffman,
            size,
            large
        ]
    }

    proptest! {
        #![proptest_config(crate::seeds::cases(2000))]

        #[test]
        fn blocks_are_read_as_loona_reads_them(
            blocks in prop::collection::vec(prop::collection::vec(representation(), 0..12), 1..8),
        ) {
            let (mut hpack, mut decoder) = both();
            for block in blocks {
                let block = block.concat();
                let seen = ours(&mut hpack, &block);
                prop_assert_eq!(&seen, &theirs(&mut decoder, &block));
                if !seen.1 {
                    break;
                }
            }
        }

        #[test]
        fn any_bytes_keep_the_table_within_its_limit(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut hpack = Hpack::new(&Memory::default(), Listed::default());
            let _ = hpack.decode(&bytes, |_, _| {});
            prop_assert!(hpack.size <= hpack.limit);
            prop_assert_eq!(hpack.size, hpack.table.iter().map(|entry| entry.size).sum::<usize>());
        }
    }
}
