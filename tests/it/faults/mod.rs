//! Promise: what breaks around Gravimeter costs what was under way there and nothing else, and the
//! Gravimeter heals by itself.
//!
//! Each body takes how much of it is wanted: a little here in every run, all of it in
//! [`crate::soak`].

mod bombs;
pub mod clock;
pub mod crowd;
mod disk;
pub mod drain;
pub mod files;
pub mod floods;
pub mod kill;
pub mod provider;
pub mod slow;
