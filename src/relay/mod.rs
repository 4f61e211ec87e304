//! Carries the traffic: one connection from [`Accepted`] to its end, byte for byte, or, where a rule
//! may change its requests, one request after the other.
//!
//! The provider is connected and verified first, then the agent is answered with exactly the
//! protocol that the provider chose. One agent connection is one upstream connection: nothing is
//! pooled, nothing is retried, nothing waits for an observer. Knows no provider and no metric; a
//! plaintext byte is shown to the observer and kept nowhere, but for a request's body while a rule
//! changes it.

pub mod base_url;
mod brake;
mod carry;
mod config;
mod diagnostics;
mod dial;
mod forward;
mod hang_up;
mod lane;
mod opened;
pub(crate) mod outbound;
pub mod pass;
mod path;
mod programs;
mod refusal;
mod resolvers;
mod route;
pub mod timeouts;
pub mod tunnel;
mod untrusting;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::server;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, debug, field, info_span};

use crate::budget::Budgets;
use crate::capture::{Accepted, Destination, LoopGuard};
use crate::observe::OpenObserver;
use crate::record::diagnostics::{SERVER_ADDRESS, TUNNEL_WHY, disposed, refused};
use crate::record::{
    ConnectionSetup, Disposition, Fact, Handshake, Host, Label as _, Phase, Record, TimeoutStep,
};
use crate::rules::Rules;
use crate::tls::handshake;
use crate::tls::hello::HelloReader;
use crate::tls::leaf::Leaves;
use crate::tls::read_ahead::ReadAhead;
use crate::tls::upstream::{Upstream, VerifiedUpstream};

use diagnostics::step;
use path::{Intercepted, Path, phase};
use refusal::Refusal;
use route::{Opening, Route, route};

use untrusting::Client;

pub use config::Config;
pub use forward::BodyMemory;
pub(crate) use untrusting::Rejections;
pub use untrusting::{TUNNELLED_FOR, Untrusting};

/// The two stages of an orderly end.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Connections close as soon as no exchange is open in them; new ones are refused.
    pub drain: CancellationToken,
    /// What is still open is cut off.
    pub force: CancellationToken,
}

/// Serves connections.
pub(crate) struct Relay {
    /// What is intercepted, and where it goes.
    pub(crate) config: Config,
    /// Addresses that must never be dialled.
    pub(crate) guard: Arc<LoopGuard>,
    /// Verified sessions with providers.
    pub(crate) upstream: Arc<Upstream>,
    /// Certificates for the agent.
    pub(crate) leaves: Arc<Leaves>,
    /// Which clients do not trust these certificates.
    pub(crate) rejections: Rejections,
    /// Stop calls when they are used up; `None` where there are none.
    pub(crate) budgets: Option<Arc<Budgets>>,
    /// The rules by which requests are changed.
    pub(crate) rules: watch::Receiver<Arc<Rules>>,
    /// The memory for bodies that are read for rules and budgets, of all connections together.
    pub(crate) bodies: BodyMemory,
    /// Opens the observers of the plaintext.
    pub(crate) observers: Arc<dyn OpenObserver>,
    /// Where all facts are recorded.
    pub(crate) record: Arc<dyn Record>,
}

impl Relay {
    /// Carries one connection to its end, and notes its outcome on the current span.
    pub(crate) async fn serve(&self, accepted: Accepted, shutdown: &Shutdown) {
        let connection_span = Span::current();
        let span =
            info_span!("connection", destination = %accepted.destination, host = field::Empty);
        self.carry(accepted, &connection_span, shutdown)
            .instrument(span)
            .await;
    }

    async fn carry(&self, accepted: Accepted, connection_span: &Span, shutdown: &Shutdown) {
        let path = tokio::select! {
            path = self.open(accepted, connection_span) => path,
            // No byte has passed yet: what is lost is the attempt.
            () = shutdown.drain.cancelled() => Err(Refusal::Shutdown),
        };
        match path {
            Ok(Path::Intercepted {
                intercepted,
                agent,
                provider,
            }) => {
                disposed(connection_span, Disposition::Intercepted);
                if self.rules.borrow().may_match(&intercepted.host) {
                    self.forward(intercepted, agent, provider, shutdown).await;
                } else {
                    self.pass(intercepted, *agent, *provider, shutdown).await;
                }
            }
            Ok(Path::Tunnelled {
                why,
                sni,
                agent,
                provider,
            }) => {
                disposed(connection_span, Disposition::Tunnelled);
                self.record.record(Fact::ConnectionTunnelled {
                    reason: why,
                    host: sni,
                });
                self.tunnel(agent, provider, shutdown).await;
            }
            Err(refusal) => {
                refused(connection_span, refusal.reason());
                refusal.emit(&*self.record);
            }
        }
    }

