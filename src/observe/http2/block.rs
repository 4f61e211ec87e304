//! What is taken of a header block: the pseudo-fields and the fields on the list, as the head of a
//! message.

use super::hpack::Hpack;
use crate::observe::exchange::{Fields, Listed, RequestHead};
use crate::observe::head;
use crate::record::ObserverFailure;

/// What was taken of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    method: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    status: Option<u16>,
    fields: Fields,
}

impl Block {
    /// Decodes a complete block, which every block must be, once and in order.
    pub(super) fn decode(hpack: &mut Hpack, bytes: &[u8]) -> Result<Self, ObserverFailure> {
        let (mut block, listed) = (Self::default(), hpack.listed());
        hpack.decode(bytes, |name, value| block.read_field(name, value, listed))?;
        Ok(block)
    }

    /// The block as the head of a request, and whether it is a CONNECT.
    pub(super) fn into_request(
        self,
        listed: Listed,
    ) -> Result<(RequestHead, bool), ObserverFailure> {
        let method = self.method.ok_or(ObserverFailure::Http2Malformed)?;
        let is_connect = method == b"CONNECT";
        if self.path.is_none() && !is_connect {
            return Err(ObserverFailure::Http2Malformed);
        }
        let head = head::request(&method, &self.path.unwrap_or_default(), listed);
        Ok((
            RequestHead {
                fields: self.fields,
                ..head
            },
            is_connect,
        ))
    }

    /// The block as the head of a response: its status, 100 to 599, and the listed fields.
    pub(super) fn into_response(self) -> Result<(u16, Fields), ObserverFailure> {
        let status = self.status.filter(|status| (100..=599).contains(status));
        Ok((status.ok_or(ObserverFailure::Http2Malformed)?, self.fields))
    }

    fn read_field(&mut self, name: &str, value: &[u8], listed: Listed) {
        match name {
            ":method" => self.method = Some(value.to_vec()),
            ":path" => self.path = Some(value.to_vec()),
            // What `upgrade` is in HTTP/1.1 (RFC 8441 section 4).
            ":protocol" => head::take_field(&mut self.fields, b"upgrade", value, listed),
            ":status" => {
                self.status = head::decimal(value).and_then(|status| u16::try_from(status).ok())
            }
            _ => head::take_field(&mut self.fields, name.as_bytes(), value, listed),
        }
    }
}
