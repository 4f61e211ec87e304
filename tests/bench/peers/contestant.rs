//! Who takes part: the processes, how each is configured, and what the agent needs to come through
//! it.

use std::fs::{self, File, Permissions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;
use x509_parser::public_key::PublicKey;

use super::load::to_the_end;
use super::{process, relay, stage};
use crate::agent::{Agent, drain, request};
use crate::calls::get;
use crate::provider::{HOST, Provider};

/// What all have in common: files, one CA, and the provider.
pub struct Setting {
    folder: TempDir,
    tasks: TaskTracker,
}

impl Setting {
    pub fn new(provider: &Provider, tasks: &TaskTracker) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Some give up root before they read.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("its mode");
        let setting = Self {
            folder,
            tasks: tasks.clone(),
        };
        setting.write("provider.pem", &provider.root_pem);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "The CA of the benchmark");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        setting.write("ca.pem", &ca);
        setting.write("ca.key", &key.serialize_pem());
        setting
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path(name), content).expect("a writable folder");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("a file of the benchmark")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nothing,
    BareRelay,
    Gravimeter,
    Forward,
    Mitmproxy,
    Sslsplit,
    Squid,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Nothing,
        Self::BareRelay,
        Self::Gravimeter,
        Self::Forward,
        Self::Mitmproxy,
        Self::Sslsplit,
        Self::Squid,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no proxy",
            Self::BareRelay => "bare relay",
            Self::Gravimeter => "Gravimeter",
            Self::Forward => "with a rule",
            Self::Mitmproxy => "mitmproxy",
            Self::Sslsplit => "sslsplit",
            Self::Squid => "squid",
        }
    }

    /// Part of the program: without it, the figures say nothing.
    pub fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Nothing | Self::BareRelay | Self::Gravimeter | Self::Forward
        )
    }

    fn place(self) -> u8 {
        self as u8
    }

    fn door(self) -> SocketAddr {
        stage::door(self.place())
    }

    /// The process; none where there is nothing between agent and provider.
    fn command(self, setting: &Setting) -> Result<Option<Command>, String> {
        let (host, port) = (self.door().ip().to_string(), self.door().port().to_string());
        let mut command = match self {
            Self::Nothing => return Ok(None),
            Self::BareRelay => {
                let mut command =
                    Command::new(std::env::current_exe().expect("the path of this program"));
                command
                    .args([super::NAME, relay::ROLE, &self.door().to_string()])
                    .arg(setting.folder.path());
                command
            }
            Self::Gravimeter => gravimeter(setting, self),
            Self::Forward => {
                setting.write("rules.toml", &rules());
                let mut command = gravimeter(setting, self);
                command.arg("--config").arg(setting.path("rules.toml"));
                command
            }
            Self::Mitmproxy => {
                let mut command = installed("mitmdump")?;
                let addon = concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/tests/bench/peers/count_tokens.py"
                );
                setting.write(
                    "mitmproxy-ca.pem",
                    &(setting.read("ca.key") + &setting.read("ca.pem")),
                );
                let (confdir, roots) = (setting.text(""), setting.text("provider.pem"));
                command.args([
                    "--mode",
                    "transparent",
                    "--listen-host",
                    &host,
                    "--listen-port",
                    &port,
                ]);
                command.args(["--set", &format!("confdir={confdir}"), "--scripts", addon]);
                command.args(["--set", &format!("ssl_verify_upstream_trusted_ca={roots}")]);
                command.args(["--set", "flow_detail=0", "--set", "termlog_verbosity=error"]);
                command.env("BENCH_TOTALS", setting.path(TOTALS));
                command
            }
            Self::Sslsplit => {
                let mut command = installed("sslsplit")?;
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
                setting.write("sslsplit.key", &key.serialize_pem());
                command.args(["-k", &setting.text("ca.key"), "-c", &setting.text("ca.pem")]);
                command.args([
                    "-K",
                    &setting.text("sslsplit.key"),
                    "-e",
                    "netfilter",
                    "ssl",
                    &host,
                    &port,
                ]);
                command
            }
            Self::Squid => squid(setting, self)?,
        };
        let log = File::create(setting.path(self.log())).expect("a log");
        command
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .current_dir("/");
        Ok(Some(command))
    }

    /// Where ours tells what it has counted.
    fn web(self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.door().port() + 1))
    }

    /// Where ours keeps its state.
    fn state(self) -> &'static str {
        match self {
            Self::Forward => "state-forward",
            _ => "state",
        }
    }

    fn log(self) -> &'static str {
        match self {
            Self::Nothing => "nothing.log",
            Self::BareRelay => "relay.log",
            Self::Gravimeter => "gravimeter.log",
            Self::Forward => "forward.log",
            Self::Mitmproxy => "mitmproxy.log",
            Self::Sslsplit => "sslsplit.log",
            Self::Squid => "squid.log",
        }
    }
}

