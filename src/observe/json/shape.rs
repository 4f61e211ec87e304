//! The documents of a stream repeat the one before but for some strings and numbers; those are read
//! by comparing them.
//!
//! A shape is learned from a whole document. Another one that differs from it only inside of
//! strings and numbers has the same structure, so that the differences are all that has to be read.
//! What is of another shape, or cut, is left to the reader of bytes: which of the two reads a
//! document makes no difference to what is handed out, except that lasting values ([`Paths::lasting`])
//! are left out where they repeat those of the document before.

use super::paths::NodeId;
use super::scalar::{Scalar, decode, scalars};
use super::text::Text;
use super::{MAX_TEXT_BYTES, PathReader, Paths, Status, Value};

/// What the documents of one stream have in common.
#[derive(Debug)]
pub(super) struct Repetition<T: 'static> {
    shape: Option<Shape<T>>,
    /// The shape has read a document.
    is_used: bool,
    /// Documents in a row that were not of the shape.
    missed: u8,
    /// How many of them there are before another shape is learned.
    patience: u8,
}

impl<T> Default for Repetition<T> {
    /// After the first document.
    fn default() -> Self {
        Self {
            shape: None,
            is_used: false,
            missed: 1,
            patience: LEAST_PATIENCE,
        }
    }
}

impl<T: Copy> Repetition<T> {
    /// Reads a document of the shape at the front of the bytes, and returns its length. None where
    /// there is none, or only the beginning of one; nothing has been handed out then.
    pub(super) fn read(
        &mut self,
        bytes: &[u8],
        text: &mut Text,
        on: &mut impl FnMut(T, Value<'_>),
    ) -> Option<usize> {
        let shape = self.shape.as_mut()?;
        let length = shape.read(bytes, text, on);
        match length {
            Some(_) => (self.is_used, self.missed) = (true, 0),
            None => shape.forget(),
        }
        length
    }

    /// This document at a place, which is complete, was of another shape. Learning costs more than
    /// reading, so it becomes rare where nothing repeats.
    pub(super) fn missed(&mut self, paths: &'static Paths<T>, place: NodeId, document: &[u8]) {
        self.missed = self.missed.saturating_add(1);
        if self.missed < self.patience {
            return;
        }
        self.patience = if self.is_used {
            LEAST_PATIENCE
        } else {
            self.patience.saturating_mul(2)
        };
        (self.is_used, self.missed) = (false, 0);
        self.shape = Shape::learn(paths, place, document);
    }
}

/// A structure, and where the values stand in it.
#[derive(Debug)]
struct Shape<T: 'static> {
    /// A document of this shape.
    document: Box<[u8]>,
    /// Its strings and numbers, in order.
    scalars: Box<[Scalar]>,
    /// What it hands out, in order.
    values: Box<[KnownValue<T>]>,
    /// The scalars that are others in the document that is being read, and where they stand there.
    changes: Vec<(usize, Scalar)>,
    /// The scalars that may be others than in the document that was read before.
    unsettled: ScalarSet,
}

/// A value that the shape hands out.
#[derive(Debug)]
struct KnownValue<T> {
    tag: T,
    /// It is left out where it repeats that of the document before.
    lasts: bool,
    origin: Origin,
}

