//! The CA.
use crate::record::HostPattern;
use std::path::Path;
use std::time::SystemTime;
pub struct Authority;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Created,
    Loaded,
    Renewed(RenewReason),
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewReason {
    Constraints,
    Expired,
    ExpiresSoon,
}
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {}
impl Authority {
    pub fn load_or_create(
        _directory: &Path,
        _permitted: &[HostPattern],
        _now: SystemTime,
    ) -> Result<(Self, Origin), AuthorityError> {
        todo!()
    }
    pub fn certificate_pem(&self) -> &str {
        todo!()
    }
    pub fn subject_public_key_info(&self) -> &[u8] {
        todo!()
    }
    pub fn not_after(&self) -> SystemTime {
        todo!()
    }
    pub fn fingerprint_sha256(&self) -> String {
        todo!()
    }
}
