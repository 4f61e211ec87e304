//! What a rule does to a request.

use http::{HeaderName, HeaderValue};

use super::Rule;
use super::draft::Draft;
use super::json::{EditError, Operation, Parents, Pointer, apply, get, remove, replace, set};
use super::prompt::{End, add_to_system, place};
use crate::dialect::{AskedCall, SystemPrompt};
use crate::record::Model;

/// One thing that a rule does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Refuses the request, with this message.
    Deny(String),
    /// Lowers the limit of tokens that may be generated.
    MaxOutputTokens(u64),
    /// Lowers the budget for thinking; 0 asks for no thinking.
    MaxThinkingTokens(u64),
    /// Asks for this model instead.
    Model(Model),
    /// Applies a JSON Patch.
    Patch(Vec<Operation>),
    /// Takes a value away.
    Remove(Pointer),
    /// Takes a header field away.
    RemoveField(HeaderName),
    /// Puts JSON text in place of a value that is there.
    Replace(Pointer, String),
    /// Puts JSON text there, whether or not a value is there.
    Set(Pointer, String),
    /// Sets a header field.
    SetField(HeaderName, HeaderValue),
    /// Asks for the usage at the end of a stream.
    StreamUsage,
    /// Adds to the system prompt.
    System(End, String),
}

/// Why a rule could not be applied. Names places, never what stands there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Edit(#[from] EditError),
    /// What the request asks for comes over a WebSocket.
    #[error("the request opens a WebSocket, whose messages are not changed")]
    Socket,
    /// The budget for thinking would be less than the provider accepts.
    #[error("{place}: the provider accepts no budget for thinking between 0 and {least}")]
    ThinkingTooLow { place: Pointer, least: u64 },
    /// The body is not JSON text in a coding that is read.
    #[error("the body is not JSON in a content coding that is read (gzip, deflate, br, zstd)")]
    Unreadable,
}

impl Action {
    /// The model that it asks for.
    pub(super) fn model(&self) -> Option<&Model> {
        match self {
            Self::Model(model) => Some(model),
            _ => None,
        }
    }

    /// Whether it reads or changes the body of such a call.
    fn needs_body(&self, call: &AskedCall) -> bool {
        let form = call.form();
        match self {
            Self::Deny(_) | Self::RemoveField(_) | Self::SetField(..) => false,
            Self::Model(_) => form.model.is_some() || call.model().is_none(),
            Self::MaxOutputTokens(_) => !form.output_tokens.is_empty(),
            Self::MaxThinkingTokens(_) => !form.thinking_tokens.at.is_empty(),
            Self::StreamUsage => form.stream_usage.is_some(),
            Self::System(..) => form.system != SystemPrompt::None,
            Self::Patch(_) | Self::Remove(_) | Self::Replace(..) | Self::Set(..) => true,
        }
    }

    /// Does it. A request that has no place for what it sets stays as it is.
    fn apply(&self, draft: &mut Draft<'_>) -> Result<(), Failure> {
        match self {
            // A rule that refuses a request is not applied to it.
            Self::Deny(_) => {}
            Self::MaxOutputTokens(most) => limit_output(draft, *most)?,
            Self::MaxThinkingTokens(most) => limit_thinking(draft, *most)?,
            Self::Model(model) => draft.set_model(model)?,
            Self::Patch(patch) => draft.text = apply(&draft.text, patch)?,
            Self::Remove(at) => draft.text = remove(&draft.text, at)?,
            Self::RemoveField(name) => {
                draft.headers.remove(name);
            }
            Self::Replace(at, value) => draft.text = replace(&draft.text, at, value)?,
            Self::Set(at, value) => draft.text = set(&draft.text, at, value, Parents::Required)?,
            Self::SetField(name, value) => {
                draft.headers.insert(name, value.clone());
            }
            Self::StreamUsage => ask_for_usage(draft)?,
            Self::System(end, text) => {
                if let Some(edited) = add_to_system(&draft.text, draft.form().system, text, *end)? {
                    draft.text = edited;
                }
            }
        }
        Ok(())
    }
}

