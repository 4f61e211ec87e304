//! One agent connection and its connections to providers, until the end of all of them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, debug, warn};

use super::Surroundings;
use super::exchange::Exchanges;
use super::open::{OpenedProvider, Parts};
use super::passed::Passed;
use super::protocol::{AgentHttp, Protocol, ProviderHttp};
use super::providers::Providers;
use super::side::{AgentStream, SharedAgentState, SharedSide, Side, close};
use super::tasks::Tasks;
use crate::observe::End;
use crate::record::{Fact, Record, RefuseReason, TimeoutStep};
use crate::relay::diagnostics::{self, PassSpan};
use crate::relay::hang_up::{self, hang_up};
use crate::relay::pass::tap::Tap;

/// Forwards the requests that come on `agent` until the end of the connection, which is also that of
/// its connections to providers.
pub(in crate::relay) async fn forward(
    agent: Box<dyn Side>,
    protocol: Protocol,
    providers: Providers,
    parts: Parts,
    surroundings: Surroundings<'_>,
) -> End {
    let Surroundings {
        terms,
        request_head,
        rules,
        budgets,
        bodies,
        caller,
        record,
    } = surroundings;
    let agent = SharedSide::new(agent);
    let state = SharedAgentState::new(protocol == Protocol::Http1);
    let (upgraded, upgrades) = Tasks::new();
    let parts_of_http = providers.parts();
    let exchanges = Arc::new(Exchanges {
        providers,
        agent: state.clone(),
        rules,
        budgets,
        bodies,
        caller,
        record,
        upgrades,
    });
    let stream = AgentStream::new(agent.clone(), state.clone());
    let link = Link {
        http: AgentHttp::new(protocol, stream, exchanges, parts_of_http),
        state,
        is_ending: false,
        result: None,
        running: parts.running,
        upgraded,
        opened: parts.opened,
        providers: Vec::new(),
        record: terms.record,
    };
    link.carry(agent, request_head, &terms).await
}

/// Everything of one connection.
struct Link<'a> {
    http: AgentHttp,
    state: SharedAgentState,
    /// No further request is accepted.
    is_ending: bool,
    /// How HTTP with the agent has ended.
    result: Option<hyper::Result<()>>,
    running: Tasks,
    upgraded: Tasks,
    opened: mpsc::UnboundedReceiver<OpenedProvider>,
    providers: Vec<ProviderLink<'a>>,
    record: &'a dyn Record,
}

/// One connection to a provider.
struct ProviderLink<'a> {
    /// `None` once it has ended.
    http: Option<ProviderHttp>,
    side: SharedSide,
    passed: Arc<Passed>,
    tap: Tap<'a>,
}

/// What happened to a link.
enum Step {
    Yield,
    Drain,
    End(End),
    Forced,
    Quiet,
}

impl<'a> Link<'a> {
    async fn carry(
        mut self,
        agent: SharedSide,
        request_head: Duration,
        terms: &super::Terms<'a>,
    ) -> End {
        let end = self.run(request_head, terms).await;
        if let End::TimedOut(step) = end {
            self.record.record(Fact::TimedOut(step));
        }
        let is_malformed =
            |result: &hyper::Result<()>| result.as_ref().is_err_and(|error| error.is_parse());
        if self.state.lock().is_refused || self.result.as_ref().is_some_and(is_malformed) {
            warn!("refused a request that is malformed or could be understood in two ways");
            self.record
                .record(Fact::ConnectionRefused(RefuseReason::BadRequest));
        }
        let Self {
            http,
            running,
            upgraded,
            opened,
            mut providers,
            state,
            ..
        } = self;
        // HTTP lets go of the streams.
        drop((http, running, upgraded, opened));
        for provider in &mut providers {
            provider.tap.begin_turn();
            while !provider.passed.observe(&mut provider.tap) {
                yield_now().await;
                provider.tap.begin_turn();
            }
            provider.tap.passage.ended(end);
            provider.tap.end(end).await;
        }
        let upstream = providers.into_iter().map(|provider| provider.side);
        let agent_has_ended = state.lock().has_ended;
        end_sides(end, agent, agent_has_ended, upstream.collect(), terms).await;
        end
    }

    async fn run(&mut self, request_head: Duration, terms: &super::Terms<'_>) -> End {
        let mut draining = false;
        loop {
            let (deadline, _) = self.deadline(terms.idle, request_head);
            // A head may begin meanwhile, which has less time.
            let look_again = deadline.min(Instant::now() + request_head);
            // All state is in the link: a dropped `poll` loses nothing.
            let step = tokio::select! {
                biased;
                step = poll_fn(|cx| self.poll(cx, draining)) => step,
                () = terms.shutdown.force.cancelled() => Step::Forced,
                () = terms.shutdown.drain.cancelled(), if !draining => Step::Drain,
                () = sleep_until(look_again) => Step::Quiet,
            };
            match step {
                Step::Yield => yield_now().await,
                Step::End(end) => return end,
                Step::Forced => {
                    self.record.record(Fact::TimedOut(TimeoutStep::Drain));
                    return End::Shutdown;
                }
                Step::Drain => {
                    draining = true;
                    self.end_after_open_exchanges();
                }
                Step::Quiet => {
                    let (deadline, late) = self.deadline(terms.idle, request_head);
                    if deadline <= Instant::now() {
                        return End::TimedOut(late);
                    }
                }
            }
            if terms.shutdown.force.is_cancelled() {
                self.record.record(Fact::TimedOut(TimeoutStep::Drain));
                return End::Shutdown;
            }
        }
    }

