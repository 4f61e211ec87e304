use serde_json::{Value, json};

use super::kit::{call, ended, id, ledger, named, of_cascade, of_trajectory, report, small, take};
use crate::ledger::memory::models::Quotas;
use crate::ledger::{By, Ledger, Of};
use crate::record::{
    Call, Cost, Fact, Model, Outcome, Provider, Quality, Quota, QuotaWindow, TokenKind, TokenUsage,
};

#[test]
fn the_json_has_the_shape_of_the_contract() {
    let cut_off = Call {
        outcome: Outcome::Truncated,
        quality: Quality::Partial,
        usage: TokenUsage::default().with(TokenKind::Input, 100),
        ..call("m", Provider::CloudCode)
    };
    let ledger = ledger(
        9,
        vec![
            Call {
                cost: Some(Cost::from_nano_usd(1)),
                ..call("m", Provider::CloudCode)
            },
            cut_off,
        ],
    );
    let usage = json!({
        "calls": 2, "input_tokens": 101, "cache_read_tokens": 2, "cache_write_tokens": 4, "tool_input_tokens": 8,
        "output_tokens": 16, "thinking_tokens": 32, "total_tokens": 163, "cost_usd": 0.000000001, "unpriced_calls": 1,
        "usage_quality": {"exact": 1, "partial": 1, "unknown": 0},
        "outcomes": {"ok": 1, "truncated": 1},
    });
    let mut group = usage.clone();
    group["provider"] = json!("gcp.gen_ai");
    let mut listed = group.clone();
    listed["model"] = json!("m");
    let expected = json!({
        "since": "1970-01-01T00:00:00Z", "until": "2026-11-23T20:44:00Z", "totals": usage, "models": {"m": group},
        "groups": [listed],
    });
    assert_eq!(
        serde_json::to_value(report(&ledger, By::Model)).expect("JSON"),
        expected
    );
    let by_provider = serde_json::to_value(report(&ledger, By::Provider)).expect("JSON");
    assert_eq!(by_provider["providers"], json!({"gcp.gen_ai": usage}));
    assert!(by_provider.get("models").is_none());
}

#[test]
fn two_providers_of_one_model_stay_apart() {
    let calls = vec![
        call("m", Provider::Gemini),
        call("m", Provider::VertexAi),
        call("n", Provider::Gemini),
        call("m@gcp.gemini", Provider::Gemini),
    ];
    let report = report(&ledger(9, calls), By::Model);
    let keys: Vec<String> = report.models.expect("models").into_keys().collect();
    assert_eq!(
        keys,
        [
            "m@gcp.gemini",
            "m@gcp.gemini@gcp.gemini",
            "m@gcp.vertex_ai",
            "n"
        ]
    );
    assert_eq!(report.totals.calls, 4);
}

/// The groups of the list that have these fields, as calls.
fn calls_of(ledger: &Ledger, by: By, fields: &[(&str, &str)]) -> Vec<u64> {
    let json = serde_json::to_value(report(ledger, by)).expect("JSON");
    let groups = json["groups"].as_array().expect("groups").clone();
    let is_it = |group: &Value| fields.iter().all(|(name, text)| group[name] == *text);
    groups
        .iter()
        .filter(|group| is_it(group))
        .map(|group| group["calls"].as_u64().expect("calls"))
        .collect()
}

#[test]
fn a_group_is_found_by_the_same_fields_whatever_else_there_is() {
    let one = |number, model, provider| Call {
        number,
        ..call(model, provider)
    };
    let ledger = ledger(9, vec![one(1, "m", Provider::Gemini)]);
    let first_day = [("model", "m"), ("provider", "gcp.gemini")];
    assert_eq!(calls_of(&ledger, By::Model, &first_day), [1]);
    take(
        &ledger,
        [(2, "m@gcp.gemini"), (3, "m")]
            .map(|(number, model)| ended(one(number, model, Provider::VertexAi))),
    );
    take(&ledger, [ended(one(4, "m@gcp.gemini", Provider::Gemini))]);
    assert_eq!(calls_of(&ledger, By::Model, &first_day), [1]);
    assert_eq!(
        calls_of(
            &ledger,
            By::Model,
            &[("model", "m"), ("provider", "gcp.vertex_ai")]
        ),
        [1]
    );
    assert_eq!(
        calls_of(&ledger, By::Model, &[("model", "m@gcp.gemini")]),
        [1, 1]
    );
    assert_eq!(
        calls_of(&ledger, By::Provider, &[("provider", "gcp.gemini")]),
        [2]
    );
    assert_eq!(
        calls_of(&ledger, By::Operation, &[("operation", "chat")]),
        [4]
    );
    assert_eq!(calls_of(&ledger, By::Day, &[("day", "1970-01-01")]), [4]);
    assert_eq!(
        calls_of(&ledger, By::Hour, &[("hour", "1970-01-01T00:00:00+00:00")]),
        [4]
    );
}

