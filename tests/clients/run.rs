//! What every test has: the providers, Gravimeter, a client of one route; and what must hold at its
//! end.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::client::{Client, Route};
use crate::collector::{Collector, Reply};
use crate::gravimeter::{self, Gravimeter, count, series, wait_for};
use crate::provider::recorded::Recording;
use crate::provider::{Call, Coding, Form, Providers, Setting, Tokens};
use crate::tap::Tap;

/// The stage of one test.
pub(crate) struct Run {
    pub(crate) client: Client,
    pub(crate) providers: Providers,
    gravimeter: Gravimeter,
    collector: Collector,
    tap: Option<Tap>,
    _runtime: Runtime,
}

impl Run {
    pub(crate) fn start(route: Route) -> Self {
        Self::start_with(route, "")
    }

    /// The same where these rules hold.
    pub(crate) fn start_with(route: Route, rules: &str) -> Self {
        let providers = Providers::start();
        let runtime = Runtime::new().expect("a runtime");
        let collector = runtime.block_on(Collector::start(&[Reply::Take]));
        let gravimeter = Gravimeter::start(collector.addr, rules);
        let tap = (route == Route::Recorded).then(Tap::start);
        Self {
            client: Client::new(route),
            providers,
            gravimeter,
            collector,
            tap,
            _runtime: runtime,
        }
    }

    /// Runs a client, and returns what it was answered.
    pub(crate) fn calls<T>(
        &self,
        setting: Setting,
        client: impl FnOnce(&Client) -> T,
    ) -> (T, Vec<Call>) {
        self.providers.set(setting);
        let before = self.providers.served().calls.len();
        let result = client(&self.client);
        let calls = self.providers.served().calls[before..].to_vec();
        assert!(!calls.is_empty(), "the client has asked");
        (result, calls)
    }

    /// Compares what Gravimeter says with what the providers have answered, and, where it was
    /// recorded, every byte. Returns the spans of all of it.
    pub(crate) fn finish(self, forms: &[(Form, Coding)]) -> Vec<Span> {
        let (calls, served_forms) = {
            let served = self.providers.served();
            check_others(served.others.keys());
            (served.calls.clone(), served.forms.clone())
        };
        let served_forms: Vec<_> = served_forms.into_iter().collect();
        assert_eq!(served_forms, forms, "how the calls were carried");
        check_usage(&calls);
        for metric in [
            "gravimeter_unread_calls_total",
            "gravimeter_observer_failures_total",
        ] {
            assert_eq!(count(metric, &[]), 0, "{metric}: {:?}", series(metric));
        }
        if let Some(tap) = &self.tap {
            compare_bytes(&self.providers, tap);
        }
        self.gravimeter.stop();
        self.collector.all()
    }
}

/// That every other request is known to be no call: what a new version of a client asks for besides
/// is to be looked at.
pub(crate) fn check_others<'a>(others: impl Iterator<Item = &'a String>) {
    let is_known = |request: &&String| {
        let (_, place) = request.split_once(' ').expect("a method");
        NO_CALLS.iter().any(|(start, _)| place.starts_with(start))
    };
    let unknown: Vec<_> = others.filter(|request| !is_known(request)).collect();
    assert!(unknown.is_empty(), "are these calls? {unknown:#?}");
}

/// Where requests that are no calls go, and what they are for.
const NO_CALLS: [(&str, &str); 6] = [
    (
        "api.anthropic.com/api/",
        "settings, feature flags and telemetry of Claude Code",
    ),
    (
        "chatgpt.com/backend-api/codex/analytics-events/",
        "telemetry of Codex",
    ),
    (
        "chatgpt.com/backend-api/codex/models",
        "the models that Codex offers",
    ),
    ("chatgpt.com/backend-api/plugins/", "plugins of Codex"),
    (
        "chatgpt.com/backend-api/ps/",
        "plugins of Codex and their tools",
    ),
    (
        "chatgpt.com/backend-api/wham/",
        "the account that Codex has signed in with",
    ),
];

/// Every kind of token of every model, in `/v1/usage` and in `/metrics`.
fn check_usage(calls: &[Call]) {
    let usage = gravimeter::usage("?by=model", calls.len() as u64);
    assert_eq!(usage["totals"]["calls"], calls.len(), "{usage}");
    let of_quality = |quality: &str| calls.iter().filter(|call| call.quality == quality).count();
    assert_eq!(
        usage["totals"]["usage_quality"],
        json!({"exact": of_quality("exact"), "partial": of_quality("partial"), "unknown": of_quality("unknown")})
    );
    let is_answered = |model: &str| {
        let mut of_model = calls.iter().filter(|call| call.model == model);
        of_model.any(|call| call.outcome == "ok" || call.tokens.total() > 0)
    };
    let mut models: BTreeMap<&str, Vec<&Call>> = BTreeMap::new();
    for call in calls {
        // A model that no provider has answered as gets no name of its own.
        let label = Some(&*call.model).filter(|model| is_answered(model));
        models
            .entry(label.unwrap_or("other"))
            .or_default()
            .push(call);
    }
    for (model, calls) in models {
        let groups = usage["groups"].as_array().expect("groups");
        // One for each provider of the model.
        let groups = groups.iter().filter(|group| group["model"] == model);
        let groups: Vec<_> = groups.collect();
        let sent: Tokens = calls.iter().map(|call| call.tokens).sum();
        for (kind, sent) in sent.kinds() {
            let of_kind = |group: &&Value| group[format!("{kind}_tokens")].as_u64();
            let shown: Option<u64> = groups.iter().map(of_kind).sum();
            assert_eq!(shown, Some(sent), "{model} {kind}: {usage}");
            let labels = [format!("model=\"{model}\""), format!("kind=\"{kind}\"")];
            let labels = labels.each_ref().map(String::as_str);
            let counted = count("gravimeter_tokens_total", &labels);
            assert_eq!(counted, sent, "{model} {kind}");
        }
        for call in &calls {
            let same = calls.iter().filter(|other| {
                (&other.operation, &other.outcome) == (&call.operation, &call.outcome)
            });
            let labels = [
                format!("model=\"{model}\""),
                format!("operation=\"{}\"", call.operation),
                format!("outcome=\"{}\"", call.outcome),
            ];
            let labels = labels.each_ref().map(String::as_str);
            let counted = count("gravimeter_calls_total", &labels);
            assert_eq!(counted, same.count() as u64, "{labels:?}");
        }
    }
}

/// That every connection has carried the same bytes before and behind Gravimeter, in both
/// directions.
fn compare_bytes(providers: &Providers, tap: &Tap) {
    let before = || tap.recordings().sorted();
    let behind = || providers.recordings().sorted();
    wait_for("the end of every connection", || {
        count("gravimeter_connections_active", &["intercepted"]) == 0
            && before().len() == behind().len()
    });
    let (before, behind) = (before(), behind());
    assert!(!before.is_empty(), "something was recorded");
    for (before, behind) in before.iter().zip(&behind) {
        let sizes = |one: &Recording| (one.host.clone(), one.up.len(), one.down.len());
        assert!(
            before == behind,
            "not the same bytes: {:?} before Gravimeter, {:?} behind it",
            sizes(before),
            sizes(behind)
        );
    }
}
