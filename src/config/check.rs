//! The one check of a configuration: a [`Raw`] enters, a [`Config`] or every contradiction between
//! its keys leaves.

use std::path::PathBuf;
use std::sync::Arc;

use super::contradictions::contradictions;
use super::raw::Raw;
use super::source::{Mistake, Origin};
use super::{Config, RuleFiles, otel};
use crate::capture::redirect;
use crate::cascade::client::Endpoint;
use crate::pricing::Prices;

/// Checks the keys against each other and derives what follows from several of them. Returns every
/// contradiction otherwise, each with the place of the key that should change.
pub(super) fn check(
    mut raw: Raw,
    prices: Arc<Prices>,
    origins: &[Origin],
) -> Result<Config, Vec<Mistake>> {
    keep_headers_at_home(&mut raw, origins);
    let mistakes = contradictions(&raw, origins);
    match raw.state_dir.clone() {
        Some(state_dir) if mistakes.is_empty() => Ok(derived(raw, state_dir, prices)),
        _ => Err(mistakes),
    }
}

/// Makes the configuration of keys that do not contradict each other.
fn derived(raw: Raw, state_dir: PathBuf, prices: Arc<Prices>) -> Config {
    let (rules, connect_listen) = (raw.rules(), raw.connect_listen());
    let mut config = Config {
        agent: raw.agent(),
        bundle: raw.bundle(&state_dir),
        redirect: redirect(&raw),
        budgets: raw.budgets,
        capture: raw.capture,
        cascade: raw.cascade,
        discovery_folders: raw.discovery_folders,
        drain: raw.drain,
        launch: raw.launch,
        ledger: raw.ledger,
        log: raw.log,
        max_models: raw.max_models,
        metrics: raw.metrics,
        notify: raw.notify,
        observe: raw.observe,
        otlp: raw.otlp,
        prices,
        relay: raw.relay,
        rules: Arc::default(),
        rule_files: RuleFiles::default(),
        sessions: raw.sessions,
        state_dir,
        supervision: raw.supervision,
        upstream: raw.upstream,
        web: raw.web,
    };
    config.capture.connect_listen = connect_listen;
    config.launch.redirected = rules.are_needed();
    config.otlp.sampling = raw.otlp_sampler.sampling(raw.otlp_sampler_ratio);
    let token = config.cascade.token.clone();
    // The contradictions cover everything that keeps them from being an endpoint.
    config.cascade.endpoint = Endpoint::new(raw.cascade_http, raw.cascade_https, token).ok();
    config
}

/// The redirect leads to the port that is listened on and shields our own.
fn redirect(raw: &Raw) -> redirect::Config {
    let arrival = raw.capture.redirect_listen.first();
    let doors = [
        raw.web.listen,
        arrival.copied(),
        raw.connect_listen(),
        raw.capture.base_url_listen,
    ];
    let mut redirect = redirect::Config {
        rules: raw.rules(),
        user: raw.redirect_user.clone(),
        keep_away: doors
            .into_iter()
            .flatten()
            .map(|address| address.port())
            .collect(),
        ..redirect::Config::default()
    };
    if let Some(address) = arrival {
        redirect.port = address.port();
    }
    redirect
}

/// Fields of requests are secrets between us and one collector. Those for both signals go to
/// the endpoint of one signal only where that is the same collector, or where the specification
/// says so: both come from OpenTelemetry's own variables.
fn keep_headers_at_home(raw: &mut Raw, origins: &[Origin]) {
    let is_standard = |key: &str| {
        let origin = origins.iter().find(|origin| origin.key == key);
        origin.is_some_and(|origin| otel::is_of_opentelemetry(&origin.source))
    };
    let Some(home) = &raw.otlp.endpoint else {
        return;
    };
    let signals = [
        ("otlp.traces_endpoint", &mut raw.otlp.traces),
        ("otlp.metrics_endpoint", &mut raw.otlp.metrics.own),
    ];
    for (key, own) in signals {
        let is_elsewhere = own
            .endpoint
            .as_ref()
            .is_some_and(|endpoint| !endpoint.has_origin_of(home));
        if is_elsewhere && !(is_standard("otlp.headers") && is_standard(key)) {
            own.headers.get_or_insert_default();
        }
    }
}
