//! Installs, removes and watches the kernel's redirect rules for one user, through
//! `scripts/mitm-redirect.sh`, which is part of the program.
//!
//! Input: who is redirected and to which port. Output: rules, their [`Status`], a fact at each
//! change. Changes need root; the status is also open to the operator, through the one sudoers line
//! that the script wrote. Nothing here repairs rules by itself: they may have been removed for a
//! reason.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::record::{Fact, IpFamily, Record};

/// Whose traffic goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whether the rules are needed while the program serves.
    pub rules: Rules,
    /// The redirected user.
    pub user: String,
    /// The redirected cgroup, in the place of a user: its path below the root of the cgroup v2
    /// hierarchy.
    pub cgroup: Option<String>,
    /// Name of this instance, at most 16 of `a-z`, `0-9`, `-`: it names the chains (iptables allows
    /// 28 bytes).
    pub name: String,
    /// The local port that its TCP port 443 is redirected to.
    pub port: u16,
    /// Local TCP ports that the user may not reach directly: Gravimeter's own, so that an agent
    /// cannot read its exporter.
    pub keep_away: Vec<u16>,
    /// How often [`Redirect::watch`] reads the rules.
    pub poll: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            rules: Rules::Watched,
            user: "antigravity-ls".into(),
            cgroup: None,
            name: "gravimeter".into(),
            port: 8742,
            keep_away: vec![8741, 8742, 8743],
            // A removal is known within five seconds, including the time to read the rules.
            poll: Duration::from_secs(4),
        }
    }
}

/// Whether redirect rules are needed, and who sees to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// They are, and somebody else sees to them: looking at them takes root or the sudoers line,
    /// and is not tried.
    External,
    /// They are not: the agent comes through the CONNECT proxy.
    NotNeeded,
    /// They are, and are looked at.
    Watched,
}

impl Rules {
    /// Whether the agent's traffic comes by them.
    #[must_use]
    pub fn are_needed(self) -> bool {
        !matches!(self, Self::NotNeeded)
    }

    /// Whether they are looked at.
    #[must_use]
    pub fn are_watched(self) -> bool {
        matches!(self, Self::Watched)
    }
}

/// Who may start the agent by sudo, and with which program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The user who runs Gravimeter.
    pub user: String,
    /// The absolute path of the Gravimeter executable.
    pub program: PathBuf,
}

/// What the kernel has of the rules of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyStatus {
    /// All of them.
    Active,
    /// The kernel does not have the family, so nothing can bypass through it.
    Disabled,
    /// None.
    Inactive,
    /// Some, or others than were installed.
    Partial,
}

impl fmt::Display for FamilyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Inactive => "inactive",
            Self::Partial => "partial",
        })
    }
}

/// What the kernel has of the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// For IPv4.
    pub ipv4: FamilyStatus,
    /// For IPv6.
    pub ipv6: FamilyStatus,
}

impl Status {
    /// Whether no connection to port 443 gets past the rules.
    #[must_use]
    pub fn is_complete(self) -> bool {
        [self.ipv4, self.ipv6]
            .iter()
            .all(|family| matches!(family, FamilyStatus::Active | FamilyStatus::Disabled))
    }

    /// Reads the script's answer: one line `family state` for each family.
    fn parse(text: &str) -> Option<Self> {
        let family = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            Some(match line {
                "active" => FamilyStatus::Active,
                "disabled" => FamilyStatus::Disabled,
                "inactive" => FamilyStatus::Inactive,
                "partial" => FamilyStatus::Partial,
                _ => return None,
            })
        };
        Some(Self {
            ipv4: family("ipv4")?,
            ipv6: family("ipv6")?,
        })
    }
}

/// Why the rules could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum RedirectError {
    /// The script, or the kernel through it, refused.
    #[error("the redirect rules: {0}")]
    Refused(String),
    /// A program could not be started.
    #[error("{program} could not be started: {source}; install the {program} package")]
    Start {
        /// Which one.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// sudo did not run the script.
    #[error(
        "the redirect rules cannot be read without root ({0}); run `gravimeter redirect install` as root once"
    )]
    Sudo(String),
    /// The script did not end.
    #[error("the redirect script did not end within {} s; is another program holding the iptables lock?", SCRIPT_LIMIT.as_secs())]
    TimedOut,
}

