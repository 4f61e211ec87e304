//! HTTP/2 floods from both sides: Gravimeter passes them on as they are, keeps its memory, and its
//! other connections.
//!
//! No frame is answered here: who floods is stopped by whom it floods. What must hold is that
//! watching costs nothing.

use gravimeter::demo::CLOUD_CODE_HOST;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::kit::agent::Agent;
use crate::kit::binary::{Binary, until};
use crate::kit::upstream::{Upstream, begin, enter, finish, go_on};
use crate::kit::{read_all, read_some, soon};

const BUDGET_EXCEEDED: &str = "gravimeter_observer_budget_exceeded_total";

/// What the agent sends in each of them.
const FLOOD: usize = 4 << 20;

/// More than all floods of a run together may cost, and far less than one that is kept.
const ALLOWED_GROWTH: u64 = 32 << 20;

#[tokio::test]
async fn floods_pass_in_flat_memory_and_the_others_are_served() {
    flood(FLOOD).await;
}

/// Every flood, with so many bytes each; the growth of the peak of memory, in bytes.
pub async fn flood(bytes: usize) -> u64 {
    let upstream = Upstream::speaking(&["h2", "http/1.1"]).await;
    let binary = Binary::start(&upstream.flags(&[])).await;
    let (mut agent, mut provider) = upstream
        .pair_of(
            binary.connect,
            &Agent::new(&binary.root_pem(), &["http/1.1"]),
        )
        .await;
    begin(&mut agent, &mut provider).await;
    let before = binary.memory().peak;
    for (name, from_agent, from_provider) in FLOODS {
        one(
            &upstream,
            &binary,
            name,
            [*from_agent, *from_provider],
            bytes,
        )
        .await;
        go_on(&mut agent, &mut provider).await;
    }
    // Each of the calls that were asked for and answered, or cut off, is one, unless the reader of
    // its connection has used up the time that its bytes are worth, and has said so: a flood of
    // resets has little more than 80 bytes a call.
    let wanted = bytes as u64 / 100;
    until(async || {
        let is_counted = binary.sum("gravimeter_calls_total", &[]).await >= wanted;
        let is_given_up = binary.sum(BUDGET_EXCEEDED, &["budget=\"time\""]).await > 0;
        (is_counted || is_given_up).then_some(())
    })
    .await;
    // The kernel counts pages by processor, and adds up in its own time: a peak may be told a
    // little lower later.
    let growth = binary.memory().peak.saturating_sub(before);
    assert!(growth < ALLOWED_GROWTH, "grew by {growth} bytes");
    assert_eq!(
        binary
            .sum("gravimeter_observer_failures_total", &["panic"])
            .await,
        0,
        "{}",
        binary.log()
    );
    upstream.call(&binary).await;
    finish(&mut agent, &mut provider).await;
    binary.stop().await;
    growth
}

/// One connection on which both sides flood.
async fn one(upstream: &Upstream, binary: &Binary, name: &str, kinds: [Kind; 2], bytes: usize) {
    let agent = Agent::new(&binary.root_pem(), &["h2"]);
    let tcp = enter(binary.connect).await;
    let (agent, provider) = tokio::join!(
        agent.handshake(tcp, CLOUD_CODE_HOST),
        upstream.provider.accept()
    );
    let (agent, provider) = (
        agent.expect("the leaf is trusted"),
        provider.expect("the provider is verified"),
    );
    assert_eq!(agent.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut from_agent, mut to_agent) = tokio::io::split(agent);
    let (mut from_provider, mut to_provider) = tokio::io::split(provider);
    let (mut stream, mut passed) = (1, 0);
    while passed < bytes {
        // An answer to what was not asked yet would end the reading of a connection, and its flood
        // with it.
        let first = stream == 1;
        let mut up = if first {
            kinds[0].start(PREFACE)
        } else {
            Vec::new()
        };
        let mut down = if first {
            kinds[1].start(&[])
        } else {
            Vec::new()
        };
        while up.len() < ROUND {
            kinds[0].put(&mut up, stream);
            kinds[1].put(&mut down, stream);
            stream += 2;
        }
        pass(name, &up, &mut to_agent, &mut from_provider).await;
        pass(name, &down, &mut to_provider, &mut from_agent).await;
        passed += up.len();
    }
    let (up, down) = tokio::join!(to_agent.shutdown(), to_provider.shutdown());
    up.and(down)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(read_all(&mut from_provider).await, (vec![], true), "{name}");
    assert_eq!(read_all(&mut from_agent).await, (vec![], true), "{name}");
}

/// Every byte arrives as it was sent.
async fn pass(
    name: &str,
    bytes: &[u8],
    to: &mut (impl AsyncWrite + Unpin),
    from: &mut (impl AsyncRead + Unpin),
) {
    let write = async {
        to.write_all(bytes).await?;
        to.flush().await
    };
    let (written, came) = soon(async { tokio::join!(write, read_some(from, bytes.len())) }).await;
    written.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(came == bytes, "{name}: every byte arrives as it was sent");
}

/// So many bytes of the agent, then what belongs to them of the provider.
const ROUND: usize = 64 << 10;

