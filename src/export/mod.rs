//! Facts in, metrics and their text formats out.
//!
//! [`Metrics`] is a [`crate::record::Sink`]: it counts, and writes what it counted when it is scraped.
//! No fact is kept, no traffic is touched, and no label comes from outside a closed set or the bounded set of models.

mod calls;
mod cascades;
mod connections;
mod exemplars;
pub mod genai;
mod labels;
mod metrics;
mod models;
mod process;
mod quotas;
mod series;
pub mod text;
mod tls;

pub use metrics::{Config, Metrics};

#[cfg(test)]
pub(crate) mod tests;
