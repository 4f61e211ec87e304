//! A second exporter, made of Gravimeter's own parts, whose facts are the test's: troubles that
//! would take root, hours or a broken provider.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use gravimeter::budget::{Amount, Budget, Budgets, GroupBy, OnError, Unit, Window};
use gravimeter::export::Metrics;
use gravimeter::ledger::Ledger;
use gravimeter::record::{
    ByteDirection, Call, CascadeRun, ContentChunks, Fact, FollowFailure, Handshake,
    HandshakeFailure, IpFamily, LedgerFailure, LedgerRecord, Model, Operation, Provider,
    ProviderTime, Quality, Quota, QuotaWindow, Reported, RuleName, RuleResult, RuleUse, Side,
    Sink as _, Timing, TlsVersion, TokenUsage, UsageComparison,
};
use gravimeter::web::{self, Live, Readiness, Web};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::traces::facts::{call, place, run};

/// It listens until it is dropped.
pub struct Troubled {
    pub addr: SocketAddr,
    metrics: Arc<Metrics>,
    budgets: Arc<Budgets>,
    rounds: AtomicU64,
    _end: DropGuard,
}

impl Troubled {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("its address");
        let metrics = Arc::new(Metrics::new(
            gravimeter::export::Config::default(),
            Arc::default(),
        ));
        let budgets = Arc::new(used_up());
        metrics.show_budgets(Arc::clone(&budgets));
        let ledger = Arc::new(Ledger::new(Timestamp::now(), Arc::default()));
        let live = Arc::new(Live::new(Arc::default()));
        let web = Web::new(
            web::Config::default(),
            None,
            Arc::clone(&metrics),
            ledger,
            Readiness::new([]),
            live,
        );
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        tasks.spawn(web.serve(listener, tasks.clone(), end.clone()));
        Self {
            addr,
            metrics,
            budgets,
            rounds: AtomicU64::new(0),
            _end: end.drop_guard(),
        }
    }

    /// All of the troubles once more, a little worse each time.
    pub fn state(&self) {
        let round = self.rounds.fetch_add(1, Ordering::Relaxed);
        let troubles = [
            Fact::AgentUp(false),
            Fact::CaExpiry(SystemTime::now() + DAY),
            Fact::HandshakeFailed {
                side: Side::Agent,
                reason: HandshakeFailure::UnknownCa,
            },
            Fact::FollowFailed(FollowFailure::Timeout),
            Fact::LedgerDropped(LedgerRecord::Call),
            Fact::LedgerFailed(LedgerFailure::Write),
            Fact::Quota(quota(round)),
            Fact::Redirect {
                family: IpFamily::Ipv4,
                active: true,
            },
            Fact::Redirect {
                family: IpFamily::Ipv6,
                active: false,
            },
            Fact::RuleUsed(RuleUse {
                rule: RuleName::parse("tone").expect("a name"),
                result: RuleResult::Applied,
                reason: None,
            }),
            Fact::RulesRead {
                active: 1,
                is_broken: true,
            },
            Fact::UsageCompared(UsageComparison::AgentOnly),
            Fact::Call(Box::new(slow())),
            Fact::Call(Box::new(without_usage())),
            Fact::Call(Box::new(substituted())),
            Fact::Call(Box::new(beyond())),
            Fact::ContentChunks(ContentChunks {
                provider: Provider::CloudCode,
                operation: Operation::Chat,
                model: Model::from_wire("beyond"),
                gap: Duration::from_secs(60),
                count: 1,
            }),
            Fact::RunEnded(Box::new(run_beyond())),
            Fact::Handshake(handshake_beyond(Side::Agent)),
            Fact::Handshake(handshake_beyond(Side::Upstream)),
            Fact::UpstreamConnected(Duration::from_secs(60)),
            Fact::Bytes {
                direction: ByteDirection::Received,
                count: 1,
                delay: Some(Duration::from_secs(60)),
            },
        ];
        troubles.iter().for_each(|fact| self.metrics.receive(fact));
        self.budgets.receive(&Fact::Call(Box::new(of_today())));
    }
}

/// A call that counts in today's window of a budget.
fn of_today() -> Call {
    let call = call(0, None);
    Call {
        timing: Timing {
            started_at: SystemTime::now(),
            ..call.timing
        },
        ..call
    }
}

/// A budget that the first calls use up.
fn used_up() -> Budgets {
    let budget = Budget {
        name: "calls".parse().expect("a name"),
        limit: Amount {
            unit: Unit::Calls,
            value: 1,
        },
        window: Window::Day,
        by: GroupBy::All,
        only: Vec::new(),
        warn: 0.8,
        stop: Some(1.0),
        on_error: OnError::Open,
        zone: TimeZone::UTC,
    };
    Budgets::new(vec![budget], Arc::default(), |_| None, Timestamp::now())
}

/// Nine tenths, and then ever less, hours before it is full again.
fn quota(round: u64) -> Quota {
    Quota {
        provider: Provider::CloudCode,
        model: Model::from_wire("gemini"),
        window: QuotaWindow::FiveHours,
        remaining: 0.9_f64.powi(i32::try_from(round).expect("few rounds")),
        resets_at: Some(SystemTime::now() + DAY / 8),
    }
}

fn slow() -> Call {
    let waits = Some(Duration::from_secs(30));
    let timing = Timing {
        duration: Duration::from_secs(60),
        time_to_first_chunk: waits,
        ..call(0, None).timing
    };
    Call {
        model: Model::from_wire("slow"),
        timing,
        ..call(0, None)
    }
}

fn without_usage() -> Call {
    Call {
        model: Model::from_wire("silent"),
        usage: TokenUsage::default(),
        quality: Quality::Unknown,
        ..call(0, None)
    }
}

/// It takes longer than any classic bucket has room for, in all and for each token.
fn beyond() -> Call {
    let long = Duration::from_secs(3 * 60 * 60);
    let timing = Timing {
        duration: long,
        time_to_first_chunk: Some(long),
        content_duration: Some(long),
        ..call(0, None).timing
    };
    let time = ProviderTime {
        first_byte: Some(long),
        total: Some(long),
    };
    Call {
        model: Model::from_wire("beyond"),
        timing,
        reported: Reported {
            time,
            ..Reported::default()
        },
        ..call(0, None)
    }
}

/// The same of a run.
fn run_beyond() -> CascadeRun {
    let long = Duration::from_secs(3 * 60 * 60);
    CascadeRun {
        model: Model::from_wire("beyond"),
        duration: long,
        time_to_first_chunk: Some(long),
        calls: 1_000,
        tokens: 1_000_000_000,
        ..run(place(1, None))
    }
}

fn handshake_beyond(side: Side) -> Handshake {
    Handshake {
        side,
        version: TlsVersion::Tls13,
        resumed: false,
        duration: Duration::from_secs(60),
    }
}

/// Answered by another model, which says how long it took and how many credits.
fn substituted() -> Call {
    let time = ProviderTime {
        first_byte: Some(Duration::from_secs(1)),
        total: Some(Duration::from_secs(3)),
    };
    Call {
        model: Model::from_wire("asked"),
        served_model: Some(Model::from_wire("served")),
        is_substituted: true,
        reported: Reported {
            nano_credits: Some(1_500_000_000),
            time,
            ..Reported::default()
        },
        ..call(0, None)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
