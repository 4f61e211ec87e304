//! A collector that is down, slow, rejecting, half accepting or silent: every span is exported or
//! lost for its reason.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gravimeter::export::otlp::{Compression, Config, Headers, Protocol};
use gravimeter::record::{Call, Correlated, Correlation, CorrelationMethod, Fact, TraceContext};

use super::facts::{call, calls, first_call, id, place, run};
use super::{Fate, PROTOCOLS, Way, config, fate};
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};

/// Ten spans in one batch to a collector with this script; what became of them, and the spans of
/// each request.
async fn ten(
    protocol: Protocol,
    replies: &[Reply],
    change: impl Fn(&mut Config),
) -> (Fate, Vec<usize>) {
    let collector = Collector::start(replies).await;
    let mut config = config(collector.addr, protocol);
    change(&mut config);
    let mut way = Way::new(&config);
    way.state(calls(1, 10));
    way.start(super::no_roots());
    let fate = way.end().await;
    (fate, collector.spans())
}

/// Gives up soon.
fn hasty(config: &mut Config) {
    config.give_up_after = Duration::from_millis(600);
}

#[tokio::test]
async fn what_is_taken_is_exported() {
    for protocol in PROTOCOLS {
        for compression in [Compression::None, Compression::Gzip] {
            let sent = ten(protocol, &[Reply::Take], |config| {
                config.compression = compression
            })
            .await;
            assert_eq!(
                sent,
                (fate(10, &[]), vec![10]),
                "{protocol:?} {compression:?}"
            );
        }
        let in_batches = ten(protocol, &[Reply::Take], |config| config.batch = 4).await;
        assert_eq!(in_batches, (fate(10, &[]), vec![4, 4, 2]), "{protocol:?}");
    }
}

