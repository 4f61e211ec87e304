//! `gravimeter doctor`: looks at this machine, one line for each thing that must be right, with the
//! remedy where it is not.
//!
//! It only looks: nothing is started, changed or listened on for longer than a moment.

mod run;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use rustix::fs::{Access, access as access_to};

use super::flags::{ConfigFlags, Standalone};
use super::{block_on, ca, exporter, redirect};
use crate::app;
use crate::capture::redirect::Redirect;
use crate::config::{Config, Places, process_environment};
use crate::launch;
use crate::tls;
use crate::web::access::Access as WebAccess;

/// Look at this machine and say what is missing
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Takes the flags of `serve` or, behind `run`, those of `run`.\n\
    Exit code 1 when something must be mended before they can work."
)]
pub(super) struct Doctor {
    #[command(flatten)]
    standalone: Standalone,
    #[command(flatten)]
    config: ConfigFlags,
    #[command(subcommand)]
    of: Option<Of>,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// Look at what `gravimeter run` needs: which ways to capture a program work here, and why the
    /// others do not
    Run {
        #[command(flatten)]
        config: ConfigFlags,
        /// The program that is to run; its arguments are not looked at
        #[arg(trailing_var_arg = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
}

impl Doctor {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let (loaded, is_run, command) = match self.of {
            Some(Of::Run { config, command }) => (config.load()?, true, command),
            None => (self.standalone.load(self.config)?, false, Vec::new()),
        };
        let file = loaded.file.clone();
        let file = file.map_or("no file, defaults".to_owned(), |file| {
            file.display().to_string()
        });
        let mut findings = vec![Finding::ok("configuration", file)];
        if is_run {
            let config = loaded.for_run(&Places::default(), &process_environment());
            findings.extend([state(&config), authority(&config), roots(&config)]);
            findings.extend(run::ways(&config));
            findings.extend(command.first().map(|name| run::program(name)));
        } else {
            findings.extend(look(&loaded.config));
            findings.extend(serve::collectors(&loaded.config));
            findings.extend(unread(&loaded.config));
        }
        let mut code = ExitCode::SUCCESS;
        for finding in &findings {
            let grade = finding.grade.word();
            writeln!(out, "{grade:<4}  {:<15} {}", finding.what, finding.detail)?;
            if let Some(remedy) = &finding.remedy {
                writeln!(out, "{:<22}→ {remedy}", "")?;
            }
            if finding.grade == Grade::Fail {
                code = ExitCode::FAILURE;
            }
        }
        Ok(code)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Fail,
    Ok,
    Warn,
}

impl Grade {
    fn word(self) -> &'static str {
        match self {
            Self::Fail => "FAIL",
            Self::Ok => "ok",
            Self::Warn => "warn",
        }
    }
}

struct Finding {
    grade: Grade,
    what: &'static str,
    detail: String,
    remedy: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self {
            grade: Grade::Ok,
            what,
            detail: detail.into(),
            remedy: None,
        }
    }

    fn warn(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Warn,
            what,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn fail(what: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            grade: Grade::Fail,
            what,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        }
    }
}

fn look(config: &Config) -> Vec<Finding> {
    let mut findings = vec![state(config), authority(config), roots(config)];
    findings.extend(doors(config));
    findings.extend(access(config));
    findings.extend(serve::agent(config));
    if config.redirect.rules.are_needed() {
        if config.redirect.rules.are_watched() {
            findings.extend(["iptables", "ip6tables", "sudo"].map(program));
            findings.push(rules(config));
        } else {
            findings.push(Finding::ok(
                "redirect",
                "external: whoever installs the rules sees to them",
            ));
        }
        findings.push(agent_user(config));
        findings.push(bundle(config));
    } else {
        let detail = "off: the agent comes through the CONNECT proxy, if it obeys HTTPS_PROXY";
        findings.push(Finding::warn(
            "redirect",
            detail,
            "for the language server, set agent.user: it ignores proxy settings",
        ));
    }
    findings
}

/// What a running exporter says of exchanges that look like calls and are not read; nothing where
/// none runs, or where it wants a password.
fn unread(config: &Config) -> Option<Finding> {
    let base = exporter::base_url(&config.web).ok()?;
    let exposition = block_on(exporter::get_as(&base, "/metrics", "text/plain")).ok()?;
    let exposition = String::from_utf8_lossy(&exposition);
    let samples = exposition
        .lines()
        .filter(|line| line.starts_with(UNREAD_CALLS));
    let counts = samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let count: f64 = counts.sum();
    Some(if count > 0.0 {
        Finding::warn(
            "unread calls",
            format!(
                "{count} exchanges look like calls of models and are in no format that is read"
            ),
            "their hosts and paths stand in the log and on the page; their tokens are missing from all figures",
        )
    } else {
        Finding::ok("unread calls", "none since the exporter was started")
    })
}

const UNREAD_CALLS: &str = "gravimeter_unread_calls_total{";

