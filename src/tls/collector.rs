//! TLS for the house's own connections: how the collector of spans is verified.
//!
//! The operator's roots or the system's enter, a client configuration leaves. The house's own CA vouches for nobody here either.

use std::path::Path;

use rustls::ClientConfig;

use super::authority::Authority;
use super::roots;
use super::upstream::{UpstreamError, verifying};

/// Verifies by the roots of one file and no others, or by those of the system where there is none.
///
/// # Errors
/// [`UpstreamError`] when there are no roots, or the file is missing, empty, no PEM, or holds the house's own CA.
pub fn client(ca_file: Option<&Path>, own: &Authority) -> Result<ClientConfig, UpstreamError> {
    let roots = match ca_file {
        Some(path) => roots::read(path, own.own())?,
        None => roots::load(&[], own.own())?,
    };
    verifying(roots, own.own())
}
