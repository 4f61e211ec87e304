//! The terminal screen of `gravimeter top`: answers of an exporter and keys enter, a screen leaves.
//!
//! `State` is everything that is shown, changed by answers and keys alone; `draw` makes a frame of
//! it; `Terminal` takes the terminal over and gives it back on every end; `show` joins them. Where
//! the answers come from is up to the caller.

mod answers;
mod draw;
mod keys;
mod show;
mod state;
mod table;
mod terminal;
mod theme;

pub use terminal::Terminal;

pub(crate) use answers::Answers;
pub(crate) use show::{Ended, show};
pub(crate) use state::State;
pub(crate) use theme::Theme;

#[cfg(test)]
mod tests;
