//! What answers mean, by the table of the specification; and what a request says.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1 as trace;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::answer::{Answer, Cause, Rejected};
use super::{Config, Loss, Resource, Signal};
use crate::export::spans::of_call;
use crate::export::tests::kit::{call, rate_limited};
use crate::record::{SpanId, TraceContext, TraceId};

/// How soon a response of HTTP may be tried again; `None` when it may not.
fn again(status: u16, retry_after: Option<&str>) -> Option<Option<Duration>> {
    let mut headers = HeaderMap::new();
    headers.extend(
        retry_after.map(|value| (RETRY_AFTER, HeaderValue::from_str(value).expect("a value"))),
    );
    let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 7);
    match Answer::of_refusal(
        StatusCode::from_u16(status).expect("a status"),
        &headers,
        now,
    ) {
        Answer::Again {
            loss: Loss::Busy,
            after,
            cause: Cause::Http(_),
        } => Some(after),
        Answer::Lost(Loss::Rejected, Cause::Http(_)) => None,
        other => panic!("{status}: {other:?}"),
    }
}

#[test]
fn four_http_statuses_may_be_tried_again() {
    for status in 300..600 {
        let may = matches!(status, 429 | 502 | 503 | 504);
        assert_eq!(again(status, None), may.then_some(None), "{status}");
    }
}

#[test]
fn the_collector_says_when() {
    let seconds = |seconds| Some(Some(Duration::from_secs(seconds)));
    assert_eq!(again(429, Some("3")), seconds(3));
    assert_eq!(
        again(503, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
        seconds(7)
    );
    for nonsense in [
        "-1",
        "soon",
        "",
        "99999999999999999999",
        "Sun, 06 Nov 1993 08:49:37 GMT",
    ] {
        assert_eq!(again(503, Some(nonsense)), Some(None), "{nonsense}");
    }
    assert_eq!(again(400, Some("3")), None);
}

#[test]
fn the_specification_s_grpc_codes_may_be_tried_again() {
    let may = |status: &Status| match Answer::of_status(status) {
        Answer::Again {
            loss: Loss::Busy,
            after,
            cause: Cause::Grpc(_),
        } => Some(after),
        Answer::Lost(Loss::Rejected, Cause::Grpc(_)) => None,
        other => panic!("{status:?}: {other:?}"),
    };
    // CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS
    for code in 1..=16 {
        let expected = matches!(code, 1 | 4 | 10 | 11 | 14 | 15).then_some(None);
        assert_eq!(
            may(&Status::new(
                Code::from(code),
                "words of the collector's own"
            )),
            expected,
            "{code}"
        );
    }
    let pause = Duration::from_secs(2);
    let told =
        |code| Status::with_error_details(code, "", ErrorDetails::with_retry_info(Some(pause)));
    assert_eq!(may(&told(Code::ResourceExhausted)), Some(Some(pause)));
    assert_eq!(may(&told(Code::Unavailable)), Some(Some(pause)));
    assert_eq!(may(&told(Code::InvalidArgument)), None);
}

fn of_body(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
    Answer::of_body(Signal::Traces, &headers, body.into())
}

#[test]
fn a_part_may_be_rejected() {
    let partial = |rejected_spans| {
        let partial_success = ExportTracePartialSuccess {
            rejected_spans,
            error_message: "words".to_owned(),
        };
        ExportTraceServiceResponse {
            partial_success: Some(partial_success),
        }
    };
    for (rejected_spans, rejected) in [(3, 3), (0, 0), (-1, 0), (i64::MAX, i64::MAX as u64)] {
        let message = partial(rejected_spans);
        assert_eq!(Rejected::from(message.clone()), Rejected(rejected));
        assert_eq!(
            of_body("application/x-protobuf", message.encode_to_vec()),
            Answer::Taken { rejected }
        );
    }
    for (json, rejected) in [
        ("{}", 0),
        (r#"{"partialSuccess":{}}"#, 0),
        (
            r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"words"}}"#,
            2,
        ),
        (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 2),
    ] {
        assert_eq!(
            of_body("application/json; charset=utf-8", json),
            Answer::Taken { rejected },
            "{json}"
        );
    }
    assert_eq!(
        Answer::of_body(Signal::Traces, &HeaderMap::new(), Bytes::new()),
        Answer::Taken { rejected: 0 }
    );
}

