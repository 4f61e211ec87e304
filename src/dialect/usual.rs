//! Where a request with this body is usually sent: for trying out what would be done to it, when
//! nothing but its body is at hand.

use serde_json::Value;

/// The usual URL of the form that the body has; `None` if it looks like none.
#[must_use]
pub fn usual_url(body: &Value) -> Option<&'static str> {
    let has = |name: &str| body.get(name).is_some();
    let model = body
        .get("model")
        .and_then(Value::as_str)
        .unwrap_or_default();
    USUAL
        .into_iter()
        .find(|usual| {
            usual.members.iter().all(|name| has(name))
                && (usual.model.is_empty() || model.starts_with(usual.model))
        })
        .map(|usual| usual.url)
}

/// A form of requests.
struct Usual {
    /// The members that its body has; the first form that fits is taken.
    members: &'static [&'static str],
    /// How its models begin.
    model: &'static str,
    url: &'static str,
}

const USUAL: [Usual; 9] = [
    Usual {
        members: &["request", "model"],
        model: "",
        url: "https://cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse",
    },
    Usual {
        members: &["contents"],
        model: "",
        url: "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent",
    },
    Usual {
        members: &["messages", "inferenceConfig"],
        model: "",
        url: "https://bedrock-runtime.us-east-1.amazonaws.com/model/anthropic.claude-sonnet-4-5/converse",
    },
    Usual {
        members: &["messages", "model"],
        model: "claude",
        url: "https://api.anthropic.com/v1/messages",
    },
    Usual {
        members: &["messages", "options"],
        model: "",
        url: "http://localhost/api/chat",
    },
    Usual {
        members: &["messages"],
        model: "",
        url: "https://api.openai.com/v1/chat/completions",
    },
    Usual {
        members: &["input", "model"],
        model: "gemini",
        url: "https://generativelanguage.googleapis.com/v1beta/interactions",
    },
    Usual {
        members: &["input", "model"],
        model: "",
        url: "https://api.openai.com/v1/responses",
    },
    Usual {
        members: &["prompt", "model"],
        model: "",
        url: "https://api.openai.com/v1/completions",
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_body_is_sent_where_its_form_belongs() {
        for (body, expected) in [
            (
                json!({ "model": "claude-x", "messages": [] }),
                "https://api.anthropic.com/v1/messages",
            ),
            (
                json!({ "model": "gpt-x", "messages": [] }),
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                json!({ "model": "gpt-x", "input": "hi" }),
                "https://api.openai.com/v1/responses",
            ),
        ] {
            assert_eq!(usual_url(&body), Some(expected), "{body}");
        }
        assert_eq!(usual_url(&json!({ "model": "m" })), None);
        assert_eq!(usual_url(&json!([])), None);
    }
}
