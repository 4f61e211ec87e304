//! The memory that request bodies take while they are held here as a whole, in all connections
//! together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// How much memory bodies may take that are read for rules and budgets. Clones share it.
#[derive(Debug, Clone)]
pub struct BodyMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    taken: AtomicUsize,
}

/// A part of the memory, given back when this is dropped.
#[derive(Debug)]
pub(super) struct Reserved {
    memory: BodyMemory,
    bytes: usize,
}

impl BodyMemory {
    /// At most so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            taken: AtomicUsize::new(0),
        }))
    }

    /// Nothing yet.
    pub(super) fn reserve(&self) -> Reserved {
        Reserved {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl Reserved {
    /// The bytes that are reserved.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reserves `bytes` in all, or as much of them as is left. Never less than before.
    pub(super) fn grow_up_to(&mut self, bytes: usize) {
        let Shared { limit, taken } = &*self.memory.0;
        let wanted = bytes.saturating_sub(self.bytes);
        let mut added = 0;
        // The closure always has a value: the update cannot fail.
        let _ = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            added = wanted.min(limit.saturating_sub(taken));
            Some(taken + added)
        });
        self.bytes += added;
    }

    /// `content` is what is held from now on, and takes this memory until its last byte is gone.
    /// It may be somewhat more than was reserved: what rules add to a body is theirs to bound.
    pub(super) fn hold(mut self, content: Bytes) -> Bytes {
        let taken = &self.memory.0.taken;
        if content.len() > self.bytes {
            taken.fetch_add(content.len() - self.bytes, Ordering::Relaxed);
        } else {
            taken.fetch_sub(self.bytes - content.len(), Ordering::Relaxed);
        }
        self.bytes = content.len();
        Bytes::from_owner(ReservedBytes {
            content,
            _reserved: self,
        })
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.0.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes together with the memory that they take.
struct ReservedBytes {
    content: Bytes,
    _reserved: Reserved,
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(memory: &BodyMemory) -> usize {
        memory.0.taken.load(Ordering::Relaxed)
    }

    #[test]
    fn no_more_is_reserved_than_there_is_and_all_of_it_comes_back() {
        let memory = BodyMemory::new(100);
        let (mut one, mut other) = (memory.reserve(), memory.reserve());
        one.grow_up_to(70);
        other.grow_up_to(70);
        assert_eq!((one.bytes(), other.bytes()), (70, 30));
        one.grow_up_to(10);
        assert_eq!(one.bytes(), 70, "never less");
        drop(other);
        one.grow_up_to(90);
        assert_eq!((one.bytes(), taken(&memory)), (90, 90));
        drop(one);
        assert_eq!(taken(&memory), 0);
    }

    #[test]
    fn content_takes_its_memory_until_its_last_piece_is_gone() {
        let memory = BodyMemory::new(100);
        let mut reserved = memory.reserve();
        reserved.grow_up_to(50);
        let mut content = reserved.hold(Bytes::from(vec![7; 20]));
        assert_eq!(taken(&memory), 20, "the rest is free again");
        let piece = content.split_to(1);
        drop(content);
        assert_eq!(taken(&memory), 20);
        drop(piece);
        assert_eq!(taken(&memory), 0);
        let longer = memory.reserve().hold(Bytes::from(vec![7; 120]));
        assert_eq!(taken(&memory), 120);
        memory.reserve().grow_up_to(1);
        drop(longer);
        assert_eq!(taken(&memory), 0);
    }
}
