//! Exports spans and metrics to a collector over OTLP: compressed, retried as the protocol says,
//! every loss counted.
//!
//! [`Span`]s enter through a bounded queue and leave in batches; of metrics, the registry is read
//! at each push. Each has a task of its own: recording a fact never waits for it, and no text of a
//! collector's answer is repeated anywhere.
//!
//! The SDK's exporters are not used, because they hide how many spans a collector has rejected of a
//! batch; its generated messages and clients are. Source:
//! <https://opentelemetry.io/docs/specs/otlp/>.
//!
//! [`Span`]: super::spans::Span

mod answer;
mod config;
mod counts;
mod delivery;
mod endpoint;
mod exporter;
mod grpc;
mod http;
mod points;
mod push;
mod wire;

pub use config::{
    Compression, Config, Destination, Headers, Overrides, Push, Sampler, Temporality,
};
pub use counts::{Counts, Loss};
use endpoint::Signal;
pub use endpoint::{Endpoint, Protocol};
pub use exporter::Exporter;
pub use push::Pusher;
pub use wire::Resource;

#[cfg(test)]
mod tests;