/// What each side does in the flood of that name.
const FLOODS: &[(&str, Kind, Kind)] = &[
    (
        "rapid reset (CVE-2023-44487)",
        Kind::RapidReset,
        Kind::Answers,
    ),
    (
        "made you reset (CVE-2025-8671)",
        Kind::BadUpdates,
        Kind::Resets,
    ),
    ("streams that never end", Kind::Open, Kind::Answers),
    (
        "CONTINUATION (CVE-2024-27316)",
        Kind::Continuation,
        Kind::Continuation,
    ),
    ("SETTINGS (CVE-2019-9515)", Kind::Settings, Kind::Settings),
    ("PING (CVE-2019-9512)", Kind::Ping, Kind::Ping),
    (
        "empty DATA (CVE-2019-9518)",
        Kind::EmptyData,
        Kind::EmptyData,
    ),
    ("a window of nothing", Kind::ZeroWindow, Kind::ZeroWindow),
    (
        "a window beyond its end",
        Kind::WindowOverflow,
        Kind::WindowOverflow,
    ),
    ("compressed fields", Kind::Bomb, Kind::Bomb),
    ("PRIORITY churn", Kind::Priority, Kind::Priority),
    ("pushed streams", Kind::Ping, Kind::Push),
    ("interim answers", Kind::Open, Kind::Interim),
];

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy)]
enum Kind {
    Answers,
    BadUpdates,
    Bomb,
    Continuation,
    EmptyData,
    Interim,
    Open,
    Ping,
    Priority,
    Push,
    RapidReset,
    Resets,
    Settings,
    WindowOverflow,
    ZeroWindow,
}

// Frame types and flags of RFC 9113 section 6.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// `:method: POST`, `:scheme: https` by their numbers in the static table, `:path` and `:authority`
/// in full (RFC 7541).
pub(super) const CALL: &[u8] = b"\x83\x87\x04\x26/v1internal:streamGenerateContent?a=se\x01\x01x";
/// `:status: 200`
pub(super) const OK: &[u8] = b"\x88";
/// `:status: 103`, in full.
const EARLY_HINTS: &[u8] = b"\x08\x03103";

impl Kind {
    /// `start`, SETTINGS, and what the frames of this kind need before them.
    fn start(self, start: &[u8]) -> Vec<u8> {
        let mut bytes = start.to_vec();
        put(&mut bytes, SETTINGS, 0, 0, &[]);
        let head = if start.is_empty() { OK } else { CALL };
        match self {
            Self::Continuation => put(&mut bytes, HEADERS, 0, 1, head),
            Self::EmptyData => put(&mut bytes, HEADERS, END_HEADERS, 1, head),
            _ => {}
        }
        bytes
    }

    fn put(self, bytes: &mut Vec<u8>, stream: u32) {
        match self {
            Self::Answers => put(bytes, HEADERS, END_HEADERS | END_STREAM, stream, OK),
            Self::BadUpdates => {
                put(bytes, HEADERS, END_HEADERS, stream, CALL);
                put(bytes, WINDOW_UPDATE, 0, stream, &[0; 4]);
            }
            // One long field into the table, then two thousand times the same by its number.
            Self::Bomb => {
                let field = [
                    b"\x40\x01x\x7f\xa1\x1e".as_slice(),
                    &[b'a'; 4000],
                    &[0xbe; 2000],
                ]
                .concat();
                put(bytes, HEADERS, END_HEADERS | END_STREAM, stream, &field);
            }
            Self::Continuation => put(bytes, CONTINUATION, 0, 1, &[0x83; 8192]),
            Self::EmptyData => put(bytes, DATA, 0, 1, &[]),
            Self::Interim => put(bytes, HEADERS, END_HEADERS, stream, EARLY_HINTS),
            Self::Open => put(bytes, HEADERS, END_HEADERS, stream, CALL),
            Self::Ping => put(bytes, PING, 0, 0, &[7; 8]),
            Self::Priority => put(bytes, PRIORITY, 0, stream, &[0, 0, 0, 1, 9]),
            Self::Push => put(
                bytes,
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&(stream + 1).to_be_bytes(), CALL].concat(),
            ),
            Self::RapidReset => {
                put(bytes, HEADERS, END_HEADERS | END_STREAM, stream, CALL);
                put(bytes, RST_STREAM, 0, stream, &8_u32.to_be_bytes());
            }
            Self::Resets => put(bytes, RST_STREAM, 0, stream, &1_u32.to_be_bytes()),
            Self::Settings => put(
                bytes,
                SETTINGS,
                0,
                0,
                &[[0, 1, 0, 0, 16, 0], [0, 4, 0, 1, 0, 0]].concat(),
            ),
            Self::WindowOverflow => put(bytes, WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
            // SETTINGS_INITIAL_WINDOW_SIZE of zero, and a request behind it.
            Self::ZeroWindow => {
                put(bytes, SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
                put(bytes, HEADERS, END_HEADERS, stream, CALL);
            }
        }
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len())
        .expect("a short payload")
        .to_be_bytes();
    bytes.extend_from_slice(&length[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}
