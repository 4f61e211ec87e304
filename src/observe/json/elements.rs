//! The elements of a document that is an array of objects, as a stream in one document is: they
//! repeat each other like the documents of other streams.

use super::paths::NodeId;
use super::state::Level;
use super::{PathReader, Value};

impl<T: Copy> PathReader<T> {
    /// Whether the document is an array, and none of its elements is open.
    pub(super) fn is_at_element(&self) -> bool {
        matches!(*self.open, [Level { array: true, .. }])
    }

    /// Where the elements of the array stand that is open, when a path leads there.
    fn element_place(&self) -> Option<NodeId> {
        self.paths.element(self.open.last()?.node?)
    }

    /// Reads an element that is of the same shape as those before, and returns its length.
    pub(super) fn repeated_element(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(T, Value<'_>),
    ) -> Option<usize> {
        let elements = self.elements.as_mut()?;
        elements.read(bytes, &mut self.text, on)
    }

    /// An object has ended that is an element. `from` is all that came with its first byte, unless
    /// that came before; `rest` is what follows it.
    pub(super) fn element_ended(&mut self, from: Option<&[u8]>, rest: &[u8]) {
        let Some(place) = self.element_place() else {
            return;
        };
        let element = from.and_then(|from| from.get(..from.len().checked_sub(rest.len())?));
        match (&mut self.elements, element) {
            (Some(elements), Some(element)) => elements.missed(self.paths, place, element),
            (elements, _) => _ = elements.get_or_insert_default(),
        }
    }
}