#[test]
fn an_answer_of_grpc_is_a_status_and_one_message() {
    let answer = |status: Option<&'static str>, body: &[u8]| {
        let status = status.map(|code| ("grpc-status".parse().expect("a name"), code));
        let trailers =
            HeaderMap::from_iter(status.map(|(name, code)| (name, HeaderValue::from_static(code))));
        Answer::of_grpc(Signal::Traces, &trailers, Bytes::copy_from_slice(body))
    };
    let message = ExportTraceServiceResponse {
        partial_success: Some(ExportTracePartialSuccess {
            rejected_spans: 3,
            error_message: String::new(),
        }),
    };
    let framed = |flag: u8| {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).expect("a length");
        [&[flag], &length.to_be_bytes()[..], &message].concat()
    };
    assert_eq!(answer(Some("0"), &framed(0)), Answer::Taken { rejected: 3 });
    assert_eq!(
        answer(Some("0"), &[0; 5]),
        Answer::Taken { rejected: 0 },
        "nothing is wrong with an empty message"
    );
    let longer = [framed(0), vec![0]].concat();
    for body in [
        &[][..],
        &[0; 4],
        &framed(1),
        &longer,
        &[0, 0, 0, 0, 2, 0xff, 0xff],
    ] {
        assert_eq!(answer(Some("0"), body), Answer::unreadable(), "{body:?}");
    }
    assert_eq!(answer(None, &framed(0)), Answer::unreadable());
    let unavailable = Answer::Again {
        loss: Loss::Busy,
        after: None,
        cause: Cause::Grpc(Code::Unavailable),
    };
    assert_eq!(answer(Some("14"), &framed(0)), unavailable);
}

#[test]
fn a_success_that_is_no_otlp_is_none() {
    for (kind, body) in [
        ("text/html", "<html>"),
        ("application/x-protobuf", "<html>"),
        ("application/json", "<html>"),
        ("", "x"),
    ] {
        assert_eq!(of_body(kind, body), Answer::unreadable(), "{kind}");
    }
}

#[test]
fn a_request_says_who_what_and_by_which_convention() {
    let place = TraceContext {
        trace: TraceId::new(7).expect("an id"),
        span: SpanId::new(8).expect("an id"),
        parent: SpanId::new(9),
        has_remote_parent: true,
        sampled: true,
    };
    let spans: Vec<_> = [call("m"), rate_limited("m")]
        .iter()
        .flat_map(|call| of_call(call, &place))
        .collect();
    let mut local = spans[1].clone();
    local.parent_span_is_remote = false;
    let resource = [("service.name", "named"), ("host.name", "h"), ("team", "a")];
    let resource = resource.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config {
        resource: resource.into(),
        ..Config::default()
    };
    let resource = (&Resource::new(&config).0).into();
    // What the library makes of them.
    let resource_spans =
        group_spans_by_resource_and_scope(vec![spans[0].clone(), local], &resource);

    let [ours] = &resource_spans[..] else {
        panic!("one resource")
    };
    let json = format!("{:?}", ours.resource);
    for part in [
        "named",
        "service.instance.id",
        "service.version",
        env!("CARGO_PKG_VERSION"),
        "team",
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
    let names: BTreeSet<_> = ours
        .resource
        .iter()
        .flat_map(|it| &it.attributes)
        .map(|it| it.key.as_str())
        .collect();
    let expected = [
        "host.name",
        "service.instance.id",
        "service.name",
        "service.version",
        "team",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    let [scope] = &ours.scope_spans[..] else {
        panic!("one scope")
    };
    assert!(format!("{:?}", scope.scope).contains(crate::export::genai::CONVENTION));
    let [first, second] = &scope.spans[..] else {
        panic!("two spans")
    };
    assert_eq!(
        (
            &first.trace_id[14..],
            &first.span_id[6..],
            &first.parent_span_id[6..]
        ),
        (&[0, 7][..], &[0, 8][..], &[0, 9][..])
    );
    assert_eq!((first.flags, second.flags), (0x301, 0x101));
    assert_eq!(
        (first.start_time_unix_nano, first.end_time_unix_nano),
        (1_790_000_000_000_000_000, 1_790_000_001_500_000_000)
    );
    assert_eq!(first.status, Some(trace::Status::default()));
    let status = second.status.as_ref().expect("a status");
    assert_eq!((status.code, status.message.as_str()), (2, "rate_limited"));
}

#[test]
fn a_name_of_its_own_wins_over_the_resource_s() {
    let name = |service_name: Option<&str>, resource: &[(&str, &str)]| {
        let resource = resource
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let config = Config {
            service_name: service_name.map(str::to_owned),
            resource,
            ..Config::default()
        };
        let resource = Resource::new(&config).0;
        let name = resource.get(&"service.name".into()).expect("a name");
        name.to_string()
    };
    let both = [("service.name", "second")];
    assert_eq!(name(Some("first"), &both), "first");
    assert_eq!(name(None, &both), "second");
    assert_eq!(name(None, &[]), "gravimeter");
}
