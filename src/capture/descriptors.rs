//! Open file descriptors on their way through a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Sends copies through a Unix socket, at most [`MOST_DESCRIPTORS`] at once. Blocks as little as the
/// socket does: a full one is [`io::ErrorKind::WouldBlock`].
///
/// # Errors
/// The operating system's, or too many descriptors.
pub(crate) fn send_descriptors(
    socket: impl AsFd,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if descriptors.len() > MOST_DESCRIPTORS
        || !ancillary.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::Error::other("there is no room for the descriptors"));
    }
    let carrier = [IoSlice::new(&[CARRIER])];
    sendmsg(socket, &carrier, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes what one [`send_descriptors`] has sent, in its order, and nothing behind it. No program
/// that is executed later inherits them.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] for anything that is not descriptors, and the operating
/// system's.
pub(crate) fn receive_descriptors(socket: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut carrier = [0];
    let mut space = [MaybeUninit::uninit(); SPACE];
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
    let descriptors: Vec<_> = messages.flatten().collect();
    if descriptors.is_empty() || carrier != [CARRIER] {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(descriptors)
}

/// The most that travel at once: two namespaces and a listener for each IP family.
const MOST_DESCRIPTORS: usize = 4;

const SPACE: usize = rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS));

/// Descriptors travel with at least one byte.
const CARRIER: u8 = b'F';

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Write as _, pipe};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn descriptors_arrive_in_order_and_what_follows_is_left() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ((first, mut feed), (second, mut other)) = (pipe().unwrap(), pipe().unwrap());
        send_descriptors(&ours, &[first.as_fd(), second.as_fd()]).unwrap();
        (&ours).write_all(b"order").unwrap();
        drop(ours);
        let received = receive_descriptors(&theirs).unwrap();
        let mut rest = String::new();
        (&theirs).read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "order");
        feed.write_all(b"one").unwrap();
        other.write_all(b"two").unwrap();
        drop((feed, other));
        let texts = received.into_iter().map(|descriptor| {
            let mut text = String::new();
            File::from(descriptor).read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn bytes_without_descriptors_are_refused() {
        for sent in [&[CARRIER][..], b"x", b""] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            (&ours).write_all(sent).unwrap();
            drop(ours);
            let error = receive_descriptors(&theirs).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{sent:?}");
        }
    }

    #[test]
    fn more_than_fit_are_refused() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let many = [ours.as_fd(); MOST_DESCRIPTORS + 1];
        assert!(send_descriptors(&ours, &many).is_err());
    }
}
