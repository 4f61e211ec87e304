//! Replays the fixtures of every dialect: the raw bytes of a connection in, the facts as JSON out, for
//! every cut.

mod requests;
pub(super) mod sketch;
mod sockets;
mod turns;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::*;
use crate::observe::memory::Memory;
use crate::observe::{Alpn, Connection, Direction, End, Observer, OpenObserver as _};
use crate::record::{
    Call, ConnectionCaller, Fact, Label as _, ModalitySplits, Record, Reported, ServerTools,
    TokenUsage,
};

/// Keeps every fact.
#[derive(Default)]
pub(super) struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
}

impl Facts {
    pub(super) fn taken(&self) -> Vec<Fact> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A connection that was opened just now, at the beginning of 2026 by the wall clock.
pub(super) fn connection(host: &str, alpn: Alpn) -> Connection {
    let opened_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    Connection {
        host: Host::parse(host).unwrap(),
        alpn,
        opened: Instant::now(),
        opened_at,
        port: 443,
        setup: None,
        caller: ConnectionCaller::default(),
        changes: None,
    }
}

struct Case {
    name: String,
    host: String,
    request: Vec<u8>,
    response: Vec<u8>,
    expected: Json,
}

impl Case {
    fn read(folder: &Path) -> Self {
        let file = |name: &str| {
            fs::read(folder.join(name))
                .unwrap_or_else(|e| panic!("{}/{name}: {e}", folder.display()))
        };
        let request = file("request.http");
        let text = String::from_utf8_lossy(&request);
        let host = text
            .lines()
            .find_map(|line| line.strip_prefix("Host: "))
            .expect("a Host field")
            .trim();
        let host = host.split(':').next().unwrap_or_default().to_owned();
        let name = folder.display().to_string();
        let mut expected = serde_json::from_slice(&file("call.json")).expect("call.json");
        let more = fs::read(folder.join("more.json")).ok();
        let more = more.map(|text| serde_json::from_slice(&text).expect("more.json"));
        complete(&mut expected, &more.unwrap_or_default());
        Self {
            name,
            host,
            response: file("response.http"),
            expected,
            request,
        }
    }

    /// What is stated when the pieces pass, all of them at one moment, and the provider's side then
    /// breaks off.
    fn replay<'a>(
        &self,
        request: impl Iterator<Item = &'a [u8]>,
        response: impl Iterator<Item = &'a [u8]>,
    ) -> Json {
        facts_json(&self.facts(request, response))
    }

    /// As [`Case::replay`], the facts themselves.
    fn facts<'a>(
        &self,
        request: impl Iterator<Item = &'a [u8]>,
        response: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<Fact> {
        self.stated(Alpn::Http1, |observer, at| {
            request.for_each(|piece| observer.bytes(Direction::ToProvider, piece, at));
            response.for_each(|piece| observer.bytes(Direction::ToAgent, piece, at));
        })
    }

    fn observed(&self, alpn: Alpn, pass: impl FnOnce(&mut dyn Observer, Instant)) -> Json {
        facts_json(&self.stated(alpn, pass))
    }

    fn stated(&self, alpn: Alpn, pass: impl FnOnce(&mut dyn Observer, Instant)) -> Vec<Fact> {
        let facts = Arc::new(Facts::default());
        let connection = connection(&self.host, alpn);
        let at = connection.opened;
        let mut observer = Observers {
            record: Arc::clone(&facts) as Arc<dyn Record>,
            memory: Memory::default(),
        }
        .open(connection);
        pass(&mut *observer, at);
        observer.end(End::ProviderGone, at);
        drop(observer);
        facts.taken()
    }
}

