//! The feed of the page: what has changed, once a second, for as long as both are there.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::kit::Gravimeter;
use crate::export::tests::kit::{call, id, quota, started};
use crate::record::{
    Call, Correlated, Correlation, CorrelationMethod, Fact, HandshakeFailure, Host, PathShape,
    Provider, Record as _, RuleName, RuleResult, RuleUse, Side, UnreadCall, UnreadReason,
};
use crate::web::feed::MAX_PAGES;
use crate::web::openapi::OPENAPI;

/// An open page.
struct Page(Lines<BufReader<TcpStream>>);

impl Page {
    async fn open(gravimeter: &Gravimeter) -> Self {
        let mut stream = gravimeter.connect().await;
        let request = format!(
            "GET /live HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n",
            gravimeter.addr
        );
        stream
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        let mut page = Self(BufReader::new(stream).lines());
        let status = page.line().await.expect("a status");
        assert_eq!(status, "HTTP/1.1 200 OK");
        page
    }

    /// `None` at the end of the connection.
    async fn line(&mut self) -> Option<String> {
        timeout(LIMIT, self.0.next_line())
            .await
            .expect("in time")
            .expect("a line")
    }

    /// The data of the next event of that name.
    async fn event(&mut self, name: &str) -> String {
        while self.line().await.expect("an event") != format!("event: {name}") {}
        loop {
            // Other fields of the event may stand before its data.
            if let Some(data) = self.line().await.expect("data").strip_prefix("data: ") {
                return data.to_owned();
            }
        }
    }

    async fn sections(&mut self) -> Vec<(String, String)> {
        let sections: Value = serde_json::from_str(&self.event("sections").await).expect("JSON");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let sections = sections.as_array().expect("sections").iter();
        sections
            .map(|section| (text(&section["id"]), text(&section["html"])))
            .collect()
    }

    /// Reads on until the section holds the text.
    async fn shows(&mut self, id: &str, text: &str) {
        while !self
            .sections()
            .await
            .iter()
            .any(|(of, html)| of == id && html.contains(text))
        {}
    }
}

/// For a test that would wait for ever.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_page_gets_everything_first_and_then_what_has_changed() {
    let gravimeter = Gravimeter::open().await;
    let mut page = Page::open(&gravimeter).await;
    assert_eq!(page.event("hello").await, env!("CARGO_PKG_VERSION"));
    let first = page.sections().await;
    let html = gravimeter.get("/").await;
    let ids = |text: &str| text.matches("<section id=\"").count();
    assert_eq!(
        first.len(),
        ids(html.text()),
        "the page has an element for each"
    );
    for (id, _) in &first {
        assert!(
            html.text().contains(&format!("<section id=\"{id}\">")),
            "{id}"
        );
    }
    gravimeter.facts.record(Fact::Quota(quota("m", 0.42)));
    let changed = page.sections().await;
    let ids: BTreeSet<_> = changed.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["quotas"]));
    assert!(changed[0].1.contains("value=\"42\""), "{changed:?}");
}

