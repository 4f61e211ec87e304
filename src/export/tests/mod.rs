//! What is counted, in which words, and that strangers can read it.

pub(crate) mod kit;

mod cascades;
mod counting;
mod exemplars;
mod formats;
mod page;
mod values;
