//! Real agents through a rule that adds a sentence to every system prompt: they work as before, the
//! provider gets the sentence with each call, and what they spend is counted to the token.

use crate::client::{Client, Route};
use crate::provider::{Coding, Form, RULE_MARK, Setting, USE_TOOL};
use crate::run::Run;
use crate::{claude_code, codex, gemini_cli};

pub(crate) fn claude_code() {
    let claude = |client: &Client| {
        claude_code::claude(client, USE_TOOL, claude_code::ANTHROPIC);
    };
    check(claude, (Form::Http1, Coding::Gzip));
}

/// By events: the messages of a WebSocket are not changed.
pub(crate) fn codex() {
    let options = codex::by_events(codex::API);
    let codex = |client: &Client| {
        codex::codex(client, USE_TOOL, &options);
    };
    check(codex, (Form::Http2, Coding::Zstd));
}

pub(crate) fn gemini_cli() {
    let gemini = |client: &Client| {
        gemini_cli::gemini(client, USE_TOOL);
    };
    check(gemini, (Form::Http1, Coding::Brotli));
}

fn check(agent: impl FnOnce(&Client), form: (Form, Coding)) {
    let rule = format!("[[rule]]\nname = \"sentence\"\nappend_system = \"{RULE_MARK}\"\n");
    let run = Run::start_with(Route::Proxy, &rule);
    let setting = Setting {
        coding: form.1,
        ..Setting::default()
    };
    let ((), calls) = run.calls(setting, agent);
    let marked = run.providers.served().marked;
    assert_eq!(marked, calls.len(), "each call has the sentence");
    run.finish(&[form]);
}
