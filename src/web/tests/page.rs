//! The pages for people: what they say of days, models, quotas, conversations and calls.

use std::time::{Duration, SystemTime};

use tokio::time::{sleep, timeout};

use super::kit::Gravimeter;
use crate::export::tests::kit::{call, id, quota};
use crate::record::{
    Call, Caller, Correlation, CorrelationMethod, Fact, Quota, Record as _, RepositoryName, Timing,
    TokenKind, TokenUsage,
};
use crate::web::Config;

/// For a test that would wait for ever.
const LIMIT: Duration = Duration::from_secs(30);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A call of so many tokens that began so long ago.
fn ago(number: u64, ago: Duration, tokens: u64) -> Call {
    let call = call("m");
    Call {
        number,
        usage: TokenUsage::default().with(TokenKind::Output, tokens),
        timing: Timing {
            started_at: SystemTime::now() - ago,
            ..call.timing
        },
        ..call
    }
}

fn section<'a>(page: &'a str, id: &str) -> &'a str {
    let begin = format!("<section id=\"{id}\">");
    let (_, rest) = page.split_once(&begin).expect("a section");
    rest.split("</section>").next().expect("its end")
}

#[tokio::test]
async fn cards_say_what_was_spent_today_and_in_the_last_days() {
    let gravimeter = Gravimeter::begun(Config::default(), None, "2020-01-01T00:00:00Z").await;
    let spent = [(0, 1), (3, 20), (20, 300), (60, 4000)];
    for (number, (days, tokens)) in spent.into_iter().enumerate() {
        gravimeter.took(ago(number as u64, DAY * days, tokens));
    }
    let row = |name: &str, value: &str| format!("<dt>{name}</dt><dd>{value}</dd>");
    let rows = [("Today", "1"), ("7 days", "21"), ("30 days", "321")];
    let is_shown = async || {
        let page = gravimeter.get("/").await;
        let cards = section(page.text(), "cards");
        let tokens = cards.split("<h2>Calls</h2>").next().expect("a card");
        tokens.contains("<h2>Tokens</h2><b>4\u{202f}321</b>")
            && rows
                .iter()
                .all(|(name, value)| tokens.contains(&row(name, value)))
    };
    // What the ledger writes comes a moment later.
    let shown = async {
        while !is_shown().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, shown).await.expect("sums of days");
}

#[tokio::test]
async fn times_are_those_of_the_reader_with_the_zone() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(call("m"));
    let page = gravimeter.get("/?tz=Asia%2FTokyo").await;
    let text = page.text();
    // The ledger began at midnight in Greenwich.
    assert!(
        section(text, "status").contains(">1 Nov 2026, 09:00 JST</time>"),
        "{text}"
    );
    assert!(text.contains("<th scope=\"col\">Ended (JST)</th>"));
    assert!(
        text.contains("?tz=Asia%2FTokyo\""),
        "other pages have the same zone"
    );
    for (query, code) in [
        ("tz=Mars/Olympus", "invalid_tz"),
        ("tz=UTC&tz=UTC", "unknown_parameter"),
        ("zone=UTC", "unknown_parameter"),
    ] {
        for path in ["/", "/live", "/calls/1-1", "/conversations/c"] {
            let answer = gravimeter.get(&format!("{path}?{query}")).await;
            let found = (answer.status, answer.error_code());
            assert_eq!(found, (400, code.to_owned()), "{path}?{query}");
        }
    }
}

#[tokio::test]
async fn the_quota_that_limits_first_stands_first_and_is_red_when_used_up() {
    let gravimeter = Gravimeter::open().await;
    for (model, left) in [("plenty", 0.9), ("none", 0.0), ("little", 0.1)] {
        gravimeter.facts.record(Fact::Quota(quota(model, left)));
    }
    let outdated = Quota {
        resets_at: Some(SystemTime::now() + Duration::from_secs(1)),
        ..quota("outdated", 0.0)
    };
    gravimeter.facts.record(Fact::Quota(outdated));
    let is_outdated = async || {
        let page = gravimeter.get("/").await;
        section(page.text(), "quotas").contains("not read since then")
    };
    let passed = async {
        while !is_outdated().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, passed).await.expect("the time of the reset");
    let page = gravimeter.get("/?tz=UTC").await;
    let quotas = section(page.text(), "quotas");
    let at = |name: &str| quotas.find(&format!("</i>{name}</b>")).expect("a quota");
    assert!(
        at("none") < at("little") && at("little") < at("plenty"),
        "{quotas}"
    );
    assert!(
        at("plenty") < at("outdated"),
        "nothing is known of it: {quotas}"
    );
    assert!(quotas.contains("value=\"0\" aria-label=\"Quota left of none\">"));
    assert!(quotas.contains("<span class=\"bad\">0 %, used up <small>full again in "));
    assert!(quotas.contains(">15 Jan 2027 UTC</time>"), "{quotas}");
    assert!(quotas.contains("<span class=\"low\">10 %"), "{quotas}");
}

fn in_repository(number: u64, cascade: &str, model: &str, repository: Option<&str>) -> Call {
    let repository = repository.map(|name| RepositoryName::new(name).expect("a name"));
    let call = call(model);
    Call {
        number,
        correlation: Correlation {
            cascade: Some(id(cascade)),
            method: CorrelationMethod::RequestId,
        },
        caller: Caller {
            repository,
            ..Caller::default()
        },
        timing: Timing {
            started_at: call.timing.started_at + Duration::from_secs(number),
            ..call.timing
        },
        ..call
    }
}

