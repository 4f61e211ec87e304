//! Certificates and handshakes: the CA, leaves, the agent's bundle, the ClientHello, the verified
//! upstream.
//!
//! Input: TCP streams; output: TLS sessions. Knows nothing of HTTP. Trust fails closed: there is no
//! switch that turns off verification of the provider's certificate, and Gravimeter's own CA is
//! never accepted from upstream. Revocation is not checked: no CRL and no OCSP answer is ever
//! fetched. `SSLKEYLOGFILE` is not honoured on either side.

pub mod authority;
pub mod bundle;
pub mod collector;
mod failure;
pub(crate) mod handshake;
pub mod hello;
pub mod leaf;
mod own_ca;
pub(crate) mod proof;
pub(crate) mod read_ahead;
mod roots;
pub mod upstream;
mod x509;

use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

/// Does on a thread of its own what takes longest at the start and waits for nothing else: reads the
/// system's roots, and seeds the random number generator, which takes aws-lc some 30 ms of processor
/// time. Whoever needs one of them before it is done waits for it; where no thread can be had, it is
/// done then.
pub(crate) fn prepare() {
    let work = || {
        roots::of_system();
        // A failure comes back when the first key is made.
        let _ = aws_lc_rs::rand::fill(&mut [0]);
    };
    let thread = std::thread::Builder::new().name("prepare".to_owned());
    let _ = thread.spawn(work);
}

/// The versions spoken on both sides; rustls knows none that is older.
const VERSIONS: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The cryptography of both sides, named here because a process-wide default could be set by
/// anybody.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