#[tokio::test]
async fn what_a_part_is_rejected_of_is_exported_for_the_rest_and_not_sent_again() {
    for protocol in PROTOCOLS {
        let some = ten(protocol, &[Reply::Partial(3)], |_| ()).await;
        assert_eq!(
            some,
            (fate(7, &[("rejected", 3)]), vec![10]),
            "{protocol:?}"
        );
        let more_than_all = ten(protocol, &[Reply::Partial(99)], |_| ()).await;
        assert_eq!(
            more_than_all,
            (fate(0, &[("rejected", 10)]), vec![10]),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn what_is_refused_is_not_sent_again() {
    let refused = (fate(0, &[("rejected", 10)]), vec![10]);
    for status in [301, 400, 401, 403, 404, 413, 500] {
        for protocol in PROTOCOLS {
            assert_eq!(
                ten(protocol, &[Reply::Status(status)], |_| ()).await,
                refused,
                "{protocol:?} {status}"
            );
        }
    }
    for code in [2, 3, 5, 7, 8, 12, 13, 16] {
        assert_eq!(
            ten(Protocol::Grpc, &[Reply::Grpc(code)], |_| ()).await,
            refused,
            "{code}"
        );
    }
}

#[tokio::test]
async fn a_collector_that_is_busy_is_asked_again() {
    for status in [429, 502, 503, 504] {
        let replies = [Reply::Status(status), Reply::Take];
        for protocol in PROTOCOLS {
            let sent = ten(protocol, &replies, |_| ()).await;
            assert_eq!(sent, (fate(10, &[]), vec![10, 10]), "{protocol:?} {status}");
        }
    }
    for code in [1, 4, 10, 11, 14, 15] {
        let sent = ten(Protocol::Grpc, &[Reply::Grpc(code), Reply::Take], |_| ()).await;
        assert_eq!(sent, (fate(10, &[]), vec![10, 10]), "{code}");
    }
}

#[tokio::test]
async fn patience_has_an_end() {
    let cases = [
        (Reply::Status(503), "busy", 5000),
        (Reply::Silent, "timeout", 100),
        (Reply::Reset, "unreachable", 5000),
    ];
    let cases = cases
        .into_iter()
        .flat_map(|case| PROTOCOLS.map(|protocol| (case, protocol)));
    let tries = cases.map(async |((reply, reason, timeout), protocol)| {
        let change = |config: &mut Config| {
            config.timeout = Duration::from_millis(timeout);
            config.give_up_after = Duration::from_secs(2);
        };
        let (fate_of, requests) = ten(protocol, &[reply], change).await;
        assert_eq!(fate_of, fate(0, &[(reason, 10)]), "{protocol:?} {reply:?}");
        assert!(requests.len() > 1, "{protocol:?} {reply:?}: {requests:?}");
    });
    futures_util::future::join_all(tries).await;
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    for protocol in PROTOCOLS {
        let sent = ten(protocol, &[Reply::Reset, Reply::Take], |_| ()).await;
        assert_eq!(sent, (fate(10, &[]), vec![10, 10]), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_connection_that_has_fallen_silent_is_not_used_again() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(&[Reply::Silent, Reply::Take]).await;
        let way = Way::started(&Config {
            timeout: Duration::from_millis(500),
            ..config(collector.addr, protocol)
        });
        way.state(calls(1, 1));
        until(async || (way.fate() == fate(1, &[])).then_some(())).await;
        let requests = collector.spans().len();
        assert!(
            requests > 1 && collector.connections() == requests,
            "{protocol:?}: {requests}"
        );
        // One that answers is kept.
        way.state(calls(2, 1));
        until(async || (way.fate().exported == 2).then_some(())).await;
        assert_eq!(collector.connections(), requests, "{protocol:?}");
        way.end().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_none_is_not_sent_again() {
    for reply in [Reply::Huge, Reply::WebPage] {
        for protocol in PROTOCOLS {
            let sent = ten(protocol, &[reply], |_| ()).await;
            assert_eq!(
                sent,
                (fate(0, &[("bad_answer", 10)]), vec![10]),
                "{protocol:?} {reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_collector_that_comes_back_gets_what_is_new() {
    for protocol in PROTOCOLS {
        // A port that nobody listens on now.
        let addr = Collector::start(&[Reply::Take]).await.addr;
        let mut config = config(addr, protocol);
        hasty(&mut config);
        let way = Way::started(&config);
        way.state(calls(1, 10));
        until(async || (way.fate() == fate(0, &[("unreachable", 10)])).then_some(())).await;
        let collector = Collector::at(addr, &[Reply::Take], None).await;
        way.state(calls(11, 5));
        until(async || (way.fate().exported == 5).then_some(())).await;
        assert_eq!(
            way.end().await,
            fate(5, &[("unreachable", 10)]),
            "{protocol:?}"
        );
        assert_eq!(collector.spans().iter().sum::<usize>(), 5);
    }
}

#[tokio::test]
async fn a_full_queue_drops_what_comes_last() {
    let collector = Collector::start(&[Reply::Take]).await;
    let config = Config {
        queue: 8,
        ..config(collector.addr, Protocol::Grpc)
    };
    let mut way = Way::new(&config);
    way.state(calls(1, 20));
    assert_eq!(way.fate(), fate(0, &[("queue_full", 12)]));
    way.start(super::no_roots());
    assert_eq!(way.end().await, fate(8, &[("queue_full", 12)]));
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_silent_collector() {
    for protocol in PROTOCOLS {
        let collector = Collector::start(&[Reply::Silent]).await;
        let way = Way::started(&Config {
            batch: 4,
            timeout: Duration::from_secs(3600),
            ..config(collector.addr, protocol)
        });
        way.state(calls(1, 10));
        assert_eq!(
            way.end().await,
            fate(0, &[("shutdown", 10)]),
            "{protocol:?}"
        );
    }
}

#[tokio::test]
async fn calls_are_held_until_their_place_is_settled() {
    let collector = Collector::start(&[Reply::Take]).await;
    let way = Way::started(&config(collector.addr, Protocol::Grpc));
    let settled = |call, trace| Fact::CallTraced { call, trace };
    way.state([
        Fact::Call(Box::new(first_call(1, None))),
        Fact::Call(Box::new(call(2, None))),
        Fact::Call(Box::new(first_call(3, None))),
        Fact::Call(Box::new(call(4, None))),
        settled(1, place(1, Some(99))),
        settled(
            2,
            TraceContext {
                sampled: false,
                ..place(2, None)
            },
        ),
        settled(77, place(77, None)),
        Fact::RunEnded(Box::new(run(place(99, None)))),
        Fact::RunEnded(Box::new(run(TraceContext {
            sampled: false,
            ..place(98, None)
        }))),
    ]);
    assert_eq!(way.end().await, fate(5, &[("unsettled", 5)]));
}

#[tokio::test]
async fn what_is_learned_of_a_held_call_is_in_its_span() {
    let collector = Collector::start(&[Reply::Take]).await;
    let way = Way::started(&config(collector.addr, Protocol::Grpc));
    let correlation = Correlation {
        cascade: Some(id("c-late")),
        method: CorrelationMethod::TraceId,
    };
    way.state([
        Fact::Call(Box::new(Call {
            correlation: Correlation::default(),
            ..call(1, None)
        })),
        Fact::Correlated(Correlated {
            call: 1,
            correlation,
        }),
        Fact::CallTraced {
            call: 1,
            trace: place(1, None),
        },
    ]);
    assert_eq!(way.end().await, fate(1, &[]));
    let span = format!("{:?}", collector.all());
    assert!(span.contains("c-late") && !span.contains("c-1"), "{span}");
}

#[tokio::test]
async fn the_oldest_make_room_for_calls_without_a_place() {
    let collector = Collector::start(&[Reply::Take]).await;
    let way = Way::started(&config(collector.addr, Protocol::Grpc));
    way.state((1..=4102).map(|number| Fact::Call(Box::new(call(number, None)))));
    assert_eq!(way.fate(), fate(0, &[("unsettled", 6)]));
    way.state([
        Fact::CallTraced {
            call: 6,
            trace: place(6, None),
        },
        Fact::CallTraced {
            call: 7,
            trace: place(7, None),
        },
    ]);
    assert_eq!(way.end().await, fate(1, &[("unsettled", 4101)]));
}

/// Everything that is logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a lock").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_operator_s_headers_are_sent_and_never_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let nobody: SocketAddr = Collector::start(&[Reply::Take]).await.addr;
    for protocol in PROTOCOLS {
        let refusing = Collector::start(&[if protocol == Protocol::Grpc {
            Reply::Grpc(16)
        } else {
            Reply::Status(401)
        }])
        .await;
        for addr in [refusing.addr, nobody] {
            let mut headers = Headers::default();
            headers
                .add("authorization", "Bearer canary-7c1d")
                .expect("a field");
            let mut config = Config {
                headers,
                ..config(addr, protocol)
            };
            hasty(&mut config);
            let way = Way::started(&config);
            way.state(calls(1, 1));
            assert_eq!(way.end().await.exported, 0);
        }
        let (sent, _) = &refusing.requests()[0];
        assert_eq!(sent["authorization"], "Bearer canary-7c1d");
        assert!(
            sent["user-agent"]
                .to_str()
                .expect("a text")
                .starts_with("gravimeter/")
        );
    }
    let logged = String::from_utf8_lossy(&log.0.lock().expect("a lock")).into_owned();
    assert!(logged.contains("spans are lost"), "it was logged");
    assert_eq!(
        logged.matches("trying again").count(),
        PROTOCOLS.len(),
        "an outage is told at its beginning: {logged}"
    );
    assert!(
        !logged.contains("canary-7c1d") && !logged.contains("words of the collector"),
        "{logged}"
    );
}
