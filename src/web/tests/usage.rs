//! `/v1/usage` over real sockets: its forms, its pages, and the word that nothing is new.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kit::{Answer, Gravimeter};
use crate::export::tests::kit::call;
use crate::record::{Call, Cost, DisplayName, Fact, ModelName, Record as _, TokenKind, TokenUsage};

const CSV: (&str, &str) = ("Accept", "text/csv");

/// A call of so many tokens.
fn spent(model: &str, tokens: u64) -> Call {
    let usage = TokenUsage::default().with(TokenKind::Output, tokens);
    Call {
        usage,
        cost: Some(Cost::from_nano_usd(tokens)),
        ..call(model)
    }
}

/// The cells of each line under the head's names.
fn lines(answer: &Answer) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(answer.body.as_slice());
    reader
        .deserialize()
        .map(|line| line.expect("a line as long as the head"))
        .collect()
}

#[tokio::test]
async fn csv_has_the_figures_of_the_json() {
    let gravimeter = Gravimeter::open().await;
    for (model, tokens) in [
        ("a", 5),
        ("b, \"c\"", 70),
        ("=cmd|' /C calc'!A0", 6),
        ("@b", 7),
    ] {
        gravimeter.took(spent(model, tokens));
    }
    let unpriced = Call {
        cost: None,
        ..spent("a,\nb", 1)
    };
    gravimeter.took(unpriced);
    for by in [
        "model",
        "month",
        "week",
        "day",
        "hour",
        "operation",
        "provider",
        "cascade",
    ] {
        let path = format!("/v1/usage?by={by}");
        let (sheet, json) = (
            gravimeter.ask("GET", &path, &[CSV]).await,
            gravimeter.get(&path).await,
        );
        assert_eq!(
            sheet.headers["content-type"],
            "text/csv; charset=utf-8; header=present"
        );
        assert_eq!(
            (&sheet.headers["vary"], &json.headers["vary"]),
            (&"accept".to_owned(), &"accept".to_owned())
        );
        let json = json.json();
        let groups = json["groups"].as_array().expect("groups");
        let lines = lines(&sheet);
        assert_eq!(lines.len(), groups.len(), "{by}: no line of totals");
        for (line, group) in lines.into_iter().zip(groups) {
            let key = line[by].strip_prefix('\'').unwrap_or(&line[by]);
            assert_eq!(
                group[by].as_str().unwrap_or("unknown"),
                key,
                "in the same order"
            );
            for (name, cell) in &line {
                let told = match name.as_str() {
                    "cost_usd" => group[name]
                        .as_f64()
                        .map(|usd| usd == cell.parse::<f64>().expect("a number")),
                    "exact_calls" => {
                        Some(group["usage_quality"]["exact"].as_u64() == cell.parse().ok())
                    }
                    "ok_calls" => Some(group["outcomes"]["ok"].as_u64() == cell.parse().ok()),
                    "saturated" => Some(cell == "false" && group.get(name).is_none()),
                    "provider" => group[name].as_str().map(|provider| provider == cell),
                    _ => group[name]
                        .as_u64()
                        .map(|number| number.to_string() == *cell),
                };
                assert_ne!(told, Some(false), "{by}: {name} of {key} is {cell}");
            }
        }
    }
    let sheet = gravimeter.ask("GET", "/v1/usage", &[CSV]).await;
    let text = sheet.text();
    assert!(
        text.starts_with("model,provider,display_name,calls,input_tokens,")
            && text.ends_with("\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\n'=cmd|__/C_calc_!A0,gcp.gen_ai,,1,"),
        "{text}"
    );
    assert!(
        text.contains("\r\n'@b,gcp.gen_ai,") && text.contains("\r\n\"b,__c_\","),
        "{text}"
    );
    let keys: Vec<String> = lines(&sheet)
        .iter()
        .map(|line| line["total_tokens"].clone())
        .collect();
    assert_eq!(keys, ["70", "7", "6", "5", "1"], "the most tokens first");
    let unpriced = lines(&sheet).pop().expect("a line");
    assert_eq!(
        (
            unpriced["cost_usd"].as_str(),
            unpriced["unpriced_calls"].as_str()
        ),
        ("", "1")
    );
}

