//! What answers say of their agent's turn: how many tools it is to call, and whether it goes on.

use super::requests::call;
use crate::record::{Turn, TurnEnd};

/// What an answer with these documents says, as events or as a single document.
fn turn(path: &str, documents: &[&str]) -> Turn {
    call(path, r#"{"model":"m"}"#, documents).turn
}

fn tool_calls(path: &str, documents: &[&str]) -> u32 {
    turn(path, documents).tool_calls
}

const BASH: &str = r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"Bash","input":{}}}"#;
const SEARCH: &str = r#"{"type":"content_block_start","content_block":{"type":"server_tool_use","name":"web_search"}}"#;
const TEXT: &str = r#"{"type":"content_block_start","content_block":{"type":"text","text":"{\"type\":\"tool_use\"}"}}"#;

#[test]
fn blocks_of_a_message_ask_for_tools() {
    let of = |documents: &[&str]| tool_calls("/v1/messages", documents);
    let stop = r#"{"type":"message_stop"}"#;
    assert_eq!(of(&[TEXT, BASH, SEARCH, BASH, stop]), 2);
    assert_eq!(of(&[TEXT, SEARCH, stop]), 0, "the provider searches itself");
    let whole = r#"{"type":"message","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"t","input":{"type":"tool_use"}},
        {"type":"tool_use"},{"type":"server_tool_use"}],"stop_reason":"tool_use"}"#;
    assert_eq!(of(&[whole]), 2);
}

#[test]
fn items_of_a_response_ask_for_tools_however_often_they_are_shown() {
    let of = |documents: &[&str]| tool_calls("/v1/responses", documents);
    let item = |event: &str, kind: &str| {
        format!(r#"{{"type":"response.output_item.{event}","item":{{"type":"{kind}"}}}}"#)
    };
    let last = |items: &str| {
        format!(
            r#"{{"type":"response.completed","response":{{"status":"completed","output":[{items}]}}}}"#
        )
    };
    let (begun, done) = (
        item("added", "function_call"),
        item("done", "function_call"),
    );
    let custom = item("done", "custom_tool_call");
    let search = item("done", "web_search_call");
    let all = r#"{"type":"function_call"},{"type":"message"},{"type":"custom_tool_call"},{"type":"web_search_call"}"#;
    assert_eq!(of(&[&begun, &done, &custom, &search, &last(all)]), 2);
    assert_eq!(of(&[&begun, &done, &custom, &last("")]), 2, "not repeated");
    assert_eq!(of(&[&begun, &last(all)]), 2, "only at the end");
    assert_eq!(of(&[&search, &last("")]), 0, "the provider searches itself");
    let whole = format!(r#"{{"object":"response","status":"completed","output":[{all}]}}"#);
    assert_eq!(of(&[&whole]), 2);
}

#[test]
fn a_response_may_say_itself_that_the_turn_goes_on() {
    let created = r#"{"type":"response.created","response":{"status":"in_progress"}}"#;
    let message = r#"{"type":"message"}"#;
    for (status, end_turn, items, expected) in [
        ("completed", "false", message, TurnEnd::GoesOn),
        ("completed", "true", message, TurnEnd::Over),
        ("completed", "null", message, TurnEnd::Over),
        (
            "completed",
            "true",
            r#"{"type":"function_call"}"#,
            TurnEnd::GoesOn,
        ),
        ("incomplete", "false", message, TurnEnd::Unknown),
    ] {
        let response =
            format!(r#"{{"status":"{status}","end_turn":{end_turn},"output":[{items}]}}"#);
        let last = format!(r#"{{"type":"response.{status}","response":{response}}}"#);
        for documents in [&[created, &last][..], &[&response]] {
            let end = turn("/v1/responses", documents).end;
            assert_eq!(end, expected, "{documents:?}");
        }
    }
}
