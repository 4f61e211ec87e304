//! Which models the agent offers by its own names (`GetUserStatus`), and what is left of each.
//!
//! Several models may share one quota, so remaining fractions must not be added up. Other documents
//! with models and quotas are those of Cloud Code, and read as such.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::table::{at, paths};
use super::values::{enum_model, fraction, text, time};
use super::{Malformed, Message};
use crate::observe::json::{Paths, Value};
use crate::record::{DisplayName, Id};

/// Most models of one reply. Agents offer a few dozen.
pub const MAX_MODELS: usize = 1024;

/// A model known only by the agent's own name.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The agent's own name (`MODEL_PLACEHOLDER_M26`).
    pub placeholder: Id,
    /// The display name.
    pub display: Option<DisplayName>,
    /// What is left of its quota, from 0 to 1.
    pub remaining: Option<f64>,
    /// When the quota is full again.
    pub resets_at: Option<SystemTime>,
}

/// The models in the reply of `GetUserStatus`.
#[derive(Debug, Default)]
pub struct UserStatus {
    read: Vec<ModelConfig>,
    current: Draft,
}

/// The fields that are read.
#[derive(Debug, Clone, Copy)]
pub enum ModelField {
    Display,
    Model,
    Placeholder,
    Remaining,
    ResetTime,
}

#[derive(Debug, Default)]
struct Draft {
    display: Option<DisplayName>,
    placeholder: Option<Id>,
    remaining: Option<f64>,
    /// There is a value, but it is not a valid number.
    is_unreadable: bool,
    resets_at: Option<SystemTime>,
}

impl Message for UserStatus {
    type Field = ModelField;
    type Content = Vec<ModelConfig>;

    fn paths() -> &'static Paths<ModelField> {
        &USER_STATUS
    }

    fn read_value(&mut self, field: ModelField, value: Value<'_>) -> Result<(), Malformed> {
        match (field, value) {
            (ModelField::Model, Value::Object) => self.current = Draft::default(),
            (ModelField::Model, Value::End) => {
                self.read.extend(std::mem::take(&mut self.current).config());
                if self.read.len() > MAX_MODELS {
                    return Err(Malformed::TooMany);
                }
            }
            _ => self.current.read_value(field, value),
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<ModelConfig>, Malformed> {
        Ok(self.read)
    }
}

impl Draft {
    fn read_value(&mut self, field: ModelField, value: Value<'_>) {
        match field {
            ModelField::Display => self.display = text(value).and_then(DisplayName::from_wire),
            ModelField::Model => {}
            ModelField::Placeholder => self.placeholder = enum_model(value),
            ModelField::Remaining => {
                self.remaining = fraction(value);
                self.is_unreadable = self.remaining.is_none() && value != Value::Null;
            }
            ModelField::ResetTime => self.resets_at = time(value),
        }
    }

    fn config(self) -> Option<ModelConfig> {
        let Self {
            display,
            remaining,
            resets_at,
            ..
        } = self;
        // Protobuf leaves out zeros, so that a quota that is used up has a reset time only.
        let used_up = resets_at.filter(|_| !self.is_unreadable).map(|_| 0.0);
        Some(ModelConfig {
            placeholder: self.placeholder?,
            display,
            remaining: remaining.or(used_up),
            resets_at,
        })
    }
}

static USER_STATUS: LazyLock<Paths<ModelField>> = LazyLock::new(|| {
    paths(at(
        "userStatus.cascadeModelConfigData.clientModelConfigs[]",
        &CLIENT_MODEL_CONFIG,
        |field| field,
    ))
});

const CLIENT_MODEL_CONFIG: [(&str, ModelField); 5] = [
    ("", ModelField::Model),
    (".label", ModelField::Display),
    (".modelOrAlias.model", ModelField::Placeholder),
    (".quotaInfo.remainingFraction", ModelField::Remaining),
    (".quotaInfo.resetTime", ModelField::ResetTime),
];
