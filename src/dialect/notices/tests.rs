use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::dialect::observer::Exchanges;
use crate::dialect::tests::{Facts, connection};
use crate::observe::Alpn;
use crate::observe::exchange::{Fields, OpenExchange as _};
use crate::observe::memory::Memory;
use crate::record::{Id, JoinedIds, Model, Quota, QuotaWindow};

const METRICS: &str =
    r#"{"metrics":[{"conversationOffered":{"traceId":"x1","trajectoryId":"t1"}}]}"#;
const QUOTAS: &str = r#"{"buckets":[{"modelId":"m","remainingFraction":0.5}]}"#;

fn gzipped(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// A notice that is driven step by step.
struct Stage {
    facts: Arc<Facts>,
    exchange: Box<dyn Exchange>,
    at: Instant,
}

fn fields(coding: &str) -> Fields {
    Fields {
        content_encoding: vec![coding.to_owned()],
        ..Fields::default()
    }
}

impl Stage {
    fn open(method: &str, coding: &str) -> Self {
        let facts = Arc::new(Facts::default());
        let connection = connection("cloudcode-pa.googleapis.com", Alpn::H2);
        let (at, path) = (connection.opened, format!("/v1internal:{method}"));
        let mut exchanges = Exchanges {
            connection,
            record: Arc::clone(&facts) as Arc<dyn Record>,
            memory: Memory::default(),
        };
        let head = RequestHead {
            method: "POST".to_owned(),
            path,
            query: Vec::new(),
            fields: fields(coding),
        };
        let exchange = exchanges.open(&head, at).expect("a notice");
        Self {
            facts,
            exchange,
            at,
        }
    }

    fn asked(mut self, body: &[u8]) -> Self {
        body.chunks(5)
            .for_each(|piece| self.exchange.request_body(piece, self.at));
        self
    }

    fn answered(mut self, status: u16, coding: &str, body: &[u8]) -> Self {
        self.exchange.response_head(
            &ResponseHead {
                status,
                fields: fields(coding),
            },
            self.at,
        );
        body.chunks(5)
            .for_each(|piece| self.exchange.response_body(piece, self.at));
        self
    }

    /// What is stated before the end and with it.
    fn end(self, end: ExchangeEnd) -> (Vec<Fact>, Vec<Fact>) {
        let before = self.facts.taken();
        self.exchange.end(end, self.at);
        (before, self.facts.taken())
    }
}

fn joined() -> Fact {
    let (trace, trajectory) = (Id::from_wire("x1"), Id::from_wire("t1"));
    Fact::IdsJoined(JoinedIds {
        provider_trace: trace,
        trajectory,
        cascade: None,
    })
}

fn quota() -> Fact {
    let (provider, model) = (crate::record::Provider::CloudCode, Model::from_wire("m"));
    Fact::Quota(Quota {
        provider,
        model,
        window: QuotaWindow::Unspecified,
        remaining: 0.5,
        resets_at: None,
    })
}

#[test]
fn telemetry_is_stated_when_it_is_whole_whatever_is_answered() {
    for (coding, body) in [
        ("identity", METRICS.as_bytes().to_vec()),
        ("gzip", gzipped(METRICS)),
    ] {
        let asked = || Stage::open("recordCodeAssistMetrics", coding).asked(&body);
        assert_eq!(
            asked().end(ExchangeEnd::AgentGone),
            (vec![joined()], vec![]),
            "{coding}"
        );
        let refused = asked()
            .answered(500, "identity", b"<html>")
            .end(ExchangeEnd::Complete);
        assert_eq!(refused, (vec![joined()], vec![]), "{coding}");
    }
    let trajectory = br#"{"trajectory":{"trajectoryId":"t","cascadeId":"c","prompt":"p"}}"#;
    let (before, after) = Stage::open("recordTrajectoryAnalytics", "")
        .asked(trajectory)
        .end(ExchangeEnd::Complete);
    assert!(matches!(
        &before[..],
        [Fact::IdsJoined(JoinedIds {
            cascade: Some(_),
            trajectory: Some(_),
            ..
        })]
    ));
    assert_eq!(after, []);
}

#[test]
fn telemetry_that_is_cut_is_stated_as_far_as_it_was_whole() {
    let cut = METRICS.strip_suffix("]}").unwrap();
    let stage = Stage::open("recordCodeAssistMetrics", "").asked(cut.as_bytes());
    assert_eq!(stage.end(ExchangeEnd::AgentGone), (vec![], vec![joined()]));
}

#[test]
fn quotas_are_those_of_a_success() {
    for method in [
        "fetchAvailableModels",
        "retrieveUserQuota",
        "retrieveUserQuotaSummary",
    ] {
        for (coding, body) in [
            ("identity", QUOTAS.as_bytes().to_vec()),
            ("gzip", gzipped(QUOTAS)),
        ] {
            let answered = |status| {
                Stage::open(method, "")
                    .asked(b"{}")
                    .answered(status, coding, &body)
            };
            assert_eq!(
                answered(200).end(ExchangeEnd::Complete),
                (vec![quota()], vec![]),
                "{method} {coding}"
            );
            for status in [302, 401, 429, 500] {
                assert_eq!(
                    answered(status).end(ExchangeEnd::Complete),
                    (vec![], vec![]),
                    "{method} {status}"
                );
            }
        }
    }
}

#[test]
fn each_side_is_read_only_where_it_tells() {
    let told = Stage::open("recordCodeAssistMetrics", "")
        .asked(b"{}")
        .answered(200, "", METRICS.as_bytes());
    assert_eq!(told.end(ExchangeEnd::Complete), (vec![], vec![]));
    let asked = Stage::open("retrieveUserQuota", "")
        .asked(QUOTAS.as_bytes())
        .answered(200, "", b"{}");
    assert_eq!(asked.end(ExchangeEnd::Complete), (vec![], vec![]));
}

#[test]
fn a_document_that_is_none_is_stated_once_and_other_losses_not_at_all() {
    let malformed = vec![Fact::ObserverFailed(ObserverFailure::MalformedJson)];
    let telemetry =
        Stage::open("recordCodeAssistMetrics", "").asked(b"{\"metrics\":nothing, nothing at all");
    assert_eq!(
        telemetry.end(ExchangeEnd::Complete),
        (malformed.clone(), vec![])
    );
    let page =
        Stage::open("retrieveUserQuota", "").answered(200, "", b"<html>no quota for you</html>");
    assert_eq!(page.end(ExchangeEnd::Complete), (malformed, vec![]));
    for stage in [
        Stage::open("recordCodeAssistMetrics", "gzip").asked(METRICS.as_bytes()),
        Stage::open("recordCodeAssistMetrics", "compress").asked(METRICS.as_bytes()),
        Stage::open("retrieveUserQuota", "").answered(200, "gzip", QUOTAS.as_bytes()),
        Stage::open("retrieveUserQuota", "").answered(200, "", &QUOTAS.as_bytes()[..20]),
        Stage::open("retrieveUserQuota", ""),
    ] {
        assert_eq!(stage.end(ExchangeEnd::Truncated), (vec![], vec![]));
    }
}

#[test]
fn a_notice_dropped_in_the_middle_says_nothing() {
    let Stage {
        facts, exchange, ..
    } = Stage::open("recordCodeAssistMetrics", "").asked(&METRICS.as_bytes()[..40]);
    drop(exchange);
    assert_eq!(facts.taken(), []);
}
