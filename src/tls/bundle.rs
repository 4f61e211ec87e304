//! Bundle.
use super::authority::Authority;
use std::path::{Path, PathBuf};
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    pub all: PathBuf,
    pub ca_only: PathBuf,
    pub roots: usize,
}
#[derive(Debug, thiserror::Error)]
pub enum BundleError {}
pub fn write(_path: &Path, _authority: &Authority, _extra_roots: &[PathBuf]) -> Result<Bundle, BundleError> {
    todo!()
}
pub fn environment(_bundle: &Bundle) -> Vec<(String, String)> {
    todo!()
}
