//! What an agent has done, by the provider's own record, against what Gravimeter says of it: the
//! conversation with its runs and subagents, and the spans.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use crate::collector::text;
use crate::gravimeter;
use crate::provider::Call;

/// One conversation of an agent.
pub(crate) struct Work {
    /// The agent's name.
    pub(crate) agent: &'static str,
    /// The id of the conversation.
    pub(crate) conversation: String,
    /// All its calls.
    pub(crate) calls: Vec<Call>,
    /// How often it was given something to do, its own subagents' ends included.
    pub(crate) runs: usize,
    /// Whether it may rest while subagents work: what they do meanwhile belongs to no run.
    pub(crate) may_rest: bool,
}

/// Calls and their tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Spent {
    calls: u64,
    tokens: u64,
}

impl Spent {
    fn add(&mut self, call: &Call) {
        self.calls += 1;
        self.tokens += call.tokens.total();
    }

    fn of(group: &Value) -> Self {
        let count = |name: &str| group[name].as_u64().expect("a count");
        Self {
            calls: count("calls"),
            tokens: count("total_tokens"),
        }
    }
}

impl Work {
    fn all(&self) -> Spent {
        let mut all = Spent::default();
        self.calls.iter().for_each(|call| all.add(call));
        all
    }

    fn by_subagent(&self) -> BTreeMap<String, Spent> {
        let mut subagents = BTreeMap::<_, Spent>::new();
        for call in &self.calls {
            if let Some(id) = &call.subagent {
                subagents.entry(id.clone()).or_default().add(call);
            }
        }
        subagents
    }

    /// The conversation, its runs and its subagents are what the agent did.
    pub(crate) fn check(&self) {
        let path = format!("/v1/cascades/{}", self.conversation);
        let shown = gravimeter::answer(&path, |shown| {
            shown["runs"].as_array().map(Vec::len) >= Some(self.runs)
                && shown["usage"]["calls"].as_u64() >= Some(self.calls.len() as u64)
        });
        assert_eq!(Spent::of(&shown["usage"]), self.all(), "{shown}");
        assert_eq!(shown["state"], "idle", "{shown}");
        let runs = shown["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), self.runs, "{shown}");
        assert!(
            runs.iter()
                .all(|run| run["agent"] == self.agent && run["outcome"] == "ok"),
            "{shown}"
        );
        let in_runs: u64 = runs.iter().map(|run| Spent::of(run).calls).sum();
        let (all, own) = (
            self.calls.len() as u64,
            self.calls.iter().filter(|call| call.subagent.is_none()),
        );
        let least = if self.may_rest {
            own.count() as u64
        } else {
            all
        };
        assert!((least..=all).contains(&in_runs), "{in_runs}: {shown}");
        let listed = shown["subagents"].as_array().expect("subagents");
        let listed: BTreeMap<_, _> = listed
            .iter()
            .map(|group| (id(group), Spent::of(group)))
            .collect();
        assert_eq!(listed, self.by_subagent(), "{shown}");

        let usage = gravimeter::answer("/v1/usage?by=subagent", |usage| usage["groups"].is_array());
        let groups = usage["groups"].as_array().expect("groups");
        let own: BTreeMap<_, _> = groups
            .iter()
            .filter(|group| group["kind"] == "subagent" && group["cascade"] == *self.conversation)
            .map(|group| (id(group), Spent::of(group)))
            .collect();
        assert_eq!(own, self.by_subagent(), "{usage}");
    }

    /// Every call stands below its subagent or its run, and every subagent below its run, even if it
    /// has begun when that was over.
    pub(crate) fn check_spans(&self, spans: &[Span]) {
        let own: Vec<&Span> = spans
            .iter()
            .filter(|span| text(span, "gen_ai.conversation.id") == Some(&self.conversation))
            .collect();
        let named = |name: &str| {
            let found = own.iter().filter(|span| span.name.starts_with(name));
            found.copied().collect::<Vec<_>>()
        };
        let runs = named(&format!("invoke_agent {}", self.agent));
        assert_eq!(runs.len(), self.runs);
        let is_run = |id: &[u8]| runs.iter().any(|run| run.span_id == id);
        let subagents: Vec<_> = named("invoke_agent ")
            .into_iter()
            .filter(|span| !is_run(&span.span_id))
            .collect();
        let mut ids: Vec<_> = subagents
            .iter()
            .map(|span| text(span, "gen_ai.agent.id").expect("an id").to_owned())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let meant: Vec<_> = self.by_subagent().into_keys().collect();
        assert_eq!(ids, meant);
        let mut parents = subagents.iter().map(|span| &*span.parent_span_id);
        assert!(parents.all(is_run), "{subagents:?}");
        let calls = named("chat ");
        assert_eq!(calls.len(), self.calls.len());
        for call in calls {
            let above = match text(call, "gen_ai.agent.id") {
                Some(_) => subagents
                    .iter()
                    .any(|span| span.span_id == call.parent_span_id),
                None => is_run(&call.parent_span_id),
            };
            assert!(above, "{call:?}");
        }
    }
}

fn id(group: &Value) -> String {
    group["subagent"].as_str().expect("an id").to_owned()
}
