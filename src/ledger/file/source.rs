//! Where questions are answered from: the file, or the memory that stands in for it. It changes once,
//! when a file that another process had is free.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::awaited::Inherited;
use super::begin::Reader;

/// Why records do not go into the file that is meant for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Why, and what to do about it.
    pub why: String,
    /// Whether they go there later: when another process has let the file go.
    pub is_awaited: bool,
}

/// Where questions are answered from, shared by those who ask and by the writer.
#[derive(Debug)]
pub(super) struct Source(Mutex<Answering>);

/// Locked to look at it or to change it, never while a question is answered.
#[derive(Debug)]
struct Answering {
    reader: Reader,
    /// Why it is not the file, where it is meant to be.
    unavailable: Option<Unavailable>,
    /// What came with the file and has not been taken yet.
    inherited: Option<Inherited>,
}

impl Source {
    pub(super) fn new(reader: Reader, unavailable: Option<Unavailable>) -> Self {
        Self(Mutex::new(Answering {
            reader,
            unavailable,
            inherited: None,
        }))
    }

    pub(super) fn reader(&self) -> Reader {
        self.answering().reader.clone()
    }

    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        self.answering().unavailable.clone()
    }

    pub(super) fn take_inherited(&self) -> Option<Inherited> {
        self.answering().inherited.take()
    }

    /// From now on the file answers, which holds everything.
    pub(super) fn switch_to(&self, reader: Reader, inherited: Inherited) {
        *self.answering() = Answering {
            reader,
            unavailable: None,
            inherited: Some(inherited),
        };
    }

    /// The file is not awaited any more: what has not come into it never will. `why` where that is
    /// another reason than before.
    pub(super) fn give_up(&self, why: Option<String>) {
        if let Some(unavailable) = &mut self.answering().unavailable {
            unavailable.is_awaited = false;
            unavailable.why = why.unwrap_or_else(|| std::mem::take(&mut unavailable.why));
        }
    }

    fn answering(&self) -> MutexGuard<'_, Answering> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
