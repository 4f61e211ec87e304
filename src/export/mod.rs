//! Turns facts into metrics and spans.
//!
//! [`Metrics`] is a [`crate::record::Sink`]: it counts, and writes what it counted when it is
//! scraped. [`traces::Traces`] is another: it makes spans, which [`otlp::Exporter`] takes to a
//! collector, with those of [`diagnostics`] where they are on. No fact is kept longer than its span
//! needs, no traffic is touched, and no label comes from outside a closed set or the bounded set of
//! models.

mod budgets;
mod calls;
mod cascades;
mod connections;
mod costs;
mod credits;
pub mod diagnostics;
mod exemplars;
pub mod formats;
mod gaps;
pub mod genai;
mod labels;
mod late;
mod ledger;
mod metrics;
mod models;
mod native;
pub mod otlp;
mod process;
mod provider_time;
mod quotas;
mod repositories;
mod rules;
mod series;
pub mod spans;
mod start_times;
mod substitutions;
mod text;
mod tls;
pub mod traces;
mod web;

pub use late::LateSpans;
pub use metrics::{Config, Metrics};
pub use web::WebRefusal;

#[cfg(test)]
pub(crate) mod tests;