const TOTALS: &str = "totals.json";

/// A rule for the provider's host, which no call of the benchmark meets: all of them are forwarded
/// one by one, and each is looked at.
fn rules() -> String {
    format!(
        "[[rule]]\nname = \"bench\"\nmatch = {{ host = \"{HOST}\", model = \"none\" }}\nappend_system = \"x\"\n"
    )
}

fn installed(program: &str) -> Result<Command, String> {
    let found =
        ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(|folder| Path::new(folder).join(program));
    let found = found.into_iter().find(|path| path.exists());
    found
        .map(Command::new)
        .ok_or_else(|| format!("{program} is not installed"))
}

fn gravimeter(setting: &Setting, kind: Kind) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
    command.args([
        "serve",
        "--capture.redirect",
        "external",
        "--capture.max_connections",
        "20000",
    ]);
    command.args([
        "--capture.listen",
        &kind.door().to_string(),
        "--capture.connect_listen",
        "off",
    ]);
    command.args(["--web.listen", &kind.web().to_string()]);
    command
        .arg("--upstream.extra_roots")
        .arg(setting.path("provider.pem"));
    command.arg("--state.dir").arg(setting.path(kind.state()));
    command
}

/// Squid's one process, which bumps everything and keeps nothing.
fn squid(setting: &Setting, kind: Kind) -> Result<Command, String> {
    let mut command = installed("squid")?;
    let helper = "/usr/lib/squid/security_file_certgen";
    if !Path::new(helper).exists() {
        return Err(format!(
            "{helper} is missing: it needs the package squid-openssl"
        ));
    }
    let leaves = setting.text("squid");
    if !setting.path("squid").exists() {
        let made = Command::new(helper)
            .args(["-c", "-s", &leaves, "-M", "4MB"])
            .output();
        made.map_err(|error| format!("{helper}: {error}"))?;
        // As root, squid becomes this user before it starts its helpers.
        let _ = Command::new("chown")
            .args(["-R", "proxy:proxy", &leaves])
            .output();
    }
    let (door, address) = (kind.door(), stage::address(kind.place()).ip());
    setting.write("hosts", &format!("{address} {HOST}\n"));
    let (ca, key, roots) = (
        setting.text("ca.pem"),
        setting.text("ca.key"),
        setting.text("provider.pem"),
    );
    let hosts = setting.text("hosts");
    setting.write(
        "squid.conf",
        &format!(
            "http_port 127.0.0.1:8098\n\
             https_port {door} intercept ssl-bump tls-cert={ca} tls-key={key} generate-host-certificates=on \
             dynamic_cert_mem_cache_size=4MB\n\
             sslcrtd_program {helper} -s {leaves} -M 4MB\n\
             acl hello at_step SslBump1\n\
             ssl_bump peek hello\n\
             ssl_bump bump all\n\
             tls_outgoing_options cafile={roots}\n\
             http_access allow all\n\
             cache deny all\n\
             access_log none\n\
             cache_log stdio:/dev/stderr\n\
             pid_filename none\n\
             netdb_filename none\n\
             coredump_dir none\n\
             hosts_file {hosts}\n\
             dns_nameservers 127.0.0.1\n\
             max_filedescriptors 40000\n\
             shutdown_lifetime 0 seconds\n"
        ),
    );
    command.args(["-N", "-f", &setting.text("squid.conf")]);
    Ok(command)
}

/// What a load needs of a contestant.
#[derive(Clone)]
pub struct Subject {
    pub agent: Agent,
    process: Option<u32>,
}

impl Subject {
    /// Processor time so far; zero where there is no process.
    pub fn cpu(&self) -> Duration {
        self.process.map(process::cpu).unwrap_or_default()
    }

    /// In KiB.
    pub fn memory(&self) -> u64 {
        self.process.map(process::memory).unwrap_or_default()
    }
}

pub struct Contestant {
    pub kind: Kind,
    pub subject: Subject,
    process: Option<Child>,
    totals: PathBuf,
}

impl Contestant {
    /// Starts it and waits until it takes connections.
    pub async fn start(kind: Kind, setting: &Setting) -> Result<Self, String> {
        let command = kind.command(setting)?;
        let mut process = command
            .map(|mut command| command.spawn().map_err(|error| error.to_string()))
            .transpose()?;
        if let Some(process) = &mut process {
            ready(kind, process, setting).await.map_err(|reason| {
                let log = fs::read_to_string(setting.path(kind.log())).unwrap_or_default();
                format!("{reason}: {}", log.trim())
            })?;
        }
        let roots = fs::read_to_string(roots(kind, setting))
            .map_err(|error| format!("its roots: {error}"))?;
        let agent = Agent::new(&roots, stage::address(kind.place()), None, &setting.tasks)
            .marked(stage::MARK);
        let subject = Subject {
            agent,
            process: process.as_ref().map(Child::id),
        };
        Ok(Self {
            kind,
            subject,
            process,
            totals: setting.path(TOTALS),
        })
    }

