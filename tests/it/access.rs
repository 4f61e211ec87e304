//! Promise: whoever may not ask the exporter is not answered, whoever may is: over TLS, with
//! passwords and certificates, through Unix sockets and sockets of the service manager; judged by
//! curl and a real Prometheus.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::process::Command;

use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::canary::Canary;
use crate::kit::pki::Pki;
use crate::kit::soon;

/// A folder with a web configuration file, the server's certificate, and a scraper's.
struct Access {
    folder: TempDir,
    pki: Pki,
    root: PathBuf,
}

impl Access {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let pki = Pki::new();
        let root = pki.write_root(folder.path());
        pki.write_identity("localhost", folder.path());
        let access = Self { folder, pki, root };
        access.identity(&access.pki, "scraper");
        access
    }

    /// A certificate for that name in a folder of its own.
    fn identity(&self, pki: &Pki, name: &str) -> (String, String) {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(&folder).expect("ours");
        let (certificate, key) = pki.write_identity(&format!("{name}.example.com"), &folder);
        (text(&certificate), text(&key))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("web.yml")
    }

    /// Puts another file in the place of the old one, as careful programs do.
    fn write(&self, config: &str) {
        let new = self.folder.path().join("web.yml.new");
        fs::write(&new, config).expect("ours");
        fs::rename(new, self.config()).expect("ours");
    }

    fn flags(&self, more: &[&str]) -> Vec<String> {
        let config = text(&self.config());
        ["--web.config.file", &config]
            .iter()
            .chain(more)
            .map(|flag| (*flag).to_owned())
            .collect()
    }

    /// curl, that trusts the authority; its output begins with the status and version of HTTP.
    async fn curl(&self, exporter: &Binary, more: &[&str]) -> Output {
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--noproxy",
            "*",
            "--ipv4",
            "-m",
            "50",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{http_version}",
        ]);
        command.arg("--cacert").arg(&self.root).args(more);
        command.arg(format!("https://localhost:{}/metrics", exporter.web.port()));
        soon(command.kill_on_drop(true).output())
            .await
            .expect("curl is installed")
    }

    /// Whether it refuses the server's certificate: 60, or 35 where an authority of the same name
    /// has another key.
    async fn distrusts(&self, exporter: &Binary, more: &[&str]) -> bool {
        matches!(self.curl(exporter, more).await.status.code(), Some(35 | 60))
    }

    /// Its word for the answer; `000` where there was none.
    async fn status(&self, exporter: &Binary, more: &[&str]) -> String {
        String::from_utf8(self.curl(exporter, more).await.stdout).expect("text")
    }
}

fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
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

const TLS: &str = "tls_server_config: {cert_file: identity.pem, key_file: identity.key}\n";
const VERIFIED: &str = "tls_server_config: {cert_file: identity.pem, key_file: identity.key, client_ca_file: test-root.pem, \
                        client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [scraper.example.com]}\n";

