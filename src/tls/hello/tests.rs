use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::ReadBuf;

use super::*;

/// A real ClientHello, as rustls sends it.
fn client_hello(name: &str, alpn: &[&[u8]]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(crate::tls::VERSIONS)
        .expect("versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).expect("name");
    let mut client = ClientConnection::new(Arc::new(config), name).expect("client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("hello");
    bytes
}

/// A minimal TLS 1.2 ClientHello with these extensions, in one record.
fn handmade(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut listed = Vec::new();
    for (kind, body) in extensions {
        listed.extend_from_slice(&kind.to_be_bytes());
        listed.extend(sized(body));
    }
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.push(0);
    hello.extend(sized(&[0xc0, 0x2b, 0x1a, 0x1a])); // ECDHE-ECDSA-AES128-GCM-SHA256, GREASE
    hello.extend([1, 0]);
    hello.extend(sized(&listed));
    let mut message = vec![1, 0];
    message.extend(sized(&hello));
    record(&message)
}

fn sized(body: &[u8]) -> Vec<u8> {
    [
        &u16::try_from(body.len()).expect("short").to_be_bytes(),
        body,
    ]
    .concat()
}

fn record(fragment: &[u8]) -> Vec<u8> {
    [&[22, 3, 1][..], &sized(fragment)].concat()
}

fn server_name(name: &[u8]) -> Vec<u8> {
    sized(&[&[0][..], &sized(name)].concat())
}

/// `signature_algorithms` with ecdsa_secp256r1_sha256, without which rustls reads no further.
const SIGNATURES: (u16, &[u8]) = (13, &[0, 2, 4, 3]);

/// Gives one chunk a read, then the end; `None` is a moment without data.
struct Chunks(VecDeque<Option<Vec<u8>>>);

impl Chunks {
    fn new<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(
            chunks
                .into_iter()
                .map(|chunk| Some(chunk.to_vec()))
                .collect(),
        )
    }
}

impl AsyncRead for Chunks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.0.pop_front() {
            None => Poll::Ready(Ok(())),
            Some(None) => Poll::Pending,
            Some(Some(mut chunk)) => {
                let rest = chunk.split_off(chunk.len().min(buf.remaining()));
                if !rest.is_empty() {
                    self.0.push_front(Some(rest));
                }
                buf.put_slice(&chunk);
                Poll::Ready(Ok(()))
            }
        }
    }
}

async fn read(bytes: &[u8]) -> Result<Hello, HelloError> {
    HelloReader::new(Bytes::new())
        .read(&mut Chunks::new([bytes]))
        .await
}

fn expected(name: &str) -> Hello {
    let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Hello {
        sni: Some(Host::parse(name).expect("host")),
        alpn,
        has_encrypted_hello: false,
        client: ClientKind::UNKNOWN,
    }
}

/// The hello without the kind of its client.
fn of_anyone(hello: Hello) -> Hello {
    Hello {
        client: ClientKind::UNKNOWN,
        ..hello
    }
}

const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

#[tokio::test]
async fn every_split_gives_the_same_hello_and_keeps_every_byte() {
    let hello = client_hello("api.example.com", ALPN);
    let tail = [&hello[..], b"early data"].concat();
    for split in 0..=hello.len() {
        let (first, second) = tail.split_at(split);
        let mut reader = HelloReader::new(Bytes::copy_from_slice(first));
        let mut chunks = Chunks::new([second].into_iter().filter(|chunk| !chunk.is_empty()));
        assert_eq!(
            of_anyone(reader.read(&mut chunks).await.expect("hello")),
            expected("api.example.com"),
            "split at {split}"
        );
        let kept = reader.bytes().len();
        assert!(
            kept >= hello.len() && tail.starts_with(reader.bytes()),
            "split at {split}: {kept} bytes kept"
        );
        assert_eq!(reader.into_bytes(), tail[..kept]);
    }
    let mut reader = HelloReader::new(Bytes::new());
    let bytewise = reader
        .read(&mut Chunks::new(hello.chunks(1)))
        .await
        .expect("hello");
    assert_eq!(
        (of_anyone(bytewise), reader.bytes()),
        (expected("api.example.com"), &hello[..])
    );
}

#[tokio::test]
async fn connections_of_one_client_are_of_one_kind() {
    let kind = async |name: &str, alpn: &[&[u8]]| {
        let hello = client_hello(name, alpn);
        read(&hello).await.expect("hello").client
    };
    let first = kind("api.example.com", ALPN).await;
    assert_eq!(first, kind("other.example.com", ALPN).await);
    assert_ne!(first, kind("api.example.com", &ALPN[..1]).await);
    assert_ne!(first, ClientKind::UNKNOWN);
}

#[tokio::test]
async fn a_hello_in_many_records_is_read() {
    let hello = client_hello("api.example.com", ALPN);
    let records: Vec<u8> = hello[5..].chunks(1).flat_map(record).collect();
    assert_eq!(
        of_anyone(read(&records).await.expect("hello")),
        expected("api.example.com")
    );
}