fn facts_json(facts: &[Fact]) -> Json {
    let count = |wanted: fn(&Fact) -> bool| facts.iter().filter(|fact| wanted(fact)).count();
    let calls: Vec<_> = facts
        .iter()
        .filter_map(|fact| {
            if let Fact::Call(call) = fact {
                Some(&**call)
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        count(|fact| matches!(fact, Fact::CallStarted(_))),
        calls.len(),
        "each call begins and ends once"
    );
    let calls = calls
        .into_iter()
        .fold(Vec::<(&Call, Json)>::new(), |mut calls, call| {
            match calls.last_mut() {
                Some((before, json)) if is_part_of(call, before) => {
                    let part = json!({ "model": call.model, "usage": usage_json(&call.usage) });
                    let others = json
                        .as_object_mut()
                        .unwrap()
                        .entry("other_models")
                        .or_insert_with(|| json!([]));
                    others.as_array_mut().unwrap().push(part);
                }
                _ => calls.push((call, call_json(call))),
            }
            calls
        });
    let calls: Vec<_> = calls.into_iter().map(|(_, json)| json).collect();
    let failures: Vec<_> = facts
        .iter()
        .filter_map(|fact| {
            if let Fact::ObserverFailed(why) = fact {
                Some(why)
            } else {
                None
            }
        })
        .collect();
    let content_chunks: usize = facts
        .iter()
        .map(|fact| {
            if let Fact::ContentChunks(chunks) = fact {
                chunks.count
            } else {
                0
            }
        })
        .sum();
    let mut json =
        json!({ "calls": calls, "content_chunks": content_chunks, "failures": failures });
    let told: Vec<_> = facts.iter().filter_map(told_json).collect();
    if !told.is_empty() {
        json["told"] = told.into();
    }
    json
}

/// Brings what the files say into the form of [`facts_json`]: writes to the cache of no known
/// lifetime are those of five minutes, and other models have calls of their own.
fn complete(expected: &mut Json, more: &Json) {
    let by_kind = |usage: &mut Json| {
        let Some(untold) = usage
            .as_object_mut()
            .and_then(|usage| usage.remove("cache_write"))
        else {
            return;
        };
        let known = usage["cache_write_5m"].as_u64().unwrap_or(0);
        usage["cache_write_5m"] = (known + untold.as_u64().unwrap_or(0)).into();
    };
    let calls = expected["calls"].as_array_mut().expect("calls");
    for (place, call) in calls.iter_mut().enumerate() {
        by_kind(&mut call["usage"]);
        let mut others = more["calls"][place]["other_models"].clone();
        for other in others.as_array_mut().into_iter().flatten() {
            by_kind(&mut other["usage"]);
        }
        if !others.is_null() {
            call["other_models"] = others;
        }
        let reported: serde_json::Map<_, _> = REPORTED
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), more["calls"][place].get(name)?.clone())))
            .collect();
        if !reported.is_empty() {
            call["reported"] = reported.into();
        }
        let modality = &more["calls"][place]["modality"];
        if !modality.is_null() {
            call["modality"] = modality.clone();
        }
    }
    if !more["told"].is_null() {
        expected["told"] = more["told"].clone();
    }
}

/// The members of `more.json` that are in [`Reported`].
const REPORTED: [&str; 9] = [
    "billing",
    "inference_geo",
    "provider_first_byte_seconds",
    "provider_seconds",
    "reported_cost_usd",
    "reported_nano_aiu",
    "server_tools",
    "service_tier",
    "speed",
];

/// What is reported of a call beside tokens; `null` where nothing is.
fn reported_json(reported: &Reported) -> Json {
    let Reported {
        cost,
        nano_credits,
        service_tier,
        speed,
        inference_geo,
        server_tools,
        is_overage,
        time,
    } = reported;
    let tools = json!({
        "web_search_requests": server_tools.web_searches, "web_fetch_requests": server_tools.web_fetches,
    });
    let has_tools = *server_tools != ServerTools::default();
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs_f64());
    let mut json = json!({
        "reported_cost_usd": cost, "reported_nano_aiu": nano_credits, "service_tier": service_tier, "speed": speed,
        "inference_geo": inference_geo, "server_tools": has_tools.then_some(tools), "billing": is_overage.then_some("overage"),
        "provider_seconds": seconds(time.total), "provider_first_byte_seconds": seconds(time.first_byte),
    });
    drop_nulls(&mut json);
    if json == json!({}) { Json::Null } else { json }
}

