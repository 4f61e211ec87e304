use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::ServerConfig;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::record::{HostPattern, TlsVersion};
use crate::tls::x509::DAY;

type Issuer = CertifiedIssuer<'static, KeyPair>;

const HOST: &str = "api.example.com";

/// What an origin shows.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// A root that Gravimeter trusts, Gravimeter's own CA, and the folder of both.
struct World {
    folder: TempDir,
    own: Authority,
    root: Issuer,
    upstream: Upstream,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temp");
        let permitted = [HostPattern::parse("*.example.com").expect("pattern")];
        let ca = folder.path().join("ca");
        let (own, _) = Authority::load_or_create(&ca, &permitted, SystemTime::now()).expect("CA");
        let root = Issuer::self_signed(ca_params("root", BasicConstraints::Unconstrained), key())
            .expect("root");
        let path = folder.path().join("root.pem");
        std::fs::write(&path, root.pem()).expect("write");
        let upstream = Upstream::new(
            &Config {
                extra_roots: vec![path],
            },
            &own,
        )
        .expect("upstream");
        Self {
            folder,
            own,
            root,
            upstream,
        }
    }

    fn intermediate(&self, params: CertificateParams) -> Issuer {
        Issuer::signed_by(params, key(), &self.root).expect("intermediate")
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("key")
}

fn ca_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
    )
    .expect("names")
}

