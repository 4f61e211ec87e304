use std::process::{Command, Output};

use futures_util::future::join_all;
use tempfile::TempDir;

use super::*;
use crate::record::HostPattern;

fn host(text: &str) -> Host {
    Host::parse(text).expect("host")
}

struct Gravimeter {
    folder: TempDir,
    leaves: Leaves,
}

/// A CA for `example.com` and what is below it.
fn gravimeter(now: SystemTime) -> Gravimeter {
    let folder = tempfile::tempdir().expect("temp");
    let permitted = [HostPattern::parse("*.example.com").expect("pattern")];
    let (authority, _) =
        Authority::load_or_create(&folder.path().join("ca"), &permitted, now).expect("CA");
    Gravimeter {
        leaves: Leaves::new(Arc::new(authority)).expect("leaves"),
        folder,
    }
}

fn der(leaf: &Leaf) -> &[u8] {
    leaf.certified.cert.first().expect("a certificate")
}

impl Gravimeter {
    fn openssl(&self, leaf: &Leaf, arguments: &[&str]) -> Output {
        let file = self.folder.path().join("leaf.pem");
        std::fs::write(&file, pem::encode(&pem::Pem::new("CERTIFICATE", der(leaf))))
            .expect("write");
        Command::new("openssl")
            .current_dir(self.folder.path())
            .args(arguments)
            .output()
            .expect("openssl")
    }

    fn verify(&self, leaf: &Leaf, host: &str) -> Output {
        let purpose = [
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-CAfile",
            "ca/ca.pem",
            "-verify_hostname",
        ];
        self.openssl(leaf, &[&purpose[..], &[host, "leaf.pem"]].concat())
    }
}

#[tokio::test]
async fn a_leaf_is_for_one_host_and_one_use() {
    let gravimeter = gravimeter(SystemTime::now());
    let (leaf, _) = gravimeter
        .leaves
        .leaf(&host("api.example.com"), SystemTime::now())
        .await
        .expect("leaf");
    let text = gravimeter
        .openssl(&leaf, &["x509", "-noout", "-text", "-in", "leaf.pem"])
        .stdout;
    let text = String::from_utf8(text).expect("text");
    for expected in [
        "X509v3 Subject Alternative Name: \n                DNS:api.example.com\n",
        "X509v3 Extended Key Usage: \n                TLS Web Server Authentication\n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Basic Constraints: critical\n                CA:FALSE",
        "Subject: O = Gravimeter\n",
        "NIST CURVE: P-256",
    ] {
        assert!(text.contains(expected), "{expected:?} in {text}");
    }
    let (_, parsed) = x509_parser::parse_x509_certificate(der(&leaf)).expect("parsed");
    let validity = parsed.validity();
    let life = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert_eq!(life, 7 * 86_400 + 3_600);
    assert!(parsed.raw_serial().len() * 8 >= 64);
    assert_ne!(
        parsed.public_key().raw,
        gravimeter.leaves.authority.subject_public_key_info(),
        "a key of its own"
    );
    let (other, _) = gravimeter
        .leaves
        .leaf(&host("b.example.com"), SystemTime::now())
        .await
        .expect("leaf");
    let (_, other) = x509_parser::parse_x509_certificate(der(&other)).expect("parsed");
    assert_ne!(parsed.raw_serial(), other.raw_serial());
}

#[tokio::test]
async fn openssl_accepts_the_leaf_for_its_host_alone() {
    let gravimeter = gravimeter(SystemTime::now());
    let (leaf, _) = gravimeter
        .leaves
        .leaf(&host("api.example.com"), SystemTime::now())
        .await
        .expect("leaf");
    let output = gravimeter.verify(&leaf, "api.example.com");
    assert!(output.status.success(), "{output:?}");
    assert!(
        !gravimeter.verify(&leaf, "www.example.com").status.success(),
        "another name"
    );
}

/// The CA's constraints permit everything below `example.com`, its pattern one label more.
#[tokio::test]
async fn no_leaf_is_minted_outside_the_patterns() {
    let gravimeter = gravimeter(SystemTime::now());
    for outside in [
        "example.com",
        "a.b.example.com",
        "evil.example",
        "example.com.evil.example",
        "evilexample.com",
    ] {
        let error = gravimeter
            .leaves
            .leaf(&host(outside), SystemTime::now())
            .await
            .expect_err(outside);
        assert!(
            matches!(error, LeafError::Mint(SignError::NotPermitted)),
            "{outside}: {error}"
        );
    }
    let mut params = x509::params(SUBJECT, SystemTime::now(), SystemTime::now() + DAY);
    for names in [
        vec![],
        vec![SanType::IpAddress([192, 0, 2, 1].into())],
        vec![dns("api.example.com"), dns("evil.example")],
        vec![dns("*.example.com")],
    ] {
        params.subject_alt_names = names;
        let signed = gravimeter
            .leaves
            .authority
            .sign(&params, &gravimeter.leaves.key);
        assert!(
            matches!(signed, Err(SignError::NotPermitted)),
            "{:?}",
            params.subject_alt_names
        );
    }
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a name"))
}

