//! Gravimeter: see what an AI agent really spends, without touching a byte of its traffic.
//!
//! This page is the codemap. Rooms have ranks; a room uses only rooms of a lower rank, and
//! `tests/it/structure.rs` enforces it.
//!
//! | rank | room | what enters | what leaves | what it never does |
//! |---|---|---|---|---|
//! | 0 | [`record`] | nothing | the vocabulary: [`record::Fact`], [`record::Call`] | I/O, time, other rooms |
//! | 1 | [`demo`] | nothing | a stand-in provider and agent on sockets | use any room |
//! | 1 | [`budget`] | facts | how much of each budget is spent, and which calls it stops | I/O, make a fact wait, touch the traffic |
//! | 1 | [`git`] | folders | the repository that one belongs to | run Git, keep credentials |
//! | 1 | [`pricing`] | price tables, finished calls | the calls with their cost | fetch, guess a price |
//! | 1 | [`term`] | names and figures | columns for a terminal | fetch, ask the terminal |
//! | 2 | [`capture`] | connections (redirect by uid, CONNECT) | [`capture::Accepted`] | TLS, HTTP |
//! | 2 | [`observe`] | `(Direction, &[u8], Instant)` | exchanges, decoded bodies, SSE data, JSON values | I/O, clocks, providers |
//! | 2 | [`top`] | answers of an exporter, keys | a screen | fetch |
//! | 2 | [`tls`] | TCP streams | verified upstream sessions, leaf certificates | HTTP |
//! | 3 | [`dialect`] | exchanges | one [`record::Call`] for each, on every exit path | I/O |
//! | 4 | [`cascade`] | the agent's local RPC, facts | facts that know their conversation, runs | touch the traffic, keep a prompt |
//! | 4 | [`export`] | facts | metrics and their formats, spans for a collector | touch the traffic |
//! | 4 | [`ledger`] | facts | answers for `/v1/usage`, `/v1/cascades`, `/v1/quotas`, and a file that outlives the process | touch the traffic, make a fact wait |
//! | 4 | [`launch`] | a command | the agent as a supervised process of another user, or a program in the foreground | read its traffic |
//! | 4 | [`notify`] | what changes about budgets | desktop notifications, alerts for a webhook | touch the traffic, name more than budgets and figures |
//! | 4 | [`rules`] | texts of rules, requests | the requests as the rules want them | I/O, touch what no rule names |
//! | 4 | [`summary`] | facts | the figures of one run of a program | touch the traffic, keep a prompt |
//! | 5 | [`relay`] | [`capture::Accepted`] | the same bytes on the other side, or what a rule makes of a request | know a provider or a metric |
//! | 5 | [`web`] | HTTP on loopback | `/metrics`, the ledger's answers, health, the page | change anything |
//! | 6 | [`config`] | file, `GRAVIMETER_*`, flags | [`config::Config`], checked | start anything |
//! | 7 | [`app`] | [`config::Config`] | the assembled program | parse, print |
//! | 8 | [`cli`] | arguments | exit codes and words for people | real work |
//!
//! Three seams are `dyn` and wired in [`app`] only: [`capture::OriginalDst`],
//! [`observe::OpenObserver`] with [`observe::Observer`], and [`record::Record`] with
//! [`record::Sink`].

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing
    )
)]

pub mod app;
pub mod budget;
pub mod capture;
pub mod cascade;
pub mod cli;
pub mod config;
pub mod demo;
pub mod dialect;
pub mod export;
pub mod git;
pub mod launch;
pub mod ledger;
pub mod notify;
pub mod observe;
pub mod pricing;
pub mod record;
pub mod relay;
pub mod rules;
pub mod summary;
pub mod term;
pub mod tls;
pub mod top;
pub mod web;

#[cfg(test)]
#[path = "../tests/skip.rs"]
mod skip;

#[cfg(test)]
#[path = "../tests/seeds.rs"]
mod seeds;
