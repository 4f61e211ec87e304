//! A request while rules are applied to it.

use http::HeaderMap;
use http::uri::PathAndQuery;

use super::json::{EditError, Parents, Pointer, get, quoted, set};
use crate::dialect::{AskedCall, RequestForm};
use crate::record::{Model, Operation};

/// The request as the rules so far have made it. A rule works on a copy, so that one that fails
/// leaves nothing behind.
#[derive(Debug, Clone)]
pub(super) struct Draft<'a> {
    call: &'a AskedCall,
    pub(super) headers: HeaderMap,
    pub(super) target: PathAndQuery,
    /// The text of the body; empty where it is not known, and then no action that needs it is
    /// carried out.
    pub(super) text: String,
    /// The model that the agent asked for, if a rule has put another one in its place.
    pub(super) asked_model: Option<Model>,
    /// The model that rules have put in, if any have.
    put_model: Option<Model>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        call: &'a AskedCall,
        headers: HeaderMap,
        target: PathAndQuery,
        text: String,
    ) -> Self {
        Self {
            call,
            headers,
            target,
            text,
            asked_model: None,
            put_model: None,
        }
    }

    /// Where the request has what may be changed.
    pub(super) fn form(&self) -> &'static RequestForm {
        self.call.form()
    }

    /// Whether text is generated, so that it can have limits: providers refuse them elsewhere.
    pub(super) fn is_for_text(&self) -> bool {
        use Operation::{CountTokens, Embeddings, ImageGeneration};
        let operation = self.call.operation();
        !matches!(operation, Some(CountTokens | Embeddings | ImageGeneration))
    }

    /// The model that is asked for now.
    pub(super) fn model(&self) -> Result<Option<Model>, EditError> {
        if let Some(model) = self.put_model.as_ref().or(self.call.model()) {
            return Ok(Some(model.clone()));
        }
        match self.form().model.and_then(Pointer::parse) {
            Some(at) => self.model_at(&at),
            None => Ok(None),
        }
    }

    fn model_at(&self, at: &Pointer) -> Result<Option<Model>, EditError> {
        let named = get(&self.text, at)?.map(serde_json::from_str::<String>);
        Ok(named
            .and_then(Result::ok)
            .map(|name| Model::from_wire(&name)))
    }

    /// Whether the request is another one now.
    pub(super) fn differs_from(&self, other: &Self) -> bool {
        self.target != other.target || self.headers != other.headers || self.text != other.text
    }

    /// Puts another model in place of the one that is asked for: in the path, where that names one,
    /// and in the body, where that does.
    pub(super) fn set_model(&mut self, model: &Model) -> Result<(), EditError> {
        let by_path = self.call.model().cloned();
        if let Some(target) = self.call.target_with_model(&self.target, model) {
            self.target = target;
        }
        let mut by_body = None;
        if let Some(at) = self.form().model.and_then(Pointer::parse)
            && !self.text.is_empty()
        {
            by_body = self.model_at(&at)?;
            if by_body.is_some() || by_path.is_none() {
                self.text = set(&self.text, &at, &quoted(model.as_str()), Parents::Required)?;
            }
        }
        let asked = self.asked_model.take().or(by_path).or(by_body);
        self.asked_model = asked.filter(|asked| asked != model);
        self.put_model = Some(model.clone());
        Ok(())
    }
}
