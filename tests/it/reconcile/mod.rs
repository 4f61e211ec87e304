//! Promise: ten thousand calls over all dialects at once, by HTTP/1.1, HTTP/2 and WebSockets, in
//! every content coding, with refusals, errors and answers that break off, are counted to the token
//! and to the nano-dollar: in `/metrics`, `/v1/usage`, the ledger's file and the spans that a real
//! collector hands on, and after a restart as before it.
//!
//! The script decides what each provider says before anything runs, and keeps books of its own by
//! the documented meaning of each provider's figures.

mod agent;
mod anthropic;
mod bedrock;
mod books;
mod chat;
mod checks;
mod coding;
mod dice;
mod gemini;
mod ollama;
mod provider;
mod responses;
mod script;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gravimeter::app::{App, Surroundings};
use gravimeter::config::Config;
use gravimeter::export::otlp::{Endpoint, Protocol};
use gravimeter::pricing::{Prices, read};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::kit::agent::Agent;
use crate::kit::binary::until;
use crate::kit::collector::{Collector, Reply};
use crate::kit::pki::Pki;
use crate::kit::provider::Provider;
use crate::traces::real::Rotel;
use crate::whole::{configuration, get, series, sum};
use agent::Client;
use books::Books;
use dice::Dice;
use provider::Script;
use script::{Exchange, Http, forms};

/// At least so many calls are made.
const CALLS: usize = 10_000;

/// Connections that are opened anew after so many exchanges.
const EXCHANGES_OF_A_CONNECTION: usize = 150;

/// The script, and how many exchanges at its beginning make the models known: the name of a model
/// that was never answered is no label.
fn write_script(seed: u64) -> (Script, usize) {
    let mut dice = Dice::new(seed);
    let forms = forms();
    let protocols = [Http::One, Http::Two];
    let mut exchanges: Vec<_> = forms
        .iter()
        .enumerate()
        .map(|(number, form)| Exchange::first(form, protocols[number % 2], &mut dice))
        .collect();
    let first = exchanges.len();
    let mut sessions = Vec::new();
    let mut calls: usize = exchanges.iter().map(|exchange| exchange.calls.len()).sum();
    while calls < CALLS {
        if dice.chance(3) {
            let session = responses::session(&mut dice);
            calls += session.calls.len();
            sessions.push(session);
        } else {
            let form = *dice.of(&forms);
            let exchange = Exchange::any(form, *dice.of(&protocols), &mut dice);
            calls += exchange.calls.len();
            exchanges.push(exchange);
        }
    }
    let arrived = exchanges.iter().map(|_| Notify::new()).collect();
    let script = Script {
        exchanges,
        sessions,
        arrived,
    };
    (script, first)
}

/// Gravimeter's configuration on a state folder that outlives it.
fn config(state: &Path, root: &Path, hosts: &BTreeSet<&str>, provider: SocketAddr) -> Config {
    let resolve: Vec<_> = hosts
        .iter()
        .map(|host| format!("{host}:443={provider}"))
        .collect();
    let hosts: Vec<_> = hosts.iter().copied().collect();
    let mut config = configuration(
        state,
        &[
            ("intercept.hosts", &hosts.join(",")),
            ("upstream.extra_roots", &root.display().to_string()),
            ("upstream.resolve", &resolve.join(",")),
        ],
    );
    config.prices = Arc::new(Prices::new(
        read(&books::price_table()).expect("a table"),
        false,
    ));
    config
}

/// Lets the agent do all that the script says of these exchanges and sessions, all hosts at once.
async fn act(
    client: &Client,
    exchanges: impl Iterator<Item = usize>,
    sessions: std::ops::Range<usize>,
) {
    let mut by_connection = BTreeMap::<_, Vec<usize>>::new();
    for number in exchanges {
        let exchange = &client.script.exchanges[number];
        by_connection
            .entry((exchange.host, exchange.http))
            .or_default()
            .push(number);
    }
    let mut work = JoinSet::new();
    for ((host, http), numbers) in by_connection {
        for numbers in numbers.chunks(EXCHANGES_OF_A_CONNECTION) {
            work.spawn(client.clone().exchange(host, http, numbers.to_vec()));
        }
    }
    for number in sessions {
        work.spawn(client.clone().converse(number));
    }
    while let Some(done) = work.join_next().await {
        done.expect("as the script says");
    }
}

