use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::kit::Gravimeter;
use crate::export::tests::kit::value;
use crate::web::Config;
use crate::web::access::Access;

const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with a web configuration file, and a certificate for `metrics.example.com` where it
/// names one.
struct Written {
    folder: TempDir,
}

impl Written {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["metrics.example.com".to_owned()]).expect("a name");
        fs::write(
            folder.path().join("cert.pem"),
            params.self_signed(&key).expect("a certificate").pem(),
        )
        .expect("ours");
        fs::write(folder.path().join("key.pem"), key.serialize_pem()).expect("ours");
        let written = Self { folder };
        written.write(text);
        written
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).expect("ours");
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    fn open(&self) -> Arc<Access> {
        Access::open(&self.path(), false).expect("a good file")
    }
}

fn users(users: &[(&str, &str)]) -> String {
    let line = |(name, password): &(&str, &str)| {
        format!("  {name}: {}\n", bcrypt::hash(password, 4).expect("a hash"))
    };
    format!(
        "basic_auth_users:\n{}",
        users.iter().map(line).collect::<String>()
    )
}

/// `alice` with the password `secret`.
const ALICE: (&str, &str) = ("Authorization", "Basic YWxpY2U6c2VjcmV0");
const TLS: &str = "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n";

#[test]
fn every_bad_file_gets_its_exact_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/web");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let must_protect = path
            .file_stem()
            .is_some_and(|name| name.to_string_lossy().starts_with("exposed"));
        let told = Access::open(&path, must_protect)
            .map(|_| ())
            .expect_err(&path.to_string_lossy());
        let told = format!("{told}\n").replace(&format!("{}/", folder.display()), "");
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 15, "the walk finds the fixtures");
}

#[test]
fn the_files_of_other_exporters_are_read() {
    let hash = bcrypt::hash("x", 4).expect("a hash");
    for text in [
        "",
        "{}",
        "basic_auth_users:\ntls_server_config:\nrate_limit:\n",
        TLS,
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_auth_type: RequireClientCert}",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, \
         client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [a, b]}",
        "tls_server_config: {cert_file: cert.pem, key_file: key.pem, min_version: TLS12, max_version: TLS12, \
         cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256], \
         curve_preferences: [CurveP256, X25519], prefer_server_cipher_suites: no}",
        "http_server_config: {http2: false, headers: {X-Frame-Options: deny, Content-Security-Policy: ''}}",
        "rate_limit: {interval: 1s, burst: 20}",
        "rate_limit: {interval: 0, burst: 0}",
        &format!("basic_auth_users: {{alice: '{hash}'}}"),
    ] {
        let written = Written::new(text);
        assert!(
            Access::open(&written.path(), false).is_ok(),
            "{text}: {:?}",
            Access::open(&written.path(), false).err()
        );
    }
}

#[test]
fn what_others_can_reach_must_be_protected() {
    let verified = "tls_server_config: {cert_file: cert.pem, key_file: key.pem, client_ca_file: cert.pem, client_auth_type: ";
    for (text, protects) in [
        (String::new(), false),
        (TLS.to_owned(), false),
        (users(&[("alice", "secret")]), false),
        (format!("{TLS}{}", users(&[("alice", "secret")])), true),
        (format!("{verified}RequireAndVerifyClientCert}}"), true),
        (format!("{verified}VerifyClientCertIfGiven}}"), false),
        (format!("{verified}RequireAnyClientCert}}"), false),
    ] {
        let written = Written::new(&text);
        assert_eq!(
            Access::open(&written.path(), true).is_ok(),
            protects,
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_the_file_may_change() {
    let written = Written::new(&users(&[("alice", "secret")]));
    let gravimeter = Gravimeter::behind(Config::default(), Some(written.open())).await;
    for path in ["/metrics", "/v1/usage", "/healthz", "/", "/nothing"] {
        let answer = gravimeter.get(path).await;
        assert_eq!(
            (answer.status, answer.error_code().as_str()),
            (401, "unauthorized"),
            "{path}"
        );
        assert_eq!(
            answer.headers["www-authenticate"],
            "Basic realm=\"gravimeter\", charset=\"UTF-8\""
        );
    }
    assert_eq!(
        gravimeter.ask("GET", "/metrics", &[ALICE]).await.status,
        200
    );
    // alice:wrong and mallory:secret
    for wrong in ["Basic YWxpY2U6d3Jvbmc=", "Basic bWFsbG9yeTpzZWNyZXQ="] {
        assert_eq!(
            gravimeter
                .ask("GET", "/metrics", &[("Authorization", wrong)])
                .await
                .status,
            401
        );
    }
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=password"]
        ),
        Some(7.0)
    );
    let rebound = gravimeter
        .ask("GET", "/metrics", &[ALICE, ("Host", "evil.example")])
        .await;
    assert_eq!(
        rebound.error_code(),
        "foreign_host",
        "a password is no excuse"
    );

    written.write(&users(&[("alice", "new")]));
    assert_eq!(
        gravimeter.ask("GET", "/metrics", &[ALICE]).await.status,
        401
    );
    written.write("");
    assert_eq!(gravimeter.get("/metrics").await.status, 200);
    let mut kept = gravimeter.connect().await;
    written.write("basic_auth_users: {alice: plain}");
    let mut answer = Vec::new();
    use tokio::io::AsyncWriteExt as _;
    let _ = kept
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    let _ = timeout(PATIENCE, kept.read_to_end(&mut answer))
        .await
        .expect("an end");
    assert!(
        !answer.starts_with(b"HTTP/1.1 200"),
        "nobody gets in by a file that cannot be read"
    );
    assert!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=config"]
        ) > Some(0.0)
    );
    written.write(&users(&[("alice", "secret")]));
    assert_eq!(
        gravimeter.ask("GET", "/metrics", &[ALICE]).await.status,
        200
    );
}