    /// When the connection has been quiet for too long, and what is late then.
    fn deadline(&self, idle: Duration, request_head: Duration) -> (Instant, TimeoutStep) {
        let state = self.state.lock();
        let upstream = self.providers.iter().map(|provider| provider.tap.last);
        let last = upstream.fold(state.last, Instant::max);
        let quiet = (last + idle, TimeoutStep::Idle);
        match state.head_begun() {
            Some(begun) if begun + request_head < quiet.0 => {
                (begun + request_head, TimeoutStep::RequestHead)
            }
            _ => quiet,
        }
    }

    /// Lets everything go on that can, and observes what has passed then.
    fn poll(&mut self, cx: &mut Context<'_>, draining: bool) -> Poll<Step> {
        for provider in &mut self.providers {
            provider.tap.begin_turn();
        }
        // An observer that is behind catches up before more is read, as long as it may take.
        let is_behind = self.providers.iter().any(|provider| provider.tap.is_full());
        if is_behind && !self.observe() {
            return Poll::Ready(Step::Yield);
        }
        self.poll_providers(cx);
        self.running.poll(cx);
        if self.result.is_none()
            && let Poll::Ready(result) = self.http.poll(cx)
        {
            self.result = Some(result);
        }
        self.upgraded.poll(cx);
        // A request may have opened another one.
        self.poll_providers(cx);
        if !self.observe() {
            return Poll::Ready(Step::Yield);
        }
        if self.state.lock().interim.is_overfull() {
            warn!("a provider sends more interim responses than its agent reads");
            return Poll::Ready(Step::End(End::ProviderGone));
        }
        match &self.result {
            Some(Err(_)) => Poll::Ready(Step::End(self.end())),
            Some(Ok(())) if self.upgraded.is_empty() => Poll::Ready(Step::End(self.end())),
            Some(Ok(())) if draining && self.is_between_exchanges() => {
                Poll::Ready(Step::End(End::Shutdown))
            }
            _ => Poll::Pending,
        }
    }

    fn poll_providers(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(opened)) = self.opened.poll_recv(cx) {
            let passage = PassSpan::default();
            self.providers.push(ProviderLink {
                http: Some(opened.http),
                side: opened.side,
                passed: opened.passed,
                tap: Tap::new(Some(opened.observer), self.record, passage),
            });
        }
        let mut has_ended = false;
        for provider in &mut self.providers {
            if let Some(http) = &mut provider.http
                && let Poll::Ready(result) = http.as_mut().poll(cx)
            {
                debug!(?result, "HTTP with a provider has ended");
                provider.http = None;
            }
            has_ended |= provider.http.is_none();
        }
        // While a connection leaves HTTP, that is in order.
        if has_ended && !self.state.lock().is_upgrading {
            self.end_after_open_exchanges();
        }
    }

    fn end_after_open_exchanges(&mut self) {
        if self.result.is_none() && !std::mem::replace(&mut self.is_ending, true) {
            self.http.end_after_open_exchanges();
        }
    }

    /// True when everything was observed.
    fn observe(&mut self) -> bool {
        let mut is_all = true;
        for provider in &mut self.providers {
            is_all &= provider.passed.observe(&mut provider.tap);
        }
        is_all
    }

    fn is_between_exchanges(&self) -> bool {
        let mut providers = self.providers.iter();
        providers.all(|provider| provider.tap.is_between_exchanges())
    }

    /// Which side has ended the connection, and whether in order.
    fn end(&self) -> End {
        let provider_broke = self.providers.iter().any(|it| it.passed.has_failed());
        let agent_broke = self.state.lock().has_failed;
        match &self.result {
            _ if provider_broke => End::ProviderGone,
            _ if agent_broke => End::AgentGone,
            None | Some(Ok(())) => End::Closed,
            // The response could not be had, or broke off.
            Some(Err(error)) if error.is_user() => End::ProviderGone,
            Some(Err(_)) => End::AgentGone,
        }
    }
}

/// Ends the streams below HTTP as the end of the connection requires.
async fn end_sides(
    end: End,
    agent: SharedSide,
    agent_has_ended: bool,
    providers: Vec<SharedSide>,
    terms: &super::Terms<'_>,
) {
    let mut agent = agent.into_inner();
    let mut providers: Vec<_> = providers.into_iter().map(SharedSide::into_inner).collect();
    if matches!(end, End::Closed | End::Shutdown) {
        let all = join_all(providers.iter_mut().chain([&mut agent]).map(close));
        let _ = timeout(ORDERLY_CLOSE, all).await;
    }
    let all = async {
        // No answer is on its way any more after an end in order.
        let cut_off = providers.iter().filter(|_| end != End::Closed);
        let cut_off = cut_off.filter_map(tcp);
        let providers = join_all(cut_off.map(|tcp| hang_up(tcp, hang_up::PROVIDER)));
        let agent = async {
            // It may still send a request that nobody will answer: closing over it would reset the
            // connection, and discard an answer that was not read yet.
            if let Some(tcp) = tcp(&agent).filter(|_| end != End::Closed || !agent_has_ended) {
                hang_up(tcp, hang_up::AGENT).await;
            }
        };
        tokio::join!(agent, providers)
    };
    // Forced, the connections close at once, whatever is still on its way.
    terms
        .shutdown
        .force
        .run_until_cancelled(all.instrument(diagnostics::hang_up()))
        .await;
}

fn tcp(side: &Option<Box<dyn Side>>) -> Option<&TcpStream> {
    side.as_ref().and_then(|side| side.tcp())
}

/// Timeout of the orderly end of the streams: a few bytes for a socket buffer.
const ORDERLY_CLOSE: Duration = Duration::from_secs(1);
