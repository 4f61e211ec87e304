//! A program on our terminal as another user, through the entry points that `serve` starts its agent
//! by: sudo runs the fixed command lines that `gravimeter redirect install` has permitted.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;

use rustix::process::Signal;
use tracing::warn;

use super::{Environment, Executable};
use crate::launch::LaunchError;
use crate::launch::process::Identity;
use crate::launch::start::Launcher;
use crate::launch::start::wire::{Action, Request, Spec};

/// Another user of this machine.
#[derive(Debug)]
pub(crate) struct OtherUser(Launcher);

/// A program that runs as another user.
#[derive(Debug)]
pub(crate) struct Started {
    /// The process that ends with the program: sudo, or the program itself.
    pub(crate) child: Child,
    identity: Identity,
}

impl OtherUser {
    /// Looks `user` up. `own` is our own executable.
    ///
    /// # Errors
    /// [`LaunchError`] when there is no such user, or it is the one who runs this process: the
    /// redirect tells the two apart by uid.
    pub(crate) async fn lookup(own: &Path, user: &str) -> Result<Self, LaunchError> {
        let launcher = Launcher::for_user(own.to_owned(), Some(user)).await?;
        if launcher.is_own_user() {
            return Err(LaunchError::SameUser {
                user: launcher.account.name,
                uid: launcher.account.uid,
            });
        }
        Ok(Self(launcher))
    }

    /// Starts a program on our terminal. In a folder that the user may not enter, it starts in its
    /// home.
    ///
    /// # Errors
    /// [`LaunchError`] when it does not run. Arguments that are no UTF-8 are refused.
    pub(crate) async fn start(
        &self,
        executable: &Executable,
        arguments: &[OsString],
        environment: &Environment,
        folder: Option<PathBuf>,
    ) -> Result<Started, LaunchError> {
        let texts = arguments.iter().map(|argument| argument.to_str());
        let texts: Option<Vec<_>> = texts.map(|text| text.map(str::to_owned)).collect();
        let args = texts.ok_or_else(|| {
            LaunchError::Exec("its arguments must be UTF-8 where another user runs it".to_owned())
        })?;
        let spec = self.spec(
            executable.path.clone(),
            args,
            self.adapt(environment),
            folder,
        );
        let input = io::stdin();
        let input = std::os::fd::AsFd::as_fd(&input).try_clone_to_owned();
        let input = input.map_err(|error| LaunchError::Exec(error.to_string()))?;
        let (child, identity) = self.0.start_on_terminal(&spec, input, false).await?;
        Ok(Started { child, identity })
    }

    /// Runs a program of ours in silence. It ends by itself.
    ///
    /// # Errors
    /// [`LaunchError`] when it does not run.
    pub(crate) async fn try_out(
        &self,
        program: &Path,
        words: &[&str],
    ) -> Result<Child, LaunchError> {
        let args = words.iter().map(|&word| word.to_owned()).collect();
        let spec = self.spec(program.to_owned(), args, BTreeMap::new(), None);
        let input = std::fs::File::open("/dev/null").map(OwnedFd::from);
        let input = input.map_err(|error| LaunchError::Exec(error.to_string()))?;
        let (child, _) = self.0.start_on_terminal(&spec, input, true).await?;
        Ok(child)
    }

    /// Passes a signal on, which nobody else could: the program belongs to another user. Whatever
    /// asks for an end is SIGTERM then; other signals do not arrive.
    pub(crate) async fn signal(&self, program: &Started, signal: Signal) {
        if ![Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM].contains(&signal) {
            return;
        }
        let request = Request {
            identity: program.identity,
            adopter: None,
            action: Action::Term,
            wait_ms: 0,
        };
        if let Err(error) = self.0.signal(request).await {
            warn!(%error, "a signal could not be passed on to the program");
        }
    }

    fn spec(
        &self,
        command: PathBuf,
        args: Vec<String>,
        env: BTreeMap<String, String>,
        folder: Option<PathBuf>,
    ) -> Spec {
        let status = procfs::process::Process::myself().and_then(|own| own.status());
        let umask = status.ok().and_then(|status| status.umask);
        Spec {
            command,
            args,
            env,
            working_directory: folder.unwrap_or_else(|| self.0.account.home.clone()),
            umask: umask.unwrap_or(USUAL_UMASK),
            on_terminal: true,
        }
    }

    /// Who it is, and where it has its files, is the other user's; what is no UTF-8 is left out.
    fn adapt(&self, environment: &Environment) -> BTreeMap<String, String> {
        let account = &self.0.account;
        let texts = environment.variables().filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| !name.starts_with("XDG_"))?;
            Some((name.to_owned(), value.to_str()?.to_owned()))
        });
        let mut adapted: BTreeMap<_, _> = texts.collect();
        for (name, value) in [
            ("HOME", account.home.display().to_string()),
            ("USER", account.name.clone()),
            ("LOGNAME", account.name.clone()),
        ] {
            adapted.insert(name.to_owned(), value);
        }
        adapted
    }
}

/// What most systems set.
const USUAL_UMASK: u32 = 0o022;
