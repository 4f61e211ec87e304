//! Certificates and handshakes: the CA, leaves, the agent's bundle, the ClientHello, the verified upstream.
//!
//! TCP streams enter, TLS sessions leave. Knows nothing of HTTP. Trust fails closed: there is no switch that turns off
//! verification of the provider's certificate, and the house's own CA is never accepted from upstream.

pub mod authority;
pub mod bundle;
pub mod handshake;
pub mod hello;
pub mod leaf;
pub mod upstream;
