//! Real clients of the providers, from npm and PyPI: Claude Code, Codex, Gemini CLI and the SDKs of
//! Anthropic, OpenAI and Google, through Gravimeter to stand-in providers over TLS.
//!
//! Each client comes by three routes ([`client::Route`]): through the CONNECT proxy, under the
//! redirect, and through the proxy with every byte recorded at both ends. What it spends must be in
//! `/metrics` and `/v1/usage` to the token. Agents also come to the base-URL door ([`base_url`]) and
//! run under `gravimeter run` ([`under_run`]). Every test has a stage of its own, from which nothing
//! reaches the network. `scripts/test.sh` installs the clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(
    missing_docs,
    unreachable_pub,
    reason = "a test binary has no readers from outside"
)]

mod base_url;
mod claude_code;
mod client;
mod codex;
#[path = "../it/kit/collector.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`")]
mod collector;
mod gemini_cli;
mod gravimeter;
#[path = "../it/kit/pki.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`")]
mod pki;
mod provider;
#[path = "../it/kit/pty.rs"]
#[allow(dead_code, reason = "shared with the tests of `it`")]
mod pty;
mod ruled;
mod run;
mod sdk;
#[path = "../skip.rs"]
mod skip;
#[path = "../netns/stage.rs"]
#[allow(dead_code, reason = "shared with the tests of `netns`")]
mod stage;
mod tap;
mod under_run;
mod work;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use client::Route;

macro_rules! tests {
    ($($module:ident: [$($test:ident),+ $(,)?]),+ $(,)?) => {
        /// Name, route and body of every test: each client comes by each route.
        const TESTS: &[(&str, Route, fn(Route))] = &[$($(
            (
                concat!(stringify!($module), "::", stringify!($test), "::by_proxy"),
                Route::Proxy,
                $module::$test,
            ),
            (
                concat!(stringify!($module), "::", stringify!($test), "::redirected"),
                Route::Redirect,
                $module::$test,
            ),
            (
                concat!(stringify!($module), "::", stringify!($test), "::byte_for_byte"),
                Route::Recorded,
                $module::$test,
            ),
        )+)+];
    };
}

tests![
    claude_code: [at_other_providers, calls_and_subagents],
    codex: [over_websocket, over_events, after_a_refused_websocket, signed_in_at_chatgpt],
    gemini_cli: [calls_with_a_tool],
    sdk: [python, node, python_with_errors, node_with_errors],
];

/// Name and body of every other test: of the base-URL door, of rules and of `gravimeter run`.
const OTHERS: [(&str, fn()); 9] = [
    ("base_url::claude_code", base_url::claude_code),
    ("base_url::codex", base_url::codex),
    ("base_url::gemini_cli", base_url::gemini_cli),
    ("ruled::claude_code", ruled::claude_code),
    ("ruled::codex", ruled::codex),
    ("ruled::gemini_cli", ruled::gemini_cli),
    ("under_run::claude_code", under_run::claude_code),
    ("under_run::codex", under_run::codex),
    ("under_run::gemini_cli", under_run::gemini_cli),
];

fn main() -> ExitCode {
    let obstacle = stage::obstacle().or_else(client::obstacle);
    let skipped = obstacle.map(|reason| skip::decide("*", TESTS.len() + OTHERS.len(), &reason));
    let is_skipped = matches!(skipped, Some(Ok(())));
    let refusal = skipped.and_then(Result::err);
    let trial = |name: &'static str, test: Box<dyn FnOnce() + Send>| {
        let refusal = refusal.clone();
        let run = move || match refusal {
            Some(refusal) => Err(Failed::from(refusal)),
            None => {
                stage::on_stage(name, test);
                Ok(())
            }
        };
        Trial::test(name, run).with_ignored_flag(is_skipped)
    };
    let by_route = TESTS.iter();
    let by_route = by_route.map(|&(name, route, test)| trial(name, Box::new(move || test(route))));
    let others = OTHERS.iter();
    let others = others.map(|&(name, test)| trial(name, Box::new(test)));
    let trials = by_route.chain(others).collect();
    let mut arguments = Arguments::from_args();
    // Some clients keep a whole core busy while they start.
    arguments.test_threads = arguments.test_threads.or(Some(TESTS_AT_ONCE));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Few enough that a machine of two cores starts each client in good time.
const TESTS_AT_ONCE: usize = 2;
