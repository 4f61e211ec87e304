//! The timeout of every step, by name.

use std::time::Duration;

/// How long each step of a connection may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to a complete ClientHello.
    pub client_hello: Duration,
    /// TCP connection to the provider, name resolution included.
    pub upstream_connect: Duration,
    /// TLS handshake with the provider.
    pub upstream_handshake: Duration,
    /// TLS handshake with the agent.
    pub agent_handshake: Duration,
    /// From the first byte of a request's head to its last, where requests are forwarded.
    pub request_head: Duration,
    /// No byte in either direction. Longer than any pause a provider makes while a model thinks.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let handshake = Duration::from_secs(10);
        Self {
            client_hello: handshake,
            upstream_connect: handshake,
            upstream_handshake: handshake,
            agent_handshake: handshake,
            request_head: Duration::from_secs(30),
            idle: Duration::from_secs(3600),
        }
    }
}