#[tokio::test]
async fn tls_and_a_password_and_neither_is_told_to_anybody() {
    let access = Access::new();
    let (password, guess) = (Canary::new("password"), Canary::new("guess"));
    let file = format!("{TLS}{}", users(&[("alice", &password.plain())]));
    access.write(&file);
    let socket = text(&access.folder.path().join("s"));
    let mut exporter =
        Binary::start(&access.flags(&["--web.socket", &socket, "--log.level", "trace"])).await;
    let right = format!("alice:{}", password.plain());
    assert_eq!(access.status(&exporter, &["-u", &right]).await, "200 2");
    assert_eq!(
        access.status(&exporter, &["-u", &right, "--http1.1"]).await,
        "200 1.1"
    );
    assert_eq!(
        access
            .status(&exporter, &["-u", &right, "--tls-max", "1.2"])
            .await,
        "200 2"
    );
    assert_eq!(access.status(&exporter, &[]).await, "401 2");
    assert_eq!(
        access
            .status(&exporter, &["-u", &format!("alice:{}", guess.plain())])
            .await,
        "401 2"
    );
    assert_eq!(
        access
            .status(&exporter, &["-u", &format!("bob:{}", password.plain())])
            .await,
        "401 2"
    );
    let plain = soon(
        Command::new("curl")
            .args([
                "-sS",
                "--noproxy",
                "*",
                &format!("http://{}/metrics", exporter.web),
            ])
            .output(),
    );
    assert!(
        !plain.await.expect("curl").status.success(),
        "no word in the clear"
    );
    let strange = Access::new();
    assert!(
        strange.distrusts(&exporter, &["-u", &right]).await,
        "the certificate is verified"
    );

    let exposition = through(&socket, "/metrics").await;
    let refused = crate::whole::series(&exposition, "gravimeter_web_refusals_total");
    assert_eq!(refused[r#"{reason="password"}"#], 3.0);
    assert!(refused[r#"{reason="handshake"}"#] >= 2.0, "{refused:?}");

    exporter.signal(Signal::TERM);
    assert!(exporter.exit().await.success());
    let hash = file
        .lines()
        .last()
        .expect("a user")
        .split_once(": ")
        .expect("a hash")
        .1;
    let said = [exporter.log(), exporter.output(), exposition].concat();
    assert!(!said.contains(hash));
    for canary in [password, guess] {
        assert_eq!(
            canary.found_in(said.as_bytes()),
            Vec::<&str>::new(),
            "{}",
            canary.name
        );
    }
}

#[tokio::test]
async fn only_a_verified_certificate_of_the_right_name_gets_in() {
    let access = Access::new();
    access.write(VERIFIED);
    let exporter = Binary::start(&access.flags(&[])).await;
    let other = Pki::new();
    let right = access.identity(&access.pki, "scraper");
    let wrong_name = access.identity(&access.pki, "mallory");
    let stranger = Access::new().identity(&other, "scraper");
    assert_eq!(
        access
            .status(&exporter, &["--cert", &right.0, "--key", &right.1])
            .await,
        "200 2"
    );
    for (certificate, key) in [wrong_name, stranger] {
        let said = access
            .status(&exporter, &["--cert", &certificate, "--key", &key])
            .await;
        assert!(said.starts_with("000"), "{said}");
    }
    assert!(access.status(&exporter, &[]).await.starts_with("000"));

    access.write(&VERIFIED.replace(
        "RequireAndVerifyClientCert, client_allowed_sans: [scraper.example.com]",
        "VerifyClientCertIfGiven",
    ));
    assert_eq!(access.status(&exporter, &[]).await, "200 2");
    exporter.stop().await;
}

#[tokio::test]
async fn a_change_counts_at_once_and_a_broken_file_lets_nobody_in() {
    let access = Access::new();
    access.write(&format!("{TLS}{}", users(&[("alice", "a")])));
    let exporter = Binary::start(&access.flags(&[])).await;
    assert_eq!(access.status(&exporter, &["-u", "alice:a"]).await, "200 2");
    access.write(&format!("{TLS}{}", users(&[("bob", "b")])));
    assert_eq!(access.status(&exporter, &["-u", "alice:a"]).await, "401 2");
    assert_eq!(access.status(&exporter, &["-u", "bob:b"]).await, "200 2");

    access.write("basic_auth_user: {}\n");
    for _ in 0..3 {
        assert!(
            access
                .status(&exporter, &["-u", "bob:b"])
                .await
                .starts_with("000")
        );
    }
    assert_eq!(
        exporter.log().matches("cannot be used").count(),
        1,
        "told once: {}",
        exporter.log()
    );
    assert!(
        exporter
            .log()
            .contains("web.yml:1: basic_auth_user: there is no such key")
    );

    let next = Pki::new();
    next.write_identity("localhost", access.folder.path());
    access.write(&format!("{TLS}{}", users(&[("bob", "b")])));
    assert!(
        access.distrusts(&exporter, &["-u", "bob:b"]).await,
        "another certificate is shown now"
    );
    next.write_root(access.folder.path());
    assert_eq!(access.status(&exporter, &["-u", "bob:b"]).await, "200 2");
    exporter.stop().await;
}

#[tokio::test]
async fn a_real_prometheus_scrapes_with_certificate_and_password() {
    let access = Access::new();
    access.write(&format!("{VERIFIED}{}", users(&[("prometheus", "secret")])));
    let exporter = Binary::start(&access.flags(&[])).await;
    let scrape = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - job_name: gravimeter\n    scheme: https\n    tls_config: \
         {{ca_file: test-root.pem, cert_file: scraper/identity.pem, key_file: scraper/identity.key}}\n    basic_auth: \
         {{username: prometheus, password: secret}}\n    static_configs: [{{targets: ['localhost:{}']}}]\n",
        exporter.web.port()
    );
    let config = access.folder.path().join("prometheus.yml");
    fs::write(&config, scrape).expect("ours");
    let port = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port();
    let prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", text(&config)))
        .arg(format!(
            "--storage.tsdb.path={}",
            text(&access.folder.path().join("data"))
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let _prometheus = prometheus.expect("scripts/test.sh installs prometheus");
    let query = format!("http://127.0.0.1:{port}/api/v1/query?query=up");
    until(async || {
        let asked = Command::new("curl")
            .args(["-s", "--noproxy", "*", &query])
            .output()
            .await
            .expect("curl");
        String::from_utf8_lossy(&asked.stdout)
            .contains(r#","1"]"#)
            .then_some(())
    })
    .await;
    exporter.stop().await;
}

#[tokio::test]
async fn wrong_files_are_told_before_anything_starts() {
    let access = Access::new();
    access.write("basic_auth_users: {alice: hunter2}\ntls: {}\n");
    for command in ["config check", "serve"] {
        let mut command = command
            .split(' ')
            .fold(Command::new(PROGRAM), |mut command, word| {
                command.arg(word);
                command
            });
        command.args(access.flags(&[
            "--web.listen",
            "127.0.0.1:0",
            "--capture.redirect",
            "off",
            "--capture.connect_listen",
        ]));
        command
            .args([
                "127.0.0.1:0",
                "--capture.listen",
                "127.0.0.1:0",
                "--state.dir",
            ])
            .arg(access.folder.path().join("state"));
        let output = soon(command.kill_on_drop(true).output())
            .await
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("web.yml:1: basic_auth_users.alice: this is no bcrypt hash"),
            "{said}"
        );
        assert!(
            said.contains("web.yml:2: tls: there is no such key"),
            "{said}"
        );
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn what_others_can_reach_needs_tls_and_a_password() {
    let access = Access::new();
    access.write(TLS);
    let serve = |config: Vec<String>| {
        let mut command = Command::new(PROGRAM);
        command.args([
            "serve",
            "--web.listen",
            "0.0.0.0:0",
            "--capture.redirect",
            "off",
            "--log.format",
            "json",
        ]);
        command.args([
            "--capture.connect_listen",
            "127.0.0.1:0",
            "--capture.listen",
            "127.0.0.1:0",
            "--state.dir",
        ]);
        command
            .arg(access.folder.path().join("state"))
            .args(config)
            .kill_on_drop(true);
        command
    };
    for (config, part) in [
        (vec![], "there is no password"),
        (access.flags(&[]), "other machines can reach web.listen"),
    ] {
        let output = soon(serve(config).output())
            .await
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

/// The answer through a Unix socket.
async fn through(socket: &str, path: &str) -> String {
    let url = format!("http://localhost{path}");
    let asked = soon(
        Command::new("curl")
            .args(["-sS", "--fail", "--unix-socket", socket, &url])
            .output(),
    )
    .await
    .expect("curl");
    assert!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    String::from_utf8(asked.stdout).expect("text")
}

#[tokio::test]
async fn a_socket_asks_for_nothing_but_its_permissions() {
    let access = Access::new();
    access.write(&format!("{TLS}{}", users(&[("alice", "a")])));
    let socket = text(&access.folder.path().join("exporter.sock"));
    let flags = access.flags(&["--web.socket", &socket, "--web.socket_mode", "0600"]);
    let mut killed = Binary::start(&flags).await;
    killed.signal(Signal::KILL);
    killed.exit().await;
    assert!(Path::new(&socket).exists(), "left behind");

    let exporter = Binary::start(&flags).await;
    assert_eq!(
        fs::metadata(&socket)
            .expect("a socket")
            .permissions()
            .mode()
            & 0o777,
        0o600
    );
    assert!(
        through(&socket, "/metrics")
            .await
            .contains("gravimeter_build_info")
    );
    assert_eq!(
        access.status(&exporter, &[]).await,
        "401 2",
        "TCP asks for the password"
    );
    let usage = |flags: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command
            .args(["usage", "--json"])
            .args(flags)
            .env("HOME", access.folder.path());
        soon(async move { command.output().await.expect("the program runs") })
    };
    for flags in [
        &["--url", &format!("unix:{socket}")],
        &["--web.socket", socket.as_str()],
    ] {
        let output = usage(flags).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("\"totals\""));
    }
    let told = usage(&["--url", &format!("http://{}", exporter.web)]).await;
    assert!(
        String::from_utf8_lossy(&told.stderr).contains("web.socket"),
        "{}",
        String::from_utf8_lossy(&told.stderr)
    );
    exporter.stop().await;
    assert!(!Path::new(&socket).exists(), "taken away at the end");
}

/// Starts the program as systemd does, with the listener on its standard input as the first socket,
/// under that name.
fn activated(name: &str, listener: impl Into<OwnedFd>) -> Command {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";
    command
        .args(["-c", script, PROGRAM])
        .env("LISTEN_FDNAMES", name)
        .stdin(Stdio::from(listener.into()));
    command
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_used() {
    for (name, is_exporter) in [
        ("gravimeter.socket", true),
        ("exporter", true),
        ("connect", false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let folder = tempfile::tempdir().expect("a folder");
        let exporter = Binary::with(activated(name, listener), folder, &[]).await;
        assert_eq!(
            (exporter.web == address, exporter.connect == address),
            (is_exporter, !is_exporter),
            "{name}"
        );
        assert!(
            exporter
                .ask("/healthz", "")
                .await
                .starts_with("HTTP/1.1 200")
        );
        exporter.stop().await;
    }
}

#[tokio::test]
async fn what_systemd_cannot_have_meant_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let connected = std::os::unix::net::UnixStream::pair().expect("a pair").0;
    let socket = std::os::unix::net::UnixListener::bind(folder.path().join("s")).expect("a socket");
    let exposed = TcpListener::bind("0.0.0.0:0").expect("a port");
    for (mut command, part) in [
        (activated("exporter", connected), "it does not listen"),
        (activated("connect", socket), "it must be TCP"),
        (activated("exporter", exposed), "there is no password"),
    ] {
        command.args([
            "serve",
            "--capture.redirect",
            "off",
            "--capture.listen",
            "127.0.0.1:0",
            "--state.dir",
        ]);
        command.arg(folder.path().join("state")).args([
            "--capture.connect_listen",
            "127.0.0.1:0",
            "--log.format",
            "json",
        ]);
        let output = soon(command.kill_on_drop(true).output())
            .await
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .expect("a limit");
    let told = || {
        let mut word = [0; 256];
        let length = manager.recv(&mut word).expect("a word");
        String::from_utf8_lossy(&word[..length]).into_owned()
    };
    let mut command = Command::new(PROGRAM);
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000");
    let mut exporter = Binary::with(command, folder, &[]).await;
    let mut words = vec![told()];
    while words.iter().filter(|word| *word == "WATCHDOG=1\n").count() < 3
        || !words.contains(&"READY=1\n".to_owned())
    {
        words.push(told());
    }
    exporter.signal(Signal::TERM);
    while told() != "STOPPING=1\n" {}
    assert!(exporter.exit().await.success());
}
