//! Adds a text to the system prompt of a request, whatever shape that has.

use serde_json::{Value, json};

use super::json::{EditError, Parents, Pointer, add, get, quoted, replace, set};
use crate::dialect::{Pointers, SystemPrompt};

/// At which end a text is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Behind what is there.
    Append,
    /// Before it.
    Prepend,
}

/// The body with the text added; `None` where requests of this form have no system prompt.
pub(super) fn add_to_system(
    body: &str,
    form: SystemPrompt,
    text: &str,
    end: End,
) -> Result<Option<String>, EditError> {
    let edited = match form {
        SystemPrompt::None => return Ok(None),
        SystemPrompt::Text(at) => at_text(body, &place(body, at)?, text, end)?,
        SystemPrompt::Blocks { at, is_typed } => {
            let at = place(body, at)?;
            let new = if is_typed {
                json!({ "type": "text", "text": text })
            } else {
                json!({ "text": text })
            };
            match get(body, &at)?.and_then(first_byte) {
                Some(b'[') => at_list(body, &at, &new, end)?,
                None if !is_typed => set(body, &at, &json!([new]).to_string(), Parents::Created)?,
                _ => at_text(body, &at, text, end)?,
            }
        }
        SystemPrompt::Parts(at) => at_parts(body, &place(body, at)?, text, end)?,
        SystemPrompt::Messages(at) => match Pointer::parse(at) {
            Some(at) => at_messages(body, &at, text, end)?,
            None => return Ok(None),
        },
    };
    Ok(Some(edited))
}

/// The one of the places where something stands, else the first of those whose parents exist, else
/// the first one.
pub(super) fn place(body: &str, places: Pointers) -> Result<Pointer, EditError> {
    let mut best: Option<(usize, Pointer)> = None;
    for at in places.iter().filter_map(|at| Pointer::parse(at)) {
        let mut missing = 0;
        for outer in at.outwards() {
            if get(body, &outer)?.is_some() {
                break;
            }
            missing += 1;
        }
        if best.as_ref().is_none_or(|(least, _)| missing < *least) {
            best = Some((missing, at));
        }
    }
    // A form that has no place is not asked for one.
    Ok(best.map_or_else(Pointer::default, |(_, at)| at))
}

fn at_text(body: &str, at: &Pointer, text: &str, end: End) -> Result<String, EditError> {
    match get(body, at)? {
        None => set(body, at, &quoted(text), Parents::Created),
        Some(value) => replace(body, at, &joined(value, at, text, end)?),
    }
}

/// The JSON of a text with another one added; the bytes of the first stay as they are.
fn joined(value: &str, at: &Pointer, text: &str, end: End) -> Result<String, EditError> {
    let inside = |value: &str| {
        let inside = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inside.map(str::to_owned)
    };
    let before = inside(value).ok_or_else(|| EditError::WrongType {
        place: at.clone(),
        wanted: "a text",
    })?;
    let added = inside(&quoted(text)).unwrap_or_default();
    Ok(match end {
        _ if before.is_empty() => format!("\"{added}\""),
        End::Append => format!("\"{before}{BETWEEN}{added}\""),
        End::Prepend => format!("\"{added}{BETWEEN}{before}\""),
    })
}

fn at_list(body: &str, at: &Pointer, new: &Value, end: End) -> Result<String, EditError> {
    let index = match end {
        End::Append => "-",
        End::Prepend => "0",
    };
    add(body, &at.child(index), &new.to_string())
}

fn at_parts(body: &str, at: &Pointer, text: &str, end: End) -> Result<String, EditError> {
    let part = json!({ "text": text });
    let parts = at.child("parts");
    match get(body, at)?.and_then(first_byte) {
        // A text alone is accepted for a content.
        Some(b'"') => at_text(body, at, text, end),
        Some(b'{') | None => match get(body, &parts)?.and_then(first_byte) {
            Some(b'[') => at_list(body, &parts, &part, end),
            Some(_) => Err(EditError::WrongType {
                place: parts,
                wanted: "a list of parts",
            }),
            None => set(body, &parts, &json!([part]).to_string(), Parents::Created),
        },
        Some(_) => Err(EditError::WrongType {
            place: at.clone(),
            wanted: "a content with parts",
        }),
    }
}

/// Adds to the first or the last of the instructions that begin a conversation, or writes some.
fn at_messages(body: &str, at: &Pointer, text: &str, end: End) -> Result<String, EditError> {
    let mut instructions: usize = 0;
    loop {
        let role = at.child(&instructions.to_string()).child("role");
        match get(body, &role)? {
            Some("\"system\"" | "\"developer\"") => instructions += 1,
            _ => break,
        }
    }
    let message = match end {
        End::Append => instructions.checked_sub(1),
        End::Prepend => (instructions > 0).then_some(0),
    };
    let Some(message) = message else {
        let new = json!({ "role": "system", "content": text });
        return at_list(body, at, &new, End::Prepend);
    };
    let content = at.child(&message.to_string()).child("content");
    match get(body, &content)?.and_then(first_byte) {
        Some(b'[') => at_list(
            body,
            &content,
            &json!({ "type": "text", "text": text }),
            end,
        ),
        _ => at_text(body, &content, text, end),
    }
}

fn first_byte(value: &str) -> Option<u8> {
    value.bytes().next()
}

/// What separates two instructions: an empty line, as JSON writes it.
const BETWEEN: &str = r"\n\n";
