//! Gemini's answers to Gemini CLI.

use serde_json::{Value, json};

use super::{Answer, Asked, Call, Tokens, USE_TOOL};

/// Calls a tool where the prompt asks for one and none was called yet. A request for JSON, by which
/// the client chooses a model for the prompt, gets the choice.
pub(super) fn answer(asked: &Asked, number: u64, is_stream: bool) -> Answer {
    let contents = asked.body["contents"].to_string();
    let wants_json = asked.body["generationConfig"]["responseMimeType"] == "application/json";
    let text = format!("answer {number}");
    let part = if wants_json {
        let choice = json!({
            "reasoning": "it is short", "complexity_reasoning": "it is short", "complexity_score": 1,
            "model_choice": "flash",
        });
        json!({"text": choice.to_string()})
    } else if contents.contains(USE_TOOL) && !contents.contains("functionResponse") {
        json!({"functionCall": {"name": "list_directory", "args": {"dir_path": "."}}})
    } else {
        json!({"text": text})
    };
    let tokens = Tokens {
        cache_write: 0,
        tool_input: 7 + number,
        ..Tokens::of_answer(number)
    };
    let chunk = |finish_reason: Value, usage: Value| {
        json!({
            "candidates": [{"content": {"role": "model", "parts": [part]}, "index": 0, "finishReason": finish_reason}],
            "usageMetadata": usage, "modelVersion": asked.model(), "responseId": format!("response-{number}"),
        })
    };
    let last = chunk(json!("STOP"), usage(tokens));
    let answer = match is_stream {
        // Figures in every event are cumulative.
        true => Answer::events(&[
            json!({
                "candidates": [{"content": {"role": "model", "parts": [{"text": "", "thought": true}]}, "index": 0}],
                "usageMetadata": {"promptTokenCount": tokens.all_input(), "totalTokenCount": tokens.all_input()},
                "modelVersion": asked.model(), "responseId": format!("response-{number}"),
            }),
            last,
        ]),
        false => Answer::json(200, &last),
    };
    answer.of_call(Call {
        is_stream,
        ..Call::answered(asked.model(), tokens, text)
    })
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "promptTokenCount": tokens.all_input(),
        "cachedContentTokenCount": tokens.cache_read,
        "toolUsePromptTokenCount": tokens.tool_input,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.thinking,
        "totalTokenCount": tokens.all_input() + tokens.tool_input + tokens.all_output(),
    })
}
