//! Waits for the end of the program: passes signals on that were meant for it, and stops when it
//! stops.

use std::io;
use std::process::Child;

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use super::ending::Ending;
use super::terminal::Terminal;

/// The program cannot be followed any more.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Signals cannot be received.
    #[error("cannot receive signals: {0}")]
    Signals(#[source] io::Error),
    /// Its end cannot be learned.
    #[error("cannot wait for the program: {0}")]
    Wait(#[source] io::Error),
}

/// Receives signals from before the program is started, and waits for its end.
pub(crate) struct Foreground {
    children: Signals,
    received: Vec<(Signal, Signals)>,
    terminal: Option<Terminal>,
}

impl Foreground {
    /// Takes over the signals that would end or stop this process and are not ignored: those that
    /// are (`nohup`, a background job of a script) stay so for the program as well. To be called
    /// before the program is started.
    ///
    /// # Errors
    /// [`FollowError::Signals`].
    pub(crate) fn prepare() -> Result<Self, FollowError> {
        let ignored = ignored_signals();
        let mut received = Vec::new();
        for named in FOLLOWED {
            let number = named.as_raw();
            if ignored & 1_u64 << (number - 1) == 0 {
                let signals = signal(SignalKind::from_raw(number)).map_err(FollowError::Signals)?;
                received.push((named, signals));
            }
        }
        Ok(Self {
            children: signal(SignalKind::child()).map_err(FollowError::Signals)?,
            received,
            terminal: Terminal::open(),
        })
    }

    /// Waits until the program has ended. `pass_on` gets the signals that only we have received.
    ///
    /// # Errors
    /// [`FollowError::Wait`].
    pub(crate) async fn wait(
        &mut self,
        program: &Child,
        pass_on: impl AsyncFn(Signal),
    ) -> Result<Ending, FollowError> {
        let pid = Pid::from_child(program);
        loop {
            match state(pid).map_err(FollowError::Wait)? {
                State::Ended(ending) => {
                    if let (Ending::Signalled(_), Some(terminal)) = (ending, &self.terminal) {
                        terminal.restore();
                    }
                    return Ok(ending);
                }
                State::Stopped(number) => self.stop_likewise(number),
                State::Unchanged => {}
            }
            // Cancel-safe: what has changed meanwhile is seen at the next look.
            let received = tokio::select! {
                _ = self.children.recv() => None,
                received = next(&mut self.received) => Some(received),
            };
            if let Some(received) = received.filter(|signal| !self.is_of_terminal(*signal)) {
                pass_on(received).await;
            }
        }
    }

    /// Returns when a further signal asks for the end. Cancel-safe.
    pub(crate) async fn hurried(&mut self) {
        loop {
            let received = next(&mut self.received).await;
            if [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT].contains(&received) {
                return;
            }
        }
    }

    /// What the terminal sends, the program gets by itself, being in our process group.
    fn is_of_terminal(&self, received: Signal) -> bool {
        [Signal::INT, Signal::QUIT, Signal::TSTP].contains(&received)
            && self.terminal.as_ref().is_some_and(Terminal::is_ours)
    }

    /// Lets the shell see a stopped job. The shell goes on with both of us.
    ///
    /// A program that was stopped by SIGSTOP from outside of a terminal is left alone: what stopped
    /// it will continue the program, and not this process.
    fn stop_likewise(&self, number: i32) {
        let is_by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU]
            .iter()
            .any(|signal| signal.as_raw() == number);
        if is_by_terminal || self.terminal.as_ref().is_some_and(Terminal::is_ours) {
            // Returns after a SIGCONT.
            let _ = kill_process(getpid(), Signal::STOP);
        }
    }
}

/// Signals that people, shells and service managers send to a program.
const FOLLOWED: [Signal; 8] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::TSTP,
    Signal::CONT,
    Signal::USR1,
    Signal::USR2,
];

/// The next signal of any kind. Cancel-safe.
async fn next(received: &mut [(Signal, Signals)]) -> Signal {
    let all = received.iter_mut().map(|(signal, signals)| {
        Box::pin(async {
            signals.recv().await;
            *signal
        })
    });
    match all.collect::<Vec<_>>() {
        none if none.is_empty() => std::future::pending().await,
        some => futures_util::future::select_all(some).await.0,
    }
}

enum State {
    Ended(Ending),
    Stopped(i32),
    Unchanged,
}

fn state(program: Pid) -> io::Result<State> {
    let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
    let Some((_, status)) = rustix::io::retry_on_intr(|| waitpid(Some(program), options))? else {
        return Ok(State::Unchanged);
    };
    let exited = status
        .exit_status()
        .and_then(|code| u8::try_from(code).ok());
    Ok(match (exited, status.terminating_signal()) {
        (Some(code), _) => State::Ended(Ending::Exited(code)),
        (None, Some(number)) => State::Ended(Ending::Signalled(number)),
        (None, None) => status
            .stopping_signal()
            .map_or(State::Unchanged, State::Stopped),
    })
}

/// The signals that this process ignores, a bit for each: proc_pid_status(5). None where that is
/// not known.
fn ignored_signals() -> u64 {
    let status = procfs::process::Process::myself().and_then(|own| own.status());
    status.map_or(0, |status| status.sigign)
}
