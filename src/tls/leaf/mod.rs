//! Leaves.
use super::authority::Authority;
use crate::record::{Host, LeafResult};
use std::sync::Arc;
#[derive(Debug, Clone, thiserror::Error)]
pub enum LeafError {}
pub struct Leaves;
impl Leaves {
    pub fn new(_authority: Arc<Authority>) -> Result<Self, LeafError> {
        todo!()
    }
    pub async fn server_config(
        &self,
        _host: &Host,
        _alpn: Option<&[u8]>,
    ) -> Result<(Arc<rustls::ServerConfig>, LeafResult), LeafError> {
        todo!()
    }
}
