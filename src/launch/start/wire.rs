//! The messages between the supervisor and its two entry points that run as the agent's user.
//!
//! A message is JSON behind its length (four bytes, big-endian), so that a reader takes exactly the
//! message and leaves what follows it.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::launch::process::{Adopter, Identity};

/// What `agent-exec` shall become. Not `Debug`: arguments and variables may hold tokens.
#[derive(Serialize, Deserialize)]
pub(in crate::launch) struct Spec {
    pub(in crate::launch) command: PathBuf,
    pub(in crate::launch) args: Vec<String>,
    /// The complete environment.
    pub(in crate::launch) env: BTreeMap<String, String>,
    pub(in crate::launch) working_directory: PathBuf,
    pub(in crate::launch) umask: u32,
    /// Whether it stays on the terminal from which it was asked for, and gets no session of its own.
    pub(in crate::launch) on_terminal: bool,
}

/// What `agent-signal` shall do.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::launch) struct Request {
    pub(in crate::launch) identity: Identity,
    /// Who has become the parent of what the agent has detached; `None` when that process is gone.
    pub(in crate::launch) adopter: Option<Adopter>,
    pub(in crate::launch) action: Action,
    /// How long to wait for the last process to be gone, in milliseconds.
    pub(in crate::launch) wait_ms: u64,
}

/// What is done to the processes of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::launch) enum Action {
    /// Nothing.
    Check,
    /// SIGKILL.
    Kill,
    /// SIGTERM.
    Term,
}

/// Whether a process of the agent is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::launch) enum Presence {
    Alive,
    Gone,
}

impl Presence {
    /// The line that `agent-signal` answers with.
    pub(in crate::launch) fn as_line(self) -> &'static str {
        match self {
            Self::Alive => "alive\n",
            Self::Gone => "gone\n",
        }
    }

    pub(in crate::launch) fn parse(answer: &[u8]) -> Option<Self> {
        [Self::Alive, Self::Gone]
            .into_iter()
            .find(|presence| presence.as_line().as_bytes() == answer)
    }
}

/// A message as it stands in the pipe.
pub(in crate::launch) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(message)?;
    let length = u32::try_from(json.len())
        .ok()
        .filter(|length| *length <= MAX_MESSAGE)
        .ok_or_else(too_long)?;
    Ok([&length.to_be_bytes(), json.as_slice()].concat())
}

/// Takes exactly one message; `reader` must not read ahead.
pub(in crate::launch) fn decode<T: DeserializeOwned>(mut reader: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE {
        return Err(too_long());
    }
    let mut json = Vec::new();
    reader.take(length.into()).read_to_end(&mut json)?;
    Ok(serde_json::from_slice(&json)?)
}

/// [`decode`] for a reader that must not block.
pub(in crate::launch) async fn receive<T: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let length = reader.read_u32().await?;
    if length > MAX_MESSAGE {
        return Err(too_long());
    }
    let mut json = Vec::new();
    reader.take(length.into()).read_to_end(&mut json).await?;
    Ok(serde_json::from_slice(&json)?)
}

/// The kernel takes at most 2 MiB of arguments and environment with the usual stack limit of 8 MiB;
/// half is generous.
const MAX_MESSAGE: u32 = 1 << 20;

fn too_long() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "arguments and environment of the agent exceed 1 MiB",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_and_what_follows_is_left() {
        let spec = Spec {
            command: "/bin/agent".into(),
            args: vec!["--token".into(), "a b\n\"c\"".into()],
            env: BTreeMap::from([("HOME".into(), "/home/ü".into())]),
            working_directory: "/".into(),
            umask: 0o077,
            on_terminal: false,
        };
        let mut bytes = encode(&spec).expect("a message");
        bytes.extend(b"the agent's own");
        let mut pipe = bytes.as_slice();
        let read: Spec = decode(&mut pipe).expect("the message");
        assert_eq!(
            serde_json::to_value(&read).expect("json"),
            serde_json::to_value(&spec).expect("json")
        );
        assert_eq!(pipe, b"the agent's own");
    }

    #[test]
    fn cut_off_and_oversized_messages_are_refused() {
        assert_eq!(
            decode::<Spec>(&b"\0\0"[..])
                .map(|_| ())
                .expect_err("cut")
                .kind(),
            io::ErrorKind::UnexpectedEof
        );
        assert!(decode::<Spec>(&b"\0\0\0\x09{\"com"[..]).is_err());
        let huge = decode::<Spec>(&b"\xff\xff\xff\xff"[..])
            .map(|_| ())
            .expect_err("oversized");
        assert_eq!(huge.kind(), io::ErrorKind::InvalidData);
        assert!(encode(&"x".repeat(1 << 20)).is_err());
    }

    #[tokio::test]
    async fn a_message_is_received_as_it_is_decoded() {
        let identity = Identity {
            pid: 4711,
            start_time: 98765,
        };
        let bytes = [encode(&identity).expect("a message"), b"rest".to_vec()].concat();
        let mut reader = bytes.as_slice();
        assert_eq!(
            receive::<Identity>(&mut reader).await.expect("the message"),
            identity
        );
        assert_eq!(reader, b"rest");
        for (bad, kind) in [
            (&b"\0\0"[..], io::ErrorKind::UnexpectedEof),
            (&b"\xff\xff\xff\xff"[..], io::ErrorKind::InvalidData),
            (&b"\0\0\0\x09{\"pid\""[..], io::ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(
                receive::<Identity>(&mut &bad[..])
                    .await
                    .expect_err("bad")
                    .kind(),
                kind,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_presence_is_read_as_written() {
        for presence in [Presence::Alive, Presence::Gone] {
            assert_eq!(
                Presence::parse(presence.as_line().as_bytes()),
                Some(presence)
            );
        }
        assert_eq!(Presence::parse(b"alive\nmore"), None);
    }
}
