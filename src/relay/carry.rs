//! The three ways in which the bytes of a connection are carried once it is open on both sides.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::{client, server};
use tracing::{Span, debug};

use super::base_url::{BaseUrls, Server};
use super::dial::DialError;
use super::forward::{BaseUrlProviders, Opener, Protocol, Providers, Side, Surroundings};
use super::opened::Opened;
use super::path::Intercepted;
use super::refusal::Refusal;
use super::{Relay, Shutdown, forward, hang_up, pass, tunnel};
use crate::capture::Destination;
use crate::observe::{Alpn, Connection};
use crate::record::diagnostics::disposed;
use crate::record::{ConnectionCaller, Disposition, Fact, RefuseReason, TimeoutStep};
use crate::tls::read_ahead::ReadAhead;

type AgentTls = server::TlsStream<ReadAhead<TcpStream>>;
type ProviderTls = client::TlsStream<ReadAhead<TcpStream>>;

impl Relay {
    /// Byte for byte.
    pub(super) async fn pass(
        &self,
        intercepted: Intercepted,
        mut agent: AgentTls,
        mut provider: ProviderTls,
        shutdown: &Shutdown,
    ) {
        let _opened = Opened::new(&*self.record, Disposition::Intercepted);
        let brake = self.brake(&intercepted.host, &intercepted.caller);
        let connection = connection(intercepted, alpn_of(&provider));
        let end = pass::pass(
            &mut agent,
            &mut provider,
            Some(self.observers.open(connection)),
            brake,
            &self.terms(shutdown),
        )
        .await;
        debug!(?end, "an intercepted connection ended");
        hang_up::after(
            end,
            agent.get_ref().0.get_ref(),
            provider.get_ref().0.get_ref(),
            shutdown,
        )
        .await;
    }

    /// Request by request.
    pub(super) async fn forward(
        &self,
        intercepted: Intercepted,
        agent: Box<AgentTls>,
        provider: Box<ProviderTls>,
        shutdown: &Shutdown,
    ) {
        let _opened = Opened::new(&*self.record, Disposition::Intercepted);
        let connection = connection(intercepted, alpn_of(&provider));
        let (protocol, caller) = (Protocol::of(connection.alpn), connection.caller.clone());
        let (opener, parts) = Opener::new(Arc::clone(&self.observers));
        let opened = opener.open(provider, connection);
        // What begins HTTP/2 is a few bytes for a socket buffer that is empty.
        let provider = match timeout(self.config.timeouts.upstream_handshake, opened).await {
            Ok(Ok(provider)) => provider,
            Ok(Err(error)) => return debug!(%error, "a provider is gone before any request"),
            Err(_) => {
                let step = TimeoutStep::UpstreamHandshake;
                return self.record.record(Fact::TimedOut(step));
            }
        };
        let providers = Providers::One { provider, opener };
        let surroundings = self.surroundings(caller, shutdown);
        let end = forward::forward(agent, protocol, providers, parts, surroundings).await;
        debug!(?end, "a forwarded connection ended");
    }

    /// Byte for byte, and unread.
    pub(super) async fn tunnel(
        &self,
        mut agent: ReadAhead<TcpStream>,
        mut provider: TcpStream,
        shutdown: &Shutdown,
    ) {
        let _opened = Opened::new(&*self.record, Disposition::Tunnelled);
        let end = tunnel::tunnel(&mut agent, &mut provider, &self.terms(shutdown)).await;
        debug!(?end, "a tunnelled connection ended");
        hang_up::after(end, agent.get_ref(), &provider, shutdown).await;
    }

    /// Request by request, each to the server that its path names.
    pub(crate) async fn serve_requests(
        self: &Arc<Self>,
        agent: Box<dyn Side>,
        caller: ConnectionCaller,
        shutdown: &Shutdown,
    ) {
        disposed(&Span::current(), Disposition::Intercepted);
        let _opened = Opened::new(&*self.record, Disposition::Intercepted);
        let (opener, parts) = Opener::new(Arc::clone(&self.observers));
        let providers = Providers::BaseUrl(BaseUrlProviders {
            relay: Arc::clone(self),
            urls: BaseUrls::new(self.config.base_url_upstream.clone()),
            caller: caller.clone(),
            opener,
            opened: Mutex::default(),
        });
        let surroundings = self.surroundings(caller, shutdown);
        let end = forward::forward(agent, Protocol::Http1, providers, parts, surroundings).await;
        debug!(?end, "a connection to the base-URL door ended");
    }

    /// A stream to a server of the base-URL door, and its port: verified, or on this machine.
    pub(super) async fn reach(&self, server: &Server) -> Result<(Box<dyn Side>, u16), Refusal> {
        match server {
            Server::Tls(host, port) => {
                let destination = Destination::Name {
                    host: host.clone(),
                    port: *port,
                };
                let alpn = [b"http/1.1".to_vec()];
                let (_, upstream) = self.verified(&destination, host, &alpn).await?;
                Ok((Box::new(upstream.into_stream()), *port))
            }
            Server::Local(address) if self.guard.is_own(*address) => {
                Err(DialError::Forbidden(RefuseReason::Loop).into())
            }
            Server::Local(address) => {
                let (tcp, _) = self.dial(&Destination::Address(*address), None).await?;
                Ok((Box::new(tcp), address.port()))
            }
        }
    }

    fn surroundings<'a>(
        &'a self,
        caller: ConnectionCaller,
        shutdown: &'a Shutdown,
    ) -> Surroundings<'a> {
        Surroundings {
            terms: self.terms(shutdown),
            request_head: self.config.timeouts.request_head,
            rules: self.rules.clone(),
            budgets: self.budgets.clone(),
            bodies: self.bodies.clone(),
            caller,
            record: Arc::clone(&self.record),
        }
    }

    pub(super) fn terms<'a>(&'a self, shutdown: &'a Shutdown) -> pass::Terms<'a> {
        pass::Terms {
            idle: self.config.timeouts.idle,
            shutdown,
            record: &*self.record,
        }
    }
}

/// What observers know of a connection that is open on both sides.
fn connection(intercepted: Intercepted, alpn: Alpn) -> Connection {
    let Intercepted {
        host,
        port,
        setup,
        caller,
    } = intercepted;
    Connection {
        host,
        alpn,
        opened: Instant::now(),
        opened_at: SystemTime::now(),
        port,
        setup: Some(setup),
        caller,
        changes: None,
    }
}

fn alpn_of(provider: &ProviderTls) -> Alpn {
    match provider.get_ref().1.alpn_protocol() {
        Some(b"h2") => Alpn::H2,
        Some(b"http/1.1") => Alpn::Http1,
        _ => Alpn::Unknown,
    }
}