#[tokio::test]
async fn whoever_asks_at_the_same_time_gets_one_leaf() {
    let gravimeter = gravimeter(SystemTime::now());
    let (name, now) = (host("api.example.com"), SystemTime::now());
    let leaves = join_all((0..64).map(|_| gravimeter.leaves.leaf(&name, now))).await;
    let leaves: Vec<_> = leaves.into_iter().map(|leaf| leaf.expect("leaf")).collect();
    assert_eq!(
        leaves
            .iter()
            .filter(|(_, result)| *result == LeafResult::Minted)
            .count(),
        1
    );
    assert!(
        leaves
            .iter()
            .all(|(leaf, _)| der(leaf) == der(&leaves[0].0))
    );
}

#[tokio::test]
async fn a_leaf_outside_its_life_is_minted_again() {
    let made = SystemTime::now();
    let gravimeter = gravimeter(made);
    let name = host("api.example.com");
    let minute = Duration::from_secs(60);
    for (now, expected) in [
        (made, LeafResult::Minted),
        (made + minute, LeafResult::Cached),
        (made - BACKDATE, LeafResult::Cached),
        (made + REUSE - minute, LeafResult::Cached),
        (made + REUSE, LeafResult::Minted),
        (made, LeafResult::Minted),
        (made - BACKDATE - minute, LeafResult::Minted),
    ] {
        let (leaf, result) = gravimeter.leaves.leaf(&name, now).await.expect("leaf");
        assert_eq!(result, expected, "{:?}", now.duration_since(made));
        assert!(leaf.serves(now));
    }
}

#[tokio::test]
async fn no_leaf_outlives_the_ca() {
    let gravimeter = gravimeter(SystemTime::now());
    let (name, end) = (
        host("api.example.com"),
        gravimeter.leaves.authority.not_after(),
    );
    let (leaf, _) = gravimeter
        .leaves
        .leaf(&name, end - DAY)
        .await
        .expect("leaf");
    let (_, parsed) = x509_parser::parse_x509_certificate(der(&leaf)).expect("parsed");
    let (_, ca) =
        x509_parser::pem::parse_x509_pem(gravimeter.leaves.authority.certificate_pem().as_bytes())
            .expect("PEM");
    assert_eq!(
        parsed.validity().not_after,
        ca.parse_x509().expect("CA").validity().not_after
    );
    let error = gravimeter
        .leaves
        .leaf(&name, end)
        .await
        .expect_err("expired");
    assert!(matches!(error, LeafError::AuthorityExpired), "{error}");
    let (_, result) = gravimeter
        .leaves
        .leaf(&name, end - DAY)
        .await
        .expect("a failure is not kept");
    assert_eq!(result, LeafResult::Minted);
}

#[tokio::test]
async fn a_flood_of_names_does_not_grow_the_cache() {
    let gravimeter = gravimeter(SystemTime::now());
    for number in 0..3 * MAX_LEAVES {
        gravimeter
            .leaves
            .leaf(&host(&format!("h{number}.example.com")), SystemTime::now())
            .await
            .expect("leaf");
    }
    gravimeter.leaves.cache.run_pending_tasks().await;
    assert!(
        gravimeter.leaves.cache.entry_count() <= MAX_LEAVES,
        "{}",
        gravimeter.leaves.cache.entry_count()
    );
}

#[tokio::test]
async fn the_configuration_offers_the_given_protocol_or_none() {
    let gravimeter = gravimeter(SystemTime::now());
    let name = host("api.example.com");
    let (with, first) = gravimeter
        .leaves
        .server_config(&name, Some(b"h2"))
        .await
        .expect("config");
    let (without, second) = gravimeter
        .leaves
        .server_config(&name, None)
        .await
        .expect("config");
    assert_eq!(with.alpn_protocols, [b"h2".to_vec()]);
    assert!(without.alpn_protocols.is_empty());
    assert_eq!((first, second), (LeafResult::Minted, LeafResult::Cached));
    assert!(
        !with.key_log.will_log("CLIENT_RANDOM"),
        "SSLKEYLOGFILE is not honoured"
    );
}
