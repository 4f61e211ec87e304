//! The socket between the supervisor and `agent-exec`, and the two pipes that travel through it.
//!
//! The socket is the standard input of `agent-exec`: sudo closes every other descriptor. Both sides
//! speak on it, so that standard error stays with sudo and the agent. With its order `agent-exec`
//! gets two descriptors: the agent's own standard input, and the *report*, a pipe that exec closes.
//! An empty report says that the agent runs; anything else says why not. The agent never holds
//! either end of the socket or of the report, and nothing that it prints is taken for a message of
//! `agent-exec`.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

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
        let descriptors = [self.input.as_fd(), self.report.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("there is no room for the descriptors"));
        }
        sendmsg(
            socket,
            &[IoSlice::new(&[CARRIER])],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    /// Takes what [`Descriptors::send`] has sent, and nothing behind it. No program that is
    /// executed later inherits them.
    pub(super) fn receive(socket: impl AsFd) -> io::Result<Self> {
        let mut carrier = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut carrier)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )?;
        let messages = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let mut descriptors = messages.flatten();
        match (descriptors.next(), descriptors.next()) {
            (Some(input), Some(report)) if carrier == [CARRIER] => Ok(Self { input, report }),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
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

/// Descriptors travel with at least one byte.
const CARRIER: u8 = b'F';

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

    #[test]
    fn bytes_without_descriptors_are_refused() {
        for sent in [&[CARRIER][..], b"x", b""] {
            let (ours, theirs) = UnixStream::pair().expect("a socket");
            (&ours).write_all(sent).expect("written");
            drop(ours);
            let error = Descriptors::receive(&theirs)
                .map(|_| ())
                .expect_err("no descriptors");
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{sent:?}");
        }
    }
}