#[tokio::test]
async fn a_conversation_is_named_by_its_repository_its_first_model_and_its_start() {
    let gravimeter = Gravimeter::open().await;
    // The first call ends last, and before the repository is known.
    let repository = Some("github.com/owner/name");
    gravimeter.took(in_repository(2, "c", "later", repository));
    gravimeter.took(in_repository(3, "c", "later", repository));
    gravimeter.took(in_repository(1, "c", "first", None));
    let page = gravimeter.get("/?tz=UTC").await;
    let cascades = section(page.text(), "cascades");
    let name = "title=\"c\">owner/name · first · 21 Sep ";
    assert!(
        cascades.contains(name) && cascades.contains("</a><small>later</small>"),
        "{cascades}"
    );
    let listed = gravimeter.get("/v1/cascades").await.json();
    let listed = &listed["cascades"][0];
    assert_eq!(listed["repository"], "github.com/owner/name");
    assert_eq!(listed["first_model"], "first");
}

#[tokio::test]
async fn conversations_that_began_alike_are_told_apart_by_their_ids() {
    let gravimeter = Gravimeter::open().await;
    for cascade in ["11111111-a", "22222222-b"] {
        gravimeter.took(in_repository(1, cascade, "m", Some("folder")));
    }
    gravimeter.took(in_repository(2, "33333333-c", "other", Some("folder")));
    let page = gravimeter.get("/?tz=UTC").await;
    let cascades = section(page.text(), "cascades");
    for (id, has_id) in [("11111111", true), ("22222222", true), ("33333333", false)] {
        let is_named = cascades.contains(&format!(" · {id}</a>"));
        assert_eq!(is_named, has_id, "{id}: {cascades}");
    }
}

#[tokio::test]
async fn a_call_that_moves_away_names_its_conversation_no_more() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(in_repository(1, "wrong", "first", Some("folder")));
    gravimeter.took(in_repository(2, "wrong", "second", None));
    let moved = crate::record::Correlated {
        call: 1,
        correlation: Correlation {
            cascade: Some(id("right")),
            method: CorrelationMethod::RequestId,
        },
    };
    gravimeter.facts.record(Fact::Correlated(moved));
    let of = async |cascade: &str| {
        let path = format!("/v1/cascades/{cascade}");
        let answer = gravimeter.get(&path).await.json();
        [&answer["first_model"], &answer["repository"]].map(|it| it.as_str().map(str::to_owned))
    };
    assert_eq!(of("wrong").await, [Some("second".to_owned()), None]);
    assert_eq!(
        of("right").await,
        ["first", "folder"].map(|it| Some(it.to_owned()))
    );
}

#[tokio::test]
async fn conversations_and_calls_have_pages_for_people_with_the_json_beside() {
    let gravimeter = Gravimeter::open().await;
    let hostile = "<script>alert(1)</script>{{nonce}}";
    gravimeter.took(in_repository(7, "c/<b>", hostile, Some("folder")));
    let call_path = "/calls/1790000007000-7";
    let conversation = gravimeter.get("/conversations/c%2F%3Cb%3E?tz=UTC").await;
    let page = gravimeter.get(&format!("{call_path}?tz=UTC")).await;
    for (answer, json) in [
        (&conversation, "/v1/cascades/c%2F%3Cb%3E"),
        (&page, "/v1/calls/1790000007000-7"),
    ] {
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        assert!(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;{{nonce}}"));
        assert!(!text.contains("<script") && !text.contains("<b>\""));
        assert!(answer.headers["content-security-policy"].starts_with("default-src 'none'; "));
        assert!(
            text.contains(&format!("<a href=\"{json}\">the same as JSON</a>")),
            "{text}"
        );
        assert_eq!(gravimeter.get(json).await.status, 200, "{json}");
    }
    assert!(
        conversation
            .text()
            .contains(&format!("<a href=\"{call_path}?tz=UTC\""))
    );
    let link = "<a href=\"/conversations/c%2F%3Cb%3E?tz=UTC\" title=\"c/&lt;b&gt;\">folder · ";
    assert!(page.text().contains(link), "{}", page.text());
    assert!(page.text().contains("<dt>Cache read</dt><dd>30</dd>"));
    assert!(
        page.text().contains("<dt>Tool input</dt><dd>–</dd>"),
        "not reported is not zero"
    );
    let json = gravimeter.get("/v1/calls/1790000007000-7").await.json();
    assert_eq!(json["cascade"], "c/<b>");
    assert_eq!(json["id"], "1790000007000-7");
}

#[tokio::test]
async fn what_is_not_kept_has_a_page_that_says_so() {
    let gravimeter = Gravimeter::open().await;
    gravimeter.took(call("m"));
    // Another call had that number at another time.
    for path in [
        "/calls/1790000000001-0",
        "/calls/canary",
        "/conversations/canary",
    ] {
        let answer = gravimeter.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(
            answer.text().contains(" of that id is kept.") && !answer.text().contains("canary")
        );
    }
    for (path, status, code) in [
        ("/v1/calls/1790000000001-0", 404, "unknown_call"),
        ("/v1/calls/canary", 400, "invalid_id"),
        (
            "/v1/calls/1790000000000-0?canary=1",
            400,
            "unknown_parameter",
        ),
    ] {
        let answer = gravimeter.get(path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (status, code)
        );
    }
    assert_eq!(
        gravimeter.get("/v1/calls/1790000000000-0").await.status,
        200
    );
}
