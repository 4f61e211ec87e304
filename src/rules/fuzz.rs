//! An entry for fuzzers: any bytes, as a file of rules and a request that they may change.

use std::path::PathBuf;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

use super::{Decision, Plan, RequestHead, Source, read};
use crate::dialect::fuzz::HOSTS;
use crate::record::{Caller, Host};

/// Reads the bytes as rules, up to the first zero, and as the body of a request behind it. The first
/// three bytes choose host, path and content coding. Panics when a JSON body is none any more after
/// rules have changed it.
pub fn fuzz_rules(bytes: &[u8]) {
    let [host, path, coding, rest @ ..] = bytes else {
        return;
    };
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let [text, body] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let source = Source {
        path: PathBuf::from("rules.toml"),
        text: String::from_utf8_lossy(text).into_owned(),
        is_configuration: false,
    };
    let host = HOSTS.iter().cycle().nth(usize::from(*host));
    let path = PATHS.iter().cycle().nth(usize::from(*path));
    let host = host.and_then(|host| Host::parse(host).ok());
    let target = path.and_then(|path| path.parse::<PathAndQuery>().ok());
    let (Ok(rules), Some(host), Some(target)) = (read(&[source]), host, target) else {
        return;
    };
    let mut headers = HeaderMap::new();
    if let Some(coding) = CODINGS.get(usize::from(*coding)) {
        headers.insert("content-encoding", HeaderValue::from_static(coding));
    }
    let plan = rules.plan(&RequestHead {
        host: &host,
        method: &Method::POST,
        target: &target,
        headers: &headers,
        caller: &Caller::default(),
    });
    let Plan::Body { limit, with } = plan else {
        return;
    };
    if body.len() > limit {
        return;
    }
    if let Decision::Changed {
        body: Some(changed),
        ..
    } = with.apply(&mut headers, body).decision
        && !headers.contains_key("content-encoding")
    {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&changed).is_ok();
        assert!(is_json, "a changed body is JSON");
    }
}

/// Paths of all forms of requests, over and over.
pub const PATHS: [&str; 10] = [
    "/v1/messages",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1beta/models/m:generateContent",
    "/v1internal:streamGenerateContent?alt=sse",
    "/model/m/converse",
    "/api/chat",
    "/api/generate",
    "/v1beta/interactions",
];

const CODINGS: [&str; 4] = ["gzip", "zstd", "br", "deflate"];
