//! Spans on their way to a collector, over OTLP: batched, compressed, tried again as the protocol says, every loss counted.
//!
//! [`Span`]s enter through a bounded queue; requests to the one configured collector leave. The exporter lives in a task of
//! its own: whoever states a fact never waits for it, and nothing that a collector answers is repeated anywhere.
//!
//! The SDK's exporter is not used, because it hides how many spans a collector has rejected of a batch; its generated
//! messages and client are. Source: <https://opentelemetry.io/docs/specs/otlp/>.
//!
//! [`Span`]: super::spans::Span

mod answer;
mod config;
mod counts;
mod exporter;
mod grpc;
mod http;
mod wire;

pub use config::{Compression, Config, Endpoint, Headers, Protocol, Sampler};
pub use counts::{SpanCounts, SpanLoss};
pub use exporter::Exporter;

#[cfg(test)]
mod tests;