/// Whether the state folder can be written or, where it is still to be made, be made.
fn state(config: &Config) -> Finding {
    let path = &config.state_dir;
    let shown = path.display();
    let existing = path.ancestors().find(|folder| folder.exists());
    let Some(existing) = existing.filter(|folder| folder.is_dir()) else {
        return Finding::fail(
            "state",
            format!("{shown} is not in a folder"),
            "set state.dir",
        );
    };
    if access_to(existing, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Finding::fail(
            "state",
            format!(
                "{shown} cannot be written: {} is another user's",
                existing.display()
            ),
            "set state.dir to a folder of your own, or run this as the user of gravimeter",
        );
    }
    match existing == path {
        true => Finding::ok("state", shown.to_string()),
        false => Finding::ok("state", format!("{shown} (will be made)")),
    }
}

fn authority(config: &Config) -> Finding {
    if !ca::certificate_path(config).exists() {
        return Finding::ok("CA", "will be made at the first start");
    }
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    match ca::ends_at(config) {
        Ok(end) => {
            let days = end.saturating_sub(i64::try_from(now).unwrap_or(i64::MAX)) / SECONDS_PER_DAY;
            match days {
                ..=0 => Finding::warn(
                    "CA",
                    "has expired",
                    "the next start renews it: restart gravimeter and its agent",
                ),
                _ => Finding::ok("CA", format!("valid for {days} more days")),
            }
        }
        Err(error) => Finding::fail(
            "CA",
            format!("{error:#}"),
            "run this as the user of gravimeter",
        ),
    }
}

fn roots(config: &Config) -> Finding {
    match tls::upstream::count_roots(&config.upstream) {
        Ok(count) => Finding::ok(
            "roots",
            format!("{count} certificate authorities for the verification of providers"),
        ),
        Err(error) => Finding::fail(
            "roots",
            error.to_string(),
            "install ca-certificates, or correct upstream.extra_roots",
        ),
    }
}

fn doors(config: &Config) -> Vec<Finding> {
    let traffic = app::Addresses::wanted_of_redirect(config)
        .chain(config.capture.connect_listen)
        .chain(config.capture.base_url_listen);
    let taken = |address: &SocketAddr| TcpListener::bind(address).is_err();
    let base = exporter::base_url(&config.web);
    if let Ok(base) = base
        && block_on(exporter::get(&base, "/healthz")).is_ok()
    {
        return vec![Finding::ok("ports", format!("gravimeter runs at {base}"))];
    }
    let taken: Vec<_> = traffic
        .chain(config.web.listen)
        .filter(taken)
        .map(|address| address.to_string())
        .collect();
    match taken.is_empty() {
        true => vec![Finding::ok("ports", "all are free")],
        false => vec![Finding::fail(
            "ports",
            format!("taken: {}", taken.join(", ")),
            "stop that program, or choose other ports",
        )],
    }
}

/// What the exporter's web configuration file is good for, where there is one.
fn access(config: &Config) -> Option<Finding> {
    let path = config.web.config_file.as_ref()?;
    let must_protect = config
        .web
        .listen
        .is_some_and(|address| config.web.must_protect(address));
    Some(match WebAccess::open(path, must_protect) {
        Ok(_) => Finding::ok("web config", path.display().to_string()),
        Err(error) => {
            let remedy = "correct the file, or run this as the user of gravimeter";
            Finding::fail("web config", error.to_string().replace('\n', "; "), remedy)
        }
    })
}

fn program(name: &'static str) -> Finding {
    let found = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Ok(_) => Finding::ok(name, "is installed"),
        // An unprivileged PATH often lacks the folders of the system's programs.
        Err(_) if Path::new("/usr/sbin").join(name).exists() => Finding::ok(name, "is installed"),
        Err(_) => Finding::fail(
            name,
            "is missing",
            format!("apt-get install {}", name.replace("ip6tables", "iptables")),
        ),
    }
}

fn agent_user(config: &Config) -> Finding {
    let user = &config.redirect.user;
    let own = rustix::process::geteuid().as_raw();
    match block_on(async { Ok(launch::uid_of(user).await?) }) {
        Ok(uid) if uid == own => Finding::fail(
            "agent's user",
            format!("{user} is ourselves"),
            "run gravimeter as another user",
        ),
        Ok(uid) => Finding::ok("agent's user", format!("{user} (uid {uid})")),
        Err(error) => Finding::fail(
            "agent's user",
            format!("{error:#}"),
            "sudo gravimeter redirect install",
        ),
    }
}

fn rules(config: &Config) -> Finding {
    let remedy = "sudo gravimeter redirect install";
    match block_on(async { Ok(Redirect::new(config.redirect.clone()).status().await?) }) {
        Ok(status) => {
            let detail = format!(
                "ipv4 {}, ipv6 {}",
                redirect::word(status.ipv4),
                redirect::word(status.ipv6)
            );
            if status.is_complete() {
                Finding::ok("redirect", detail)
            } else {
                Finding::fail("redirect", detail, remedy)
            }
        }
        Err(error) => Finding::fail("redirect", format!("{error:#}"), remedy),
    }
}

fn bundle(config: &Config) -> Finding {
    let path = &config.bundle;
    match app::closed_folder(path) {
        None => Finding::ok("bundle", path.display().to_string()),
        Some(folder) => Finding::fail(
            "bundle",
            format!(
                "{} cannot be reached by {}: {} is closed to others",
                path.display(),
                config.redirect.user,
                folder.display()
            ),
            "set state.dir to /var/lib/gravimeter, or agent.ca_bundle to a place that it can read",
        ),
    }
}

const SECONDS_PER_DAY: i64 = 86_400;