/// A leaf of `issuer`, shown with the certificates in `rest`.
fn identity(
    params: &CertificateParams,
    issuer: &Issuer,
    rest: &[&CertificateDer<'static>],
) -> Identity {
    let key = key();
    let leaf = params.signed_by(&key, issuer).expect("leaf").der().clone();
    let chain = std::iter::once(leaf)
        .chain(rest.iter().map(|each| (*each).clone()))
        .collect();
    Identity {
        chain,
        key: PrivateKeyDer::try_from(key.serialize_der()).expect("key"),
    }
}

fn server(identity: Identity) -> ServerConfig {
    let signing = crate::tls::provider()
        .key_provider
        .load_private_key(identity.key)
        .expect("key");
    // Straight to the resolver, past the checks that keep an honest server from showing nonsense.
    let resolver = SingleCertAndKey::from(CertifiedKey::new(identity.chain, signing));
    ServerConfig::builder_with_provider(crate::tls::provider())
        .with_protocol_versions(crate::tls::VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

/// What both sides saw: Gravimeter's answer, and how many plaintext bytes reached the origin.
struct Seen {
    answer: Result<Handshake, HandshakeFailure>,
    alpn: Option<Vec<u8>>,
    origin_bytes: usize,
}

async fn meet(upstream: &Upstream, config: ServerConfig, host: &str, alpn: &[&[u8]]) -> Seen {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let origin = async {
        let (tcp, _) = listener.accept().await.expect("accept");
        let Ok(mut stream) = acceptor.accept(tcp).await else {
            return 0;
        };
        let mut bytes = Vec::new();
        // A tail without close_notify is an error after the bytes have been read, and no matter
        // here.
        let _ = stream.read_to_end(&mut bytes).await;
        bytes.len()
    };
    let gravimeter = async {
        let tcp = TcpStream::connect(address).await.expect("connect");
        let alpn: Vec<_> = alpn.iter().map(|name| name.to_vec()).collect();
        let verified = upstream
            .handshake(tcp, &Host::parse(host).expect("host"), &alpn)
            .await?;
        let outcome = (verified.handshake(), verified.alpn().map(<[u8]>::to_vec));
        let mut stream = verified.into_stream();
        stream.write_all(b"ping").await.expect("write");
        stream.shutdown().await.expect("shutdown");
        // Session tickets come after the handshake.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(outcome)
    };
    let (answer, origin_bytes) = tokio::join!(gravimeter, origin);
    let alpn = answer.as_ref().ok().and_then(|(_, alpn)| alpn.clone());
    Seen {
        answer: answer.map(|(handshake, _)| handshake),
        alpn,
        origin_bytes,
    }
}

async fn expect_refusal(world: &World, what: &str, identity: Identity, expected: HandshakeFailure) {
    let seen = meet(&world.upstream, server(identity), HOST, &[]).await;
    assert_eq!(seen.answer, Err(expected), "{what}");
    assert_eq!(seen.origin_bytes, 0, "{what}: not one byte of a request");
}

#[tokio::test]
async fn a_good_chain_is_verified_and_carries_bytes() {
    let world = World::new();
    let direct = identity(&leaf_params(&[HOST]), &world.root, &[]);
    let seen = meet(&world.upstream, server(direct), HOST, &[]).await;
    let handshake = seen.answer.expect("verified");
    assert_eq!(
        (handshake.side, handshake.version, handshake.resumed),
        (Side::Upstream, TlsVersion::Tls13, false)
    );
    assert_eq!(seen.origin_bytes, 4);
    let intermediate =
        world.intermediate(ca_params("intermediate", BasicConstraints::Constrained(0)));
    let wildcard = identity(
        &leaf_params(&["*.example.com"]),
        &intermediate,
        &[intermediate.der()],
    );
    let seen = meet(&world.upstream, server(wildcard), HOST, &[]).await;
    assert_eq!(
        (
            seen.answer.map(|handshake| handshake.side),
            seen.origin_bytes
        ),
        (Ok(Side::Upstream), 4)
    );
}

#[tokio::test]
async fn a_bad_leaf_is_refused_by_name() {
    let world = World::new();
    let leaf = |change: fn(&mut CertificateParams)| {
        let mut params = leaf_params(&[HOST]);
        change(&mut params);
        identity(&params, &world.root, &[])
    };
    let table: [(&str, Identity, HandshakeFailure); 10] = [
        (
            "expired",
            leaf(|p| p.not_after = (SystemTime::now() - DAY).into()),
            HandshakeFailure::Expired,
        ),
        (
            "not yet valid",
            leaf(|p| p.not_before = (SystemTime::now() + DAY).into()),
            HandshakeFailure::NotYetValid,
        ),
        (
            "client EKU",
            leaf(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            HandshakeFailure::InvalidPurpose,
        ),
        (
            "a CA as leaf",
            leaf(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            HandshakeFailure::InvalidPurpose,
        ),
        ("CN only", leaf(cn_only), HandshakeFailure::WrongHost),
        (
            "wrong host",
            identity(&leaf_params(&["other.example.com"]), &world.root, &[]),
            HandshakeFailure::WrongHost,
        ),
        (
            "wildcard too high",
            identity(&leaf_params(&["*.com"]), &world.root, &[]),
            HandshakeFailure::WrongHost,
        ),
        (
            "wildcard too deep",
            identity(&leaf_params(&["*.api.example.com"]), &world.root, &[]),
            HandshakeFailure::WrongHost,
        ),
        (
            "IP address only",
            identity(&leaf_params(&["127.0.0.1"]), &world.root, &[]),
            HandshakeFailure::WrongHost,
        ),
        (
            "garbage",
            Identity {
                chain: vec![vec![0x30, 0x03, 1, 2, 3].into()],
                ..leaf(|_| {})
            },
            HandshakeFailure::BadEncoding,
        ),
    ];
    for (what, identity, expected) in table {
        expect_refusal(&world, what, identity, expected).await;
    }
}

fn cn_only(params: &mut CertificateParams) {
    params.subject_alt_names.clear();
    params.distinguished_name.push(DnType::CommonName, HOST);
}

#[tokio::test]
async fn a_bad_chain_is_refused_by_name() {
    let world = World::new();
    let stranger = Issuer::self_signed(
        ca_params("stranger", BasicConstraints::Unconstrained),
        key(),
    )
    .expect("root");
    let impostor = Issuer::self_signed(ca_params("root", BasicConstraints::Unconstrained), key())
        .expect("root");
    let good = world.intermediate(ca_params("good", BasicConstraints::Unconstrained));
    let narrow = world.intermediate(ca_params("narrow", BasicConstraints::Constrained(0)));
    let below = Issuer::signed_by(
        ca_params("below", BasicConstraints::Unconstrained),
        key(),
        &narrow,
    )
    .expect("below");
    let mut params = ca_params("no CA", BasicConstraints::Unconstrained);
    params.is_ca = IsCa::ExplicitNoCa;
    let no_ca = world.intermediate(params);
    let mut params = ca_params("elsewhere", BasicConstraints::Unconstrained);
    let elsewhere = GeneralSubtree::DnsName("elsewhere.example".to_owned());
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![elsewhere],
        excluded_subtrees: vec![],
    });
    let elsewhere = world.intermediate(params);
    let mut params = ca_params("old", BasicConstraints::Unconstrained);
    params.not_after = (SystemTime::now() - DAY).into();
    let old = world.intermediate(params);
    let leaf = leaf_params(&[HOST]);
    let own_key = key();
    let self_signed = Identity {
        chain: vec![leaf.self_signed(&own_key).expect("leaf").der().clone()],
        key: PrivateKeyDer::try_from(own_key.serialize_der()).expect("key"),
    };
    let long: Vec<_> = std::iter::repeat_n(good.der(), 100).collect();
    let table = [
        ("self-signed", self_signed, HandshakeFailure::Untrusted),
        (
            "untrusted root",
            identity(&leaf, &stranger, &[stranger.der()]),
            HandshakeFailure::Untrusted,
        ),
        (
            "a root's name, another key",
            identity(&leaf, &impostor, &[]),
            HandshakeFailure::WeakSignature,
        ),
        (
            "missing intermediate",
            identity(&leaf, &good, &[]),
            HandshakeFailure::Untrusted,
        ),
        (
            "intermediate is no CA",
            identity(&leaf, &no_ca, &[no_ca.der()]),
            HandshakeFailure::InvalidPurpose,
        ),
        (
            "path too long",
            identity(&leaf, &below, &[below.der(), narrow.der()]),
            HandshakeFailure::InvalidPurpose,
        ),
        (
            "outside the constraints",
            identity(&leaf, &elsewhere, &[elsewhere.der()]),
            HandshakeFailure::InvalidPurpose,
        ),
        (
            "expired intermediate",
            identity(&leaf, &old, &[old.der()]),
            HandshakeFailure::Expired,
        ),
        (
            "a hundred strangers",
            identity(&leaf, &stranger, &long),
            HandshakeFailure::Untrusted,
        ),
    ];
    for (what, identity, expected) in table {
        expect_refusal(&world, what, identity, expected).await;
    }
}

/// Rows that rcgen cannot make: the openssl program does.
#[tokio::test]
async fn weak_and_ancient_certificates_are_refused_by_name() {
    let world = World::new();
    let at = |name: &str| world.folder.path().join(name);
    std::fs::write(at("root.key"), world.root.key().serialize_pem()).expect("write");
    std::fs::write(at("san.ext"), format!("subjectAltName=DNS:{HOST}\n")).expect("write");
    for (what, newkey, digest, extensions, expected) in [
        (
            "RSA-1024",
            "rsa:1024",
            "-sha256",
            true,
            HandshakeFailure::WeakSignature,
        ),
        (
            "SHA-1 signature",
            "rsa:2048",
            "-sha1",
            true,
            HandshakeFailure::WeakSignature,
        ),
        (
            "X.509v1",
            "rsa:2048",
            "-sha256",
            false,
            HandshakeFailure::BadEncoding,
        ),
    ] {
        let subject = [
            "req", "-new", "-nodes", "-subj", "/CN=weak", "-keyout", "weak.key", "-out",
            "weak.csr", "-newkey",
        ];
        openssl(world.folder.path(), &[&subject[..], &[newkey]].concat());
        let sign = [
            "x509",
            "-req",
            "-in",
            "weak.csr",
            "-CA",
            "root.pem",
            "-CAkey",
            "root.key",
            "-set_serial",
            "7",
            "-days",
            "2",
        ];
        let extended: &[&str] = if extensions {
            &["-extfile", "san.ext"]
        } else {
            &[]
        };
        openssl(
            world.folder.path(),
            &[&sign[..], &[digest, "-out", "weak.pem"], extended].concat(),
        );
        let chain = vec![CertificateDer::from_pem_file(at("weak.pem")).expect("certificate")];
        let key = PrivateKeyDer::from_pem_file(at("weak.key")).expect("key");
        if newkey == "rsa:1024" {
            // rustls itself refuses to serve with such a key, so openssl does.
            let answer = meet_openssl(
                &world,
                &[
                    "-cert",
                    "weak.pem",
                    "-key",
                    "weak.key",
                    "-cipher",
                    "DEFAULT@SECLEVEL=0",
                ],
            )
            .await;
            assert_eq!(answer, Err(expected), "{what}");
        } else {
            expect_refusal(&world, what, Identity { chain, key }, expected).await;
        }
    }
}

#[tokio::test]
async fn versions_before_tls_12_are_refused() {
    let world = World::new();
    let leaf_key = key();
    let leaf = leaf_params(&[HOST])
        .signed_by(&leaf_key, &world.root)
        .expect("leaf");
    std::fs::write(world.folder.path().join("leaf.pem"), leaf.pem()).expect("write");
    std::fs::write(
        world.folder.path().join("leaf.key"),
        leaf_key.serialize_pem(),
    )
    .expect("write");
    let serve =
        |extra: &[&'static str]| [&["-cert", "leaf.pem", "-key", "leaf.key"], extra].concat();
    for version in ["-tls1", "-tls1_1"] {
        let answer = meet_openssl(&world, &serve(&[version, "-cipher", "ALL:@SECLEVEL=0"])).await;
        assert_eq!(answer, Err(HandshakeFailure::Incompatible), "{version}");
    }
    let weak = meet_openssl(
        &world,
        &serve(&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]),
    )
    .await;
    assert_eq!(
        weak,
        Err(HandshakeFailure::Incompatible),
        "no forward secrecy, no AEAD"
    );
    let good = meet_openssl(&world, &serve(&["-tls1_2"]))
        .await
        .expect("TLS 1.2 is spoken");
    assert_eq!(good.version, TlsVersion::Tls12);
}

/// A handshake with `openssl s_server`.
async fn meet_openssl(world: &World, arguments: &[&str]) -> Result<Handshake, HandshakeFailure> {
    let mut child = tokio::process::Command::new("openssl")
        .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1"])
        .args(arguments)
        .current_dir(world.folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl");
    let mut output = child.stdout.take().expect("stdout");
    let mut text = String::new();
    let address: std::net::SocketAddr = loop {
        if let Some(address) = text
            .lines()
            .filter(|_| text.ends_with('\n'))
            .find_map(|line| line.strip_prefix("ACCEPT "))
        {
            break address.parse().expect("address");
        }
        text.push(char::from(output.read_u8().await.expect("an ACCEPT line")));
    };
    let tcp = TcpStream::connect(address).await.expect("connect");
    let verified = world
        .upstream
        .handshake(tcp, &Host::parse(HOST).expect("host"), &[])
        .await?;
    Ok(verified.handshake())
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn the_own_ca_is_refused_whatever_vouches_for_it() {
    let world = World::new();
    let ca = world.folder.path().join("ca/ca.pem");
    let own_certificate = CertificateDer::from_pem_file(&ca).expect("CA");
    let minted = leaf_params(&[HOST]);
    let leaf_key = key();
    let leaf = world
        .own
        .sign(&minted, &leaf_key)
        .expect("leaf")
        .der()
        .clone();
    // The CA's own key, certified by a root that Gravimeter trusts.
    let own_key = KeyPair::from_pem(
        &std::fs::read_to_string(world.folder.path().join("ca/ca-key.pem")).expect("key"),
    );
    let crossed = Issuer::signed_by(
        ca_params("cross", BasicConstraints::Unconstrained),
        own_key.expect("key"),
        &world.root,
    );
    let crossed = crossed.expect("cross certificate");
    let alone = Identity {
        chain: vec![leaf],
        key: PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("key"),
    };
    let table = [
        ("the leaf alone", alone),
        (
            "beside a chain that is good",
            identity(&minted, &world.root, &[&own_certificate]),
        ),
        (
            "cross-signed by a trusted root",
            identity(&minted, &crossed, &[crossed.der()]),
        ),
    ];
    for (what, identity) in table {
        expect_refusal(&world, what, identity, HandshakeFailure::OwnCa).await;
    }
    let config = Config {
        extra_roots: vec![ca.clone()],
    };
    let error = Upstream::new(&config, &world.own)
        .err()
        .expect("refused")
        .to_string();
    assert!(error.contains(ca.to_str().expect("path")), "{error}");
}

#[tokio::test]
async fn a_ca_that_was_replaced_stays_refused() {
    let world = World::new();
    let folder = world.folder.path().join("ca");
    let (new, _) = Authority::load_or_create(&folder, &[], SystemTime::now()).expect("renewed");
    let upstream = Upstream::new(
        &Config {
            extra_roots: vec![world.folder.path().join("root.pem")],
        },
        &new,
    );
    let world = World {
        upstream: upstream.expect("upstream"),
        ..world
    };
    let leaf_key = key();
    let leaf = world
        .own
        .sign(&leaf_params(&[HOST]), &leaf_key)
        .expect("leaf")
        .der()
        .clone();
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).expect("key");
    expect_refusal(
        &world,
        "an old CA's leaf",
        Identity {
            chain: vec![leaf],
            key,
        },
        HandshakeFailure::OwnCa,
    )
    .await;
}

#[tokio::test]
async fn sessions_are_resumed_and_the_provider_chooses_the_protocol() {
    let world = World::new();
    let mut config = server(identity(&leaf_params(&[HOST]), &world.root, &[]));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let first = meet(&world.upstream, config.clone(), HOST, &[b"http/1.1"]).await;
    assert_eq!(first.alpn.as_deref(), Some(&b"http/1.1"[..]));
    assert!(!first.answer.expect("verified").resumed);
    let second = meet(&world.upstream, config.clone(), HOST, &[b"http/1.1", b"h2"]).await;
    assert_eq!(second.alpn.as_deref(), Some(&b"h2"[..]));
    assert!(second.answer.expect("verified").resumed);
    let none = meet(&world.upstream, config.clone(), HOST, &[]).await;
    assert_eq!((none.answer.is_ok(), none.alpn), (true, None));
    let nothing_shared = meet(&world.upstream, config, HOST, &[b"spdy/3"]).await;
    assert_eq!(nothing_shared.answer, Err(HandshakeFailure::Incompatible));
}

#[tokio::test]
async fn peers_that_speak_no_tls_are_named() {
    let world = World::new();
    for (bytes, expected) in [
        (&b""[..], HandshakeFailure::Closed),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            HandshakeFailure::Protocol,
        ),
        (&[21, 3, 3, 0, 2, 2, 40], HandshakeFailure::Incompatible),
        (&[21, 3, 3, 0, 2, 2, 80], HandshakeFailure::OtherAlert),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let origin = async {
            let (mut tcp, _) = listener.accept().await.expect("accept");
            // The hello is read first: closing a socket with unread bytes would reset it.
            tcp.read_buf(&mut Vec::with_capacity(16 * 1024))
                .await
                .expect("hello");
            tcp.write_all(bytes).await.expect("write");
        };
        let gravimeter = async {
            let tcp = TcpStream::connect(address).await.expect("connect");
            world
                .upstream
                .handshake(tcp, &Host::parse(HOST).expect("host"), &[])
                .await
                .map(|_| ())
        };
        let (answer, ()) = tokio::join!(gravimeter, origin);
        assert_eq!(answer, Err(expected), "{bytes:?}");
    }
}
