//! Where spans belong: ids as W3C Trace Context and OpenTelemetry have them, and what a connection
//! took to open.
//!
//! Source: <https://www.w3.org/TR/trace-context/>.

use std::fmt;
use std::num::NonZero;
use std::time::{Duration, SystemTime};

use super::Handshake;

/// A trace: 128 bits, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZero<u128>);

/// A span within a trace: 64 bits, never all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZero<u64>);

impl TraceId {
    /// `None` for zero, which stands for "no trace".
    #[must_use]
    pub fn new(bits: u128) -> Option<Self> {
        NonZero::new(bits).map(Self)
    }

    /// The id's bytes, in the order of the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }
}

impl SpanId {
    /// `None` for zero, which stands for "no span".
    #[must_use]
    pub fn new(bits: u64) -> Option<Self> {
        NonZero::new(bits).map(Self)
    }

    /// The id's bytes, in the order of the wire.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.get().to_be_bytes()
    }
}

impl From<NonZero<u128>> for TraceId {
    fn from(bits: NonZero<u128>) -> Self {
        Self(bits)
    }
}

impl From<NonZero<u64>> for SpanId {
    fn from(bits: NonZero<u64>) -> Self {
        Self(bits)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The span that the agent says its request is part of (`traceparent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span.
    pub span: SpanId,
    /// Whether the agent records it.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads the value of a `traceparent` field: `<version>-<trace>-<span>-<flags>` in lower-case
    /// hexadecimal digits. A later version may have more after that. `None` for anything else; the
    /// field is then as good as absent.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?.trim();
        let mut parts = text.split('-');
        let version = u8::try_from(hex(parts.next()?, 2)?).ok()?;
        let trace = TraceId::new(hex(parts.next()?, 32)?)?;
        let span = SpanId::new(u64::try_from(hex(parts.next()?, 16)?).ok()?)?;
        let flags = hex(parts.next()?, 2)?;
        let is_known = match version {
            0 => parts.next().is_none(),
            u8::MAX => false,
            _ => true,
        };
        is_known.then_some(Self {
            trace,
            span,
            sampled: flags & 1 == 1,
        })
    }
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_lower_hex))
        .then(|| u128::from_str_radix(text, 16).ok())?
}

/// Where the span of a call or a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The span itself.
    pub span: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// Whether the parent is the agent's own span and not one of Gravimeter's.
    pub has_remote_parent: bool,
    /// Whether the span is exported, so that it may be pointed to.
    pub sampled: bool,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Of traces that begin here, the share that is recorded, from 0 to 1.
    pub ratio: f64,
    /// Whether what the agent says of its own trace overrules the share.
    pub follows_parent: bool,
}

impl Sampling {
    /// Whether the trace is recorded. The answer depends on the id alone, so that every program of
    /// the same share that sees the trace says the same (OpenTelemetry's `TraceIdRatioBased`: the
    /// lower 63 bits against the share).
    #[must_use]
    pub fn samples(self, trace: TraceId, parent: Option<TraceParent>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.sampled,
            _ => {
                let bits = u64::from_be_bytes(last_half(trace.to_bytes())) >> 1;
                // Comparing as floats loses the lowest bits only: 2^-52 of a share.
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "a share needs no more than 52 bits"
                )]
                let place = bits as f64 / (1u64 << 63) as f64;
                place < self.ratio
            }
        }
    }
}

fn last_half(bytes: [u8; 16]) -> [u8; 8] {
    let mut half = [0; 8];
    half.iter_mut()
        .zip(bytes.iter().skip(8))
        .for_each(|(to, from)| *to = *from);
    half
}

/// When something began and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Wall clock at its beginning.
    pub started_at: SystemTime,
    /// How long it took.
    pub duration: Duration,
}

impl Phase {
    /// One that has just ended.
    #[must_use]
    pub fn ended(at: SystemTime, duration: Duration) -> Self {
        Self {
            started_at: at.checked_sub(duration).unwrap_or(at),
            duration,
        }
    }
}

/// What it took to open a connection; reported with its first call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSetup {
    /// TCP connection to the provider.
    pub connect: Phase,
    /// TLS handshake with the provider.
    pub upstream: (Phase, Handshake),
    /// TLS handshake with the agent.
    pub agent: (Phase, Handshake),
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_as_the_recommendation_says() {
        let parent = TraceParent::parse(PARENT.as_bytes()).expect("a parent");
        assert_eq!(parent.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(
            (parent.span.to_string().as_str(), parent.sampled),
            ("00f067aa0ba902b7", true)
        );
        let unsampled =
            TraceParent::parse(PARENT.replace("-01", "-00").as_bytes()).expect("a parent");
        assert!(!unsampled.sampled);
        let later = PARENT.replacen("00", "cc", 1) + "-what-comes-later";
        assert_eq!(TraceParent::parse(later.as_bytes()), Some(parent));
    }

    #[test]
    fn sampling_keeps_its_share_and_obeys_the_parent() {
        let share = |ratio| Sampling {
            ratio,
            follows_parent: true,
        };
        let ids = (1..=10_000u128)
            .map(|n| TraceId::new(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c834)));
        let ids: Vec<_> = ids.flatten().collect();
        let kept = |ratio| {
            ids.iter()
                .filter(|id| share(ratio).samples(**id, None))
                .count()
        };
        assert_eq!((kept(0.0), kept(1.0)), (0, ids.len()));
        assert!((2_300..2_700).contains(&kept(0.25)), "{}", kept(0.25));
        let parent = TraceParent::parse(PARENT.as_bytes()).expect("a parent");
        assert!(share(0.0).samples(parent.trace, Some(parent)));
        assert!(!share(1.0).samples(
            parent.trace,
            Some(TraceParent {
                sampled: false,
                ..parent
            })
        ));
        assert!(
            !Sampling {
                ratio: 0.0,
                follows_parent: false
            }
            .samples(parent.trace, Some(parent))
        );
    }

    #[test]
    fn what_is_no_parent_is_none() {
        let upper = PARENT.to_uppercase();
        let longer = format!("{PARENT}-");
        let zero_trace = PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32));
        let zero_span = PARENT.replace("00f067aa0ba902b7", &"0".repeat(16));
        let forbidden = PARENT.replacen("00", "ff", 1);
        for bad in [
            "",
            "00",
            &PARENT[..50],
            &upper,
            &longer,
            &zero_trace,
            &zero_span,
            &forbidden,
            "00-é-0-01",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(TraceParent::parse(b"\xff\xfe"), None);
    }
}