/// The rules of one instance.
#[derive(Debug)]
pub struct Redirect {
    config: Config,
    status: watch::Sender<Option<Status>>,
}

impl Redirect {
    /// The rules that `config` describes; changes nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            status: watch::Sender::new(None),
        }
    }

    /// Puts the rules in place for both families or neither, creates the user when missing and, for
    /// an operator, writes the sudoers file. Needs root. Returns the script's words for people.
    ///
    /// # Errors
    /// Any [`RedirectError`]; nothing is left half done.
    pub async fn install(&self, operator: Option<&Operator>) -> Result<String, RedirectError> {
        words(as_root(&self.install_arguments(operator)).await?)
    }

    /// Takes exactly its own rules away; with `purge` also the sudoers file, the record and the
    /// user that install made. Needs root. Returns the script's words for people.
    ///
    /// # Errors
    /// Any [`RedirectError`]; it can be run again.
    pub async fn remove(&self, purge: bool) -> Result<String, RedirectError> {
        let mut arguments = self.arguments("remove");
        arguments.extend(purge.then(|| "--purge".into()));
        words(as_root(&arguments).await?)
    }

    /// What the kernel has now. Without root it takes the sudoers line that install wrote.
    ///
    /// # Errors
    /// Any [`RedirectError`].
    pub async fn status(&self) -> Result<Status, RedirectError> {
        let arguments = self.arguments("status");
        let is_root = rustix::process::geteuid().is_root();
        let output = if is_root {
            as_root(&arguments).await?
        } else {
            through_sudo(&arguments).await?
        };
        let status = Status::parse(&String::from_utf8_lossy(&output.stdout));
        status.ok_or_else(|| match is_root {
            true => RedirectError::Refused(error_text(&output)),
            false => RedirectError::Sudo(error_text(&output)),
        })
    }

    /// The last status that [`Redirect::watch`] saw; `None` while it is not known.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Status>> {
        self.status.subscribe()
    }

    /// Watches the rules until `shutdown` and records [`Fact::Redirect`] at the start and at each
    /// change. A family that the kernel does not have is not reported. Rules that cannot be read
    /// count as absent.
    pub async fn watch(&self, record: &dyn Record, shutdown: &CancellationToken) {
        let mut ticks = interval(self.config.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = None;
        let look = async |ticks: &mut Interval| {
            ticks.tick().await;
            self.status().await
        };
        // Cancelling a read kills the script, which only reads.
        while let Some(seen) = shutdown.run_until_cancelled(look(&mut ticks)).await {
            let status = seen.as_ref().ok().copied();
            if known != Some(status) {
                known = Some(status);
                self.emit(record, status);
                warn_unless_complete(&seen);
            }
        }
    }

    fn emit(&self, record: &dyn Record, status: Option<Status>) {
        self.status.send_replace(status);
        let status = status.unwrap_or(Status {
            ipv4: FamilyStatus::Inactive,
            ipv6: FamilyStatus::Inactive,
        });
        for (family, state) in [(IpFamily::Ipv4, status.ipv4), (IpFamily::Ipv6, status.ipv6)] {
            if state != FamilyStatus::Disabled {
                record.record(Fact::Redirect {
                    family,
                    active: state == FamilyStatus::Active,
                });
            }
        }
    }

    fn arguments(&self, command: &str) -> Vec<OsString> {
        vec![
            command.into(),
            "--name".into(),
            self.config.name.clone().into(),
        ]
    }

    fn install_arguments(&self, operator: Option<&Operator>) -> Vec<OsString> {
        let keep_away: Vec<_> = self.config.keep_away.iter().map(u16::to_string).collect();
        let mut arguments = self.arguments("install");
        let mut option = |name: &str, value: OsString| arguments.extend([name.into(), value]);
        option("--port", self.config.port.to_string().into());
        if let Some(cgroup) = &self.config.cgroup {
            option("--cgroup", cgroup.into());
            option("--keep-away", "".into());
            if let Some(Operator { user, .. }) = operator {
                option("--operator", user.into());
            }
            arguments.push("--no-sudoers".into());
            return arguments;
        }
        option("--user", self.config.user.clone().into());
        option("--keep-away", keep_away.join(",").into());
        match operator {
            Some(Operator { user, program }) => {
                option("--operator", user.into());
                option("--program", program.into());
            }
            None => arguments.push("--no-sudoers".into()),
        }
        arguments
    }
}

