//! WebSockets (RFC 6455) as bytes: what each end sends, masked and deflated (RFC 7692) as it has to
//! be, in frames that are cut at random.

use flate2::{Compress, Compression};
use serde_json::Value;

use super::books::Call;
use super::dice::Dice;
use crate::wire::{COMPRESSED, CONTINUATION, FINAL, PING, TEXT, deflated, web_socket_frame};

/// All that both ends say after the upgrade.
pub struct Session {
    pub host: &'static str,
    pub path: &'static str,
    pub is_deflated: bool,
    /// What the agent says, and what the provider answers to it.
    pub turns: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it must be counted as.
    pub calls: Vec<Call>,
}

impl Session {
    pub fn new(host: &'static str, path: &'static str, is_deflated: bool) -> Self {
        Self {
            host,
            path,
            is_deflated,
            turns: Vec::new(),
            calls: Vec::new(),
        }
    }

    pub fn turn(&mut self, question: Vec<u8>, answer: Vec<u8>) {
        self.turns.push((question, answer));
    }
}

/// One end of a socket.
pub struct End {
    /// Only an agent masks what it sends.
    mask: Option<[u8; 4]>,
    /// One window for all of its messages.
    window: Option<Compress>,
}

impl End {
    pub fn agent(is_deflated: bool) -> Self {
        Self::new(Some([0x12, 0x34, 0x56, 0x78]), is_deflated)
    }

    pub fn provider(is_deflated: bool) -> Self {
        Self::new(None, is_deflated)
    }

    fn new(mask: Option<[u8; 4]>, is_deflated: bool) -> Self {
        Self {
            mask,
            window: is_deflated.then(|| Compress::new(Compression::default(), false)),
        }
    }

    /// A message in up to three frames, with a ping between two of them at times.
    pub fn message(&mut self, data: &Value, dice: &mut Dice) -> Vec<u8> {
        let text = data.to_string();
        let (payload, flag) = match &mut self.window {
            None => (text.into_bytes(), 0),
            Some(window) => (deflated(window, text.as_bytes()), COMPRESSED),
        };
        let size = payload.len().div_ceil(1 + dice.below(3)).max(1);
        let mut frames = Vec::new();
        let mut rest = &payload[..];
        let mut first = TEXT | flag;
        loop {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            let last = if rest.is_empty() { FINAL } else { 0 };
            frames.extend(web_socket_frame(first | last, piece, self.mask));
            if rest.is_empty() {
                return frames;
            }
            if dice.chance(30) {
                frames.extend(web_socket_frame(FINAL | PING, b"still here?", self.mask));
            }
            first = CONTINUATION;
        }
    }
}
