//! The screen while it is shown: answers and keys change it, signals and keys end it.

use std::io;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use jiff::Timestamp;
use ratatui::crossterm::event::{Event, EventStream, KeyEventKind};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::answers::Answers;
use super::keys::Wish;
use super::state::State;
use super::terminal::Terminal;
use super::theme::Theme;

/// How the screen was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By a key.
    Quit,
    /// By the signal with this number.
    Signalled(i32),
}

/// Shows the state until a key or a signal ends it, and asks for new answers meanwhile.
///
/// # Errors
/// When the terminal fails; it is given back in every case.
pub(crate) async fn show(
    mut state: State,
    theme: Theme,
    ask: impl AsyncFnMut() -> Result<Answers, String>,
) -> io::Result<Ended> {
    let signals = EndSignals::catch()?;
    let terminal = Terminal::open()?;
    let (sender, answers) = mpsc::channel(1);
    tokio::select! {
        ended = follow(&mut state, theme, terminal, answers, signals) => ended,
        () = keep_asking(ask, sender) => Ok(Ended::Quit),
    }
}

/// Asks again and again, as long as somebody takes the answers.
async fn keep_asking(
    mut ask: impl AsyncFnMut() -> Result<Answers, String>,
    sender: mpsc::Sender<Result<Answers, String>>,
) {
    loop {
        sleep(BETWEEN_QUESTIONS).await;
        if sender.send(ask().await).await.is_err() {
            return;
        }
    }
}

async fn follow(
    state: &mut State,
    theme: Theme,
    mut terminal: Terminal,
    mut answers: mpsc::Receiver<Result<Answers, String>>,
    mut signals: EndSignals,
) -> io::Result<Ended> {
    let mut events = EventStream::new();
    let mut clock = interval(CLOCK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = Timestamp::now();
        terminal.draw(|frame| super::draw::draw(frame, state, theme, now))?;
        tokio::select! {
            number = signals.received() => return Ok(Ended::Signalled(number)),
            Some(answered) = answers.recv() => state.take(answered, Timestamp::now()),
            _ = clock.tick() => {}
            event = next(&mut events) => match press(state, event?) {
                Wish::Continue => {}
                Wish::Quit => return Ok(Ended::Quit),
                Wish::Suspend => terminal.suspend()?,
            },
        }
    }
}

/// The next event of the terminal. It has gone where there is none.
async fn next(events: &mut (impl Stream<Item = io::Result<Event>> + Unpin)) -> io::Result<Event> {
    let event = events.next().await;
    event.unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::UnexpectedEof)))
}

fn press(state: &mut State, event: Event) -> Wish {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => state.press(key),
        // A new size is drawn for, with the next frame.
        _ => Wish::Continue,
    }
}

/// The signals by which others end a program in order.
struct EndSignals([Signal; 3]);

impl EndSignals {
    fn catch() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ]))
    }

    /// The number of the one that was received.
    async fn received(&mut self) -> i32 {
        let [hangup, interrupt, terminate] = &mut self.0;
        let kind = tokio::select! {
            _ = hangup.recv() => SignalKind::hangup(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value()
    }
}

/// As the page of the exporter is.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

/// How often the clock moves.
const CLOCK: Duration = Duration::from_secs(1);
