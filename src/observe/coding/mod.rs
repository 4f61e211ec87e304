//! Removes the content coding (RFC 9110 section 8.4) of a body: coded bytes in, plain bytes out, as
//! soon as they can be decoded.
//!
//! Nothing is kept but the windows of the codings, from the shared memory budget, and only until the
//! data end or the body is no longer needed. Decoding pauses at a `DecodeLimit` and goes on when
//! the bytes that it has left unread come again. A body that unpacks to more than the budget, at a
//! ratio that no answer has, or with a larger window than there is room for, is given up; the
//! traffic has passed already.

mod brotli;
mod codec;
mod gzip;
mod layers;
mod limit;
#[cfg(test)]
pub(crate) mod tests;
mod zst;

use layers::{Layer, unpack};
pub(crate) use limit::{DecodeLimit, Room, Steps};

use super::memory::Memory;
use crate::record::ObserverFailure;

/// Takes the content codings off one body.
#[derive(Default)]
pub struct Decoder {
    /// Outermost first: the reverse of the order in which they were applied.
    layers: Vec<Layer>,
    /// Where the windows of layers come from.
    memory: Memory,
    budget: Budget,
    steps: Steps,
    /// How many of the bytes that come next have come before, and are in the budget already.
    known: usize,
    failed: Option<CodingError>,
    is_ignored: bool,
}

/// Why a body cannot be read any further. The error is final for the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodingError {
    /// The body unpacks to more than an answer ever holds.
    #[error("the body unpacks to more than the budget allows; its figures are lost")]
    Budget,
    /// The data are not what `content-encoding` says.
    #[error("the body is damaged, or not coded as its content-encoding says; its figures are lost")]
    Damaged,
    /// A window is larger than any that providers use, or than what the budget of all observers has
    /// left.
    #[error("no memory is left for decompressing the body (observe.max_mib); its figures are lost")]
    Memory,
    /// The coding is a registered one that is not read, or there are more than two of them.
    #[error(
        "the content-encoding is a coding other than gzip, deflate, br and zstd, or has more than two layers"
    )]
    Unsupported,
}

impl From<CodingError> for ObserverFailure {
    fn from(error: CodingError) -> Self {
        match error {
            CodingError::Budget => Self::DecodeBudget,
            CodingError::Damaged | CodingError::Unsupported => Self::DecodeError,
            CodingError::Memory => Self::MemoryBudget,
        }
    }
}

impl Decoder {
    /// Prepares to take off the codings, given in the order in which they were applied (as
    /// `content-encoding` lists them), in lower case; windows are taken out of `memory`. Words that
    /// are no coding (`identity`, `none`, `utf-8`, `binary`) are passed over, as clients do.
    ///
    /// # Errors
    /// [`CodingError::Unsupported`] when a coding cannot be read or more than [`MAX_LAYERS`] are
    /// stacked.
    pub fn new(codings: &[String], memory: &Memory) -> Result<Self, CodingError> {
        let applied = codings
            .iter()
            .map(String::as_str)
            .filter(|coding| CODINGS.contains(coding));
        let layers = applied
            .rev()
            .take(MAX_LAYERS + 1)
            .map(|coding| Layer::new(coding, memory));
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        if layers.len() > MAX_LAYERS {
            return Err(CodingError::Unsupported);
        }
        Ok(Self {
            layers,
            memory: memory.clone(),
            ..Self::default()
        })
    }

    /// Decodes the next bytes of the body and passes the decoded bytes to `out`, in pieces.
    ///
    /// # Errors
    /// As `Decoder::feed_some`.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<(), CodingError> {
        loop {
            let read = self.feed_some(bytes, &mut DecodeLimit::default(), out)?;
            bytes = bytes.get(read..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    /// Decodes bytes from the front of `bytes`, until the limit is reached, and passes the decoded
    /// ones to `out`. Returns how many are read: those that are left must come again, before others.
    /// There is always one left while there may be more to give out.
    ///
    /// # Errors
    /// [`CodingError::Budget`], [`CodingError::Damaged`] or [`CodingError::Memory`]; then, and in
    /// every later call, nothing more comes out.
    pub(crate) fn feed_some(
        &mut self,
        bytes: &[u8],
        limit: &mut DecodeLimit,
        out: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, CodingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.is_ignored {
            return Ok(bytes.len());
        }
        if self.budget.received == 0 && self.layers.is_empty() && bytes.first() == Some(&GZIP_START)
        {
            self.layers.push(Layer::new("gzip", &self.memory)?);
        }
        self.budget.received += bytes.len().saturating_sub(self.known) as u64;
        if self.layers.is_empty() {
            out(bytes);
            return Ok(bytes.len());
        }
        let (layers, budget) = (&mut self.layers, &mut self.budget);
        let decode = |input: &mut &[u8], room: &mut Room<'_>| unpack(layers, budget, input, room);
        let read = self.steps.next(bytes, limit, decode, out);
        match read {
            Ok(read) => {
                self.known = self.known.max(bytes.len()).saturating_sub(read);
                if read == bytes.len() {
                    self.layers.iter_mut().for_each(Layer::rest);
                }
            }
            Err(error) => {
                self.failed = Some(error);
                self.layers = Vec::new();
            }
        }
        read
    }

    /// Nobody wants the rest of the body: it is not decoded, and counts as complete.
    pub fn ignore_rest(&mut self) {
        self.is_ignored = true;
        self.layers = Vec::new();
    }

    /// Whether the coded data have reached their own end, so that nothing is missing if the body
    /// ends here. An empty body is complete in every coding.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_none()
            && (self.budget.received == 0 || self.layers.iter().all(Layer::is_complete))
    }
}

/// Every registered content coding (IANA, HTTP Content Coding Registry), also those that are not
/// read.
const CODINGS: [&str; 12] = [
    "aes128gcm",
    "br",
    "compress",
    "dcb",
    "dcz",
    "deflate",
    "exi",
    "gzip",
    "pack200-gzip",
    "x-compress",
    "x-gzip",
    "zstd",
];

/// The first byte of gzip data (RFC 1952, ID1). No text begins with it, so a body that does is gzip
/// whatever its label says.
const GZIP_START: u8 = 0x1f;

/// Most codings that may be stacked. No provider stacks any; two is what a gateway may add, and
/// each layer multiplies the ratio of a bomb.
pub const MAX_LAYERS: usize = 2;

/// Most bytes that may come out of one body, over all layers. An answer with many inline images has
/// some tens of MiB.
pub const MAX_OUTPUT: u64 = 256 << 20;

/// Most bytes out for each byte in, beyond [`RATIO_FREE`]. JSON and SSE reach 5 to 50; a deflate
/// bomb 1032, a brotli or zstd bomb ten thousand and more.
pub const MAX_RATIO: u64 = 256;

/// Output that is free of the ratio, so that short bodies of one repeated character pass. A few
/// bytes can unpack to this much at once, so it is also what one of them can cost.
pub const RATIO_FREE: u64 = 64 << 10;

#[derive(Default)]
struct Budget {
    received: u64,
    unpacked: u64,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), CodingError> {
        self.unpacked += bytes as u64;
        let allowed = self
            .received
            .saturating_mul(MAX_RATIO)
            .clamp(RATIO_FREE, MAX_OUTPUT);
        if self.unpacked > allowed {
            Err(CodingError::Budget)
        } else {
            Ok(())
        }
    }
}
