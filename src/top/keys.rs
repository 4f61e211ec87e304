//! What each key does.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{Mode, State, View};

/// What a key asks of the program itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// To go on.
    Continue,
    /// To end.
    Quit,
    /// To be stopped by job control.
    Suspend,
}

/// The keys of each mode, for the last line and the help: what to press, and what it does.
pub(super) const HINTS: [(&str, &str); 8] = [
    ("q", "quit"),
    ("tab", "view"),
    ("s", "sort"),
    ("/", "filter"),
    ("enter", "details"),
    ("p", "pause"),
    ("↑↓", "move"),
    ("?", "help"),
];

impl State {
    /// Does what a key asks for.
    pub(super) fn press(&mut self, key: KeyEvent) -> Wish {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Wish::Quit,
                KeyCode::Char('z') => Wish::Suspend,
                _ => Wish::Continue,
            };
        }
        match self.mode {
            Mode::Browse => return self.browse(key.code),
            Mode::Details => self.read_details(key.code),
            Mode::Filter => self.write_filter(key.code),
            Mode::Help => self.mode = Mode::Browse,
        }
        Wish::Continue
    }

    fn browse(&mut self, key: KeyCode) -> Wish {
        match key {
            KeyCode::Char('q') => return Wish::Quit,
            KeyCode::Esc if self.filter.is_empty() => return Wish::Quit,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab => self.open(self.next_view()),
            KeyCode::Char(digit @ '1'..='9') => self.open_by_number(digit),
            KeyCode::Char('s') => self.reorder(),
            KeyCode::Char('/') => self.mode = Mode::Filter,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('p' | ' ') => self.is_paused = !self.is_paused,
            KeyCode::Enter => self.mode = Mode::Details,
            other => self.move_by(other),
        }
        Wish::Continue
    }

    fn read_details(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter | KeyCode::Esc | KeyCode::Char('q') => self.mode = Mode::Browse,
            other => self.move_by(other),
        }
    }

    fn write_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Enter => self.mode = Mode::Browse,
            KeyCode::Esc => {
                self.filter.clear();
                self.mode = Mode::Browse;
            }
            KeyCode::Backspace => _ = self.filter.pop(),
            KeyCode::Char(letter) if self.filter.chars().count() < MAX_FILTER => {
                self.filter.push(letter);
            }
            _ => {}
        }
    }

    fn move_by(&mut self, key: KeyCode) {
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::PageUp => self.select(-PAGE),
            KeyCode::PageDown => self.select(PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.select(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.select(isize::MAX),
            _ => {}
        }
    }

    /// The view behind the open one; the first behind the last.
    fn next_view(&self) -> View {
        let views = self.views();
        let mut from_open = views.iter().skip_while(|view| **view != self.view);
        *from_open.nth(1).or(views.first()).unwrap_or(&self.view)
    }

    /// The last view has every number behind it as well: calls are 3 where there are no sessions.
    fn open_by_number(&mut self, digit: char) {
        let place = digit.to_digit(10).and_then(|number| number.checked_sub(1));
        let views = self.views();
        let view = place.and_then(|place| views.get(place as usize));
        if let Some(view) = view.or(views.last()) {
            self.open(*view);
        }
    }
}

/// Rows of a page: what a small terminal shows.
const PAGE: isize = 10;

/// A longer filter would not fit beside what it filters.
const MAX_FILTER: usize = 24;