#[test]
fn conversations_are_found_by_their_ids_whatever_these_look_like() {
    let ledger = small(4, 100, 100);
    let one = |number| Call {
        number,
        ..call("m", Provider::Gemini)
    };
    take(&ledger, [ended(of_cascade("gone", one(1)))]);
    for (number, name) in [(2, "c"), (4, "trajectory/t"), (6, "other")] {
        take(&ledger, [ended(of_cascade(name, one(number)))]);
    }
    take(
        &ledger,
        [
            ended(of_trajectory("t", one(8))),
            ended(one(9)),
            ended(one(10)),
        ],
    );
    for name in ["c", "trajectory/t", "other"] {
        assert_eq!(
            calls_of(
                &ledger,
                By::Cascade,
                &[("kind", "cascade"), ("cascade", name)]
            ),
            [1],
            "{name}"
        );
    }
    assert_eq!(
        calls_of(
            &ledger,
            By::Cascade,
            &[("kind", "trajectory"), ("trajectory", "t")]
        ),
        [1]
    );
    assert_eq!(calls_of(&ledger, By::Cascade, &[("kind", "unknown")]), [2]);
    assert_eq!(calls_of(&ledger, By::Cascade, &[("kind", "other")]), [1]);
    let details = ledger.cascade(&id("c")).expect("kept");
    let [of_m] = details.by_model.as_slice() else {
        panic!("{details:?}")
    };
    let expected = Of::Model {
        model: Model::from_wire("m"),
        provider: Provider::Gemini,
    };
    assert_eq!((&of_m.of, of_m.usage.calls), (&expected, 1));
}

#[test]
fn models_are_bounded_and_totals_exact() {
    let calls = (0..1000)
        .map(|n| call(&format!("m{n}"), Provider::Gemini))
        .collect();
    let report = report(&ledger(10, calls), By::Model);
    let models = report.models.expect("models");
    assert_eq!(models.len(), 11);
    assert_eq!(models["other"].usage.calls, 990);
    assert_eq!(
        models
            .values()
            .map(|group| group.usage.total_tokens)
            .sum::<u64>(),
        report.totals.total_tokens
    );
    assert_eq!(report.totals.total_tokens, 63_000);
}

#[test]
fn sums_saturate() {
    let usage = TokenUsage::default().with(TokenKind::Output, u64::MAX);
    let huge = |model| Call {
        usage,
        ..call(model, Provider::Gemini)
    };
    let report = report(&ledger(9, vec![huge("a"), huge("a"), huge("b")]), By::Model);
    assert_eq!(
        (
            report.totals.tokens[TokenKind::Output],
            report.totals.total_tokens
        ),
        (u64::MAX, u64::MAX)
    );
}

#[test]
fn names_for_people_stand_beside_models_of_that_provider() {
    let ledger = ledger(
        1,
        vec![
            call("m", Provider::CloudCode),
            call("m", Provider::Gemini),
            call("n", Provider::Gemini),
        ],
    );
    take(
        &ledger,
        [
            named("m", "Old"),
            named("m", "Model M (High)"),
            named("other", "No"),
            named("n", "No"),
        ],
    );
    let models = report(&ledger, By::Model).models.expect("models");
    let names = models.iter().map(|(key, group)| {
        (
            key.as_str(),
            group.display_name.as_ref().map(|name| name.as_str()),
        )
    });
    let expected = [
        ("m@gcp.gen_ai", Some("Model M (High)")),
        ("m@gcp.gemini", None),
        ("other", None),
    ];
    assert_eq!(
        names.collect::<std::collections::HashMap<_, _>>(),
        expected.into()
    );
}

#[test]
fn names_for_people_stand_beside_conversations_of_one_model() {
    let one = of_cascade("c", call("m", Provider::CloudCode));
    let ledger = ledger(1, vec![one]);
    take(&ledger, [named("m", "Model M")]);
    let report = serde_json::to_value(report(&ledger, By::Cascade)).expect("JSON");
    assert_eq!(report["groups"][0]["cascade"], "c", "{report}");
    assert_eq!(report["groups"][0]["display_name"], "Model M", "{report}");
}

#[test]
fn quotas_are_the_last_readings_of_models_with_a_name() {
    let ledger = ledger(2, vec![]);
    let quota = |model: &str, remaining: f64, resets_at| {
        let model = Model::from_wire(model);
        Fact::Quota(Quota {
            provider: Provider::CloudCode,
            model,
            window: QuotaWindow::Weekly,
            remaining,
            resets_at,
        })
    };
    let soon = Some(super::kit::at(60));
    let facts = [
        quota("m", 0.9, soon),
        quota("m", 0.5, soon),
        quota("m", f64::NAN, None),
        quota("3p", 1.5, None),
        quota("one too many", 0.1, None),
        named("m", "Model M"),
    ];
    take(&ledger, facts);
    let expected = json!([
        {"provider": "gcp.gen_ai", "model": "3p", "window": "weekly", "remaining_ratio": 1.0, "read_at": "2026-11-23T20:44:00Z"},
        {"provider": "gcp.gen_ai", "model": "m", "display_name": "Model M", "window": "weekly", "remaining_ratio": 0.5,
         "resets_at": "1970-01-01T00:01:00Z", "read_at": "2026-11-23T20:44:00Z"},
    ]);
    assert_eq!(
        serde_json::to_value(ledger.quotas()).expect("JSON"),
        expected
    );
}

#[test]
fn a_quota_is_news_when_what_is_left_or_its_end_has_changed() {
    let quota = |remaining, second| Quota {
        provider: Provider::CloudCode,
        model: Model::from_wire("m"),
        window: QuotaWindow::Weekly,
        remaining,
        resets_at: Some(super::kit::at(second)),
    };
    let mut quotas = Quotas::default();
    assert!(quotas.is_news(&quota(0.5, 60)));
    assert!(!quotas.is_news(&quota(f64::NAN, 60)), "it says nothing");
    quotas.read(&quota(0.5, 60), super::kit::now());
    assert!(!quotas.is_news(&quota(0.5, 60)));
    assert!(quotas.is_news(&quota(0.4, 60)));
    assert!(quotas.is_news(&quota(0.5, 61)));
    let of_a_day = Quota {
        window: QuotaWindow::Day,
        ..quota(0.5, 60)
    };
    assert!(quotas.is_news(&of_a_day));
}
