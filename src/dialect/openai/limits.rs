//! What is left of the limits of an API key, of a plan of ChatGPT (Codex) or of GitHub Copilot, by
//! the head of a response; and of a plan by what comes over a WebSocket.
//!
//! Sources: "Rate limits" of OpenAI's documentation, which Azure, Groq and xAI follow; openai/codex
//! `codex-rs/codex-api/src/rate_limits.rs`.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use crate::dialect::limits::{HeadLimits, KeyLimit, Limit, Scope, left, number};
use crate::dialect::times::{duration, timestamp, unix_time};
use crate::observe::exchange::ResponseHead;
use crate::observe::json::Value;
use crate::record::QuotaWindow;

pub(super) const LIMITS: HeadLimits = HeadLimits {
    keys: &[REQUESTS, TOKENS],
    plan_fields: &[
        PRIMARY.used,
        PRIMARY.minutes,
        PRIMARY.reset,
        SECONDARY.used,
        SECONDARY.minutes,
        SECONDARY.reset,
        COPILOT[0].0,
        COPILOT[1].0,
        COPILOT[2].0,
        COPILOT[3].0,
        COPILOT[4].0,
    ],
    plans,
};

const REQUESTS: KeyLimit = KeyLimit {
    window: QuotaWindow::Requests,
    limit: "x-ratelimit-limit-requests",
    remaining: "x-ratelimit-remaining-requests",
    reset: "x-ratelimit-reset-requests",
    read_reset: after,
};

const TOKENS: KeyLimit = KeyLimit {
    window: QuotaWindow::Tokens,
    limit: "x-ratelimit-limit-tokens",
    remaining: "x-ratelimit-remaining-tokens",
    reset: "x-ratelimit-reset-tokens",
    read_reset: after,
};

/// One limit of a plan of ChatGPT.
pub(super) struct OfPlan {
    /// In percent.
    pub(super) used: &'static str,
    /// The length of its window: not which of the two it is tells what it limits.
    pub(super) minutes: &'static str,
    /// In seconds of Unix time.
    pub(super) reset: &'static str,
}

/// The limit of a plan that is named first. Over a WebSocket the fields of a refusal stand in its
/// message.
pub(super) const PRIMARY: OfPlan = OfPlan {
    used: "x-codex-primary-used-percent",
    minutes: "x-codex-primary-window-minutes",
    reset: "x-codex-primary-reset-at",
};

/// The other one.
pub(super) const SECONDARY: OfPlan = OfPlan {
    used: "x-codex-secondary-used-percent",
    minutes: "x-codex-secondary-window-minutes",
    reset: "x-codex-secondary-reset-at",
};

/// The limits of a plan of GitHub Copilot, as parameters of a URL:
/// `ent=300&rem=88.5&rst=2026-12-01T00%3A00%3A00Z`.
const COPILOT: [(&str, QuotaWindow); 5] = [
    ("x-quota-snapshot-chat", QuotaWindow::Chat),
    (
        "x-quota-snapshot-premium_interactions",
        QuotaWindow::PremiumInteractions,
    ),
    (
        "x-quota-snapshot-premium_models",
        QuotaWindow::PremiumModels,
    ),
    ("x-usage-ratelimit-session", QuotaWindow::Session),
    ("x-usage-ratelimit-weekly", QuotaWindow::Weekly),
];

/// The end of a duration that begins now.
fn after(text: &str, now: SystemTime) -> Option<SystemTime> {
    now.checked_add(duration(text)?)
}

fn plans(head: &ResponseHead) -> Vec<Limit> {
    let field = |name| head.fields.get(name);
    let of_plan = [PRIMARY, SECONDARY].map(|of_plan| {
        let mut window = PlanWindow::default();
        for (part, name) in [
            (PlanPart::UsedPercent, of_plan.used),
            (PlanPart::Minutes, of_plan.minutes),
            (PlanPart::ResetsAt, of_plan.reset),
        ] {
            if let Some(text) = field(name) {
                window.take(part, &Value::Number(text));
            }
        }
        window.limit()
    });
    let of_copilot = COPILOT.map(|(name, window)| copilot(field(name)?, window));
    of_plan.into_iter().chain(of_copilot).flatten().collect()
}

