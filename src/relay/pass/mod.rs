//! Copies plaintext both ways, byte for byte: two streams enter, [`End`] leaves.
//!
//! Forward first, observe second: the observer sees a chunk when it has been written and flushed.
//! Each direction has its own chunk in flight, so that a blocked one never blocks the other. No
//! byte is changed, merged or split on purpose. Observing is done in short turns, between which
//! other connections go on, and has a time limit.

mod allowance;
pub(super) mod tap;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::Instrument as _;

use super::Shutdown;
use super::brake::{self, Brake};
use super::diagnostics::PassSpan;
use super::lane::Lane;
use crate::observe::{Direction, End, Observer};
use crate::record::{Fact, Record, TimeoutStep};
use tap::Tap;

/// The terms under which bytes pass.
pub struct Terms<'a> {
    /// No byte in either direction for this long ends the connection.
    pub idle: Duration,
    /// The orderly end of the process.
    pub shutdown: &'a Shutdown,
    /// Where bytes are counted.
    pub record: &'a dyn Record,
}

/// Passes bytes until the end; `observer` sees them, if there is one. While `brake` is on, the end
/// comes as soon as no exchange is open.
///
/// After [`End::Closed`], both streams have been shut down (close_notify). After any other end, the
/// caller closes the connections below the streams, so that a message that was cut off does not
/// look complete.
pub async fn pass<A, P>(
    agent: &mut A,
    provider: &mut P,
    observer: Option<Box<dyn Observer>>,
    brake: Option<Brake>,
    terms: &Terms<'_>,
) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    P: AsyncRead + AsyncWrite + Unpin,
{
    let passage = PassSpan::default();
    let span = passage.span().clone();
    let tap = Tap::new(observer, terms.record, passage);
    let mut link = Link {
        agent,
        provider,
        up: Lane::Reading,
        down: Lane::Reading,
        tap,
        brake,
    };
    let end = link.run(terms).instrument(span).await;
    link.tap.passage.ended(end);
    if let End::TimedOut(step) = end {
        terms.record.record(Fact::TimedOut(step));
    }
    link.tap.end(end).await;
    end
}

/// Both directions of one connection.
struct Link<'a, A, P> {
    agent: &'a mut A,
    provider: &'a mut P,
    up: Lane,
    down: Lane,
    tap: Tap<'a>,
    brake: Option<Brake>,
}

impl<A, P> Link<'_, A, P>
where
    A: AsyncRead + AsyncWrite + Unpin,
    P: AsyncRead + AsyncWrite + Unpin,
{
    async fn run(&mut self, terms: &Terms<'_>) -> End {
        let mut draining = false;
        let mut budgets = self.brake.as_ref().map(Brake::changes);
        loop {
            let deadline = self.tap.last + terms.idle;
            // All state is in the link: a dropped `poll` loses nothing.
            let step = tokio::select! {
                biased;
                step = poll_fn(|cx| self.poll(cx, draining)) => step,
                () = terms.shutdown.force.cancelled() => Step::Forced,
                () = terms.shutdown.drain.cancelled(), if !draining => Step::Drain,
                () = brake::changed(&mut budgets) => Step::Budgets,
                () = sleep_until(deadline) => Step::Quiet,
            };
            match step {
                // Other tasks run in between, and the runtime polls for I/O.
                Step::Yield => yield_now().await,
                Step::End(end) => return end,
                Step::Forced => return forced(terms),
                // The next poll asks the brake.
                Step::Budgets => {}
                Step::Drain => draining = true,
                Step::Drained => {
                    self.close_in_order().await;
                    return End::Shutdown;
                }
                Step::Quiet if self.tap.last + terms.idle <= Instant::now() => {
                    return End::TimedOut(TimeoutStep::Idle);
                }
                Step::Quiet => {}
            }
            // A link that always has something to observe never lets the other branches have their
            // turn.
            if terms.shutdown.force.is_cancelled() {
                return forced(terms);
            }
        }
    }

    /// Moves chunks alternately, one each way, until neither side is ready, or observing them has
    /// taken long enough.
    fn poll(&mut self, cx: &mut Context<'_>, draining: bool) -> Poll<Step> {
        self.tap.begin_turn();
        loop {
            // Before anything is read: no call begins that need not.
            if self.is_braked() {
                return Poll::Ready(Step::Drained);
            }
            if self.up.is_over() && self.down.is_over() {
                return Poll::Ready(Step::End(self.end()));
            }
            let Self {
                agent,
                provider,
                up,
                down,
                tap,
                ..
            } = self;
            if tap.is_full() && !tap.catch_up() {
                return Poll::Ready(Step::Yield);
            }
            let sent = up.poll(cx, *agent, *provider, &mut tap.of(Direction::ToProvider));
            if let Poll::Ready(Err(_)) = sent {
                return Poll::Ready(Step::End(End::AgentGone));
            }
            let received = down.poll(cx, *provider, *agent, &mut tap.of(Direction::ToAgent));
            if let Poll::Ready(Err(_)) = received {
                return Poll::Ready(Step::End(End::ProviderGone));
            }
            if !tap.catch_up() || tap.turn_is_over() {
                return Poll::Ready(Step::Yield);
            }
            if sent.is_pending() && received.is_pending() {
                return if (draining && self.rests()) || self.is_braked() {
                    Poll::Ready(Step::Drained)
                } else {
                    Poll::Pending
                };
            }
        }
    }

    /// Whether closing the connection now cuts nothing off.
    fn rests(&self) -> bool {
        !self.up.is_busy() && !self.down.is_busy() && self.tap.is_between_exchanges()
    }

    /// Whether a budget lets no further call begin, and none is open.
    fn is_braked(&mut self) -> bool {
        self.brake.as_mut().is_some_and(Brake::is_on) && self.rests()
    }

    fn end(&self) -> End {
        match (self.up.is_broken(), self.down.is_broken()) {
            (_, true) => End::AgentGone,
            (true, false) => End::ProviderGone,
            (false, false) => End::Closed,
        }
    }

    /// Shuts down both streams: nothing is cut off between exchanges. A peer that does not accept
    /// it in time is left.
    async fn close_in_order(&mut self) {
        let both = async { tokio::join!(self.agent.shutdown(), self.provider.shutdown()) };
        let _ = timeout(ORDERLY_CLOSE, both).await;
    }
}

/// The time for an orderly end is over.
fn forced(terms: &Terms<'_>) -> End {
    terms.record.record(Fact::TimedOut(TimeoutStep::Drain));
    End::Shutdown
}

/// What happened to a link.
enum Step {
    Yield,
    /// Of some budget, more or less is left.
    Budgets,
    Drain,
    Drained,
    End(End),
    Forced,
    Quiet,
}

/// Timeout of the shutdown: a few bytes for a socket buffer that is empty between exchanges.
const ORDERLY_CLOSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
