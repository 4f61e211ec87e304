//! Takes questions for names to this machine's resolvers, and their answers back. Both pass
//! unread, but for the two bytes by which an answer belongs to a question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Where resolvers listen.
pub(super) const RESOLVER_PORT: u16 = 53;

/// Answers the questions that arrive at `socket`, by tasks of `tasks`, until `stopping`.
pub(super) async fn serve(socket: UdpSocket, tasks: TaskTracker, stopping: CancellationToken) {
    let (socket, slots) = (Arc::new(socket), Arc::new(Semaphore::new(MOST_QUESTIONS)));
    let mut message = vec![0; LONGEST_MESSAGE];
    // Cancel-safe: a message is received as a whole or not at all.
    while let Some(received) = stopping
        .run_until_cancelled(socket.recv_from(&mut message))
        .await
    {
        let (length, asker) = match received {
            Ok(received) => received,
            Err(error) => {
                warn!(%error, "cannot receive a question for a name, trying again");
                sleep(PAUSE).await;
                continue;
            }
        };
        // Beyond the limit a question is lost, as on a busy network: it is asked again.
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            debug!("a question for a name is dropped: {MOST_QUESTIONS} are open already");
            continue;
        };
        let question = message.get(..length).unwrap_or_default().to_vec();
        let (socket, stopping) = (Arc::clone(&socket), stopping.clone());
        tasks.spawn(async move {
            let resolvers = known().await;
            let asked = stopping.run_until_cancelled(ask(&resolvers, &question));
            if let Some(Some(answer)) = asked.await {
                // An asker that is gone needs no answer.
                let _ = socket.send_to(&answer, asker).await;
            }
            drop(slot);
        });
    }
}

/// The resolvers of this machine. They are read anew each time: another network has others.
pub(super) async fn known() -> Vec<SocketAddr> {
    let file = tokio::fs::read_to_string(RESOLV_CONF).await;
    named_in(&file.unwrap_or_default())
}

/// resolv.conf(5): at most three, in their order, and the machine itself where there are none.
fn named_in(file: &str) -> Vec<SocketAddr> {
    let lines = file.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let is_name_server = words.next() == Some("nameserver");
        words.next().filter(|_| is_name_server)?.parse().ok()
    });
    let mut addresses: Vec<IpAddr> = lines.take(MOST_RESOLVERS).collect();
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    let addresses = addresses.into_iter();
    addresses
        .map(|address| SocketAddr::new(address, RESOLVER_PORT))
        .collect()
}

/// Asks one after another, until one answers.
async fn ask(resolvers: &[SocketAddr], question: &[u8]) -> Option<Vec<u8>> {
    for resolver in resolvers {
        match timeout(ANSWER_LIMIT, ask_one(*resolver, question)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => debug!(%resolver, %error, "a resolver cannot be asked"),
            Err(_) => debug!(%resolver, "a resolver does not answer"),
        }
    }
    None
}

async fn ask_one(resolver: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let own: IpAddr = match resolver {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question, and nobody else's messages.
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(resolver).await?;
    socket.send(question).await?;
    let mut answer = vec![0; LONGEST_MESSAGE];
    loop {
        let length = socket.recv(&mut answer).await?;
        if answer.get(..length.min(ID)) == question.get(..ID) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// As many as the C library asks (`MAXNS`).
const MOST_RESOLVERS: usize = 3;

/// The identifier at the start of each message (RFC 1035, 4.1.1).
const ID: usize = 2;

/// The longest that fits in a datagram.
const LONGEST_MESSAGE: usize = 65_535;

/// Programs ask again after five seconds; by then, the second resolver has been asked.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Far more than any program asks at once; each takes a descriptor for as long as it is open.
const MOST_QUESTIONS: usize = 128;

/// An error of a listening UDP socket is a lack of memory, which takes a moment.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_those_of_the_file() {
        let all = "# nameserver 1.1.1.1\nsearch example.com\nnameserver 192.0.2.1\nnameserver\t::1 # own\n\
                   nameserver nonsense\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        let expected = ["192.0.2.1:53", "[::1]:53", "192.0.2.3:53"];
        assert_eq!(named_in(all), expected.map(|one| one.parse().unwrap()));
        assert_eq!(named_in(""), ["127.0.0.1:53".parse().unwrap()]);
    }

    /// The first resolver refuses, the second one sends somebody else's answer before its own.
    #[tokio::test]
    async fn the_next_resolver_is_asked_and_foreign_answers_are_passed_over() {
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let refusing = closed.local_addr().unwrap();
        drop(closed);
        let resolver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolvers = [refusing, resolver.local_addr().unwrap()];
        let answering = async {
            let mut question = [0; 16];
            let (length, asker) = resolver.recv_from(&mut question).await.unwrap();
            assert_eq!(&question[..length], b"\x12\x34 who?");
            resolver.send_to(b"\x12\x35 she", asker).await.unwrap();
            resolver.send_to(b"\x12\x34 me", asker).await.unwrap();
        };
        let (answer, ()) = tokio::join!(ask(&resolvers, b"\x12\x34 who?"), answering);
        assert_eq!(answer.unwrap(), b"\x12\x34 me");
    }
}