/// One window of a plan, while it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct PlanWindow {
    used_percent: Option<f64>,
    minutes: Option<u32>,
    resets_at: Option<SystemTime>,
}

/// What is said of a window of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlanPart {
    Minutes,
    ResetsAt,
    UsedPercent,
}

impl PlanWindow {
    /// Takes a value; what is none says nothing.
    pub(super) fn take(&mut self, part: PlanPart, value: &Value<'_>) {
        let (Value::Number(text) | Value::String { text, cut: false }) = value else {
            return;
        };
        match part {
            PlanPart::Minutes => self.minutes = text.parse().ok(),
            PlanPart::ResetsAt => self.resets_at = unix_time(text),
            PlanPart::UsedPercent => self.used_percent = number(text),
        }
    }

    /// The limit that it is, once it says how much is used.
    pub(super) fn limit(self) -> Option<Limit> {
        Some(Limit {
            scope: Scope::Account,
            window: match self.minutes {
                Some(300) => QuotaWindow::FiveHours,
                Some(1_440) => QuotaWindow::Day,
                Some(10_080) => QuotaWindow::Weekly,
                _ => QuotaWindow::Unspecified,
            },
            remaining: left(self.used_percent? / 100.0),
            resets_at: self.resets_at,
        })
    }
}

/// A limit of Copilot; `None` where nothing is limited.
fn copilot(text: &str, window: QuotaWindow) -> Option<Limit> {
    let part = |name| {
        let mut pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        percent_decode_str(value).decode_utf8().ok()
    };
    let is_unlimited = number(&part("ent")?)? < 0.0;
    let percent = number(&part("rem")?).filter(|_| !is_unlimited)?;
    Some(Limit {
        scope: Scope::Account,
        window,
        remaining: (percent / 100.0).clamp(0.0, 1.0),
        resets_at: part("rst").as_deref().and_then(timestamp),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::limits::shown;

    #[test]
    fn the_minutes_name_the_window_of_a_plan() {
        let of = |minutes: &str| {
            shown(
                LIMITS,
                &[(PRIMARY.used, "41.5"), (PRIMARY.minutes, minutes)],
            )
        };
        assert_eq!(of("300"), ["Account 5h 0.585"]);
        assert_eq!(of("1440"), ["Account 1d 0.585"]);
        assert_eq!(of("10080"), ["Account weekly 0.585"]);
        assert_eq!(of("17"), ["Account unspecified 0.585"]);
        assert_eq!(of("soon"), ["Account unspecified 0.585"]);
        let without_use = [(SECONDARY.minutes, "300"), (SECONDARY.reset, "7")];
        assert_eq!(shown(LIMITS, &without_use), [""; 0]);
    }

    #[test]
    fn a_limit_of_a_key_is_full_again_after_a_while() {
        let of = |reset: &str| {
            shown(
                LIMITS,
                &[
                    (TOKENS.limit, "8"),
                    (TOKENS.remaining, "6"),
                    (TOKENS.reset, reset),
                ],
            )
        };
        assert_eq!(of("6m0s"), ["Model tokens 0.75 360"]);
        assert_eq!(of("17ms"), ["Model tokens 0.75 0.017"]);
        assert_eq!(of("2m59.56s"), ["Model tokens 0.75 179.56"]);
        assert_eq!(of("soon"), ["Model tokens 0.75"]);
        assert_eq!(of("-1s"), ["Model tokens 0.75"]);
    }

    #[test]
    fn what_copilot_does_not_limit_is_no_limit() {
        let of = |text: &str| shown(LIMITS, &[(COPILOT[4].0, text)]);
        assert_eq!(
            of("ent=300&rem=88.5&rst=1970-01-01T00%3A00%3A09Z&ov=0.0"),
            ["Account weekly 0.885 9"]
        );
        assert_eq!(of("rem=25&ent=1"), ["Account weekly 0.25"]);
        for none in [
            "",
            "&&=",
            "ent=-1&rem=100.0",
            "ent=1",
            "rem=1",
            "ent=1&rem=%ff",
        ] {
            assert_eq!(of(none), [""; 0], "{none}");
        }
    }
}