/// Where a value comes from: a scalar has an index, and its text, unless it is changed.
#[derive(Debug)]
enum Origin {
    Number {
        index: usize,
        text: Box<str>,
    },
    String {
        index: usize,
        text: Box<str>,
        cut: bool,
    },
    Structure(Value<'static>),
}

impl<T: Copy> Shape<T> {
    /// The shape of a document that is complete and stands at this place. None for one that is no
    /// array or object, is too large to keep or hands out too much, whose keys are handed out, or
    /// with a number that is too long to be.
    fn learn(paths: &'static Paths<T>, place: NodeId, document: &[u8]) -> Option<Self> {
        let shows_its_end = matches!(document.first(), Some(b'[' | b'{'));
        if !shows_its_end || document.len() > MAX_DOCUMENT_BYTES {
            return None;
        }
        let scalars: Box<[Scalar]> = scalars(document).take(MAX_SCALARS + 1).collect();
        if scalars.len() > MAX_SCALARS {
            return None;
        }
        let mut document: Box<[u8]> = document.into();
        for long in scalars
            .iter()
            .filter(|scalar| scalar.length() > MAX_TEXT_BYTES)
        {
            long.is_string().then(|| blank(&mut document, long))?;
        }
        let values = values(paths, place, &document, &scalars)?;
        for (index, scalar) in scalars
            .iter()
            .enumerate()
            .filter(|(_, scalar)| scalar.is_string())
        {
            if !values
                .iter()
                .any(|value| value.origin.scalar() == Some(index))
            {
                blank(&mut document, scalar);
            }
        }
        Some(Self {
            document,
            scalars,
            values,
            changes: Vec::new(),
            unsettled: ScalarSet::default(),
        })
    }

    /// The document that was read before was of another shape.
    fn forget(&mut self) {
        self.unsettled = ScalarSet::ALL;
    }

    fn read(
        &mut self,
        document: &[u8],
        text: &mut Text,
        on: &mut impl FnMut(T, Value<'_>),
    ) -> Option<usize> {
        let length = self.compare(document, text)?;
        let changed_now = self.changes.iter().map(|(index, _)| *index).collect();
        let changed_before = std::mem::replace(&mut self.unsettled, changed_now);
        let is_repeated = |index: usize| !changed_before.has(index) && !changed_now.has(index);
        let mut changes = self.changes.iter().peekable();
        let mut changed = |wanted: usize| {
            while changes.next_if(|(index, _)| *index < wanted).is_some() {}
            changes
                .next_if(|(index, _)| *index == wanted)
                .and_then(|(_, scalar)| scalar.of(document))
        };
        let news = self
            .values
            .iter()
            .filter(|value| !(value.lasts && value.origin.scalar().is_some_and(is_repeated)));
        for KnownValue { tag, origin, .. } in news {
            match origin {
                Origin::Structure(value) => on(*tag, *value),
                Origin::Number { index, text } => match changed(*index) {
                    None => on(*tag, Value::Number(text)),
                    Some(digits) if digits.len() > MAX_TEXT_BYTES => {}
                    Some(digits) => on(
                        *tag,
                        Value::Number(std::str::from_utf8(digits).unwrap_or_default()),
                    ),
                },
                Origin::String {
                    index,
                    text: known,
                    cut,
                } => match changed(*index) {
                    None => on(
                        *tag,
                        Value::String {
                            text: known,
                            cut: *cut,
                        },
                    ),
                    Some(inside) => {
                        let (text, cut) = decode(inside, text).as_str();
                        on(*tag, Value::String { text, cut });
                    }
                },
            }
        }
        Some(length)
    }

    /// Finds the changes of a document of this shape at the front of the bytes, and its length. None
    /// for one of another shape.
    fn compare(&mut self, document: &[u8], text: &mut Text) -> Option<usize> {
        self.changes.clear();
        let (mut known, mut new) = (0, 0);
        let mut scalars = self.scalars.iter().enumerate();
        loop {
            let same = common_prefix(self.document.get(known..)?, document.get(new..)?);
            (known, new) = (known + same, new + same);
            if known == self.document.len() {
                return Some(new);
            }
            // Another byte behind the last one of a scalar may make it a longer one.
            let (index, scalar) = scalars.find(|(_, scalar)| known <= scalar.end)?;
            let start = new.checked_sub(known.checked_sub(scalar.start)?)?;
            let changed = Scalar::read(scalar.kind, document, start, text)?;
            self.changes.push((index, changed));
            (known, new) = (scalar.end, changed.end);
        }
    }
}

impl Origin {
    /// The index of the scalar that it is.
    fn scalar(&self) -> Option<usize> {
        match self {
            Self::Number { index, .. } | Self::String { index, .. } => Some(*index),
            Self::Structure(_) => None,
        }
    }
}

/// Some of the scalars of a document.
#[derive(Debug, Clone, Copy, Default)]
struct ScalarSet(u64);

impl ScalarSet {
    const ALL: Self = Self(u64::MAX);

