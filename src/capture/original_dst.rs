//! The original destination of a redirected connection.

/// Seam.
pub trait OriginalDst: Send + Sync {}
