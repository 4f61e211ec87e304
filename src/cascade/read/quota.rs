//! What is left of the account's quotas (`RetrieveUserQuotaSummary`), and how any quota is said.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::table::{at, paths};
use super::values::{fraction, id, time};
use super::{Malformed, Message};
use crate::observe::json::{Paths, Value};
use crate::record::{Id, Model, Provider, Quota, QuotaWindow};

/// Most models, or quotas, of one reply. Agents offer a few dozen.
pub const MAX_MODELS: usize = 1024;

/// The reply of `RetrieveUserQuotaSummary`, alone or inside a `response`, read into a quota for each bucket that is not
/// disabled.
#[derive(Debug, Default)]
pub struct QuotaSummary {
    read: Vec<Quota>,
    bucket: Bucket,
}

/// What is read of such a reply.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Bucket,
    Disabled,
    Id,
    Left(LeftField),
    Window,
}

#[derive(Debug, Default)]
struct Bucket {
    id: Option<Id>,
    window: Option<Id>,
    left: Left,
    disabled: bool,
}

/// How much is left of something, and until when.
#[derive(Debug, Default)]
pub(super) struct Left {
    remaining: Option<f64>,
    /// There is a number, but it cannot be one.
    unreadable: bool,
    pub(super) resets_at: Option<SystemTime>,
}

/// The two values of it.
#[derive(Debug, Clone, Copy)]
pub enum LeftField {
    Remaining,
    ResetTime,
}

impl Message for QuotaSummary {
    type Field = Field;
    type Content = Vec<Quota>;

    fn paths() -> &'static Paths<Field> {
        &PATHS
    }

    fn take(&mut self, field: Field, value: Value<'_>) -> Result<(), Malformed> {
        match (field, value) {
            (Field::Bucket, Value::Object) => self.bucket = Bucket::default(),
            (Field::Bucket, Value::End) => {
                self.read.extend(std::mem::take(&mut self.bucket).finish());
                if self.read.len() > MAX_MODELS {
                    return Err(Malformed::TooMany);
                }
            }
            (Field::Bucket, _) => {}
            (Field::Disabled, _) => self.bucket.disabled = value == Value::Bool(true),
            (Field::Id, _) => self.bucket.id = id(value),
            (Field::Left(field), _) => self.bucket.left.take(field, value),
            (Field::Window, _) => self.bucket.window = id(value),
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<Quota>, Malformed> {
        Ok(self.read)
    }
}

impl Bucket {
    /// `gemini-weekly` is what is left of `gemini` in its `weekly` window.
    fn finish(self) -> Option<Quota> {
        let remaining = self.left.remaining().filter(|_| !self.disabled)?;
        let (id, window) = (self.id?, self.window.as_ref().map_or("", Id::as_str));
        let group = id.as_str().strip_suffix(window).and_then(|group| group.strip_suffix('-'));
        Some(Quota {
            provider: Provider::CloudCode,
            model: Model::from_wire(group.unwrap_or(id.as_str())),
            window: match window {
                "5h" => QuotaWindow::FiveHours,
                "weekly" => QuotaWindow::Weekly,
                _ => QuotaWindow::Unspecified,
            },
            remaining,
            resets_at: self.left.resets_at,
        })
    }
}

impl Left {
    pub(super) fn take(&mut self, field: LeftField, value: Value<'_>) {
        match field {
            LeftField::Remaining => {
                self.remaining = fraction(value);
                self.unreadable = self.remaining.is_none() && value != Value::Null;
            }
            LeftField::ResetTime => self.resets_at = time(value),
        }
    }

    /// What is left. Protobuf leaves out zeros, so that a quota that is used up has a reset time only.
    pub(super) fn remaining(&self) -> Option<f64> {
        self.remaining.or_else(|| self.resets_at.filter(|_| !self.unreadable).map(|_| 0.0))
    }
}

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let places = ["groups[].buckets[]", "response.groups[].buckets[]"];
    paths(places.into_iter().flat_map(|place| at(place, &FIELDS, |field| field)))
});

const FIELDS: [(&str, Field); 6] = [
    ("", Field::Bucket),
    (".bucketId", Field::Id),
    (".disabled", Field::Disabled),
    (".remainingFraction", Field::Left(LeftField::Remaining)),
    (".resetTime", Field::Left(LeftField::ResetTime)),
    (".window", Field::Window),
];