    fn has(self, scalar: usize) -> bool {
        self.0 >> scalar & 1 == 1
    }
}

impl FromIterator<usize> for ScalarSet {
    fn from_iter<I: IntoIterator<Item = usize>>(scalars: I) -> Self {
        Self(scalars.into_iter().fold(0, |set, scalar| set | 1 << scalar))
    }
}

/// Everything that a reader hands out of a document at this place that is complete, unless there are
/// keys among it or it is too much.
fn values<T: Copy>(
    paths: &'static Paths<T>,
    place: NodeId,
    document: &[u8],
    scalars: &[Scalar],
) -> Option<Box<[KnownValue<T>]>> {
    let mut reader = PathReader::at(paths, place);
    let (mut values, mut read, mut is_fit) = (Vec::new(), 0, true);
    // A scalar is handed out when the byte behind it is read.
    let ends = scalars
        .iter()
        .map(|scalar| scalar.end)
        .chain([document.len()]);
    for (ended, end) in ends.enumerate() {
        let index = ended.saturating_sub(1);
        reader.feed(document.get(read..end)?, &mut |tag, value| {
            let origin = match value {
                Value::Number(text) => Origin::Number {
                    index,
                    text: text.into(),
                },
                Value::String { text, cut } => Origin::String {
                    index,
                    text: text.into(),
                    cut,
                },
                _ if values.len() == MAX_VALUES => return is_fit = false,
                Value::Key(_) => return is_fit = false,
                Value::Array => Origin::Structure(Value::Array),
                Value::Bool(bool) => Origin::Structure(Value::Bool(bool)),
                Value::End => Origin::Structure(Value::End),
                Value::Null => Origin::Structure(Value::Null),
                Value::Object => Origin::Structure(Value::Object),
            };
            values.push(KnownValue {
                tag,
                lasts: paths.lasts(tag),
                origin,
            });
        });
        read = end;
    }
    (reader.status() == Status::Complete && is_fit).then(|| values.into())
}

/// Overwrites a string that would not be kept by a reader either. The document keeps its shape.
fn blank(document: &mut [u8], string: &Scalar) {
    if let Some(inside) = document.get_mut(string.start..string.end) {
        inside.fill(b'_');
    }
}

/// How many bytes two slices begin with in common.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    let words = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
    let same = 8 * words.take_while(|(one, other)| one == other).count();
    let rest = one.iter().zip(other).skip(same);
    same + rest.take_while(|(one, other)| one == other).count()
}

/// One document of another shape may stand between those that repeat.
const LEAST_PATIENCE: u8 = 2;

/// Longest document whose shape is kept, in bytes. An event has some 300.
const MAX_DOCUMENT_BYTES: usize = 2048;

/// Most strings and numbers of such a document: a [`ScalarSet`] has a bit for each. An event has
/// some ten.
const MAX_SCALARS: usize = 64;

/// Most values of such a document that are handed out. An event has some ten; empty arrays could be
/// seven hundred.
const MAX_VALUES: usize = 64;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static MEMBERS: LazyLock<Paths<()>> = LazyLock::new(|| Paths::new([("[]", ())]));

    #[test]
    fn a_shape_hands_out_no_more_values_than_it_may_keep() {
        let kept = |count: usize| {
            let document = format!("[{}]", vec!["true"; count].join(","));
            values(&MEMBERS, Paths::<()>::ROOT, document.as_bytes(), &[]).map(|values| values.len())
        };
        assert_eq!(kept(1), Some(1));
        assert_eq!(kept(MAX_VALUES), Some(MAX_VALUES));
        assert_eq!(kept(MAX_VALUES + 1), None);
    }
}
