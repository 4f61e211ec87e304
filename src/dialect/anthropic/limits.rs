//! What is left of the limits of an API key or of a subscription, by the head of a response.
//!
//! Those of an API key hold for each model by itself ("Rate limits" of the API's documentation);
//! those of a subscription for all models together, except the weekly ones of a class of models,
//! which are told of only when they decide.

use super::refusal::{RESET, STATUS};
use crate::dialect::limits::{HeadLimits, KeyLimit, Limit, Scope, left, number};
use crate::dialect::times::{timestamp, unix_time};
use crate::observe::exchange::ResponseHead;
use crate::record::QuotaWindow;

pub(super) const LIMITS: HeadLimits = HeadLimits {
    keys: &[REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS],
    plan_fields: &[
        FIVE_HOURS.utilization,
        FIVE_HOURS.reset,
        SEVEN_DAYS.utilization,
        SEVEN_DAYS.reset,
        OVERAGE.utilization,
        OVERAGE.reset,
        CLAIM,
        STATUS,
        RESET,
    ],
    plan_endings: &[],
    plans,
};

/// One limit of a subscription.
struct OfPlan {
    window: QuotaWindow,
    /// The part that is used, from 0 to 1.
    utilization: &'static str,
    /// In seconds of Unix time.
    reset: &'static str,
}

macro_rules! of_key {
    ($window:ident, $name:literal) => {
        KeyLimit {
            window: QuotaWindow::$window,
            limit: concat!("anthropic-ratelimit-", $name, "-limit"),
            remaining: concat!("anthropic-ratelimit-", $name, "-remaining"),
            reset: concat!("anthropic-ratelimit-", $name, "-reset"),
            // In RFC 3339.
            read_reset: |text, _| timestamp(text),
        }
    };
}

macro_rules! of_plan {
    ($window:ident, $name:literal) => {
        OfPlan {
            window: QuotaWindow::$window,
            utilization: concat!("anthropic-ratelimit-unified-", $name, "-utilization"),
            reset: concat!("anthropic-ratelimit-unified-", $name, "-reset"),
        }
    };
}

const REQUESTS: KeyLimit = of_key!(Requests, "requests");
const TOKENS: KeyLimit = of_key!(Tokens, "tokens");
const INPUT_TOKENS: KeyLimit = of_key!(InputTokens, "input-tokens");
const OUTPUT_TOKENS: KeyLimit = of_key!(OutputTokens, "output-tokens");

const FIVE_HOURS: OfPlan = of_plan!(FiveHours, "5h");
const SEVEN_DAYS: OfPlan = of_plan!(SevenDays, "7d");
const OVERAGE: OfPlan = of_plan!(Overage, "overage");

/// Which limit of a subscription decides.
const CLAIM: &str = "anthropic-ratelimit-unified-representative-claim";

fn plans(head: &ResponseHead) -> Vec<Limit> {
    let field = |name| head.fields.get(name);
    let of_plan = [FIVE_HOURS, SEVEN_DAYS, OVERAGE].map(|of_plan| {
        Some(Limit {
            scope: Scope::Account,
            window: of_plan.window,
            remaining: left(number(field(of_plan.utilization)?)?),
            resets_at: field(of_plan.reset).and_then(unix_time),
        })
    });
    let limits = of_plan.into_iter().chain([of_class(head)]);
    limits.flatten().collect()
}

/// The weekly limit of a class of models, once it is used up: before that nothing says how much of
/// it is left.
fn of_class(head: &ResponseHead) -> Option<Limit> {
    let window = match head.fields.get(CLAIM)? {
        "seven_day_opus" => QuotaWindow::SevenDaysOpus,
        "seven_day_sonnet" => QuotaWindow::SevenDaysSonnet,
        _ => return None,
    };
    let is_used_up = head.fields.get(STATUS) == Some("rejected");
    is_used_up.then(|| Limit {
        scope: Scope::Account,
        window,
        remaining: 0.0,
        resets_at: head.fields.get(RESET).and_then(unix_time),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::limits::shown;

    #[test]
    fn the_weekly_limit_of_a_class_of_models_is_told_of_once_it_is_used_up() {
        let of = |status: &str, claim: &str| {
            shown(LIMITS, &[(STATUS, status), (RESET, "60"), (CLAIM, claim)])
        };
        assert_eq!(of("rejected", "seven_day_opus"), ["Account 7d_opus 0 60"]);
        assert_eq!(
            of("rejected", "seven_day_sonnet"),
            ["Account 7d_sonnet 0 60"]
        );
        assert_eq!(of("rejected", "five_hour"), [""; 0]);
        assert_eq!(of("allowed_warning", "seven_day_opus"), [""; 0]);
    }

    #[test]
    fn what_is_spent_beyond_the_plan_has_a_limit_of_its_own() {
        let overage = shown(
            LIMITS,
            &[(OVERAGE.utilization, "0.25"), (OVERAGE.reset, "7")],
        );
        assert_eq!(overage, ["Account overage 0.75 7"]);
        assert_eq!(shown(LIMITS, &[(OVERAGE.reset, "7")]), [""; 0]);
        assert_eq!(
            shown(LIMITS, &[(FIVE_HOURS.utilization, "1.5")]),
            ["Account 5h 0"],
            "more than everything is used"
        );
        assert_eq!(shown(LIMITS, &[(TOKENS.remaining, "7")]), [""; 0]);
    }
}
