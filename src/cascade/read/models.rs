//! Which models the agent offers, how they are called, and what is left of each.
//!
//! Several models may share one quota: what is left of them must not be added up.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::quota::{Left, LeftField, MAX_MODELS};
use super::table::{at, paths};
use super::values::{enum_model, text};
use super::{Malformed, Message};
use crate::observe::json::{Paths, Value};
use crate::record::{DisplayName, Id, Model, ModelName, Provider, Quota, QuotaWindow};

/// A model by its name on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct AvailableModel {
    /// How it is called.
    pub name: ModelName,
    /// What is left of its quota.
    pub quota: Option<Quota>,
}

/// A model by the agent's own name only.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The agent's own name (`MODEL_PLACEHOLDER_M26`).
    pub placeholder: Id,
    /// What people read.
    pub display: Option<DisplayName>,
    /// What is left of its quota, from 0 to 1.
    pub remaining: Option<f64>,
    /// When that is full again.
    pub resets_at: Option<SystemTime>,
}

/// `{"models": {"<wire name>": {…}}}`, alone or inside a `response`: what the agent's `GetAvailableModels` and Cloud
/// Code's `fetchAvailableModels` reply.
#[derive(Debug, Default)]
pub struct AvailableModels {
    read: Vec<AvailableModel>,
    current: Option<(Model, Draft)>,
}

/// The models in the reply of `GetUserStatus`.
#[derive(Debug, Default)]
pub struct UserStatus {
    read: Vec<ModelConfig>,
    current: Draft,
}

/// What is read of such replies.
#[derive(Debug, Clone, Copy)]
pub enum Field {
    Display,
    Left(LeftField),
    Model,
    Placeholder,
}

#[derive(Debug, Default)]
struct Draft {
    display: Option<DisplayName>,
    placeholder: Option<Id>,
    left: Left,
}

impl Message for AvailableModels {
    type Field = Field;
    type Content = Vec<AvailableModel>;

    fn paths() -> &'static Paths<Field> {
        &AVAILABLE_MODELS
    }

    fn take(&mut self, field: Field, value: Value<'_>) -> Result<(), Malformed> {
        match (field, value, &mut self.current) {
            (Field::Model, Value::Key(key), current) => *current = Some((Model::from_wire(key), Draft::default())),
            (Field::Model, Value::End, current) => {
                self.read.extend(current.take().and_then(|(model, draft)| draft.available(model)));
                return within_limit(self.read.len());
            }
            (_, _, Some((_, draft))) => draft.take(field, value),
            _ => {}
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<AvailableModel>, Malformed> {
        Ok(self.read)
    }
}

impl Message for UserStatus {
    type Field = Field;
    type Content = Vec<ModelConfig>;

    fn paths() -> &'static Paths<Field> {
        &USER_STATUS
    }

    fn take(&mut self, field: Field, value: Value<'_>) -> Result<(), Malformed> {
        match (field, value) {
            (Field::Model, Value::Object) => self.current = Draft::default(),
            (Field::Model, Value::End) => {
                self.read.extend(std::mem::take(&mut self.current).config());
                return within_limit(self.read.len());
            }
            _ => self.current.take(field, value),
        }
        Ok(())
    }

    fn finish(self) -> Result<Vec<ModelConfig>, Malformed> {
        Ok(self.read)
    }
}

impl Draft {
    fn take(&mut self, field: Field, value: Value<'_>) {
        match field {
            Field::Display => self.display = text(value).and_then(DisplayName::from_wire),
            Field::Left(field) => self.left.take(field, value),
            Field::Model => {}
            Field::Placeholder => self.placeholder = enum_model(value),
        }
    }

    /// A model without a name for people is called as on the wire.
    fn available(self, model: Model) -> Option<AvailableModel> {
        let quota = self.left.remaining().map(|remaining| Quota {
            provider: Provider::CloudCode,
            model: model.clone(),
            window: QuotaWindow::Unspecified,
            remaining,
            resets_at: self.left.resets_at,
        });
        let display = self.display.or_else(|| DisplayName::from_wire(model.as_str()))?;
        let name = ModelName { provider: Provider::CloudCode, model, display, placeholder: self.placeholder };
        Some(AvailableModel { name, quota })
    }

    fn config(self) -> Option<ModelConfig> {
        let (remaining, resets_at) = (self.left.remaining(), self.left.resets_at);
        Some(ModelConfig { placeholder: self.placeholder?, display: self.display, remaining, resets_at })
    }
}

fn within_limit(models: usize) -> Result<(), Malformed> {
    if models > MAX_MODELS { Err(Malformed::TooMany) } else { Ok(()) }
}

static AVAILABLE_MODELS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let places = ["models.*", "response.models.*"];
    paths(places.into_iter().flat_map(|place| at(place, &AVAILABLE_MODEL, |field| field)))
});

static USER_STATUS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    paths(at("userStatus.cascadeModelConfigData.clientModelConfigs[]", &CLIENT_MODEL_CONFIG, |field| field))
});

const AVAILABLE_MODEL: [(&str, Field); 5] = [
    ("", Field::Model),
    (".displayName", Field::Display),
    (".model", Field::Placeholder),
    (".quotaInfo.remainingFraction", Field::Left(LeftField::Remaining)),
    (".quotaInfo.resetTime", Field::Left(LeftField::ResetTime)),
];

const CLIENT_MODEL_CONFIG: [(&str, Field); 5] = [
    ("", Field::Model),
    (".label", Field::Display),
    (".modelOrAlias.model", Field::Placeholder),
    (".quotaInfo.remainingFraction", Field::Left(LeftField::Remaining)),
    (".quotaInfo.resetTime", Field::Left(LeftField::ResetTime)),
];
