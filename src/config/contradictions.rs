//! What no single key can tell: contradictions between them.

use std::net::SocketAddr;

use super::otel;
use super::raw::Raw;
use super::source::{Mistake, Origin, Source};
use crate::budget::OnError;
use crate::cascade::Mode;

/// Returns all contradictions, each with the place of the key that should change.
pub(super) fn contradictions(raw: &Raw, origins: &[Origin]) -> Vec<Mistake> {
    let mut found = Contradictions {
        origins,
        mistakes: Vec::new(),
    };
    found.doors(raw);
    found.redirect(raw);
    found.agent(raw);
    found.cascade(raw);
    found.otlp(raw);
    found.budgets(raw);
    if raw.state_dir.is_none() {
        found.add(
            "state.dir",
            &[],
            "there is no home folder to keep the state in: set state.dir",
        );
    }
    found.mistakes
}

struct Contradictions<'a> {
    origins: &'a [Origin],
    mistakes: Vec<Mistake>,
}

impl Contradictions<'_> {
    /// Adds a mistake of `key`, at its place or, where it was not given, at that of the first of
    /// `others` that was.
    fn add(&mut self, key: &'static str, others: &[&str], message: impl Into<String>) {
        let given = std::iter::once(&key)
            .chain(others)
            .filter_map(|key| self.given(key))
            .next();
        self.mistakes
            .push(Mistake::new(given.unwrap_or(Source::Default), key, message));
    }

    fn given(&self, key: &str) -> Option<Source> {
        let origin = self.origins.iter().find(|origin| origin.key == key)?;
        (origin.source != Source::Default).then(|| origin.source.clone())
    }

    /// Listeners: reachable from this machine only, and each on a port of its own.
    fn doors(&mut self, raw: &Raw) {
        let web = raw.web.listen;
        if let Some(Err(exposed)) = web.map(|web| raw.web.admit(web)) {
            self.add("web.listen", &[], exposed.with_port().to_string());
        }
        if web.is_none() && raw.web.socket.is_none() {
            self.add(
                "web.listen",
                &[],
                r#"nobody could ask anything: set web.socket, or listen on "127.0.0.1:8741""#,
            );
        }
        for (key, address) in traffic_doors(raw) {
            if !address.ip().is_loopback() {
                self.add(
                    key,
                    &[],
                    format!(
                        "{address} can be reached by other machines, which could then send traffic through this one: \
                     listen on 127.0.0.1:{}",
                        address.port()
                    ),
                );
            }
        }
        let mut doors: Vec<_> = web
            .map(|web| ("web.listen", web))
            .into_iter()
            .chain(traffic_doors(raw))
            .collect();
        // Where no redirect is expected, nobody listens for it.
        let is_bound = |key: &str| key != "capture.listen" || raw.rules().are_needed();
        doors.retain(|(key, address)| address.port() != 0 && is_bound(key));
        for (number, (key, address)) in doors.iter().enumerate() {
            let mut earlier = doors.iter().take(number);
            if let Some((other, _)) = earlier.find(|(other, taken)| {
                taken.port() == address.port() && (other != key || taken == address)
            }) {
                self.add(
                    key,
                    &[*other],
                    format!(
                        "port {} is that of {other}, too: choose another one",
                        address.port()
                    ),
                );
            }
        }
    }

    fn redirect(&mut self, raw: &Raw) {
        let ports: Vec<_> = raw
            .capture
            .redirect_listen
            .iter()
            .map(SocketAddr::port)
            .collect();
        if ports.iter().any(|port| Some(port) != ports.first()) {
            self.add(
                "capture.listen",
                &[],
                "the redirect leads to one port: use the same port in every address",
            );
        }
        let is_asked = raw.connect_listen().is_some()
            || raw.capture.base_url_listen.is_some()
            || raw.capture.base_url_socket.is_some();
        if !raw.rules().are_needed() && !is_asked {
            self.add(
                "capture.connect_listen",
                &["capture.redirect"],
                r#"no traffic can arrive: set it to "127.0.0.1:8743", or capture.redirect to "require""#,
            );
        }
        if !raw.rules().are_needed() {
            return;
        }
        if ports.is_empty() {
            self.add("capture.listen", &[],
                r#"redirected connections have nowhere to go: write ["127.0.0.1:8742"], or set capture.redirect to "off""#);
        }
        if let Some(user) = raw
            .launch
            .user
            .as_ref()
            .filter(|user| **user != raw.redirect_user)
        {
            self.add("agent.user", &[], format!(
                "the traffic of {user} is not redirected, that of {} is: use one user, which must exist (`id {user}`), in \
                 agent.user and capture.user, or set capture.redirect to \"off\"", raw.redirect_user));
        }
        if raw.agent().is_some() && raw.launch.user.is_none() {
            self.add(
                "agent.user",
                &["agent.preset", "agent.command"],
                format!(
                    "the agent would run as ourselves and bypass the redirect: set it to {:?} (capture.user), \
                 or set capture.redirect to \"off\"",
                    raw.redirect_user
                ),
            );
        }
    }

    /// The RPC of a language server: on this machine only, and asked only where it is wanted.
    fn cascade(&mut self, raw: &Raw) {
        let addresses = [
            ("cascade.http_address", raw.cascade_http),
            ("cascade.https_address", raw.cascade_https),
        ];
        for (key, address) in addresses
            .into_iter()
            .filter_map(|(key, address)| Some((key, address?)))
        {
            if !address.ip().is_loopback() {
                let port = address.port();
                self.add(
                    key,
                    &[],
                    format!("{address} is not on this machine, and the agent's RPC is used there only: write 127.0.0.1:{port}"),
                );
            }
            if raw.cascade.mode == Mode::Off {
                self.add(
                    key,
                    &["cascade.follow"],
                    r#"nothing is asked there while cascade.follow is "off": leave one of them out"#,
                );
            }
        }
    }

    /// Without a ledger, nobody knows after a restart what was spent.
    fn budgets(&mut self, raw: &Raw) {
        let mut budgets = raw.budgets.iter();
        if let Some(closed) = budgets.find(|budget| budget.on_error == OnError::Closed)
            && !raw.ledger.enabled
        {
            let name = closed.name.as_str();
            let message = format!(
                r#"the budget {name:?} has fail = "closed", and would stop calls after each start: set ledger.enabled to true, or fail to "open""#
            );
            self.add("budget", &["ledger.enabled"], message);
        }
    }

    /// A certificate is of no use without its key, nor a key without its certificate.
    fn otlp(&mut self, raw: &Raw) {
        let identities = raw.otlp.client_identities();
        if identities.contains(&(true, false)) {
            self.add(
                "otlp.client_certificate",
                &[
                    "otlp.traces_client_certificate",
                    "otlp.metrics_client_certificate",
                ],
                "its key is missing: set otlp.client_key, too",
            );
        }
        if identities.contains(&(false, true)) {
            self.add(
                "otlp.client_key",
                &["otlp.traces_client_key", "otlp.metrics_client_key"],
                "its certificate is missing: set otlp.client_certificate, too",
            );
        }
        if raw.otlp.metrics.enabled && raw.otlp.pushed_metrics().is_none() {
            self.unpushable(raw);
        }
    }

    /// OpenTelemetry's variable is meant for every program of a machine, and asks for no more than
    /// a collector would get.
    fn unpushable(&mut self, raw: &Raw) {
        if raw.otlp.endpoint.is_some() {
            let message = "otlp.endpoint has a path of its own, which tells no place for metrics: set otlp.metrics_endpoint";
            self.add("otlp.metrics", &[], message);
        } else if !self
            .given("otlp.metrics")
            .is_some_and(|source| otel::is_of_opentelemetry(&source))
        {
            let message =
                "there is no collector to push them to: set otlp.endpoint or otlp.metrics_endpoint";
            self.add("otlp.metrics", &[], message);
        }
    }

    fn agent(&mut self, raw: &Raw) {
        let (agent, supervision) = (&raw.launch, &raw.supervision);
        if supervision.restart_backoff_initial > supervision.restart_backoff_max {
            self.add(
                "agent.restart_backoff_initial",
                &["agent.restart_backoff_max"],
                "the first pause is longer than the longest (agent.restart_backoff_max): make it shorter",
            );
        }
        if raw.agent().is_some() {
            return;
        }
        for (key, is_set) in [
            ("agent.args", !agent.args.is_empty()),
            ("agent.env", !agent.env.is_empty()),
        ] {
            if is_set {
                self.add(
                    key,
                    &[],
                    "there is no agent to give it to: set agent.preset or agent.command",
                );
            }
        }
    }
}

fn traffic_doors(raw: &Raw) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let redirect = raw
        .capture
        .redirect_listen
        .iter()
        .map(|address| ("capture.listen", *address));
    let connect = raw
        .connect_listen()
        .map(|address| ("capture.connect_listen", address));
    let base_url = raw
        .capture
        .base_url_listen
        .map(|address| ("capture.base_url.listen", address));
    redirect.chain(connect).chain(base_url)
}
