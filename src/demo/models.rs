//! The models of the demo by all of their names, and the quotas that they share.
//!
//! What enters: the name of a model on the wire. What leaves: what the language server and its
//! provider say of it. One model's quota is exhausted, which proto3 JSON says by leaving the
//! fraction out.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{CHECKPOINT_MODEL, MODELS};

/// One model. The numbers are those of `exa.codeium_common_pb.Model`, in which
/// `MODEL_PLACEHOLDER_Mn` is 1000 + n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Card {
    /// For people.
    pub(super) display: &'static str,
    /// The enum's name in JSON.
    pub(super) name: &'static str,
    /// The enum's number.
    pub(super) number: u32,
    /// Who serves it, as the enum's name without its prefix.
    pub(super) provider: &'static str,
    pool: Pool,
}

/// Models of a pool draw on the same quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pool {
    Gemini,
    Claude,
    /// Nothing left.
    Gpt,
}

/// The card of a model; what is not known has the first placeholder.
pub(super) fn card(model: &str) -> Card {
    let card = |display, name, number, provider, pool| Card {
        display,
        name,
        number,
        provider,
        pool,
    };
    match model {
        "gemini-3.1-pro-low" => card(
            "Gemini 3.1 Pro (Low)",
            "MODEL_PLACEHOLDER_M36",
            1036,
            GEMINI,
            Pool::Gemini,
        ),
        "gemini-3.8-flash-high" => card(
            "Gemini 3.8 Flash (High)",
            "MODEL_PLACEHOLDER_M318",
            1318,
            GEMINI,
            Pool::Gemini,
        ),
        "claude-opus-4-6-thinking" => card(
            "Claude Opus 4.6 (Thinking)",
            "MODEL_PLACEHOLDER_M26",
            1026,
            "ANTHROPIC_VERTEX",
            Pool::Claude,
        ),
        "gpt-oss-120b-medium" => card(
            "GPT-OSS 120B (Medium)",
            "MODEL_OPENAI_GPT_OSS_120B_MEDIUM",
            342,
            "OPENAI_VERTEX",
            Pool::Gpt,
        ),
        CHECKPOINT_MODEL => card(
            "Gemini 2.5 Flash Lite",
            "MODEL_GOOGLE_GEMINI_2_5_FLASH_LITE",
            330,
            GEMINI,
            Pool::Gemini,
        ),
        _ => card(
            "A model of the demo",
            "MODEL_PLACEHOLDER_M0",
            1000,
            GEMINI,
            Pool::Gemini,
        ),
    }
}

impl Card {
    /// `quotaInfo`: what is left of the pool, and when it is whole again.
    pub(super) fn quota(self) -> Value {
        self.pool.quota(SHORT_WINDOW)
    }
}

impl Pool {
    fn quota(self, window: SignedDuration) -> Value {
        let reset = (Timestamp::now() + window)
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        match self.fraction() {
            Some(fraction) => json!({"remainingFraction": fraction, "resetTime": reset}),
            None => json!({"resetTime": reset}),
        }
    }

    fn fraction(self) -> Option<f64> {
        match self {
            Self::Gemini => Some(0.5625),
            Self::Claude => Some(0.125),
            Self::Gpt => None,
        }
    }

    fn bucket(self, id: &str, window: &str, length: SignedDuration) -> Value {
        let mut bucket = self.quota(length);
        if let Some(bucket) = bucket.as_object_mut() {
            bucket.insert("bucketId".to_owned(), id.into());
            bucket.insert("window".to_owned(), window.into());
        }
        bucket
    }
}

/// `{"<id>": {...}}` for every model, as `fetchAvailableModels` and `GetAvailableModels` have it.
pub(super) fn catalogue() -> Value {
    let models = MODELS.into_iter().chain([CHECKPOINT_MODEL]).map(|model| {
        let card = card(model);
        let entry = json!({
            "displayName": card.display, "model": card.name, "modelVersion": model,
            "apiProvider": format!("API_PROVIDER_{}", card.provider), "maxTokens": 1_048_576, "maxOutputTokens": 65_536,
            "supportsThinking": model != CHECKPOINT_MODEL, "quotaInfo": card.quota(),
        });
        (model.to_owned(), entry)
    });
    Value::Object(models.collect())
}

/// `groups` of `retrieveUserQuotaSummary`; the language server puts its answer into `response`.
pub(super) fn quota_groups() -> Value {
    let group = |name: &str, prefix: &str, pool: Pool| {
        json!({"displayName": name, "buckets": [
            pool.bucket(&format!("{prefix}-weekly"), "weekly", LONG_WINDOW),
            pool.bucket(&format!("{prefix}-5h"), "5h", SHORT_WINDOW),
        ]})
    };
    json!([
        group("Gemini Models", "gemini", Pool::Gemini),
        group("Claude and GPT models", "3p", Pool::Claude)
    ])
}

const GEMINI: &str = "GOOGLE_GEMINI";
const SHORT_WINDOW: SignedDuration = SignedDuration::from_hours(5);
const LONG_WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_model_is_exhausted_and_says_so_by_silence() {
        let models = catalogue();
        assert_eq!(
            models["gemini-3.1-pro-low"]["quotaInfo"]["remainingFraction"],
            0.5625
        );
        let exhausted = &models["gpt-oss-120b-medium"]["quotaInfo"];
        assert!(
            exhausted.get("remainingFraction").is_none() && exhausted["resetTime"].is_string(),
            "{exhausted}"
        );
    }

    #[test]
    fn groups_have_a_bucket_for_each_window() {
        let groups = quota_groups();
        assert_eq!(groups[1]["buckets"][0]["bucketId"], "3p-weekly");
        assert_eq!(groups[0]["buckets"][1]["window"], "5h");
    }
}
