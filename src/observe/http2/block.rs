//! Header blocks of one direction, decoded with HPACK (RFC 7541, by `loona-hpack`).
//!
//! Complete blocks enter, each exactly once and in order, since they share a table; heads with the listed fields leave.
//! The table, and nothing else, keeps other fields: it is what the protocol asks for, and it ends with the connection.

use loona_hpack::Decoder;

use crate::observe::exchange::{Fields, RequestHead};
use crate::observe::head;
use crate::record::ObserverFailure;

/// The decoder of one direction.
pub(super) struct Blocks {
    decoder: Decoder<'static>,
    allowed: usize,
}

/// What was taken of a block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    method: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    status: Option<u16>,
    fields: Fields,
}

impl Blocks {
    pub(super) fn new() -> Self {
        let mut decoder = Decoder::new();
        decoder.set_max_allowed_table_size(DEFAULT_TABLE_BYTES);
        Self { decoder, allowed: DEFAULT_TABLE_BYTES }
    }

    /// The other side announced how large a table it allows. The largest announced value counts: which blocks were made
    /// before a smaller one was acknowledged cannot be told from outside, and need not be, since the encoder says in the
    /// block itself what it uses (RFC 7541 section 4.2).
    pub(super) fn allow(&mut self, announced: u32) {
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        self.allowed = self.allowed.max(announced.min(MAX_TABLE_BYTES));
        self.decoder.set_max_allowed_table_size(self.allowed);
    }

    /// Decodes a block. After an error the table is out of step and the connection cannot be read any further.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Result<Block, ObserverFailure> {
        let mut block = Block::default();
        self.decoder
            .decode_with_cb(bytes, |name, value| block.take(&name, &value))
            .map_err(|_| ObserverFailure::Http2Malformed)?;
        Ok(block)
    }
}

impl Block {
    /// The block as the head of a request, and whether it is a CONNECT.
    pub(super) fn into_request(self) -> Result<(RequestHead, bool), ObserverFailure> {
        let method = self.method.ok_or(ObserverFailure::Http2Malformed)?;
        let is_connect = method == b"CONNECT";
        if self.path.is_none() && !is_connect {
            return Err(ObserverFailure::Http2Malformed);
        }
        let head = head::request(&method, &self.path.unwrap_or_default());
        Ok((RequestHead { fields: self.fields, ..head }, is_connect))
    }

    /// The block as the head of a response: its status, 100 to 599, and the listed fields.
    pub(super) fn into_response(self) -> Result<(u16, Fields), ObserverFailure> {
        let status = self.status.filter(|status| (100..=599).contains(status));
        Ok((status.ok_or(ObserverFailure::Http2Malformed)?, self.fields))
    }

    fn take(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b":method" => self.method = Some(value.to_vec()),
            b":path" => self.path = Some(value.to_vec()),
            b":status" => self.status = head::decimal(value).and_then(|status| u16::try_from(status).ok()),
            _ => head::take_field(&mut self.fields, name, value),
        }
    }
}

/// What both sides may use before any SETTINGS (RFC 9113 section 6.5.2).
const DEFAULT_TABLE_BYTES: usize = 4096;
/// The largest table that an agent in use announces (Chromium); a side may announce 4 GiB and so ask us to keep them.
const MAX_TABLE_BYTES: usize = 64 * 1024;