#[tokio::test]
async fn pages_hold_every_group_once_and_the_totals_of_all() {
    let gravimeter = Gravimeter::open().await;
    // Two share each number of tokens, so that keys decide.
    (0..25).for_each(|n| gravimeter.took(spent(&format!("m{n:02}"), n / 2)));
    let whole = gravimeter.get("/v1/usage").await.json();
    assert_eq!(whole.get("next_cursor"), None);
    let (mut seen, mut tokens) = (Vec::new(), u64::MAX);
    let mut path = "/v1/usage?limit=4&tz=Asia%2FKolkata".to_owned();
    loop {
        let answer = gravimeter.get(&path).await;
        let page = answer.json();
        assert_eq!(page["totals"], whole["totals"]);
        let groups = page["models"].as_object().expect("groups");
        let of = |group: &Value| group["total_tokens"].as_u64().expect("tokens");
        assert!(
            groups.values().all(|group| of(group) <= tokens),
            "the most tokens first"
        );
        tokens = groups.values().map(of).min().expect("no page is empty");
        let list = page["groups"].as_array().expect("groups");
        assert!(
            list.iter().map(of).is_sorted_by(|one, other| one >= other),
            "{list:?}"
        );
        let names: std::collections::BTreeSet<_> = list
            .iter()
            .map(|group| group["model"].as_str().expect("a name"))
            .collect();
        assert_eq!(
            names,
            groups.keys().map(String::as_str).collect(),
            "the same ones"
        );
        seen.extend(groups.keys().cloned());
        let sheet = gravimeter.ask("GET", &path, &[CSV]).await;
        assert_eq!(
            lines(&sheet)
                .iter()
                .map(|line| &line["model"])
                .collect::<std::collections::BTreeSet<_>>(),
            groups.keys().collect()
        );
        assert_eq!(sheet.headers.get("link"), answer.headers.get("link"));
        let Some(link) = answer.headers.get("link") else {
            assert_eq!(page.get("next_cursor"), None);
            break;
        };
        path = link
            .strip_prefix('<')
            .and_then(|link| link.strip_suffix(">; rel=\"next\""))
            .expect("a link")
            .to_owned();
        let cursor = page["next_cursor"].as_str().expect("a cursor");
        assert!(
            path.starts_with("/v1/usage?limit=4&tz=Asia%2FKolkata&cursor="),
            "{path}"
        );
        assert_eq!(
            gravimeter
                .get(&format!("/v1/usage?limit=4&cursor={cursor}"))
                .await
                .json()["models"],
            gravimeter.get(&path).await.json()["models"]
        );
    }
    assert_eq!(
        (
            seen.len(),
            seen.iter().collect::<std::collections::BTreeSet<_>>().len()
        ),
        (25, 25)
    );
}

#[tokio::test]
async fn a_page_begins_where_it_is_told_and_nowhere_else() {
    let gravimeter = Gravimeter::open().await;
    (0..3).for_each(|n| gravimeter.took(spent(&format!("m{n}"), n)));
    let cursor = gravimeter.get("/v1/usage?limit=1").await.json()["next_cursor"]
        .as_str()
        .expect("a cursor")
        .to_owned();
    for (query, status, code) in [
        (format!("by=provider&cursor={cursor}"), 404, "unknown_page"),
        ("cursor=".to_owned(), 400, "invalid_cursor"),
        ("cursor=model.1".to_owned(), 400, "invalid_cursor"),
        ("cursor=model.1.%FF".to_owned(), 400, "invalid_cursor"),
        ("cursor=model.1.gB".to_owned(), 400, "invalid_cursor"),
        ("limit=0".to_owned(), 400, "invalid_limit"),
        ("limit=10001".to_owned(), 400, "invalid_limit"),
        ("limit=1&limit=2".to_owned(), 400, "repeated_parameter"),
    ] {
        let answer = gravimeter.get(&format!("/v1/usage?{query}")).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code),
            "{query}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    // What the cursor named may be gone or grown: the next page goes on behind its place.
    gravimeter.took(spent("m2", 50));
    let rest = gravimeter
        .get(&format!("/v1/usage?cursor={cursor}"))
        .await
        .json();
    assert_eq!(
        rest["models"]
            .as_object()
            .expect("groups")
            .keys()
            .collect::<Vec<_>>(),
        ["m0", "m1"]
    );
}

