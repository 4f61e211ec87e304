//! What the CA's key is worth to a thief: he signs what he likes, and who verifies by the agent's
//! bundle refuses all but the hosts that are intercepted. Asked of rustls-webpki and of openssl.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use gravimeter::record::HostPattern;
use gravimeter::relay;
use gravimeter::tls::authority::{Authority, Origin, RenewReason};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tempfile::TempDir;

struct Thief {
    folder: TempDir,
    ca: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Thief {
    /// Has read the CA's folder.
    fn of(intercept: &[HostPattern]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Authority::load_or_create(&folder.path().join("ca"), intercept, SystemTime::now())
            .expect("a CA");
        let read = |name: &str| {
            std::fs::read_to_string(folder.path().join("ca").join(name)).expect("the thief is root")
        };
        let ca = CertificateDer::from_pem_slice(read("ca.pem").as_bytes()).expect("a certificate");
        let key = KeyPair::from_pem(&read("ca-key.pem")).expect("a key");
        let issuer = Issuer::from_ca_cert_der(&ca, key).expect("an issuer");
        Self { folder, ca, issuer }
    }

    /// Whether both verifiers take the leaf for this host; they must agree.
    fn passes_for(&self, host: &str) -> bool {
        let leaf = leaf(host).signed_by(&key(), &self.issuer).expect("signed");
        self.verified(host, leaf.der(), &[])
    }

    fn verified(
        &self,
        host: &str,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> bool {
        let by_rustls = self.by_rustls(host, leaf, between);
        let by_openssl = self.by_openssl(host, leaf, between);
        assert_eq!(by_rustls, by_openssl, "rustls and openssl differ on {host}");
        by_rustls
    }

    fn by_rustls(
        &self,
        host: &str,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .expect("a verifier");
        let name = ServerName::try_from(host).expect("a name");
        verifier
            .verify_server_cert(leaf, between, &name, &[], UnixTime::now())
            .is_ok()
    }

    fn by_openssl(
        &self,
        host: &str,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> bool {
        let folder = self.folder.path();
        write(&folder.join("leaf.pem"), &[leaf]);
        let purpose = if host.parse::<std::net::IpAddr>().is_ok() {
            "-verify_ip"
        } else {
            "-verify_hostname"
        };
        let mut openssl = Command::new("openssl");
        openssl.current_dir(folder).args([
            "verify",
            "-purpose",
            "sslserver",
            "-no-CApath",
            "-CAfile",
            "ca/ca.pem",
        ]);
        if !between.is_empty() {
            write(
                &folder.join("between.pem"),
                &between.iter().collect::<Vec<_>>(),
            );
            openssl.args(["-untrusted", "between.pem"]);
        }
        openssl
            .args([purpose, host, "leaf.pem"])
            .output()
            .expect("openssl")
            .status
            .success()
    }
}

#[test]
fn by_default_it_signs_for_the_listed_hosts_and_names_below_them() {
    let intercept = relay::Config::default().intercept;
    let thief = Thief::of(&intercept);
    for pattern in &intercept {
        assert!(thief.passes_for(&pattern.to_string()), "{pattern}");
    }
    // Nobody has such names; a name constraint cannot leave them out.
    assert!(thief.passes_for("below.generativelanguage.googleapis.com"));
    for other in [
        "storage.googleapis.com",
        "oauth2.googleapis.com",
        "www.googleapis.com",
        "play.googleapis.com",
        "googleapis.com",
        "evil-cloudcode-pa.googleapis.com",
        "sandbox.googleapis.com",
        "rep.googleapis.com",
        "accounts.google.com",
        "example.com",
        "192.0.2.1",
        "2001:db8::1",
    ] {
        assert!(!thief.passes_for(other), "{other}");
    }
}

#[test]
fn neither_another_ca_nor_a_host_in_the_subject_leads_past_the_constraints() {
    let thief = Thief::of(&relay::Config::default().intercept);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
        .distinguished_name
        .push(DnType::CommonName, "between");
    let between_key = key();
    let between = params
        .signed_by(&between_key, &thief.issuer)
        .expect("signed");
    let issuer = Issuer::new(params, between_key);
    // A root's own path length is not looked at by every verifier, its constraints are.
    for (host, by_rustls) in [
        ("generativelanguage.googleapis.com", true),
        ("oauth2.googleapis.com", false),
    ] {
        let (leaf, between) = (
            leaf(host).signed_by(&key(), &issuer).expect("signed"),
            [between.der().clone()],
        );
        assert_eq!(
            thief.by_rustls(host, leaf.der(), &between),
            by_rustls,
            "{host}"
        );
        assert!(!thief.by_openssl(host, leaf.der(), &between), "{host}");
    }
    // Some clients once took the host from the subject, where no alternative name is.
    let mut nameless = CertificateParams::default();
    nameless
        .distinguished_name
        .push(DnType::CommonName, "oauth2.googleapis.com");
    let leaf = nameless.signed_by(&key(), &thief.issuer).expect("signed");
    assert!(!thief.verified("oauth2.googleapis.com", leaf.der(), &[]));
}

/// What the documents say of patterns: the domain behind the `*` is as narrow as a certificate can
/// be made.
#[test]
fn a_pattern_lends_it_the_whole_domain_behind_the_star() {
    let thief = Thief::of(&[HostPattern::parse("*-aiplatform.googleapis.com").expect("a pattern")]);
    for inside in [
        "us-central1-aiplatform.googleapis.com",
        "storage.googleapis.com",
        "a.b.googleapis.com",
    ] {
        assert!(thief.passes_for(inside), "{inside}");
    }
    for outside in [
        "google.com",
        "notgoogleapis.com",
        "googleapis.com.example.com",
    ] {
        assert!(!thief.passes_for(outside), "{outside}");
    }
}

#[test]
fn a_ca_of_the_wider_patterns_is_replaced_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let wide: Vec<_> = ["cloudcode-pa.googleapis.com", "*-aiplatform.googleapis.com"]
        .map(|text| HostPattern::parse(text).expect("a pattern"))
        .into();
    let open = |hosts: &[HostPattern]| {
        Authority::load_or_create(&folder.path().join("ca"), hosts, SystemTime::now())
            .expect("a CA")
            .1
    };
    assert_eq!(open(&wide), Origin::Created);
    let narrow = relay::Config::default().intercept;
    assert_eq!(open(&narrow), Origin::Renewed(RenewReason::Constraints));
    assert_eq!(open(&narrow), Origin::Loaded);
}

fn leaf(host: &str) -> CertificateParams {
    CertificateParams::new(vec![host.to_owned()]).expect("a name")
}

fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key")
}

fn write(path: &Path, certificates: &[&CertificateDer<'_>]) {
    let pem: String = certificates
        .iter()
        .map(|certificate| pem::encode(&pem::Pem::new("CERTIFICATE", certificate.as_ref())))
        .collect();
    std::fs::write(path, pem).expect("a file");
}