    /// Opens the way to the provider, and only then answers the agent.
    async fn open(&self, accepted: Accepted, connection_span: &Span) -> Result<Path, Refusal> {
        let Accepted {
            mut tcp,
            prefix,
            destination,
            mut peer,
        } = accepted;
        let port = destination.port();
        let (opening, kept) = self
            .hello(&mut tcp, prefix)
            .instrument(diagnostics::client_hello())
            .await;
        let address = untrusting::address_of(&tcp);
        let route = route(opening, &self.config.intercept);
        let route = self.around_untrusting(route, address);
        let caller = peer.caller().clone();
        match self.around_other_programs(route, &mut peer).await {
            Route::Intercept { host, alpn, client } => {
                let client = Client {
                    address,
                    kind: client,
                };
                Span::current().record("host", field::display(&host));
                connection_span.record(SERVER_ADDRESS, field::display(&host));
                let ready = match self.stop_of(&host, &mut peer).await {
                    Some(stop) => Err(Refusal::Budget(stop)),
                    None => self.provider(&destination, &host, &alpn).await,
                };
                let (connect, upstream, leaf) = match ready {
                    Ok(ready) => ready,
                    Err(refusal) => {
                        // The agent's TLS library shows the reason; whether it still reads is
                        // its own affair.
                        let _ = tcp.try_write(&handshake::refusal_alert(refusal.alert()));
                        hang_up::hang_up(&tcp, hang_up::AGENT)
                            .instrument(diagnostics::hang_up())
                            .await;
                        return Err(refusal);
                    }
                };
                let verified = phase(upstream.handshake());
                let greeted = self.greet(ReadAhead::new(kept, tcp), leaf).await;
                let (agent, greeted) = greeted.inspect_err(|refusal| {
                    self.note_rejection(client, &host, refusal);
                })?;
                self.rejections.forget(client, &host);
                let setup = Box::new(ConnectionSetup {
                    connect,
                    upstream: verified,
                    agent: phase(greeted),
                });
                let (agent, provider) = (Box::new(agent), Box::new(upstream.into_stream()));
                Ok(Path::Intercepted {
                    intercepted: Intercepted {
                        host,
                        port,
                        setup,
                        caller,
                    },
                    agent,
                    provider,
                })
            }
            Route::Refuse(error) => Err(Refusal::Hello(error)),
            Route::RefuseLate => Err(Refusal::Timeout(TimeoutStep::ClientHello)),
            Route::Tunnel { why, sni } => {
                let host = sni.as_ref().map(field::display);
                debug!(why = why.as_str(), host, "tunnelling a connection");
                connection_span.record(SERVER_ADDRESS, host);
                connection_span.record(TUNNEL_WHY, why.as_str());
                let (provider, _) = self.dial(&destination, sni.as_ref()).await?;
                Ok(Path::Tunnelled {
                    why,
                    sni,
                    agent: ReadAhead::new(kept, tcp),
                    provider,
                })
            }
        }
    }

    /// Reads the beginning of the connection, and keeps every byte of it.
    async fn hello(&self, tcp: &mut TcpStream, prefix: Bytes) -> (Opening, Bytes) {
        let mut reader = HelloReader::new(prefix);
        let opening = match timeout(self.config.timeouts.client_hello, reader.read(tcp)).await {
            Ok(Ok(hello)) => Opening::Hello(hello),
            Ok(Err(error)) => Opening::Other(error),
            Err(_) if reader.bytes().is_empty() => Opening::Silent,
            Err(_) => Opening::Late,
        };
        (opening, reader.into_bytes())
    }

    async fn dial(
        &self,
        destination: &Destination,
        host: Option<&Host>,
    ) -> Result<(TcpStream, Phase), Refusal> {
        let limit = self.config.timeouts.upstream_connect;
        let start = Instant::now();
        let tcp = within(limit, TimeoutStep::UpstreamConnect, async {
            Ok(dial::dial(destination, host, &self.config.resolve, &self.guard, limit).await?)
        });
        let tcp = step(diagnostics::dial(host), tcp).await?;
        let took = start.elapsed();
        self.record.record(Fact::UpstreamConnected(took));
        Ok((tcp, Phase::ended(SystemTime::now(), took)))
    }

    /// A verified session with the provider, and a leaf for exactly the protocol that it chose.
    async fn provider(
        &self,
        destination: &Destination,
        host: &Host,
        alpn: &[Vec<u8>],
    ) -> Result<(Phase, VerifiedUpstream, Arc<ServerConfig>), Refusal> {
        let (connect, upstream) = self.verified(destination, host, alpn).await?;
        let leaf = async {
            let leaf = self.leaves.server_config(host, upstream.alpn()).await;
            Ok(leaf.inspect(|(_, result)| diagnostics::leaf_issued(*result))?)
        };
        let (leaf, result) = step(diagnostics::leaf(), leaf).await?;
        self.record.record(Fact::Leaf(result));
        Ok((connect, upstream, leaf))
    }

    /// A verified session with the provider.
    async fn verified(
        &self,
        destination: &Destination,
        host: &Host,
        alpn: &[Vec<u8>],
    ) -> Result<(Phase, VerifiedUpstream), Refusal> {
        let (tcp, connect) = self.dial(destination, Some(host)).await?;
        let upstream = within(
            self.config.timeouts.upstream_handshake,
            TimeoutStep::UpstreamHandshake,
            async {
                let verified = self
                    .upstream
                    .handshake(tcp, host, alpn)
                    .await
                    .map_err(Refusal::UpstreamHandshake);
                verified.inspect(|upstream| diagnostics::handshake_done(upstream.handshake()))
            },
        );
        let upstream = step(diagnostics::upstream_handshake(host), upstream).await?;
        self.record.record(Fact::Handshake(upstream.handshake()));
        Ok((connect, upstream))
    }

    async fn greet(
        &self,
        agent: ReadAhead<TcpStream>,
        leaf: Arc<ServerConfig>,
    ) -> Result<(server::TlsStream<ReadAhead<TcpStream>>, Handshake), Refusal> {
        let accepted = within(
            self.config.timeouts.agent_handshake,
            TimeoutStep::AgentHandshake,
            async {
                let accepted = handshake::accept(agent, leaf)
                    .await
                    .map_err(Refusal::AgentHandshake);
                accepted.inspect(|(_, handshake)| diagnostics::handshake_done(*handshake))
            },
        );
        let (agent, handshake) = step(diagnostics::agent_handshake(), accepted).await?;
        self.record.record(Fact::Handshake(handshake));
        Ok((agent, handshake))
    }
}

async fn within<T>(
    limit: Duration,
    step: TimeoutStep,
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    timeout(limit, work)
        .await
        .unwrap_or(Err(Refusal::Timeout(step)))
}
