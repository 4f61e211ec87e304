//! Real clients of the providers, from npm and PyPI: Claude Code, Codex, Gemini CLI and the SDKs of
//! Anthropic, OpenAI and Google, through Gravimeter to stand-in providers over TLS.
//!
//! Each client comes by three routes ([`client::Route`]): through the CONNECT proxy, under the
//! redirect, and through the proxy with every byte recorded at both ends. What it spends must be in
//! `/metrics` and `/v1/usage` to the token. Every test has a stage of its own, from which nothing
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
mod run;
mod sdk;
#[path = "../skip.rs"]
mod skip;
#[path = "../netns/stage.rs"]
#[allow(dead_code, reason = "shared with the tests of `netns`")]
mod stage;
mod tap;
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
    codex: [over_websocket, over_events, signed_in_at_chatgpt],
    gemini_cli: [calls_with_a_tool],
    sdk: [python, node, python_with_errors, node_with_errors],
];

fn main() -> ExitCode {
    let obstacle = stage::obstacle().or_else(client::obstacle);
    let skipped = obstacle.map(|reason| skip::decide("*", TESTS.len(), &reason));
    let is_skipped = matches!(skipped, Some(Ok(())));
    let refusal = skipped.and_then(Result::err);
    let trial = |&(name, route, test): &(&'static str, Route, fn(Route))| {
        let refusal = refusal.clone();
        let run = move || match refusal {
            Some(refusal) => Err(Failed::from(refusal)),
            None => {
                stage::on_stage(name, || test(route));
                Ok(())
            }
        };
        Trial::test(name, run).with_ignored_flag(is_skipped)
    };
    let trials = TESTS.iter().map(trial).collect();
    let mut arguments = Arguments::from_args();
    // Some clients keep a whole core busy while they start.
    arguments.test_threads = arguments.test_threads.or(Some(TESTS_AT_ONCE));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Few enough that a machine of two cores starts each client in good time.
const TESTS_AT_ONCE: usize = 2;