#[tokio::test]
async fn a_timeout_loses_nothing() {
    let hello = client_hello("api.example.com", ALPN);
    let (first, second) = hello.split_at(100);
    let mut stream = Chunks([Some(first.to_vec()), None, Some(second.to_vec())].into());
    let mut reader = HelloReader::new(Bytes::new());
    let cut_off = futures_util::poll!(std::pin::pin!(reader.read(&mut stream)));
    assert!(cut_off.is_pending());
    assert_eq!(reader.bytes(), first);
    assert_eq!(
        of_anyone(reader.read(&mut stream).await.expect("hello")),
        expected("api.example.com")
    );
    assert_eq!(reader.bytes(), hello);
}

#[tokio::test]
async fn names_that_are_no_hosts_are_no_names() {
    let long = [b'a'; 300];
    for (name, expected) in [
        (&b"api.example.com"[..], Some("api.example.com")),
        (b"API.Example.COM", Some("api.example.com")),
        (b"under_score.example.com", Some("under_score.example.com")),
        (b"127.0.0.1", None),
        (b"::1", None),
        (b"a\0b.example.com", None),
        (b"a b.example.com", None),
        (b"-a.example.com", None),
        (b"\xff\xfe", None),
        (&long, None),
    ] {
        let hello = read(&handmade(&[SIGNATURES, (0, &server_name(name))])).await;
        let sni = hello
            .unwrap_or_else(|error| panic!("{name:?}: {error:?}"))
            .sni;
        assert_eq!(sni.as_ref().map(Host::as_str), expected, "{name:?}");
    }
}

#[tokio::test]
async fn oddities_that_are_no_faults_are_read() {
    // Outer ECH: cipher suite, configuration, encapsulated key, payload, as browsers send it
    // without any key to use.
    let ech = [&[0, 0, 1, 0, 1, 7][..], &sized(&[9; 32]), &sized(&[9; 144])].concat();
    let grease: &[(u16, &[u8])] = &[(0x0a0a, &[]), SIGNATURES, (0x1a1a, &[0]), (0xfe0d, &ech)];
    let odd = Hello {
        sni: None,
        alpn: Vec::new(),
        has_encrypted_hello: true,
        client: ClientKind::UNKNOWN,
    };
    assert_eq!(
        of_anyone(read(&handmade(grease)).await.expect("GREASE")),
        odd
    );
    let scattered: Vec<u8> = handmade(grease)[5..].chunks(3).flat_map(record).collect();
    assert_eq!(
        of_anyone(read(&scattered).await.expect("GREASE")),
        odd,
        "spread over records"
    );
    let padding = vec![0; 15_000];
    let large = handmade(&[
        SIGNATURES,
        (21, &padding),
        (0, &server_name(b"api.example.com")),
    ]);
    let large = read(&large).await.expect("large");
    assert_eq!(
        (large.sni, large.has_encrypted_hello),
        (Host::parse("api.example.com").ok(), false)
    );
}

#[tokio::test]
async fn what_is_no_tls_is_known_by_its_first_bytes() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"P",
        b"SSH-2.0-x\r\n",
        &[0x80, 0x2e, 1, 3, 1],
        &[22, 2],
        &[0],
    ] {
        let stream = Chunks::new([bytes]);
        let mut stream = Chunks(stream.0.into_iter().chain([None]).collect());
        let mut reader = HelloReader::new(Bytes::new());
        let error = reader.read(&mut stream).await.expect_err("no TLS");
        assert!(matches!(error, HelloError::NotTls), "{bytes:?}: {error:?}");
        assert_eq!(reader.bytes(), bytes, "kept for replay");
    }
    let error = read(&record(&[2, 0, 0, 0]))
        .await
        .expect_err("a ServerHello");
    assert!(matches!(error, HelloError::NotTls), "{error:?}");
}

#[tokio::test]
async fn faults_have_their_names() {
    let error = read(&[]).await.expect_err("nothing");
    assert!(matches!(error, HelloError::Closed), "{error:?}");
    let hello = client_hello("api.example.com", ALPN);
    let error = read(&hello[..hello.len() - 1]).await.expect_err("cut off");
    assert!(matches!(error, HelloError::Closed), "{error:?}");
    let error = read(&record(&[1, 0, 0, 2, 3, 3]))
        .await
        .expect_err("too short");
    assert!(matches!(error, HelloError::Malformed), "{error:?}");
    let error = read(&record(&[1, 0xff, 0xff, 0xff]))
        .await
        .expect_err("16 MiB announced");
    assert!(matches!(error, HelloError::TooLarge), "{error:?}");
    // One byte of payload for five of framing: the message stays small, the bytes do not.
    let flood: Vec<u8> = [1, 0, 0xff, 0]
        .iter()
        .chain(&[0; 20_000])
        .flat_map(|byte| record(&[*byte]))
        .collect();
    let mut reader = HelloReader::new(Bytes::new());
    let error = reader
        .read(&mut Chunks::new([&flood[..]]))
        .await
        .expect_err("a flood");
    assert!(matches!(error, HelloError::TooLarge), "{error:?}");
    assert!(
        reader.bytes().len() <= MAX_HELLO,
        "{}",
        reader.bytes().len()
    );
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn no_bytes_make_the_reader_panic(position in 0_usize..512, byte: u8, tail in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut bytes = client_hello("api.example.com", ALPN);
        let position = position % bytes.len();
        bytes[position] = byte;
        bytes.extend(tail);
        let outcome = futures_util::FutureExt::now_or_never(read(&bytes));
        prop_assert!(outcome.is_some(), "the stream ends, so the answer comes");
    }
}