/// The script's text: what the binary runs, and what a careful administrator may want to read
/// first.
pub const SCRIPT: &str = include_str!("../../scripts/mitm-redirect.sh");

/// The root-owned copy of the script that the sudoers file names.
const INSTALLED: &str = "/usr/local/libexec/gravimeter/mitm-redirect";

/// iptables waits up to 10 s for its lock, and one run takes it several times.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);

/// Where bash and sudo may come from: nobody but root writes there.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

fn warn_unless_complete(seen: &Result<Status, RedirectError>) {
    match seen {
        Ok(status) if status.is_complete() => tracing::info!("the redirect rules are in place"),
        Ok(status) => tracing::warn!(
            ipv4 = %status.ipv4,
            ipv6 = %status.ipv6,
            "redirect rules are missing: the agent's traffic may pass unmetered; `sudo gravimeter redirect install` puts them in place"
        ),
        Err(error) => {
            tracing::warn!(%error, "whether the redirect rules are in place is not known")
        }
    }
}

async fn as_root(arguments: &[OsString]) -> Result<Output, RedirectError> {
    let mut command = Command::new("bash");
    // The text as an argument leaves stdin empty, and `$0` names the script in its own messages.
    command
        .args(["-c", SCRIPT, "mitm-redirect"])
        .args(arguments);
    run("bash", command).await
}

async fn through_sudo(arguments: &[OsString]) -> Result<Output, RedirectError> {
    let mut command = Command::new("sudo");
    command.args(["-n", "--", INSTALLED]).args(arguments);
    run("sudo", command).await
}

async fn run(program: &'static str, mut command: Command) -> Result<Output, RedirectError> {
    command
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(SCRIPT_LIMIT, command.output())
        .await
        .map_err(|_| RedirectError::TimedOut)?;
    output.map_err(|source| RedirectError::Start { program, source })
}

fn words(output: Output) -> Result<String, RedirectError> {
    if !output.status.success() {
        return Err(RedirectError::Refused(error_text(&output)));
    }
    let mut words = String::from_utf8_lossy(&output.stdout).into_owned();
    words.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok(words)
}

fn error_text(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    if text.is_empty() {
        output.status.to_string()
    } else {
        text.replace("mitm-redirect: ", "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_answer_is_read_or_refused() {
        let status = Status::parse("ipv4 active\nipv6 disabled\n").expect("an answer");
        assert_eq!(
            status,
            Status {
                ipv4: FamilyStatus::Active,
                ipv6: FamilyStatus::Disabled
            }
        );
        assert!(status.is_complete());
        for broken in ["ipv4 active\nipv6 partial", "ipv4 inactive\nipv6 active"] {
            assert!(
                !Status::parse(broken).expect("an answer").is_complete(),
                "{broken}"
            );
        }
        for bad in [
            "",
            "ipv4 active",
            "ipv4 active\nipv6 fine",
            "ipv4active\nipv6 active",
        ] {
            assert_eq!(Status::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn no_operator_means_no_sudoers_file() {
        let redirect = Redirect::new(Config::default());
        let text = |operator: Option<&Operator>| {
            redirect
                .install_arguments(operator)
                .join(" ".as_ref())
                .into_string()
        };
        let common = "install --name gravimeter --port 8742 --user antigravity-ls --keep-away 8741,8742,8743";
        assert_eq!(text(None).expect("text"), format!("{common} --no-sudoers"));
        let operator = Operator {
            user: "ann".into(),
            program: "/opt/gravimeter".into(),
        };
        assert_eq!(
            text(Some(&operator)).expect("text"),
            format!("{common} --operator ann --program /opt/gravimeter")
        );
    }

    #[tokio::test]
    async fn the_scripts_refusal_is_told_with_its_remedy() {
        let redirect = Redirect::new(Config {
            name: "Not A Name".into(),
            ..Config::default()
        });
        let error = redirect
            .remove(false)
            .await
            .expect_err("a bad name")
            .to_string();
        assert_eq!(
            error,
            "the redirect rules: --name: use 1 to 16 of a-z, 0-9 and -"
        );
    }
}
