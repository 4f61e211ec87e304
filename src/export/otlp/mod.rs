//! Exports spans and metrics to a collector over OTLP: compressed, retried as the protocol says,
//! every loss counted.
//!
//! Spans enter through a bounded queue and leave in batches; of metrics, the registry is read at
//! each push. Each has a task of its own: recording a fact never waits for it, and no text of a
//! collector's answer is repeated anywhere.
//!
//! ```text
//! Exporter, Pusher   when, how often, and what becomes of it
//!   Delivery         one batch, until it is accepted or lost
//!     Sender         requests: opentelemetry-otlp and its transports
//!       Carrier      connection, headers, and the collector's answer
//! ```
//!
//! The SDK's batch processor and the library's retries are not used: both drop spans without a word
//! of how many. Source: <https://opentelemetry.io/docs/specs/otlp/>.

mod answer;
mod carrier;
mod channel;
mod config;
mod connections;
mod counts;
mod delivery;
mod endpoint;
mod exporter;
mod points;
mod push;
mod resource;
mod senders;

pub use config::{
    Compression, Config, Destination, Headers, HistogramAggregation, Overrides, Push, Sampler,
    Temporality,
};
pub use counts::{Counts, Loss};
use endpoint::Signal;
pub use endpoint::{Endpoint, Protocol};
pub use exporter::Exporter;
pub use push::Pusher;
pub use resource::Resource;
pub(super) use resource::{diagnostics_scope, scope};

#[cfg(test)]
mod tests;
