//! OpenAI's answers to Codex, as events and over a WebSocket.

use serde_json::{Value, json};

use super::{Answer, Asked, Call, Tokens, USE_SUBAGENT, USE_TOO_MUCH, USE_TOOL};

/// The answer to a POST.
pub(super) fn answer(asked: &Asked, number: u64) -> Answer {
    let (events, call) = respond(&asked.body, number);
    Answer::events(&events).of_call(call)
}

/// The answer to a message over a socket; one that only prepares a conversation is no call.
pub(super) fn over_socket(request: &Value, number: u64) -> (Vec<Value>, Option<Call>) {
    if request["type"] != "response.create" {
        return (Vec::new(), None);
    }
    if request["generate"] == false {
        let response = response(request, "warm", "completed");
        let created = json!({"type": "response.created", "response": response});
        let completed = json!({"type": "response.completed", "response": response});
        return (vec![created, completed], None);
    }
    let (events, call) = respond(request, number);
    let subagent = subagent(|name| request["client_metadata"][name].as_str());
    (events, Some(Call { subagent, ..call }))
}

/// The subagent that asks: a thread that another one has started.
pub(super) fn subagent<'a>(named: impl Fn(&'static str) -> Option<&'a str>) -> Option<String> {
    named("x-codex-parent-thread-id")?;
    let thread = named("thread-id").or_else(|| named("thread_id"))?;
    Some(thread.to_owned())
}

/// The account of somebody who has signed in at ChatGPT, with the place where its models answer.
pub(super) fn account() -> Value {
    json!({
        "accounts": [{
            "id": ACCOUNT, "account_id": ACCOUNT, "account_user_id": "user-1", "structure": "personal",
            "plan_type": "pro", "is_deactivated": false, "role": "account-owner",
            "workspace_backend_origin": "https://chatgpt.com", "account_routing_override": "NO_CONSTRAINT",
        }],
        "account_ordering": [ACCOUNT],
        "default_account_id": ACCOUNT,
    })
}

/// The account in what Codex keeps of a login.
pub(crate) const ACCOUNT: &str = "account-1";

fn respond(request: &Value, number: u64) -> (Vec<Value>, Call) {
    let id = format!("resp_{number}");
    let text = format!("answer {number}");
    let item = item(request, number, &text);
    let added = match item["type"].as_str() {
        Some("message") => {
            json!({"type": "message", "id": item["id"], "role": "assistant", "content": []})
        }
        _ => item.clone(),
    };
    let mut tokens = Tokens::of_answer(number);
    if item["type"] == "function_call" && request["input"].to_string().contains(USE_TOO_MUCH) {
        tokens.input += MORE_THAN_A_CONTEXT;
    }
    let mut completed = response(request, &id, "completed");
    completed["output"] = json!([item]);
    completed["usage"] = json!({
        "input_tokens": tokens.all_input(),
        "input_tokens_details": {"cached_tokens": tokens.cache_read, "cache_write_tokens": tokens.cache_write},
        "output_tokens": tokens.all_output(),
        "output_tokens_details": {"reasoning_tokens": tokens.thinking},
        "total_tokens": tokens.all_input() + tokens.all_output(),
    });
    let delta = json!({
        "type": "response.output_text.delta", "item_id": item["id"], "output_index": 0, "content_index": 0,
        "delta": text,
    });
    let mut events = vec![
        json!({"type": "response.created", "response": response(request, &id, "in_progress")}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": added}),
    ];
    events.extend((item["type"] == "message").then_some(delta));
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": item}));
    events.push(json!({"type": "response.completed", "response": completed}));
    for (place, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(place);
    }
    let operation = match item["type"].as_str() {
        Some("compaction") => "compact",
        _ => "chat",
    };
    let call = Call {
        operation: operation.to_owned(),
        ..Call::answered(model(request).to_owned(), tokens, text)
    };
    (events, call)
}

/// What the model does: a prompt is answered by the tool it asks for, the start of a subagent by
/// waiting for it, a conversation that is too long by a shorter one, everything else by a text.
fn item(request: &Value, number: u64, text: &str) -> Value {
    let input = request["input"].as_array().map_or(&[][..], Vec::as_slice);
    let results: Vec<&str> = input
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .filter_map(|item| item["output"].as_str())
        .collect();
    let has = |kind: &str| input.iter().any(|item| item["type"] == kind);
    if has("compaction_trigger") {
        return json!({"type": "compaction", "id": format!("cmp_{number}"), "encrypted_content": "shorter"});
    }
    let is_new = results.is_empty() && !has("compaction");
    let prompt = Value::from(input).to_string();
    let function = |name: &str, arguments: Value| {
        json!({
            "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"),
            "name": name, "arguments": arguments.to_string(), "status": "completed",
        })
    };
    let of_agents = |name: &str, arguments: Value| {
        let mut item = function(name, arguments);
        item["namespace"] = json!("multi_agent_v1");
        item
    };
    let started = results
        .last()
        .and_then(|result| serde_json::from_str::<Value>(result).ok())
        .and_then(|result| Some(result["agent_id"].as_str()?.to_owned()));
    match started {
        Some(agent) => of_agents("wait_agent", json!({"targets": [agent]})),
        None if is_new && prompt.contains(USE_TOOL) => {
            function("exec_command", json!({"cmd": "echo done"}))
        }
        None if is_new && prompt.contains(USE_SUBAGENT) => {
            of_agents("spawn_agent", json!({"message": "say it"}))
        }
        None => json!({
            "type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        }),
    }
}

/// So many tokens that Codex shortens the conversation before it goes on.
const MORE_THAN_A_CONTEXT: u64 = 300_000;

fn response(request: &Value, id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "response", "created_at": 1_767_225_600, "status": status, "model": model(request),
        "output": [], "usage": null,
    })
}

fn model(request: &Value) -> &str {
    request["model"].as_str().expect("a request with a model")
}
