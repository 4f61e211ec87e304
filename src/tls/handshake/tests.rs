use std::time::SystemTime;

use bytes::Bytes;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::record::{Host, HostPattern, Label as _, LeafResult};
use crate::tls::authority::Authority;
use crate::tls::hello::HelloReader;
use crate::tls::leaf::Leaves;
use crate::tls::read_ahead::ReadAhead;

const HOST: &str = "api.example.com";

fn gravimeter() -> (TempDir, Arc<Authority>, Leaves) {
    let folder = tempfile::tempdir().expect("temp");
    let permitted = [HostPattern::parse("*.example.com").expect("pattern")];
    let (own, _) =
        Authority::load_or_create(&folder.path().join("ca"), &permitted, SystemTime::now())
            .expect("CA");
    let own = Arc::new(own);
    let leaves = Leaves::new(Arc::clone(&own)).expect("leaves");
    (folder, own, leaves)
}

fn agent(
    trusted: Option<&Authority>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    if let Some(authority) = trusted {
        roots
            .add(
                CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes())
                    .expect("PEM"),
            )
            .expect("root");
    }
    ClientConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connect"), far.expect("accept").0)
}

/// An agent's connection, from its hello to the echo of what it sends; the agent's verdict comes
/// second.
async fn meet(
    leaves: &Leaves,
    agent: &Arc<ClientConfig>,
    host: &str,
    alpn: Option<&[u8]>,
) -> (
    Result<Handshake, HandshakeFailure>,
    Result<Vec<u8>, std::io::Error>,
) {
    let (near, mut far) = pair().await;
    let name = ServerName::try_from(host.to_owned()).expect("name");
    let agent = async {
        let mut stream = TlsConnector::from(Arc::clone(agent))
            .connect(name, near)
            .await?;
        stream.write_all(b"ping").await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    };
    let gravimeter = async {
        let mut reader = HelloReader::new(Bytes::new());
        let hello = reader.read(&mut far).await.expect("hello");
        let sni = hello.sni.expect("SNI");
        let (config, _) = leaves.server_config(&sni, alpn).await.expect("config");
        let (mut stream, handshake) =
            accept(ReadAhead::new(reader.into_bytes(), far), config).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), alpn);
        let mut request = Vec::new();
        stream.read_to_end(&mut request).await.expect("request");
        stream.write_all(&request).await.expect("echo");
        stream.shutdown().await.expect("shutdown");
        Ok(handshake)
    };
    tokio::join!(gravimeter, agent)
}

#[tokio::test]
async fn an_agent_that_trusts_the_ca_is_served_and_resumes() {
    let (_folder, own, leaves) = gravimeter();
    for (version, expected) in [
        (&rustls::version::TLS12, TlsVersion::Tls12),
        (&rustls::version::TLS13, TlsVersion::Tls13),
    ] {
        let mut config = agent(Some(&own), &[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let config = Arc::new(config);
        for resumed in [false, true] {
            let (handshake, answer) = meet(&leaves, &config, HOST, Some(b"h2")).await;
            let handshake = handshake.expect("handshake");
            assert_eq!(
                (handshake.side, handshake.version, handshake.resumed),
                (Side::Agent, expected, resumed)
            );
            assert_eq!(answer.expect("answer"), b"ping");
        }
        let (handshake, _) = meet(&leaves, &config, "other.example.com", Some(b"h2")).await;
        assert!(
            !handshake.expect("handshake").resumed,
            "a session belongs to one name"
        );
    }
    let (_, result) = leaves
        .server_config(&Host::parse(HOST).expect("host"), None)
        .await
        .expect("config");
    assert_eq!(result, LeafResult::Cached, "one leaf served all of them");
}

#[tokio::test]
async fn an_agent_that_does_not_trust_the_ca_is_named() {
    let (_folder, _, leaves) = gravimeter();
    let stranger = Arc::new(agent(None, crate::tls::VERSIONS));
    let (handshake, answer) = meet(&leaves, &stranger, HOST, None).await;
    assert_eq!(handshake, Err(HandshakeFailure::UnknownCa));
    assert!(answer.is_err());
}

#[tokio::test]
async fn an_agent_that_goes_away_or_talks_nonsense_is_named() {
    let (_folder, _, leaves) = gravimeter();
    let (config, _) = leaves
        .server_config(&Host::parse(HOST).expect("host"), None)
        .await
        .expect("config");
    for (bytes, expected) in [
        (&b""[..], HandshakeFailure::Closed),
        (b"\x16\x03\x01", HandshakeFailure::Closed),
        (b"GET / HTTP/1.1\r\n\r\n", HandshakeFailure::Protocol),
        (
            &[21, 3, 3, 0, 2, 2, 42],
            HandshakeFailure::BadCertificateAlert,
        ),
    ] {
        let (mut near, far) = pair().await;
        near.write_all(bytes).await.expect("write");
        near.shutdown().await.expect("shutdown");
        let failure = accept(far, Arc::clone(&config))
            .await
            .expect_err("no handshake");
        assert_eq!(failure, expected, "{bytes:?}");
    }
}

#[tokio::test]
async fn every_refusal_is_an_alert_that_a_tls_library_reads() {
    let agent = Arc::new(agent(None, crate::tls::VERSIONS));
    for reason in HandshakeFailure::ALL {
        let (near, mut far) = pair().await;
        let name = ServerName::try_from(HOST).expect("name");
        let refuse = async {
            HelloReader::new(Bytes::new())
                .read(&mut far)
                .await
                .expect("hello");
            far.write_all(&refusal_alert(*reason)).await.expect("alert");
        };
        let (answer, ()) = tokio::join!(
            TlsConnector::from(Arc::clone(&agent)).connect(name, near),
            refuse
        );
        let error = answer.expect_err("refused");
        let error = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>());
        assert_eq!(
            error,
            Some(&rustls::Error::AlertReceived(refusal(*reason))),
            "{reason}"
        );
    }
}

#[test]
fn refusals_say_why() {
    for (reason, code) in [
        (HandshakeFailure::Expired, 45),
        (HandshakeFailure::Untrusted, 48),
        (HandshakeFailure::WrongHost, 46),
        (HandshakeFailure::WeakSignature, 42),
        (HandshakeFailure::OwnCa, 49),
        (HandshakeFailure::Timeout, 80),
    ] {
        assert_eq!(refusal_alert(reason), [21, 3, 3, 0, 2, 2, code], "{reason}");
    }
}