    /// A new process in its place, which has inherited nothing from earlier loads.
    pub async fn restart(self, setting: &Setting) -> Result<Self, String> {
        let kind = self.kind;
        drop(self);
        Self::start(kind, setting).await
    }

    /// What the agent sees of it: ratios between proxies that show different keys or ciphers are to
    /// be read with that in mind.
    pub async fn shows(&self) -> Result<String, String> {
        let (agent, name) = (self.subject.agent.clone(), self.kind.name());
        let seen = async move {
            let mut stream = agent.raw("events=1").await;
            to_the_end(&mut stream).await;
            let tls = stream.get_ref().1;
            let leaf = tls
                .peer_certificates()
                .and_then(<[_]>::first)
                .expect("a certificate");
            let version = tls.protocol_version().expect("a version");
            let suite = tls.negotiated_cipher_suite().expect("a suite").suite();
            let alpn = tls
                .alpn_protocol()
                .map_or("no ALPN".into(), String::from_utf8_lossy);
            format!(
                "{name} shows {} in {version:?}, {suite:?}, {alpn}",
                key(leaf)
            )
        };
        super::guarded(Duration::from_secs(30), seen).await
    }

    /// Some calls before anything is measured: whether it carries them, and whether it counts their
    /// tokens if it claims to.
    pub async fn trial(&self) -> Result<Option<String>, String> {
        const CALLS: u64 = 10;
        let agent = self.subject.agent.clone();
        let calls = super::guarded(Duration::from_secs(30), async move {
            let mut sender = agent.h1().await;
            for _ in 0..CALLS {
                sender.ready().await.expect("an open connection");
                drain(
                    sender
                        .send_request(request(false, TRIAL, "events=2"))
                        .await
                        .expect("an answer"),
                )
                .await;
            }
        });
        calls.await?;
        let expected = (CALLS, CALLS * 34);
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let counted = match self.kind {
                Kind::Gravimeter | Kind::Forward => of_gravimeter(self.kind.web()).await,
                Kind::Mitmproxy => of_the_addon(&self.totals),
                _ => return Ok(None),
            };
            if counted == expected {
                let name = self.kind.name();
                return Ok(Some(format!(
                    "{name} counted all {CALLS} calls and their {} output tokens",
                    expected.1
                )));
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "counted {counted:?} calls and output tokens where there were {expected:?}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else {
            return;
        };
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let deadline = Instant::now() + Duration::from_secs(10);
        while process.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

async fn ready(kind: Kind, process: &mut Child, setting: &Setting) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("ended with {status}"));
        }
        if TcpStream::connect(kind.door()).is_ok() && roots(kind, setting).exists() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err("does not listen".to_owned())
}

/// What the agent trusts behind this contestant. Gravimeter makes its own CA; the others have the
/// one of the benchmark.
fn roots(kind: Kind, setting: &Setting) -> PathBuf {
    setting.path(match kind {
        Kind::Nothing => "provider.pem",
        Kind::Gravimeter => "state/trust/bundle.pem",
        Kind::Forward => "state-forward/trust/bundle.pem",
        _ => "ca.pem",
    })
}

fn key(leaf: &[u8]) -> String {
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf).expect("a certificate");
    match leaf.public_key().parsed() {
        Ok(PublicKey::EC(point)) => format!("an EC key of {} bits", point.key_size()),
        Ok(PublicKey::RSA(key)) => format!("an RSA key of {} bits", key.key_size()),
        _ => "a key of another kind".to_owned(),
    }
}

/// A model of its own, so that other calls are not counted with them.
const TRIAL: &str = "gemini-2.5-flash";

async fn of_gravimeter(web: SocketAddr) -> (u64, u64) {
    let page = get(web).await;
    let sum = |metric: &str, label: &str| {
        let lines = page.lines().filter(|line| {
            line.starts_with(metric) && line.contains(TRIAL) && line.contains(label)
        });
        lines
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum::<f64>() as u64
    };
    (
        sum("gravimeter_calls_total{", "outcome=\"ok\""),
        sum("gravimeter_tokens_total{", "\"output\""),
    )
}

fn of_the_addon(totals: &Path) -> (u64, u64) {
    let text = fs::read_to_string(totals).unwrap_or_default();
    let totals: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let count = |field| totals[TRIAL][field].as_u64().unwrap_or_default();
    (count("calls"), count("output"))
}