impl Rule {
    /// The message with which it refuses requests, if it does.
    pub(super) fn denial(&self) -> Option<&str> {
        self.actions.iter().find_map(|action| match action {
            Action::Deny(message) => Some(message.as_str()),
            _ => None,
        })
    }

    /// Whether it reads or changes the body of such a call.
    pub(super) fn needs_body(&self, call: &AskedCall) -> bool {
        self.actions.iter().any(|action| action.needs_body(call))
    }

    /// The request after all of its actions.
    pub(super) fn applied_to<'a>(&self, draft: &Draft<'a>) -> Result<Draft<'a>, Failure> {
        let mut changed = draft.clone();
        self.actions
            .iter()
            .try_for_each(|action| action.apply(&mut changed))?;
        Ok(changed)
    }
}

/// Writes a limit where there is none or a larger one. A budget for thinking that has to be less
/// than the limit is lowered with it.
fn limit_output(draft: &mut Draft<'_>, most: u64) -> Result<(), Failure> {
    let form = draft.form();
    if form.output_tokens.is_empty() || !draft.is_for_text() {
        return Ok(());
    }
    let at = place(&draft.text, form.output_tokens)?;
    if is_within(&draft.text, &at, most)? == Some(true) {
        return Ok(());
    }
    draft.text = set(&draft.text, &at, &most.to_string(), Parents::Created)?;
    if form.thinking_tokens.is_below_output {
        limit_budget(draft, most.saturating_sub(1))?;
    }
    Ok(())
}

/// Lowers the budget for thinking, or writes one where the model would think unasked and without a
/// limit.
fn limit_thinking(draft: &mut Draft<'_>, most: u64) -> Result<(), Failure> {
    let budget = draft.form().thinking_tokens;
    if budget.at.is_empty() || !draft.is_for_text() || limit_budget(draft, most)? {
        return Ok(());
    }
    let thinks = draft
        .model()?
        .is_some_and(|model| (budget.is_unasked)(model.as_str()));
    let levels = place(&draft.text, budget.levels)?;
    if thinks && get(&draft.text, &levels)?.is_none() {
        let at = place(&draft.text, budget.at)?;
        draft.text = set(&draft.text, &at, &most.to_string(), Parents::Created)?;
    }
    Ok(())
}

/// Lowers the budget that a request has for thinking. False when it has none.
fn limit_budget(draft: &mut Draft<'_>, most: u64) -> Result<bool, Failure> {
    let budget = draft.form().thinking_tokens;
    let at = place(&draft.text, budget.at)?;
    let Some(is_within) = is_within(&draft.text, &at, most)? else {
        return Ok(false);
    };
    if is_within {
        return Ok(true);
    }
    if most < budget.least {
        return Err(Failure::ThinkingTooLow {
            place: at,
            least: budget.least,
        });
    }
    draft.text = replace(&draft.text, &at, &most.to_string())?;
    Ok(true)
}

/// Whether the number there is at most this one; a negative one stands for no limit. `None` where
/// there is none.
fn is_within(text: &str, at: &Pointer, most: u64) -> Result<Option<bool>, Failure> {
    let Some(value) = get(text, at)? else {
        return Ok(None);
    };
    match value.parse::<i128>() {
        Ok(number) => Ok(Some((0..=i128::from(most)).contains(&number))),
        Err(_) => Err(Failure::Edit(EditError::WrongType {
            place: at.clone(),
            wanted: "a whole number",
        })),
    }
}

/// Asks for the usage of a stream; an answer in one document has it anyway.
fn ask_for_usage(draft: &mut Draft<'_>) -> Result<(), Failure> {
    let Some(at) = draft.form().stream_usage.and_then(Pointer::parse) else {
        return Ok(());
    };
    let stream = Pointer::default().child("stream");
    if get(&draft.text, &stream)? == Some("true") {
        draft.text = set(&draft.text, &at, "true", Parents::Created)?;
    }
    Ok(())
}
