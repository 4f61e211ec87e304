//! Chat Completions and what goes with them, at many providers: figures in the last chunk, beside the
//! reason to stop or in every chunk, reasoning inside the completion or beside it, prices.

use serde_json::{Value, json};

use super::books::Tokens;
use super::dice::Dice;
use super::script::{Answer, Form, Known, Parts, Refusal, Shape, document};

pub const FORMS: &[Form] = &[
    CHAT,
    Form {
        answer: whole,
        ..CHAT
    },
    Form {
        path: "/v1/embeddings",
        model: "script-embedding",
        operation: "embeddings",
        request: |dice, model| json!({ "model": model, "input": dice.text() }),
        answer: embeddings,
        ..CHAT
    },
    Form {
        path: "/v1/completions",
        model: "script-completion",
        operation: "text_completion",
        request: |dice, model| json!({ "model": model, "prompt": dice.text() }),
        answer: completion,
        ..CHAT
    },
    Form {
        host: "script.openai.azure.com",
        path: "/openai/deployments/script-deployment/chat/completions?api-version=2026-01-01",
        provider: "azure.ai.openai",
        model: "script-deployment",
        answer: |dice, model| {
            stream(
                dice,
                model,
                &Style {
                    opener: Opener::Filter,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "openrouter.ai",
        path: "/api/v1/chat/completions",
        provider: "openrouter",
        model: "script-router",
        answer: |dice, model| {
            stream(
                dice,
                model,
                &Style {
                    opener: Opener::Comment,
                    price: Price::Dollars,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "api.x.ai",
        provider: "x_ai",
        model: "script-grok",
        answer: |dice, model| {
            let price = if dice.chance(50) {
                Price::Ticks
            } else {
                Price::None
            };
            let figures = *dice.of(&[Figures::EveryChunk, Figures::OwnChunk]);
            stream(
                dice,
                model,
                &Style {
                    is_reasoning_beside: true,
                    price,
                    figures,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "api.deepseek.com",
        path: "/chat/completions",
        provider: "deepseek",
        model: "script-deepseek",
        answer: |dice, model| {
            stream(
                dice,
                model,
                &Style {
                    opener: Opener::Comment,
                    has_hits: true,
                    figures: Figures::Finish,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "api.groq.com",
        path: "/openai/v1/chat/completions",
        provider: "groq",
        model: "script-groq",
        answer: |dice, model| {
            stream(
                dice,
                model,
                &Style {
                    figures: Figures::OfGroq,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "api.mistral.ai",
        provider: "mistral_ai",
        model: "script-mistral",
        answer: |dice, model| {
            stream(
                dice,
                model,
                &Style {
                    figures: Figures::Finish,
                    ..STYLE
                },
            )
        },
        ..CHAT
    },
    Form {
        host: "api.githubcopilot.com",
        path: "/chat/completions",
        provider: "github.copilot",
        model: "script-copilot",
        answer: |dice, model| stream(dice, model, &STYLE),
        ..CHAT
    },
];

const CHAT: Form = Form {
    host: "api.openai.com",
    path: "/v1/chat/completions",
    provider: "openai",
    model: "script-gpt",
    operation: "chat",
    request,
    answer: |dice, model| {
        let figures = *dice.of(&[
            Figures::OwnChunk,
            Figures::OwnChunk,
            Figures::OwnChunk,
            Figures::None,
        ]);
        stream(dice, model, &Style { figures, ..STYLE })
    },
    refusals: REFUSALS,
    may_be_coded: true,
};

pub const REFUSALS: &[Refusal] = &[
    (
        429,
        r#"{"error":{"message":"x","type":"tokens","code":"rate_limit_exceeded"}}"#,
        "rate_limited",
    ),
    (
        429,
        r#"{"error":{"message":"x","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        "rate_limited",
    ),
    (
        400,
        r#"{"error":{"message":"x","type":"invalid_request_error","code":null}}"#,
        "client_error",
    ),
    (
        503,
        r#"{"error":{"message":"x","type":"server_error","code":null}}"#,
        "server_error",
    ),
];

fn request(dice: &mut Dice, model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": dice.text() }], "stream": true })
}

/// In which a provider differs from others.
struct Style {
    opener: Opener,
    figures: Figures,
    price: Price,
    /// Reasoning is counted beside the completion and not in it.
    is_reasoning_beside: bool,
    /// What was cached has a name of its own.
    has_hits: bool,
}

const STYLE: Style = Style {
    opener: Opener::Role,
    figures: Figures::OwnChunk,
    price: Price::None,
    is_reasoning_beside: false,
    has_hits: false,
};

/// What comes before the first content.
#[derive(Clone, Copy)]
enum Opener {
    Comment,
    Filter,
    Role,
}

/// Where the figures stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figures {
    /// In every chunk, cumulative.
    EveryChunk,
    /// Beside the reason to stop.
    Finish,
    /// Nobody has asked for them.
    None,
    /// The same, in a place of Groq's own.
    OfGroq,
    /// In a last chunk without choices.
    OwnChunk,
}

/// What the answer says of its price.
#[derive(Clone, Copy)]
enum Price {
    Dollars,
    None,
    Ticks,
}

fn spent(dice: &mut Dice) -> Tokens {
    Tokens {
        // A write has no lifetime on the wire, and counts as one of five minutes.
        cache_write_1h: 0,
        tool_input: 0,
        ..dice.tokens()
    }
}

/// `usage`: what was cached and written is a part of the prompt.
fn usage(tokens: &Tokens, style: &Style) -> Value {
    let prompt = tokens.all_input();
    let completion = if style.is_reasoning_beside {
        tokens.output
    } else {
        tokens.all_output()
    };
    let mut usage = json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": tokens.total(),
        "completion_tokens_details": { "reasoning_tokens": tokens.thinking },
    });
    if style.has_hits {
        usage["prompt_cache_hit_tokens"] = tokens.cache_read.into();
        usage["prompt_cache_miss_tokens"] = (prompt - tokens.cache_read).into();
    } else {
        usage["prompt_tokens_details"] = json!({ "cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write_5m });
    }
    usage
}

fn stream(dice: &mut Dice, model: &str, style: &Style) -> Answer {
    let mut tokens = spent(dice);
    if style.has_hits {
        tokens.cache_write_5m = 0;
    }
    let mut parts = Parts::default();
    match style.opener {
        Opener::Comment => (0..dice.below(3)).for_each(|_| parts.push(": PROCESSING\n\n")),
        Opener::Filter => parts.event(
            None,
            &json!({ "id": "", "object": "", "model": "", "choices": [],
            "prompt_filter_results": [{ "prompt_index": 0, "content_filter_results": {} }] }),
        ),
        Opener::Role => {}
    }
    let chunk = |delta: Value, finish: Value| {
        json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_767_225_600, "model": model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] })
    };
    parts.event(
        None,
        &chunk(json!({ "role": "assistant", "content": "" }), Value::Null),
    );
    let pieces = 1 + dice.below(6);
    for piece in 1..=pieces {
        let delta = match dice.below(4) {
            0 => json!({ "reasoning_content": dice.text() }),
            1 => {
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": dice.text() } }] })
            }
            _ => json!({ "content": dice.text() }),
        };
        let mut data = chunk(delta, Value::Null);
        if style.figures == Figures::EveryChunk {
            let so_far = Tokens {
                output: 1 + tokens.output * piece as u64 / (pieces as u64 + 1),
                thinking: 0,
                ..tokens
            };
            data["usage"] = usage(&so_far, style);
            parts.known = Known::of(so_far);
        } else if dice.chance(50) {
            data["usage"] = Value::Null;
        }
        parts.event(None, &data);
    }
    if dice.chance(3) {
        let (kind, outcome) = *dice.of(&[
            ("server_error", "stream_error"),
            ("rate_limit_exceeded", "rate_limited"),
        ]);
        parts.known.error = Some(outcome);
        parts.event(
            None,
            &json!({ "error": { "message": dice.text(), "type": kind, "code": kind } }),
        );
        return finish(parts, dice);
    }
    let mut figures = usage(&tokens, style);
    let mut known = Known::of(tokens);
    match style.price {
        Price::Dollars => {
            let nano = 1_000 + dice.below(90_000_000) as u64;
            figures["cost"] = json!(nano as f64 / 1e9);
            known.charge = Some(nano);
        }
        Price::Ticks => {
            let nano = 1_000 + dice.below(90_000_000) as u64;
            figures["cost_in_usd_ticks"] = (nano * 10).into();
            known.charge = Some(nano);
        }
        Price::None => {}
    }
    if !style.is_reasoning_beside && dice.chance(2) {
        // Neither the sum of the parts, nor that with reasoning beside them.
        figures["total_tokens"] = (tokens.total() + tokens.thinking + 1).into();
        known.contradicts = true;
    }
    let mut last = chunk(json!({}), "stop".into());
    match style.figures {
        Figures::Finish => last["usage"] = figures,
        Figures::OfGroq => last["x_groq"] = json!({ "id": "req_1", "usage": figures }),
        Figures::EveryChunk | Figures::OwnChunk => {
            parts.event(None, &last);
            last = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "model": model, "choices": [],
                "usage": figures });
        }
        Figures::None => known = Known::default(),
    }
    parts.known = known;
    parts.event(None, &last);
    finish(parts, dice)
}

/// The last word, which an error sometimes has behind it, too.
fn finish(mut parts: Parts, dice: &mut Dice) -> Answer {
    if parts.known.error.is_none() || dice.chance(50) {
        parts.known.is_over = true;
        parts.push("data: [DONE]\n\n");
    }
    parts.finish("text/event-stream; charset=utf-8", Shape::LastWord)
}

fn whole(dice: &mut Dice, model: &str) -> Answer {
    let tokens = spent(dice);
    document(
        &json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": model,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": dice.text() }, "finish_reason": "stop" }],
        "usage": usage(&tokens, &STYLE) }),
        Known::of(tokens),
    )
}

fn embeddings(dice: &mut Dice, model: &str) -> Answer {
    let tokens = Tokens {
        input: dice.tokens().input,
        ..Tokens::default()
    };
    document(
        &json!({ "object": "list", "model": model,
        "data": [{ "object": "embedding", "index": 0, "embedding": [0.1, -0.2] }],
        "usage": { "prompt_tokens": tokens.input, "total_tokens": tokens.input } }),
        Known::of(tokens),
    )
}

fn completion(dice: &mut Dice, model: &str) -> Answer {
    let Tokens { input, output, .. } = dice.tokens();
    let tokens = Tokens {
        input,
        output,
        ..Tokens::default()
    };
    document(
        &json!({ "id": "cmpl-1", "object": "text_completion", "model": model,
        "choices": [{ "index": 0, "text": dice.text(), "finish_reason": "stop" }],
        "usage": { "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output } }),
        Known::of(tokens),
    )
}
