//! What is left of the limits of an API key, of a plan of ChatGPT ([`plan`]) or of GitHub Copilot,
//! by the head of a response.
//!
//! Source: "Rate limits" of OpenAI's documentation, which Azure, Groq and xAI follow.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

use super::plan;
use crate::dialect::limits::{HeadLimits, KeyLimit, Limit, Scope, number};
use crate::dialect::times::{duration, timestamp};
use crate::observe::exchange::ResponseHead;
use crate::record::QuotaWindow;

pub(super) const LIMITS: HeadLimits = HeadLimits {
    keys: &[REQUESTS, TOKENS],
    plan_fields: &[
        COPILOT[0].0,
        COPILOT[1].0,
        COPILOT[2].0,
        COPILOT[3].0,
        COPILOT[4].0,
    ],
    plan_endings: plan::ENDINGS,
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
    let of_copilot = COPILOT.map(|(name, window)| copilot(field(name)?, window));
    let of_chatgpt = plan::of_head(&head.fields);
    of_copilot.into_iter().flatten().chain(of_chatgpt).collect()
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
    use std::time::Duration;

    use super::*;
    use crate::dialect::limits::shown;

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
    fn a_reset_is_counted_from_the_response() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        for (text, milliseconds) in [
            ("1ms", 1),
            ("17ms", 17),
            ("1s", 1_000),
            ("8.64s", 8_640),
            ("6m0s", 360_000),
            ("1m26.4s", 86_400),
            ("1h0m0s", 3_600_000),
            ("24h0m1.5s", 86_401_500),
            ("0s", 0),
        ] {
            for key in LIMITS.keys {
                let expected = Some(now + Duration::from_millis(milliseconds));
                let window = key.window;
                assert_eq!((key.read_reset)(text, now), expected, "{window} {text}");
            }
        }
        for none in ["", "soon", "-1s", "1", "s"] {
            assert_eq!(after(none, now), None, "{none}");
        }
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
