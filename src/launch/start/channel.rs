//! The socket between the supervisor and `agent-exec`, and the two pipes that travel through it.
//!
//! The socket is the standard input of `agent-exec`: sudo closes every other descriptor. Both sides
//! speak on it, so that standard error stays with sudo and the agent. With its order `agent-exec`
//! gets two descriptors: the agent's own standard input, and the *report*, a pipe that exec closes.
//! An empty report says that the agent runs; anything else says why not. The agent never holds
//! either end of the socket or of the report, and nothing that it prints is taken for a message of
//! `agent-exec`.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};

use crate::capture::{receive_descriptors, send_descriptors};

/// What `agent-exec` holds for the agent.
pub(super) struct Descriptors {
    /// The agent's standard input.
    pub(super) input: OwnedFd,
    /// The report of a failure. It closes at a successful exec.
    pub(super) report: OwnedFd,
}

impl Descriptors {
    /// Sends copies through a Unix socket. Blocks as little as the socket does: a full one is
    /// [`io::ErrorKind::WouldBlock`].
    pub(super) fn send(&self, socket: impl AsFd) -> io::Result<()> {
        send_descriptors(socket, &[self.input.as_fd(), self.report.as_fd()])
    }

    /// Takes what [`Descriptors::send`] has sent, and nothing behind it. No program that is
    /// executed later inherits them.
    pub(super) fn receive(socket: impl AsFd) -> io::Result<Self> {
        let received = receive_descriptors(socket)?;
        let [input, report] = <[OwnedFd; 2]>::try_from(received)
            .map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        Ok(Self { input, report })
    }
}

/// A failure as it stands in a report; `None` when the report is empty.
pub(super) fn read_report(report: OwnedFd) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    File::from(report)
        .take(MAX_REPORT)
        .read_to_end(&mut bytes)?;
    Ok((!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A path of the longest kind (`PATH_MAX`), and words around it.
const MAX_REPORT: u64 = 8 << 10;

#[cfg(test)]
mod tests {
    use std::io::{Write as _, pipe};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order_and_what_follows_is_left() {
        let (ours, theirs) = UnixStream::pair().expect("a socket");
        let ((input, mut feed), (answer, report)) =
            (pipe().expect("a pipe"), pipe().expect("a pipe"));
        Descriptors {
            input: input.into(),
            report: report.into(),
        }
        .send(&ours)
        .expect("sent");
        (&ours).write_all(b"order").expect("written");
        drop(ours);

        let received = Descriptors::receive(&theirs).expect("received");
        let mut rest = String::new();
        (&theirs).read_to_string(&mut rest).expect("the rest");
        assert_eq!(rest, "order");
        feed.write_all(b"input").expect("written");
        drop(feed);
        File::from(received.input)
            .read_to_string(&mut rest)
            .expect("the input");
        assert_eq!(rest, "orderinput");
        File::from(received.report)
            .write_all(b"no")
            .expect("written");
        assert_eq!(
            read_report(answer.into()).expect("a report").as_deref(),
            Some("no")
        );
    }

    #[test]
    fn a_report_that_is_closed_in_silence_is_none() {
        let (answer, report) = pipe().expect("a pipe");
        drop(report);
        assert_eq!(read_report(answer.into()).expect("a report"), None);
    }
}
