use super::*;

#[test]
fn words_of_an_api_are_shown_and_names_are_not() {
    for (path, shape) in [
        (
            "/v1beta/openai/chat/completions",
            "/v1beta/openai/chat/completions",
        ),
        (
            "/v1/projects/acme/locations/global/publishers/anthropic/models/claude:streamRawPredict",
            "/v1/projects/{}/locations/{}/publishers/anthropic/models/{}:streamRawPredict",
        ),
        (
            "/v1/projects/p-1/locations/l/endpoints/openapi/chat/completions",
            "/v1/projects/{}/locations/{}/endpoints/openapi/chat/completions",
        ),
        (
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            "/{}/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        ),
        ("/v1/messages/count_tokens", "/v1/messages/count_tokens"),
        ("/v1/responses/resp_123/cancel", "/v1/responses/{}/cancel"),
        ("/", "/{}"),
        ("", "/{}"),
    ] {
        assert_eq!(PathShape::of(path).to_string(), shape, "{path}");
    }
}

#[test]
fn no_secret_is_shown() {
    for secret in [
        "sk-ant-api03-abcdef",
        "AIzaSyD3x4mPl3K3y",
        "ya29.a0AfH6SMBx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        "550e8400-e29b-41d4-a716-446655440000",
        "XkQzWvRtBnMpLsDf",
        "qwrtpsdfghjklzxc",
        "me@example.com",
        "caf\u{e9}",
        "a%20b",
        "12345",
    ] {
        for path in [
            format!("/v1/{secret}"),
            format!("/{secret}/chat"),
            format!("/v1/chat:{secret}"),
            format!("/v1/x/{secret}?key={secret}#{secret}"),
        ] {
            let shape = PathShape::of(&path).to_string();
            assert!(
                !shape.contains(secret) && shape.contains(REPLACED),
                "{path}: {shape}"
            );
        }
    }
    assert_eq!(PathShape::of("/v1/chat?key=secret").to_string(), "/v1/chat");
    assert!(
        PathShape::of(&"/chat".repeat(1000)).to_string().len() < 100,
        "bounded"
    );
}
