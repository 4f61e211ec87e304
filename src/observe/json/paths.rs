//! The table of interesting paths, as a tree that the reader walks along with the document.

/// Paths into a document, each with a tag. Several paths may share a tag; of a path listed twice,
/// the last tag counts.
///
/// A path is a list of keys joined by `.`, each followed by `[]` for every array that is entered
/// through it: `response.candidates[].content.parts[].text`, `[].error.code`, or the empty path for
/// the document itself. `*` stands for every key that is not listed beside it:
/// `models.*.displayName`. Keys that hold a `.` or a `[]` cannot be listed.
#[derive(Debug)]
pub struct Paths<T: 'static> {
    nodes: Vec<Node<T>>,
    lasts: fn(T) -> bool,
}

/// A place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeId(u16);

#[derive(Debug)]
struct Node<T> {
    tag: Option<T>,
    element: Option<NodeId>,
    members: Vec<(Box<[u8]>, NodeId)>,
    /// Where members go whose keys are not listed.
    any_member: Option<NodeId>,
}

impl<T: Copy> Paths<T> {
    pub(super) const ROOT: NodeId = NodeId(0);

    /// Builds the tree of a table. Meant for constant tables: nodes beyond 65536 would be
    /// unreachable.
    pub fn new<P: AsRef<str>>(table: impl IntoIterator<Item = (P, T)>) -> Self {
        let mut paths = Self {
            nodes: vec![Node::EMPTY],
            lasts: |_| false,
        };
        for (path, tag) in table {
            let end = path
                .as_ref()
                .split('.')
                .fold(Self::ROOT, |node, segment| paths.add_segment(node, segment));
            if let Some(node) = paths.nodes.get_mut(usize::from(end.0)) {
                node.tag = Some(tag);
            }
        }
        paths
    }

    /// The same table, where the values with some tags last: a document that repeats such a value
    /// of the document before says nothing new with it, so that the reader of a stream of documents
    /// may leave it out.
    #[must_use]
    pub fn lasting(self, lasts: fn(T) -> bool) -> Self {
        Self { lasts, ..self }
    }

    pub(super) fn lasts(&self, tag: T) -> bool {
        (self.lasts)(tag)
    }

    pub(super) fn tag(&self, at: NodeId) -> Option<T> {
        self.node(at)?.tag
    }

    pub(super) fn element(&self, of: NodeId) -> Option<NodeId> {
        self.node(of)?.element
    }

    pub(super) fn member(&self, of: NodeId, key: &[u8]) -> Option<NodeId> {
        self.node(of)?
            .members
            .iter()
            .find_map(|(name, node)| (**name == *key).then_some(*node))
    }

    pub(super) fn any_member(&self, of: NodeId) -> Option<NodeId> {
        self.node(of)?.any_member
    }

    fn node(&self, at: NodeId) -> Option<&Node<T>> {
        self.nodes.get(usize::from(at.0))
    }

    /// The node of one segment (a key with its `[]`s, or only the latter) below another.
    fn add_segment(&mut self, below: NodeId, segment: &str) -> NodeId {
        let key = segment.trim_end_matches("[]");
        let arrays = (segment.len() - key.len()) / 2;
        let start = if key.is_empty() {
            below
        } else {
            self.add(below, Some(key))
        };
        (0..arrays).fold(start, |node, _| self.add(node, None))
    }

    /// The node of a member, or of the elements, of another; a new one if need be.
    fn add(&mut self, below: NodeId, key: Option<&str>) -> NodeId {
        let known = match key {
            None => self.element(below),
            Some(ANY_KEY) => self.any_member(below),
            Some(key) => self.member(below, key.as_bytes()),
        };
        if let Some(node) = known {
            return node;
        }
        let new = NodeId(u16::try_from(self.nodes.len()).unwrap_or(u16::MAX));
        self.nodes.push(Node::EMPTY);
        if let Some(node) = self.nodes.get_mut(usize::from(below.0)) {
            match key {
                Some(ANY_KEY) => node.any_member = Some(new),
                Some(key) => node.members.push((key.as_bytes().into(), new)),
                None => node.element = Some(new),
            }
        }
        new
    }
}

impl<T> Node<T> {
    const EMPTY: Self = Self {
        tag: None,
        element: None,
        members: Vec::new(),
        any_member: None,
    };
}

/// Stands for every key that is not listed beside it.
const ANY_KEY: &str = "*";
