//! The terminal, taken over for a screen and given back on every end that a program can see.
//!
//! A drop gives it back, and a panic before it is told. What cannot be seen is SIGKILL; `reset` helps
//! after one.

use std::io::{self, Stdout, Write as _};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal as Screen};

/// The terminal of standard output in raw mode, on its alternate screen. Dropping it gives the
/// terminal back as it was.
#[derive(Debug)]
pub struct Terminal(Screen<CrosstermBackend<Stdout>>);

impl Terminal {
    /// Takes the terminal over. From then on a panic gives it back before it says what has
    /// happened.
    ///
    /// # Errors
    /// When standard output is no terminal, or one that refuses.
    pub fn open() -> io::Result<Self> {
        give_back_on_panic();
        let opened = enter().and_then(|()| Screen::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(screen) => Ok(Self(screen)),
            Err(error) => {
                leave();
                Err(error)
            }
        }
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// When the terminal cannot be written to.
    pub(super) fn draw(&mut self, frame: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(frame).map(|_| ())
    }

    /// Gives the terminal back until the program is continued, as a shell expects it of Ctrl-Z.
    ///
    /// # Errors
    /// When the terminal cannot be taken over again.
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        leave();
        // The whole group, as the terminal itself would: a pipeline stops as one.
        rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
        enter()?;
        // A new one: what the old one has drawn is gone.
        self.0 = Screen::new(CrosstermBackend::new(io::stdout()))?;
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Whether the terminal is taken over: it is given back once, as a second time would move the cursor
/// over what was written meanwhile.
static IS_TAKEN_OVER: AtomicBool = AtomicBool::new(false);

fn enter() -> io::Result<()> {
    IS_TAKEN_OVER.store(true, Ordering::Release);
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)
}

/// Whatever of it fails, the rest is still done: there is nobody to be told.
fn leave() {
    if !IS_TAKEN_OVER.swap(false, Ordering::AcqRel) {
        return;
    }
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
    let _ = io::stdout().flush();
}

/// Makes panics give the terminal back first: what they say would be lost with the alternate screen.
fn give_back_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            leave();
            usual(about);
        }));
    });
}
