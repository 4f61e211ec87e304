//! How many models may become a label: names come from the traffic, and each one costs series for ever.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::Model;

/// The models that have a name of their own. Every view that shows models shares one set, so that all of them fold the
/// same calls into [`Models::other`] and agree to the token.
#[derive(Debug)]
pub struct Models {
    limit: usize,
    /// Guards the names themselves; only grows, so that a model never changes its label.
    known: RwLock<HashSet<Model>>,
}

impl Models {
    /// Real agents use a handful; 200 distinct names are a mistake or an attack.
    pub const DEFAULT_LIMIT: usize = 200;

    /// An empty set for at most `limit` models.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, known: RwLock::default() }
    }

    /// The name under which `model` is shown: its own while there is room, [`Models::other`] after that.
    #[must_use]
    pub fn admit(&self, model: &Model) -> Model {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(model) {
            return model.clone();
        }
        if known.len() >= self.limit {
            return Self::other();
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.limit || known.contains(model) {
            known.insert(model.clone());
            return model.clone();
        }
        Self::other()
    }

    /// The one name of all models beyond the limit.
    #[must_use]
    pub fn other() -> Model {
        Model::from_wire("other")
    }
}

impl Default for Models {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_keeps_its_name_and_the_rest_share_one() {
        let models = Models::new(2);
        let [a, b, c] = ["a", "b", "c"].map(Model::from_wire);
        assert_eq!(models.admit(&a), a);
        assert_eq!(models.admit(&b), b);
        assert_eq!(models.admit(&c), Models::other());
        assert_eq!(models.admit(&a), a);
        assert_eq!(models.admit(&c), Models::other());
    }
}