/// Whether the call is the part of the one before that another model answered.
fn is_part_of(call: &Call, before: &Call) -> bool {
    call.ids.response.is_some() && call.ids.response == before.ids.response
}

fn usage_json(usage: &TokenUsage) -> Json {
    let reported = usage
        .iter()
        .filter_map(|(kind, count)| Some((kind, (*count)?)));
    reported
        .map(|(kind, count)| (kind.to_string(), Json::from(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// The splits of which anything is known; `null` where nothing is.
fn modality_json(splits: &ModalitySplits) -> Json {
    let known = splits.iter().filter_map(|(sum, split)| {
        let known = split.iter().filter(|(_, tokens)| *tokens > 0);
        let known: serde_json::Map<_, _> = known
            .map(|(modality, tokens)| (modality.to_string(), Json::from(tokens)))
            .collect();
        (!known.is_empty()).then(|| (sum.to_string(), Json::from(known)))
    });
    let known: serde_json::Map<_, _> = known.collect();
    if known.is_empty() {
        Json::Null
    } else {
        known.into()
    }
}

/// What is told besides calls.
fn told_json(fact: &Fact) -> Option<Json> {
    let mut json = match fact {
        Fact::IdsJoined(ids) => json!({ "joined": {
            "cascade": ids.cascade, "trajectory": ids.trajectory, "provider_trace": ids.provider_trace,
        }}),
        Fact::ModelNamed(name) => json!({ "named": {
            "provider": name.provider, "model": name.model, "display": name.display, "placeholder": name.placeholder,
        }}),
        Fact::Quota(quota) => json!({ "quota": {
            "provider": quota.provider, "model": Some(&quota.model).filter(|model| **model != Model::all()), "window": quota.window, "remaining": quota.remaining,
            "resets_at": quota.resets_at.map(|at| Timestamp::try_from(at).unwrap().to_string()),
        }}),
        _ => return None,
    };
    drop_nulls(&mut json);
    Some(json)
}

fn call_json(call: &Call) -> Json {
    let rate_limit = call.rate_limit.map(|limit| {
        let resets_at = limit.resets_at.map(|at| Timestamp::try_from(at).unwrap().to_string());
        let retry_after = limit.retry_after.map(|delay| delay.as_secs_f64());
        json!({ "reason": limit.reason, "retry_after_seconds": retry_after, "resets_at": resets_at })
    });
    let mut json = json!({
        "provider": call.provider, "host": call.host, "operation": call.operation, "model": call.model,
        "served_model": call.served_model, "outcome": call.outcome, "status": call.status, "streamed": call.streamed,
        "finish_reason": call.finish_reason, "rate_limit": rate_limit, "usage": usage_json(&call.usage), "quality": call.quality,
        "reported": reported_json(&call.reported), "modality": modality_json(&call.modalities),
        "ids": call.ids, "correlation": { "cascade": call.correlation.cascade, "method": call.correlation.method },
    });
    drop_nulls(&mut json);
    json
}

fn drop_nulls(json: &mut Json) {
    if let Json::Object(members) = json {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(drop_nulls);
    }
}

/// The folders of fixtures, one for each dialect.
const FOLDERS: [&str; 5] = ["anthropic", "bedrock", "gemini", "ollama", "openai"];

fn cases() -> Vec<Case> {
    let folders = FOLDERS.iter().flat_map(|dialect| folders(dialect));
    folders
        .chain([fixtures().join("sketch/document")])
        .map(|folder| Case::read(&folder))
        .collect()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn folders(dialect: &str) -> Vec<PathBuf> {
    let cases = fs::read_dir(fixtures().join(dialect)).unwrap();
    let mut folders: Vec<PathBuf> = cases.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    assert!(folders.len() > 15, "the fixtures of {dialect} are there");
    folders
}

fn whole(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::once(bytes)
}

fn cut(bytes: &[u8], at: usize) -> impl Iterator<Item = &[u8]> {
    let (head, tail) = bytes.split_at(at);
    [head, tail].into_iter()
}

#[test]
fn every_fixture_gives_its_call() {
    for case in cases() {
        assert_eq!(
            case.replay(whole(&case.request), whole(&case.response)),
            case.expected,
            "{}",
            case.name
        );
    }
}

/// It is read by the other tests of this file.
#[test]
fn a_dialect_takes_one_short_file_and_a_line_in_the_table() {
    let lines = include_str!("tests/sketch.rs").lines();
    let lines = lines.filter(|line| !line.trim().is_empty());
    assert!(lines.count() <= 50);
    let mentions = |text: &str| text.matches("sketch").count();
    assert_eq!(mentions(include_str!("mod.rs")), 1, "the line in the table");
    let sketch = Case::read(&fixtures().join("sketch/document"));
    let seen = sketch.replay(whole(&sketch.request), whole(&sketch.response));
    assert_eq!(seen["calls"].as_array().unwrap().len(), 1);
}

#[test]
fn every_cut_gives_the_same_call() {
    for case in cases() {
        let (request, response) = (&case.request, &case.response);
        assert_eq!(
            case.replay(request.chunks(1), response.chunks(1)),
            case.expected,
            "{} byte by byte",
            case.name
        );
        for at in 0..request.len() {
            assert_eq!(
                case.replay(cut(request, at), whole(response)),
                case.expected,
                "{} request at {at}",
                case.name
            );
        }
        for at in 0..response.len() {
            assert_eq!(
                case.replay(whole(request), cut(response, at)),
                case.expected,
                "{} response at {at}",
                case.name
            );
        }
    }
}

#[test]
fn every_truncation_gives_one_call_that_never_claims_too_much() {
    for case in cases() {
        let expected = case.expected["calls"].as_array().unwrap();
        for at in 0..case.response.len() {
            let seen = case.replay(whole(&case.request), cut(&case.response, at).take(1));
            let calls = seen["calls"].as_array().unwrap();
            assert_eq!(calls.len(), expected.len(), "{} at {at}", case.name);
            for (call, whole) in calls.iter().zip(expected) {
                let costs_nothing =
                    call["operation"] == "count_tokens" || call.get("status") != Some(&json!(200));
                assert!(
                    call["quality"] != "exact" || costs_nothing || call == whole,
                    "{} at {at}: {call}",
                    case.name
                );
                // What is thinking may be told only later.
                let count = |call: &Json, kind: &str| call["usage"][kind].as_u64().unwrap_or(0);
                let output = |call: &Json| count(call, "output") + count(call, "thinking");
                assert!(
                    output(call) <= output(whole),
                    "{} at {at}: {call}",
                    case.name
                );
            }
        }
    }
}

#[test]
fn nothing_of_a_prompt_an_answer_or_a_header_is_stated() {
    for case in cases() {
        let seen = case
            .replay(whole(&case.request), whole(&case.response))
            .to_string();
        assert!(!seen.contains("canary"), "{}: {seen}", case.name);
    }
}

#[test]
fn what_is_neither_call_nor_notice_is_not_recognised() {
    let recognised = |method: &str, path: &str| {
        let head = RequestHead {
            method: method.into(),
            path: path.into(),
            query: vec!["alt=sse"],
            fields: Default::default(),
        };
        recognise(&Host::parse("cloudcode-pa.googleapis.com").unwrap(), &head).is_some()
    };
    assert!(recognised("POST", "/v1internal:generateContent"));
    assert!(recognised("POST", "/v1internal:retrieveUserQuota"));
    for (method, path) in [
        ("GET", "/v1internal:generateContent"),
        ("GET", "/v1internal:retrieveUserQuota"),
        ("POST", "/v1internal:loadCodeAssist"),
        ("POST", "/"),
        ("POST", "*"),
    ] {
        assert!(!recognised(method, path), "{method} {path}");
    }
}

/// `docs/providers.md` lists the hosts that are intercepted by default, and says of every provider what
/// is read.
#[test]
fn the_page_of_providers_is_complete() {
    let page = include_str!("../../docs/providers.md");
    let mut table = String::from("| provider | hosts |\n|---|---|\n");
    for provider in Provider::ALL {
        let of_it = hosts().filter(|host| {
            let host = Host::parse(host).expect("a host");
            provider_of(&host) == Some(*provider)
        });
        let listed: Vec<String> = of_it.map(|host| format!("`{host}`")).collect();
        if !listed.is_empty() {
            table += &format!("| `{provider}` | {} |\n", listed.join(" "));
        }
        let (read, _) = page.split_once("\n## Where tokens").expect("two sections");
        let is_named = read.contains(&format!("`{provider}`"));
        assert!(is_named, "{provider} is not in the first table");
    }
    assert!(
        page.contains(&table),
        "the table of hosts in docs/providers.md must be:\n\n{table}"
    );
    for ending in listed().endings {
        let last = ending.rsplit_once("ary-").map_or(*ending, |(_, part)| part);
        assert!(page.contains(last), "{ending}");
    }
}

/// What a text stands for in which braces hold a choice (`a-{b,c}`).
fn choices(text: &str) -> Vec<String> {
    let braces = text
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    let Some((before, (inside, after))) = braces else {
        return vec![text.to_ascii_lowercase()];
    };
    let texts = inside.split(',').map(|one| format!("{before}{one}{after}"));
    texts.flat_map(|text| choices(&text)).collect()
}

/// Of heads, only those fields are kept that the pages name.
#[test]
fn the_pages_name_every_header_field_that_is_kept() {
    let pages = [
        include_str!("../../docs/providers.md"),
        include_str!("../../docs/operate/conversations.md"),
    ];
    let lines = pages.iter().flat_map(|page| page.lines());
    let quoted = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    let named: BTreeSet<String> = quoted.flat_map(choices).collect();
    let all = listed();
    let fields = all.fields.iter().copied();
    let kept: Vec<_> = fields
        .chain(all.reduced.iter().map(|(name, _)| *name))
        .collect();
    assert!(kept.len() > 40, "{kept:?}");
    for field in [
        reports::PROCESSING_MS,
        reports::INVOCATION_LATENCY,
        reports::SERVER_TIMING,
    ] {
        assert!(kept.contains(&field), "{field}");
    }
    let unnamed: Vec<_> = kept.iter().filter(|name| !named.contains(**name)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
    assert!(!named.contains("authorization"), "nobody's key is kept");
}

/// Of all exchanges, those that another model has answered.
#[test]
fn other_models_and_no_other_names_are_substitutions() {
    let mut substituted = Vec::new();
    for case in cases() {
        let facts = case.facts(whole(&case.request), whole(&case.response));
        let calls = facts.iter().filter_map(|fact| match fact {
            Fact::Call(call) => Some(call),
            _ => None,
        });
        for call in calls.filter(|call| call.is_substituted) {
            let served = call.served_model.as_ref().expect("a model");
            substituted.push(format!("{} {served}", call.model));
        }
    }
    substituted.sort();
    substituted.dedup();
    let expected = [
        "claude-opus-4-6 claude-sonnet-4-6",
        "gemini-2.5-flash gemini-3-flash",
        "gemini-2.5-flash-lite gemini-3-flash",
        "gemini-2.5-pro gemini-3-flash",
        "gemini-3-flash-agent gemini-3-flash",
        "gemini-3-pro-image gemini-3-flash",
        "gpt-5.4-codex gpt-5.2",
    ];
    assert_eq!(substituted, expected);
}