#[tokio::test]
async fn requests_beyond_the_rate_are_refused() {
    let written = Written::new("rate_limit: {interval: 1h, burst: 2}");
    let gravimeter = Gravimeter::behind(Config::default(), Some(written.open())).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gravimeter.get("/healthz").await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 429]);
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=rate_limit"]
        ),
        Some(2.0)
    );
}

/// A request with a password of its own for each number.
fn guess(number: usize) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("alice:guess {number}"))
    )
}

#[tokio::test]
async fn whoever_guesses_does_not_keep_a_right_password_out() {
    let hash = bcrypt::hash("secret", 6).expect("a hash");
    let written = Written::new(&format!("basic_auth_users: {{alice: '{hash}'}}"));
    // As after a restart: no verdict is known yet.
    let gravimeter = Arc::new(Gravimeter::behind(Config::default(), Some(written.open())).await);
    let mut guessers = tokio::task::JoinSet::new();
    let guesses = Arc::new(AtomicUsize::new(0));
    for _ in 0..60 {
        let (gravimeter, guesses) = (Arc::clone(&gravimeter), Arc::clone(&guesses));
        guessers.spawn(async move {
            loop {
                let number = guesses.fetch_add(1, Ordering::Relaxed);
                let answer = gravimeter
                    .ask("GET", "/metrics", &[("Authorization", &guess(number))])
                    .await;
                assert_eq!(answer.status, 401, "{}", answer.text());
            }
        });
    }
    while guesses.load(Ordering::Relaxed) < 100 {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        let answer = gravimeter.ask("GET", "/metrics", &[ALICE]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    guessers.abort_all();
    while let Some(ended) = guessers.join_next().await {
        assert!(
            ended.is_err_and(|error| error.is_cancelled()),
            "every guess was answered with 401"
        );
    }
}

#[tokio::test]
async fn guesses_use_up_no_rate_of_those_who_know_their_password() {
    let written = Written::new(&format!(
        "rate_limit: {{interval: 1h, burst: 2}}\n{}",
        users(&[("alice", "secret")])
    ));
    let gravimeter = Gravimeter::behind(Config::default(), Some(written.open())).await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        statuses.push(
            gravimeter
                .ask("GET", "/metrics", &[("Authorization", &guess(number))])
                .await
                .status,
        );
    }
    for _ in 0..3 {
        statuses.push(gravimeter.ask("GET", "/metrics", &[ALICE]).await.status);
    }
    assert_eq!(statuses, [401, 401, 429, 429, 200, 200, 429]);
}

#[tokio::test]
async fn fields_are_added_to_every_answer_and_the_page_keeps_its_own() {
    let added = "http_server_config: {headers: {X-Frame-Options: deny, Content-Security-Policy: \"default-src *\"}}";
    let written = Written::new(added);
    let gravimeter = Gravimeter::behind(Config::default(), Some(written.open())).await;
    let (metrics, page) = (gravimeter.get("/metrics").await, gravimeter.get("/").await);
    assert_eq!(
        (
            metrics.headers["x-frame-options"].as_str(),
            page.headers["x-frame-options"].as_str()
        ),
        ("deny", "deny")
    );
    assert_eq!(metrics.headers["content-security-policy"], "default-src *");
    assert!(page.headers["content-security-policy"].starts_with("default-src 'none'"));
}

#[tokio::test]
async fn the_names_of_the_certificate_are_ours() {
    let written = Written::new(TLS);
    let access = written.open();
    let policy = access.policy().await.expect("a policy");
    assert!(policy.is_named("metrics.example.com"));
    for other in [
        "example.com",
        "evil.example",
        "127.0.0.1",
        "[::1]",
        "",
        "*.example.com",
        "metrics.example.com.",
    ] {
        assert!(!policy.is_named(other) || other.ends_with('.'), "{other}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_not_waited_for() {
    let written = Written::new(TLS);
    let config = Config {
        header_read_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let gravimeter = Gravimeter::behind(config, Some(written.open())).await;
    let mut silent = gravimeter.connect().await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, silent.read_to_end(&mut answer))
        .await
        .expect("an end");
    assert!(answer.is_empty());
    assert_eq!(
        value(
            &gravimeter.metrics,
            "gravimeter_web_refusals_total",
            &["reason=handshake"]
        ),
        Some(1.0)
    );
}