#[tokio::test]
async fn who_asks_again_is_told_when_nothing_is_new() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(spent("a", 5));
    for (path, is_weak) in [
        ("/v1/usage", true),
        ("/v1/usage?since=24h&by=hour", true),
        ("/v1/usage?until=1h", true),
        ("/v1/usage?until=2100-01-01", true),
        ("/v1/usage?since=2026-11-01&until=2026-11-02", false),
    ] {
        let first = gravimeter.get(path).await;
        let tag = &first.headers["etag"];
        assert_eq!(tag.starts_with("W/\""), is_weak, "{path}: {tag}");
        assert_eq!(
            first.headers["cache-control"], "private, no-cache",
            "{path}"
        );
        for known in [tag.clone(), format!("\"other\", {tag}"), "*".to_owned()] {
            for method in ["GET", "HEAD"] {
                let again = gravimeter
                    .ask(method, path, &[("If-None-Match", &known)])
                    .await;
                assert_eq!(
                    (again.status, again.body.len()),
                    (304, 0),
                    "{path}: {known}"
                );
                for name in ["etag", "cache-control", "vary"] {
                    assert_eq!(again.headers[name], first.headers[name], "{path}: {name}");
                }
                assert_eq!(again.headers.get("content-type"), None, "{path}");
            }
        }
        assert_eq!(
            gravimeter
                .ask("GET", path, &[("If-None-Match", "\"other\"")])
                .await
                .status,
            200,
            "{path}"
        );
    }
    let path = "/v1/usage";
    let tag = gravimeter.get(path).await.headers["etag"].clone();
    let sheet = gravimeter
        .ask("GET", path, &[CSV, ("If-None-Match", &tag)])
        .await;
    assert_eq!(sheet.status, 200, "the other form has another tag");
    let of_sheet = &sheet.headers["etag"];
    assert!(!of_sheet.starts_with("W/"), "the same bytes each time");
    assert_eq!(
        gravimeter
            .ask("GET", path, &[CSV, ("If-None-Match", of_sheet)])
            .await
            .status,
        304
    );
    gravimeter.took(spent("a", 0));
    assert_eq!(
        gravimeter
            .ask("GET", path, &[("If-None-Match", &tag)])
            .await
            .status,
        200,
        "there is one call more"
    );
    assert_eq!(
        gravimeter
            .ask("GET", path, &[CSV, ("If-None-Match", of_sheet)])
            .await
            .status,
        200
    );
    let tag = gravimeter.get(path).await.headers["etag"].clone();
    let display = DisplayName::from_wire("Model A").expect("a name");
    let name = ModelName {
        provider: call("a").provider,
        model: call("a").model,
        display,
        placeholder: None,
    };
    gravimeter.facts.record(Fact::ModelNamed(name));
    assert_eq!(
        gravimeter
            .ask("GET", path, &[("If-None-Match", &tag)])
            .await
            .status,
        200,
        "it has a name now"
    );
}

#[tokio::test]
async fn a_day_may_be_named_and_begins_in_the_zone() {
    let gravimeter = Gravimeter::open().await;
    let since = async |query: &str| {
        let answer = gravimeter
            .get(&format!("/v1/usage?by=day&{query}"))
            .await
            .json();
        (answer["since"].clone(), answer["until"].clone())
    };
    let told = since("since=2026-11-23&until=2026-11-24T00:00&tz=Asia/Kathmandu").await;
    assert_eq!(
        told,
        (json!("2026-11-22T18:15:00Z"), json!("2026-11-23T18:15:00Z"))
    );
}
