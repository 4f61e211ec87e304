//! From configuration to what is started: executable, arguments, environment, standard input.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::announce::Announcement;
use super::start::account::Account;
use super::start::wire::Spec;
use super::{Choice, Config, LaunchError, Preset, antigravity};

/// The executable of the agent, which is looked for where the configuration names none; whether it
/// can be executed is not asked.
///
/// # Errors
/// [`LaunchError::BinaryNotFound`]
pub(crate) fn executable(choice: &Choice) -> Result<PathBuf, LaunchError> {
    match choice {
        Choice::Command(command)
        | Choice::Preset {
            command: Some(command),
            ..
        } => Ok(command.clone()),
        Choice::Preset {
            preset: Preset::Antigravity,
            command: None,
        } => antigravity::find().map_err(|searched| LaunchError::BinaryNotFound { searched }),
    }
}

/// One start. Each has its own tokens.
pub(super) struct Program {
    pub(super) spec: Spec,
    /// What it reads from standard input before the end of file.
    pub(super) input: Vec<u8>,
    /// What is known of its announcement beforehand; `None` when it is not expected to announce
    /// anything.
    pub(super) announcement: Option<Announcement>,
    /// Where else it may announce its ports.
    pub(super) discovery_folder: PathBuf,
}

impl Program {
    pub(super) fn new(
        choice: &Choice,
        config: &Config,
        account: &Account,
    ) -> Result<Self, LaunchError> {
        let version = config.antigravity_version;
        let command = executable(choice)?;
        let (mut args, input, announcement) = match choice {
            Choice::Command(_) => (Vec::new(), Vec::new(), None),
            Choice::Preset {
                preset: Preset::Antigravity,
                ..
            } => {
                let (args, announcement) =
                    antigravity::arguments(version, &config.cloud_code_endpoint);
                let session = uuid::Uuid::new_v4().to_string();
                (
                    args,
                    antigravity::metadata(version, &session),
                    Some(announcement),
                )
            }
        };
        args.extend(config.args.iter().cloned());
        let spec = Spec {
            command,
            args,
            env: environment(config, account),
            working_directory: config
                .working_directory
                .clone()
                .unwrap_or_else(|| account.home.clone()),
            umask: UMASK,
            on_terminal: false,
        };
        let discovery_folder = account.home.join(antigravity::DISCOVERY_FOLDER);
        Ok(Self {
            spec,
            input,
            announcement,
            discovery_folder,
        })
    }
}

/// Complete: nothing of our own environment reaches the agent.
fn environment(config: &Config, account: &Account) -> BTreeMap<String, String> {
    let home = account.home.to_string_lossy().into_owned();
    let base = [
        ("PATH", AGENT_PATH.to_owned()),
        ("HOME", home),
        ("USER", account.name.clone()),
        ("LOGNAME", account.name.clone()),
        ("LANG", "C.UTF-8".to_owned()),
    ];
    let base = base
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    base.chain(config.env.clone()).collect()
}

/// What the agent writes is for its own user.
const UMASK: u32 = 0o077;

const AGENT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            name: "ls".into(),
            uid: 7,
            gid: 7,
            home: "/var/lib/ls".into(),
        }
    }

    #[test]
    fn any_command_gets_a_clean_environment() {
        let choice = Choice::Command("/bin/agent".into());
        let config = Config {
            args: vec!["-p".into()],
            env: BTreeMap::from([
                ("LANG".into(), "de_DE.UTF-8".into()),
                ("SSL_CERT_FILE".into(), "/x.pem".into()),
            ]),
            ..Config::default()
        };
        let program = Program::new(&choice, &config, &account()).expect("a program");
        let env: Vec<_> = program
            .spec
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "HOME=/var/lib/ls",
            "LANG=de_DE.UTF-8",
            "LOGNAME=ls",
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "SSL_CERT_FILE=/x.pem",
            "USER=ls",
        ];
        assert_eq!(env, expected);
        assert_eq!(
            (program.spec.args, program.input),
            (vec!["-p".to_owned()], Vec::new())
        );
        assert_eq!(program.announcement, None);
        assert_eq!(program.spec.working_directory, PathBuf::from("/var/lib/ls"));
    }

    #[test]
    fn a_preset_adds_to_what_is_configured() {
        let choice = Choice::Preset {
            preset: Preset::Antigravity,
            command: Some("/opt/ls".into()),
        };
        let config = Config {
            args: vec!["-v=2".into()],
            ..Config::default()
        };
        let program = Program::new(&choice, &config, &account()).expect("a program");
        assert_eq!(
            program.spec.args.first().map(String::as_str),
            Some("--standalone")
        );
        assert_eq!(program.spec.args.last().map(String::as_str), Some("-v=2"));
        assert!(!program.input.is_empty());
        assert!(
            program
                .announcement
                .is_some_and(|announcement| announcement.csrf_token.is_some())
        );
    }
}
