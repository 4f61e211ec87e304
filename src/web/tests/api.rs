use std::collections::BTreeSet;
use std::io::Read as _;

use flate2::read::GzDecoder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::MetricFamily;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::string::string_regex;
use proptest::test_runner::TestRunner;
use prost::Message as _;
use serde_json::{Value, json};

use super::kit::Gravimeter;
use crate::export::tests::kit::{Key, call, every_fact, promtool, rate_limited, samples};
use crate::ledger::By;
use crate::record::{Label as _, Model, Provider, Record as _};
use crate::web::openapi::OPENAPI;
use crate::web::{Condition, Config};

/// Every route, as the description names it. No conversation is called `{id}`: that answer is an
/// error of ours.
const PATHS: [&str; 17] = [
    "/",
    "/calls/{id}",
    "/conversations/{id}",
    "/healthz",
    "/icon.svg",
    "/metrics",
    "/readyz",
    "/v1/budgets",
    "/v1/calls/{id}",
    "/v1/cascades",
    "/v1/cascades/{id}",
    "/v1/live",
    "/v1/openapi.json",
    "/v1/quotas",
    "/v1/sessions",
    "/v1/sessions/{id}",
    "/v1/usage",
];

#[tokio::test]
async fn metrics_come_in_the_format_asked_for() {
    let gravimeter = Gravimeter::open().await;
    every_fact()
        .into_iter()
        .for_each(|fact| gravimeter.facts.record(fact));
    let text = gravimeter.get("/metrics").await;
    assert_eq!(text.status, 200);
    assert_eq!(
        text.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    if let Some((clean, said)) = promtool(text.text()) {
        assert!(clean && said.is_empty(), "{said}");
    }
    let accept = [("Accept", "application/openmetrics-text;version=1.0.0")];
    let openmetrics = gravimeter.ask("GET", "/metrics", &accept).await;
    assert_eq!(
        openmetrics.headers["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(openmetrics.text().ends_with("# EOF\n"));
    let media = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let accept = [("Accept", media), ("Accept-Encoding", "gzip")];
    let protobuf = gravimeter.ask("GET", "/metrics", &accept).await;
    assert_eq!(protobuf.headers["content-type"], media);
    assert_eq!(protobuf.headers["vary"], "accept, accept-encoding");
    let mut messages = Vec::new();
    GzDecoder::new(protobuf.body.as_slice())
        .read_to_end(&mut messages)
        .expect("gzip");
    let (mut messages, mut names) = (messages.as_slice(), BTreeSet::new());
    while !messages.is_empty() {
        let family = MetricFamily::decode_length_delimited(&mut messages).expect("a family");
        names.insert(family.name);
    }
    let families = text.text().lines();
    let families = families.filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(names, families.map(str::to_owned).collect());
    let zipped = gravimeter
        .ask("GET", "/metrics", &[("Accept-Encoding", "gzip")])
        .await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    let mut plain = String::new();
    GzDecoder::new(zipped.body.as_slice())
        .read_to_string(&mut plain)
        .expect("gzip");
    assert_eq!(samples(&plain).len(), samples(text.text()).len());
}

#[tokio::test]
async fn usage_agrees_with_the_metrics_to_the_token() {
    let gravimeter = Gravimeter::open().await;
    for n in 0..500 {
        gravimeter.took(call(&format!("m{n}")));
        gravimeter.took(rate_limited("m1"));
    }
    let usage = gravimeter.get("/v1/usage").await.json();
    let shown = samples(gravimeter.get("/metrics").await.text());
    let sum = |name: &str, label: Option<(&str, &str)>| -> u64 {
        let is_meant = |((sample, labels), _): &(&Key, &String)| {
            sample == name
                && label.is_none_or(|(name, value)| {
                    labels.get(name).is_some_and(|found| found == value)
                })
        };
        shown
            .iter()
            .filter(is_meant)
            .map(|(_, value)| value.parse::<u64>().expect("a count"))
            .sum()
    };
    assert_eq!(usage["totals"]["calls"], 1000);
    assert_eq!(usage["totals"]["total_tokens"], 60_000);
    assert_eq!(
        usage["totals"]["total_tokens"],
        sum("gravimeter_tokens_total", None)
    );
    assert_eq!(
        usage["totals"]["thinking_tokens"],
        sum("gravimeter_tokens_total", Some(("kind", "thinking")))
    );
    assert_eq!(
        usage["totals"]["usage_quality"]["unknown"],
        sum(
            "gravimeter_usage_reports_total",
            Some(("quality", "unknown"))
        )
    );
    let models = usage["models"].as_object().expect("models");
    assert_eq!(models.len(), 201);
    for (model, group) in models {
        assert_eq!(
            group["total_tokens"],
            sum("gravimeter_tokens_total", Some(("model", model))),
            "{model}"
        );
    }
}

#[tokio::test]
async fn usage_refuses_what_it_cannot_answer() {
    let gravimeter = Gravimeter::open().await;
    for (query, code) in [
        ("by=colour", "invalid_by"),
        ("since=tomorrow", "invalid_since"),
        ("until=%00", "invalid_until"),
        ("by=model&by=model", "repeated_parameter"),
        ("target=http://169.254.169.254/", "unknown_parameter"),
        ("tz=Mars/Olympus", "invalid_tz"),
        ("tz=+5", "invalid_tz"),
    ] {
        let answer = gravimeter.get(&format!("/v1/usage?{query}")).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (400, code.to_owned()),
            "{query}"
        );
    }
    let kept = gravimeter
        .get("/v1/usage?by=provider&since=2026-10-01T00:00:00Z")
        .await
        .json();
    assert_eq!(kept["since"], "2026-11-01T00:00:00Z");
    assert_eq!(kept["providers"], json!({}));
}

#[tokio::test]
async fn readiness_waits_for_every_condition() {
    let gravimeter = Gravimeter::open().await;
    assert_eq!(gravimeter.get("/healthz").await.status, 200);
    gravimeter.readiness.set(Condition::Listening, true);
    gravimeter.readiness.set(Condition::Agent, true);
    let waiting = gravimeter.get("/readyz").await;
    assert_eq!(waiting.status, 503);
    assert_eq!(
        waiting.json(),
        json!({"ready": false, "conditions": {"listening": true, "redirect": false}})
    );
    gravimeter.readiness.set(Condition::Redirect, true);
    assert_eq!(gravimeter.get("/readyz").await.status, 200);
    gravimeter.readiness.set(Condition::Listening, false);
    assert_eq!(gravimeter.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let gravimeter = Gravimeter::open().await;
    for path in PATHS {
        let (head, get) = (
            gravimeter.ask("HEAD", path, &[]).await,
            gravimeter.get(path).await,
        );
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(
            head.headers.get("content-type"),
            get.headers.get("content-type"),
            "{path}"
        );
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn other_methods_and_paths_get_errors_in_json() {
    let gravimeter = Gravimeter::open().await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        for path in PATHS {
            let answer = gravimeter.ask(method, path, &[]).await;
            assert_eq!(
                (answer.status, answer.error_code().as_str()),
                (405, "method_not_allowed"),
                "{method} {path}"
            );
            assert_eq!(answer.headers["allow"], "GET,HEAD");
        }
    }
    for path in [
        "/nope",
        "/metrics/",
        "/v1",
        "/../etc/passwd",
        "/debug/pprof",
        "/config",
    ] {
        let answer = gravimeter.get(path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (404, "not_found"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn only_our_own_names_are_answered_to() {
    let config = Config {
        allowed_hosts: vec!["Box.example".into(), "other.example:99".into()],
        ..Config::default()
    };
    let gravimeter = Gravimeter::with(config).await;
    let port = gravimeter.addr.port();
    let with_port = |host: &str| format!("{host}:{port}");
    let known = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "LOCALHOST",
        "box.example",
        "box.example:1234",
        "other.example:99",
    ];
    for host in known
        .map(str::to_owned)
        .into_iter()
        .chain(["localhost", "127.0.0.1", "[::1]"].map(with_port))
    {
        assert_eq!(
            gravimeter
                .ask("GET", "/metrics", &[("Host", &host)])
                .await
                .status,
            200,
            "{host}"
        );
    }
    let foreign = [
        "evil.example",
        "localhost:1",
        "localhost.evil.example",
        "other.example",
        "127.0.0.2",
        "0.0.0.0",
        "",
        "a@localhost",
        "localhost:x",
        "::1",
    ];
    for host in foreign {
        let answer = gravimeter.ask("GET", "/metrics", &[("Host", host)]).await;
        assert!(
            matches!(answer.status, 400 | 403),
            "{host}: {}",
            answer.status
        );
    }
    let twice = gravimeter
        .ask(
            "GET",
            "/metrics",
            &[("Host", "localhost"), ("Host", "evil.example")],
        )
        .await;
    assert_eq!(
        (twice.status, twice.error_code().as_str()),
        (403, "foreign_host")
    );
    let absolute = gravimeter
        .ask("GET", "http://evil.example/metrics", &[])
        .await;
    assert_eq!(
        (absolute.status, absolute.error_code().as_str()),
        (403, "foreign_host")
    );
}

#[tokio::test]
async fn foreign_pages_are_refused_and_no_answer_is_shared() {
    let gravimeter = Gravimeter::open().await;
    let ours = format!("http://{}", gravimeter.addr);
    assert_eq!(
        gravimeter
            .ask("GET", "/v1/usage", &[("Origin", &ours)])
            .await
            .status,
        200
    );
    let sibling = "http://localhost:3000".to_owned();
    for origin in [
        "http://evil.example",
        "null",
        "",
        "file://",
        &sibling,
        &format!("ftp://{}", gravimeter.addr),
    ] {
        let answer = gravimeter
            .ask("GET", "/v1/usage", &[("Origin", origin)])
            .await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (403, "foreign_origin"),
            "{origin}"
        );
    }
    for path in PATHS.into_iter().chain(["/nope"]) {
        let answer = gravimeter.get(path).await;
        assert!(
            !answer
                .headers
                .keys()
                .any(|name| name.starts_with("access-control-")),
            "{path}"
        );
        let may_be_kept = if path == "/v1/usage" {
            "private, no-cache"
        } else {
            "no-store"
        };
        assert_eq!(answer.headers["cache-control"], may_be_kept, "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_page_shows_models_as_text_and_loads_nothing() {
    let gravimeter = Gravimeter::open().await;
    assert!(
        gravimeter
            .get("/")
            .await
            .text()
            .contains("No call has been seen yet")
    );
    let hostile = "<script>alert(1)</script>{{nonce}}";
    gravimeter.took(call(hostile));
    gravimeter.took(call("gemini-3-pro-high"));
    let page = gravimeter.get("/").await;
    let text = page.text();
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(
        text.contains("gemini-3-pro-high")
            && text.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{nonce}}")
    );
    assert_eq!(text.matches("<script").count(), 1);
    assert!(
        !text.contains("style=\"")
            && !text.contains("src=")
            && !text.contains("http://")
            && !text.contains("https://")
    );
    let policy = &page.headers["content-security-policy"];
    let nonce = policy
        .split("'nonce-")
        .nth(1)
        .and_then(|rest| rest.split('\'').next())
        .expect("a nonce");
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"));
    assert_eq!(text.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
    assert_ne!(
        *policy,
        gravimeter.get("/").await.headers["content-security-policy"]
    );
}

#[tokio::test]
async fn every_cell_of_the_page_stands_below_its_title() {
    let gravimeter = Gravimeter::open().await;
    every_fact()
        .into_iter()
        .for_each(|fact| gravimeter.facts.record(fact));
    let page = gravimeter.get("/").await;
    let tables: Vec<_> = page.text().split("<table>").skip(1).collect();
    assert!(tables.len() >= 3, "models, conversations, calls");
    for table in tables {
        let (head, body) = table.split_once("<tbody>").expect("a body");
        let (rows, _) = body.split_once("</tbody>").expect("its end");
        let titles = head.matches("<th scope=\"col\">").count();
        for row in rows.split("</tr>").filter(|row| !row.is_empty()) {
            let cells = row.matches("<td").count() + row.matches("<th scope=\"row\">").count();
            assert_eq!(cells, titles, "{head}{row}");
        }
    }
}

#[tokio::test]
async fn the_description_names_every_route() {
    let described: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let paths = described["paths"]
        .as_object()
        .expect("paths")
        .keys()
        .map(String::as_str);
    // An answer without an end has tests of its own.
    let (endless, paths): (Vec<&str>, Vec<&str>) = paths.partition(|path| *path == "/live");
    assert_eq!((endless.len(), &paths[..]), (1, &PATHS[..]));
    assert_eq!(described["info"]["version"], env!("CARGO_PKG_VERSION"));
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(call("m"));
    for path in paths {
        let answer = gravimeter.get(path).await;
        let responses = &described["paths"][path]["get"]["responses"];
        let media = answer.headers["content-type"]
            .split(';')
            .next()
            .expect("a type");
        assert!(
            responses[answer.status.to_string()]["content"]
                .get(media)
                .is_some(),
            "{path} {media}"
        );
    }
    let operation = &described["paths"]["/v1/usage"]["get"];
    let parameters = operation["parameters"].as_array().expect("parameters");
    let all: Vec<&str> = parameters
        .iter()
        .filter_map(|of| of["name"].as_str())
        .collect();
    assert_eq!(
        all,
        [
            "by",
            "tz",
            "since",
            "until",
            "limit",
            "cursor",
            "If-None-Match"
        ]
    );
    assert_eq!(parameters[0]["schema"]["enum"], json!(By::ALL));
    let limit = &parameters[4]["schema"];
    for (limit, status) in [
        (&limit["maximum"], 200),
        (&json!(limit["maximum"].as_u64().expect("a limit") + 1), 400),
    ] {
        assert_eq!(
            gravimeter
                .get(&format!("/v1/usage?limit={limit}"))
                .await
                .status,
            status
        );
    }
    let csv = gravimeter
        .ask("GET", "/v1/usage?limit=1", &[("Accept", "text/csv")])
        .await;
    let known = gravimeter
        .ask("GET", "/v1/usage", &[("If-None-Match", "*")])
        .await;
    for answer in [&csv, &known] {
        let responses = &operation["responses"][answer.status.to_string()];
        assert_eq!(
            answer.headers.contains_key("content-type"),
            responses["content"].get("text/csv").is_some()
        );
        for (name, header) in responses["headers"].as_object().expect("headers") {
            let is_there = answer.headers.contains_key(&name.to_ascii_lowercase());
            assert!(
                is_there || header["required"] != true,
                "{name} of {}",
                answer.status
            );
        }
    }
    gravimeter.took(call("n"));
    let report = gravimeter.get("/v1/usage?limit=1").await.json();
    let named = described["components"]["schemas"]["UsageReport"]["properties"]
        .as_object()
        .expect("names");
    assert!(
        report
            .as_object()
            .expect("a report")
            .keys()
            .all(|name| named.contains_key(name)),
        "{report}"
    );
    assert!(report.get("next_cursor").is_some());
    let usage = &described["components"]["schemas"]["Usage"]["required"];
    let named: Vec<&str> = usage
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let found: BTreeSet<&str> = report["totals"]
        .as_object()
        .expect("totals")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(found, named.into_iter().collect());
}

/// Values that the schema of a parameter allows: every one of its lists, and some of each of its
/// patterns.
fn allowed(schema: &Value) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let mut values: Vec<String> = schema["anyOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(allowed)
        .collect();
    values.extend(
        schema["enum"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|value| value.as_str().map(str::to_owned)),
    );
    values.extend(
        ["minimum", "maximum"]
            .iter()
            .filter_map(|end| schema[end].as_u64())
            .map(|number| number.to_string()),
    );
    if let Some(pattern) = schema["pattern"].as_str() {
        let some = string_regex(pattern.trim_matches(['^', '$'])).expect("a pattern");
        let most = schema["maxLength"]
            .as_u64()
            .map_or(usize::MAX, |most| most as usize);
        let one = || some.new_tree(&mut runner).expect("a value").current();
        values.extend(
            std::iter::repeat_with(one)
                .take(300)
                .filter(|value| value.len() <= most),
        );
    }
    values
}

#[tokio::test]
async fn what_the_description_allows_is_accepted() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(call("m"));
    let described = gravimeter.get("/v1/openapi.json").await.json();
    let mut asked = 0;
    let mut shared = BTreeSet::new();
    let paths = described["paths"].as_object().expect("paths").iter();
    // An answer without an end has tests of its own.
    for (path, methods) in paths.filter(|(path, _)| *path != "/live") {
        for parameter in methods["get"]["parameters"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let name = parameter["name"].as_str().expect("a name");
            let reference = parameter["schema"]["$ref"].as_str();
            let schema = reference.map_or(&parameter["schema"], |reference| {
                described.pointer(&reference[1..]).expect("a schema")
            });
            let mut values = allowed(schema);
            // All of a schema is tried in one place, and a few values in each other one.
            if reference.is_some_and(|reference| !shared.insert(reference)) {
                values.truncate(5);
            }
            assert!(
                !values.is_empty() || parameter["in"] == "header",
                "nothing says what {name} may be"
            );
            for value in values {
                let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
                let target = match parameter["in"].as_str() {
                    Some("path") => path.replace(&format!("{{{name}}}"), &value.to_string()),
                    _ => format!("{path}?{name}={value}"),
                };
                let answer = gravimeter.get(&target).await;
                assert!(
                    matches!(answer.status, 200 | 404),
                    "{target}: {}",
                    answer.text()
                );
                assert!(
                    methods["get"]["responses"]
                        .get(answer.status.to_string())
                        .is_some(),
                    "{target}"
                );
                asked += 1;
            }
        }
    }
    assert!(
        asked > 2000,
        "time zones, and values of each pattern: {asked}"
    );
}

#[test]
fn an_address_that_other_machines_reach_is_refused() {
    let admits = |config: &Config, address: &str| {
        config
            .admit(address.parse().expect("an address"))
            .map_err(|exposed| [exposed.to_string(), exposed.with_port().to_string()])
    };
    let plain = Config::default();
    for loopback in ["127.0.0.1:8741", "[::1]:8741"] {
        assert_eq!(admits(&plain, loopback), Ok(()));
    }
    let told = |to: &str| {
        format!(
            "0.0.0.0:8741 can be reached by other machines and there is no password: listen on {to}, \
             set web.config_file to a file with TLS and users, or set web.danger_expose_to_network to true"
        )
    };
    let refused = Err([told("127.0.0.1"), told("127.0.0.1:8741")]);
    assert_eq!(admits(&plain, "0.0.0.0:8741"), refused);
    let wanted = Config {
        danger_expose_to_network: true,
        ..Config::default()
    };
    let protected = Config {
        config_file: Some("/etc/gravimeter/web.yml".into()),
        ..Config::default()
    };
    for config in [wanted, protected] {
        assert_eq!(admits(&config, "0.0.0.0:8741"), Ok(()));
    }
}

#[tokio::test]
async fn two_providers_of_a_model_are_told_apart() {
    let gravimeter = Gravimeter::open().await;
    for provider in [Provider::Gemini, Provider::VertexAi] {
        gravimeter.took(crate::record::Call {
            provider,
            model: Model::from_wire("m"),
            ..call("m")
        });
    }
    let models = gravimeter.get("/v1/usage").await.json()["models"].clone();
    assert_eq!(models["m@gcp.gemini"]["total_tokens"], 120);
    assert_eq!(models["m@gcp.vertex_ai"]["provider"], "gcp.vertex_ai");
    let groups = gravimeter.get("/v1/usage").await.json()["groups"].clone();
    let names = |group: &Value| {
        [&group["model"], &group["provider"]].map(|name| name.as_str().expect("a name").to_owned())
    };
    let mut names: Vec<_> = groups
        .as_array()
        .expect("groups")
        .iter()
        .map(names)
        .collect();
    names.sort();
    assert_eq!(names, [["m", "gcp.gemini"], ["m", "gcp.vertex_ai"]]);
}
