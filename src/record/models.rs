//! Which models may become a label: names come from the traffic, and each one costs series for
//! ever.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use super::{Call, Fact, Model, Record, Substitution};

/// The models that have a label of their own: those of which a provider has answered a call or
/// reported a quota, up to a limit. A request that is refused takes no label.
/// Every view that shows models shares one set, so that all of them fold the same calls into
/// [`Models::other`] and agree to the token.
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
        Self {
            limit,
            known: RwLock::default(),
        }
    }

    /// The name under which a call is counted. It is decided once: what was counted under
    /// [`Models::other`] stays there when the model gets its own name by a later call, because no
    /// counter may go back.
    #[must_use]
    pub fn name(&self, call: &Call) -> Model {
        match &call.counted_as {
            Some(decided) => decided.clone(),
            None if call.proves_its_model() => self.admit(&call.model),
            None => self.label(&call.model),
        }
    }

    /// The substitution that a call is, where another model has answered it.
    #[must_use]
    pub fn substitution(&self, call: &Call) -> Option<Substitution> {
        let served = call.served_model.as_ref().filter(|_| call.is_substituted)?;
        Some(Substitution {
            provider: call.provider,
            model: self.name(call),
            served_model: self.admit(served),
            calls: 1,
        })
    }

    /// The name under which `model` is shown: its own if it has got that, else [`Models::other`].
    #[must_use]
    pub fn label(&self, model: &Model) -> Model {
        let is_known = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(model);
        if is_known {
            model.clone()
        } else {
            Self::other()
        }
    }

    /// Whether no further model can get a name.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
            >= self.limit
    }

    /// Gives a model that a provider answers for its own name while there is room; the name under
    /// which it is shown.
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

    /// The one name of all models without their own.
    #[must_use]
    pub fn other() -> Model {
        static OTHER: LazyLock<Model> = LazyLock::new(|| Model::from_wire("other"));
        OTHER.clone()
    }
}

impl Default for Models {
    fn default() -> Self {
        Self::new(Self::DEFAULT_LIMIT)
    }
}

/// The stage that every fact passes before any view: decides under which name a call is counted, so
/// that no two views can differ although they look at different times.
pub struct Named {
    models: Arc<Models>,
    next: Arc<dyn Record>,
}

impl Named {
    /// Hands facts on to `next`.
    #[must_use]
    pub fn new(models: Arc<Models>, next: Arc<dyn Record>) -> Self {
        Self { models, next }
    }
}

impl Record for Named {
    fn record(&self, mut fact: Fact) {
        if let Fact::Call(call) = &mut fact {
            call.counted_as = Some(self.models.name(call));
        }
        self.next.record(fact);
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