#[tokio::test]
async fn a_page_shows_what_goes_on() {
    let gravimeter = Gravimeter::open().await;
    let mut page = Page::open(&gravimeter).await;
    gravimeter
        .facts
        .record(Fact::CallStarted(started(Provider::CloudCode)));
    page.shows("cards", "<h2>In flight</h2><b>1</b>").await;
    gravimeter.took(Call {
        number: 7,
        ..call("gemini-3-pro")
    });
    page.shows("cards", "<h2>In flight</h2><b>0</b>").await;
    gravimeter.took(Call {
        number: 8,
        ..call("<b>")
    });
    page.shows("calls", "&lt;b&gt;</a><small>").await;
    let correlation = Correlation {
        cascade: Some(id("conversation-9")),
        method: CorrelationMethod::Labels,
    };
    gravimeter.facts.record(Fact::Correlated(Correlated {
        call: 7,
        correlation,
    }));
    page.shows(
        "calls",
        "<a href=\"/conversations/conversation-9\" title=\"conversation-9\">gemini-3-pro · ",
    )
    .await;
    let failed = Fact::HandshakeFailed {
        side: Side::Agent,
        reason: HandshakeFailure::UnknownCa,
    };
    gravimeter.facts.record(failed);
    page.shows("status", "1 failed, the last one: unknown_ca")
        .await;
    let unread = |path: &str| {
        Fact::CallUnread(UnreadCall {
            provider: None,
            host: Host::parse("llm.example.com").unwrap(),
            path: PathShape::of(path),
            reason: UnreadReason::EventStream,
        })
    };
    gravimeter.facts.record(unread("/v9/speak?key=canary"));
    gravimeter.facts.record(unread("/v9/speak"));
    let kind = "llm.example.com/v9/speak</span> 2 (event_stream)";
    page.shows("unread", kind).await;
    gravimeter.facts.record(Fact::RulesRead {
        active: 2,
        is_broken: true,
    });
    page.shows(
        "rules",
        "2 rules may change requests.</p><ul class=\"events\"><li><span class=\"dot bad\">The last edit has mistakes",
    )
    .await;
    let used = RuleUse {
        rule: RuleName::parse("tone").unwrap(),
        result: RuleResult::TooLarge,
        reason: None,
    };
    gravimeter.facts.record(Fact::RuleUsed(used.clone()));
    gravimeter.facts.record(Fact::RuleUsed(used));
    page.shows("rules", "tone</span> too large 2").await;
}

#[tokio::test]
async fn programs_get_what_goes_on_as_json() {
    let gravimeter = Gravimeter::open().await;
    for provider in [Provider::CloudCode, Provider::CloudCode, Provider::OpenAi] {
        gravimeter
            .facts
            .record(Fact::CallStarted(started(provider)));
    }
    for number in 0..150 {
        gravimeter.took(Call {
            number,
            ..call("m")
        });
    }
    let answer = gravimeter.get("/v1/live").await;
    assert_eq!(answer.headers["cache-control"], "no-store");
    let live = answer.json();
    assert_eq!(live["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(live["ready"], false, "nothing listens yet");
    assert_eq!(live["in_flight"], serde_json::json!({ "openai": 1 }));
    let calls = live["calls"].as_array().expect("calls");
    assert_eq!((calls.len(), &calls[0]["number"]), (100, &149.into()));
    let described: Value = serde_json::from_str(OPENAPI).expect("JSON");
    for (schema, value) in [("Live", &live), ("LiveCall", &calls[0])] {
        let schema = &described["components"]["schemas"][schema];
        let (named, found) = (&schema["properties"], value.as_object().expect("an object"));
        let unnamed: Vec<_> = found
            .keys()
            .filter(|name| named.get(name.as_str()).is_none())
            .collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
        let required = schema["required"].as_array().expect("names");
        let missing: Vec<_> = required
            .iter()
            .filter(|name| !found.contains_key(name.as_str().expect("a name")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
    assert_eq!(
        gravimeter.get("/v1/live?limit=1").await.error_code(),
        "unknown_parameter"
    );
}

#[tokio::test]
async fn open_pages_do_not_hold_up_the_end() {
    let gravimeter = Gravimeter::open().await;
    let mut page = Page::open(&gravimeter).await;
    page.event("hello").await;
    gravimeter.shutdown.cancel();
    while page.line().await.is_some() {}
    gravimeter.tracker.close();
    timeout(LIMIT, gravimeter.tracker.wait())
        .await
        .expect("every task ends");
}

#[tokio::test]
async fn pages_beyond_the_limit_are_refused_until_one_is_closed() {
    let gravimeter = Gravimeter::open().await;
    let mut pages = Vec::new();
    for _ in 0..MAX_PAGES {
        pages.push(Page::open(&gravimeter).await);
    }
    let refused = gravimeter.get("/live").await;
    assert_eq!(
        (refused.status, refused.error_code().as_str()),
        (503, "too_many_pages")
    );
    pages.pop();
    // The place is free once Gravimeter has seen the page go.
    let refused = async { while gravimeter.ask("HEAD", "/live", &[]).await.status == 503 {} };
    timeout(LIMIT, refused).await.expect("a place");
}