/// What `/metrics` shows once no connection is open any more, and so no call either.
async fn at_rest(web: SocketAddr) -> String {
    until(async || {
        let exposition = get(web, "/metrics").await;
        let open = sum(&series(&exposition, "gravimeter_connections_active"), &[]);
        (open == 0).then_some(())
    })
    .await;
    get(web, "/metrics").await
}

async fn check_usage(web: SocketAddr, books: &Books) {
    for (by, field) in [("model", "models"), ("provider", "providers")] {
        let report = get(web, &format!("/v1/usage?by={by}")).await;
        let report: Value = serde_json::from_str(&report).expect("JSON");
        checks::usage(&report, field, books);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_calls_over_all_dialects_are_counted_to_the_token() {
    let (script, first) = write_script(16);
    let script = Arc::new(script);
    let calls = || {
        let of_exchanges = script.exchanges.iter().flat_map(|exchange| &exchange.calls);
        of_exchanges.chain(script.sessions.iter().flat_map(|session| &session.calls))
    };
    let books = Books::of(calls());
    for (kind, count) in books.tokens().kinds() {
        assert!(count > 0, "{kind} is in the script");
    }
    for outcome in [
        "aborted",
        "client_error",
        "ok",
        "rate_limited",
        "server_error",
        "stream_error",
        "truncated",
    ] {
        assert!(
            calls().any(|call| call.outcome == outcome),
            "{outcome} is in the script"
        );
    }

    let state = tempfile::tempdir().expect("a folder");
    let hosts: BTreeSet<&str> = script
        .exchanges
        .iter()
        .map(|exchange| exchange.host)
        .collect();
    let pki = Pki::new();
    let certified: Vec<_> = hosts.iter().copied().collect();
    let provider = Provider::start(pki.server_of(&certified, &["h2", "http/1.1"])).await;
    let provider = Arc::new(provider);
    let root = pki.write_root(state.path());
    let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
    let serve = provider::serve(Arc::clone(&provider), Arc::clone(&script), tasks.clone());
    tasks.spawn(end.clone().run_until_cancelled_owned(serve));

    let store = Collector::start(&[Reply::Take]).await;
    // Without a real collector, which is said aloud, the stand-in takes its place.
    let rotel = Rotel::forwarding(store.addr, Protocol::Grpc).await;
    let collector = rotel.as_ref().map_or(store.addr, |rotel| rotel.grpc);
    let config = |is_traced: bool| {
        let mut config = config(state.path(), &root, &hosts, provider.address());
        if is_traced {
            config.otlp.endpoint = Endpoint::parse(&format!("http://{collector}"));
            config.otlp.protocol = Protocol::Grpc;
        }
        config
    };
    let app = App::start(config(true), Surroundings::default())
        .await
        .expect("a running Gravimeter");
    let trusted = std::fs::read_to_string(state.path().join("ca/ca.pem")).expect("a CA");
    let client = Client {
        door: app.addresses().connect.expect("a door"),
        one: Arc::new(Agent::new(&trusted, &["http/1.1"])),
        two: Arc::new(Agent::new(&trusted, &["h2"])),
        script: Arc::clone(&script),
        tasks: tasks.clone(),
    };
    let web = app.addresses().exporter().expect("an exporter");
    act(&client, 0..first, 0..0).await;
    at_rest(web).await;
    act(
        &client,
        first..script.exchanges.len(),
        0..script.sessions.len(),
    )
    .await;
    let count = books.sum(|account| account.calls);
    let exposition = at_rest(web).await;
    checks::metrics(&exposition, &books);
    checks::health(&exposition, &books);
    check_usage(web, &books).await;
    assert!(
        app.ledger().settle(Duration::from_secs(30)),
        "everything is on disk"
    );
    checks::file(&state.path().join("ledger.db"), &books);
    app.stop(std::future::pending()).await;
    let spans = until(async || {
        let spans = store.all();
        let of_calls = spans.iter().filter(|span| !is_setup(&span.name)).count();
        (of_calls as u64 >= count).then_some(spans)
    })
    .await;
    checks::spans(&spans, &books);

    let app = App::start(config(false), Surroundings::default())
        .await
        .expect("a running Gravimeter");
    let web = app.addresses().exporter().expect("an exporter");
    check_usage(web, &books).await;
    checks::metrics(&get(web, "/metrics").await, &books);
    app.stop(std::future::pending()).await;
    end.cancel();
}

/// A span of a connection, beside those of calls.
fn is_setup(name: &str) -> bool {
    name.starts_with("tcp ") || name.starts_with("tls ")
}
