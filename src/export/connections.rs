//! The metrics of connections, the redirect and the agent's process.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::{
    ByDirection, ByDisposition, ByFamily, ByObserverBudget, ByObserverFailure, ByRefusal,
    ByRestart, ByStep, ByTunnel,
};
use super::series::{LateGauge, add, begin, count, declare, each, own_latency, release};
use super::tls::TlsMetrics;
use crate::record::{ByteDirection, Disposition, Fact};

/// Counters, gauges and histograms of everything but calls.
#[derive(Debug)]
pub(super) struct ConnectionMetrics {
    connections: Family<ByDisposition, Counter>,
    active: Family<ByDisposition, Gauge>,
    refused: Family<ByRefusal, Counter>,
    timeouts: Family<ByStep, Counter>,
    tunnelled: Family<ByTunnel, Counter>,
    accept_errors: Counter,
    sent: Counter,
    received: Counter,
    relay_delay: Histogram,
    tcp_connect: Histogram,
    observer_failures: Family<ByObserverFailure, Counter>,
    observer_budgets: Family<ByObserverBudget, Counter>,
    redirect: Family<ByFamily, Gauge>,
    agent_up: LateGauge,
    agent_restarts: Family<ByRestart, Counter>,
    tls: TlsMetrics,
}

impl ConnectionMetrics {
    pub(super) fn declare(registry: &mut Registry) -> Self {
        let bytes = declare(
            registry,
            "gravimeter_bytes_total",
            "Bytes passed on, seen from the agent: plaintext of intercepted connections, raw bytes of tunnelled ones",
            Family::<ByDirection, Counter>::default(),
        );
        let metrics = Self {
            connections: declare(
                registry,
                "gravimeter_connections_total",
                "Connections of the agent by what was done with them",
                Family::default(),
            ),
            active: declare(
                registry,
                "gravimeter_connections_active",
                "Connections that are open",
                Family::default(),
            ),
            refused: declare(
                registry,
                "gravimeter_connections_refused_total",
                "Connections that were ended before any byte was passed on",
                Family::default(),
            ),
            timeouts: declare(
                registry,
                "gravimeter_timeouts_total",
                "Steps of a connection that took longer than they may",
                Family::default(),
            ),
            tunnelled: declare(
                registry,
                "gravimeter_tunnelled_connections_total",
                "Connections that were passed on without decryption, by why: what they carry is not metered",
                Family::default(),
            ),
            accept_errors: declare(
                registry,
                "gravimeter_accept_errors_total",
                "Connections that could not be accepted for lack of file descriptors or memory",
                Counter::default(),
            ),
            sent: bytes.get_or_create_owned(&ByDirection {
                direction: ByteDirection::Sent,
            }),
            received: bytes.get_or_create_owned(&ByDirection {
                direction: ByteDirection::Received,
            }),
            relay_delay: declare(
                registry,
                "gravimeter_relay_delay_seconds",
                "A chunk read to the same chunk written: what Gravimeter itself adds",
                own_latency(),
            ),
            tcp_connect: declare(
                registry,
                "gravimeter_tcp_connect_duration_seconds",
                "TCP connections made to providers",
                own_latency(),
            ),
            observer_failures: declare(
                registry,
                "gravimeter_observer_failures_total",
                "Calls or connections whose figures were lost; their traffic was not affected",
                Family::default(),
            ),
            observer_budgets: declare(
                registry,
                "gravimeter_observer_budget_exceeded_total",
                "Calls or connections that were passed on unobserved because looking at them would have taken too much memory or time",
                Family::default(),
            ),
            redirect: declare(
                registry,
                "gravimeter_redirect_active",
                "Whether the redirect rules are in place; absent where none are asked for",
                Family::default(),
            ),
            agent_up: declare(
                registry,
                "gravimeter_agent_up",
                "Whether the supervised agent runs; absent where none is supervised",
                LateGauge::default(),
            ),
            agent_restarts: declare(
                registry,
                "gravimeter_agent_restarts_total",
                "Restarts of the supervised agent",
                Family::default(),
            ),
            tls: TlsMetrics::declare(registry),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// Gives every member of a closed set its series, so that a rate sees the first event of each.
    fn begin_at_zero(&self) {
        each(|disposition| begin(&self.connections, ByDisposition { disposition }));
        for disposition in [Disposition::Intercepted, Disposition::Tunnelled] {
            begin(&self.active, ByDisposition { disposition });
        }
        each(|reason| begin(&self.refused, ByRefusal { reason }));
        each(|step| begin(&self.timeouts, ByStep { step }));
        each(|reason| begin(&self.tunnelled, ByTunnel { reason }));
        each(|reason| begin(&self.observer_failures, ByObserverFailure { reason }));
        each(|budget| begin(&self.observer_budgets, ByObserverBudget { budget }));
        each(|reason| begin(&self.agent_restarts, ByRestart { reason }));
    }

    pub(super) fn count_fact(&self, fact: &Fact) {
        match *fact {
            Fact::AcceptFailed => add(&self.accept_errors, 1),
            Fact::AgentRestarted(reason) => count(&self.agent_restarts, ByRestart { reason }),
            Fact::AgentUp(up) => self.agent_up.set(i64::from(up)),
            Fact::Bytes {
                direction,
                count,
                delay,
            } => {
                let passed = match direction {
                    ByteDirection::Received => &self.received,
                    ByteDirection::Sent => &self.sent,
                };
                add(passed, count);
                if let Some(delay) = delay {
                    self.relay_delay.observe(delay.as_secs_f64());
                }
            }
            Fact::CaExpiry(at) => self.tls.ca_expires(at),
            Fact::ConnectionClosed(disposition) => {
                release(
                    &self
                        .active
                        .get_or_create_owned(&ByDisposition { disposition }),
                );
            }
            Fact::ConnectionOpened(disposition) => {
                count(&self.connections, ByDisposition { disposition });
                self.active
                    .get_or_create_owned(&ByDisposition { disposition })
                    .inc();
            }
            Fact::ConnectionRefused(reason) => {
                count(
                    &self.connections,
                    ByDisposition {
                        disposition: Disposition::Refused,
                    },
                );
                count(&self.refused, ByRefusal { reason });
            }
            Fact::ConnectionTunnelled { reason, .. } => {
                count(&self.tunnelled, ByTunnel { reason });
            }
            Fact::Handshake(done) => self.tls.succeeded(done),
            Fact::HandshakeFailed { side, reason } => self.tls.failed(side, reason),
            Fact::Leaf(result) => self.tls.leaf(result),
            Fact::ObserverFailed(reason) => {
                count(&self.observer_failures, ByObserverFailure { reason });
                if let Some(budget) = reason.budget() {
                    count(&self.observer_budgets, ByObserverBudget { budget });
                }
            }
            Fact::Redirect { family, active } => {
                self.redirect
                    .get_or_create_owned(&ByFamily { family })
                    .set(i64::from(active));
            }
            Fact::TimedOut(step) => count(&self.timeouts, ByStep { step }),
            Fact::UpstreamConnected(took) => self.tcp_connect.observe(took.as_secs_f64()),
            Fact::Call(_)
            | Fact::CallStarted(_)
            | Fact::CallTraced { .. }
            | Fact::CallUnread(_)
            | Fact::CascadeUpdated(_)
            | Fact::CertificateRejected(_)
            | Fact::ContentChunks(_)
            | Fact::Correlated(_)
            | Fact::CorrelationSettled(_)
            | Fact::FollowFailed(_)
            | Fact::IdsJoined(_)
            | Fact::LedgerDropped(_)
            | Fact::LedgerFailed(_)
            | Fact::ModelNamed(_)
            | Fact::NotificationEnded { .. }
            | Fact::Quota(_)
            | Fact::RuleUsed(_)
            | Fact::RulesRead { .. }
            | Fact::RunEnded(_)
            | Fact::RunStarted(_)
            | Fact::SessionEnded(_)
            | Fact::SessionStarted(_)
            | Fact::StepEnded(_)
            | Fact::SubagentEnded(_)
            | Fact::TotalCompared { .. }
            | Fact::UsageCompared(_) => {}
        }
    }
}
