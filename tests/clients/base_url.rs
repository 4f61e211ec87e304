//! Real agents that are told that their provider is the base-URL door: they trust no further CA, and
//! what they spend is counted to the token.

use crate::client::{Client, HOME, PROXY_USER, Route};
use crate::gravimeter::BASE_URL;
use crate::provider::{Coding, Form, Setting, USE_TOOL};
use crate::run::Run;
use crate::stage::root;
use crate::{claude_code, codex, gemini_cli};

pub(crate) fn claude_code() {
    let run = Run::start(Route::BaseUrl);
    let setting = Setting {
        coding: Coding::Gzip,
        ..Setting::default()
    };
    let claude = |client: &Client| claude_code::claude(client, USE_TOOL, claude_code::ANTHROPIC);
    let (said, calls) = run.calls(setting, claude);
    assert_eq!(calls.len(), 2, "{said}");
    run.finish(&[(Form::Http1, Coding::Gzip)]);
}

pub(crate) fn gemini_cli() {
    let run = Run::start(Route::BaseUrl);
    // With a base URL and no choice it takes "gateway", which it then refuses outside of a terminal.
    root(&format!(
        "mkdir -p {HOME}/.gemini
         echo '{{\"security\":{{\"auth\":{{\"selectedType\":\"gemini-api-key\"}}}}}}' > {HOME}/.gemini/settings.json
         chown -R {PROXY_USER} {HOME}/.gemini"
    ));
    let setting = Setting {
        // Over plain HTTP it takes no brotli.
        coding: Coding::Gzip,
        ..Setting::default()
    };
    let (said, calls) = run.calls(setting, |client| gemini_cli::gemini(client, USE_TOOL));
    assert_eq!(calls.len(), 3, "{said}");
    run.finish(&[(Form::Http1, Coding::Gzip)]);
}

/// Over a WebSocket, which is its default, and by events.
pub(crate) fn codex() {
    let run = Run::start(Route::BaseUrl);
    for supports_websockets in [true, false] {
        let provider = format!(
            "model_providers.door={{name=\"OpenAI\",base_url=\"http://{BASE_URL}/openai/v1\",env_key=\"OPENAI_API_KEY\",\
             wire_api=\"responses\",supports_websockets={supports_websockets}}}"
        );
        let options = ["-c", "model_provider=door", "-c", &provider].map(str::to_owned);
        let setting = Setting {
            coding: Coding::Zstd,
            ..Setting::default()
        };
        let (said, calls) = run.calls(setting, |client| codex::codex(client, USE_TOOL, &options));
        assert_eq!(calls.len(), 2, "{said:?}");
    }
    run.finish(&[
        (Form::Http1, Coding::Zstd),
        (Form::WebSocketDeflated, Coding::Identity),
    ]);
}
