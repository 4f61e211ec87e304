//! `gravimeter env`: the variables that lead the programs of a shell to the CONNECT proxy of a running
//! `gravimeter serve` and make them trust its CA, or those that lead agents to its base-URL door.
//!
//! Only lines for the shell go to standard output, and only where programs would find the proxy:
//! with half of the variables they would find nothing at all.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::exporter::reachable;
use super::flags::ConfigFlags;
use crate::config::{Config, process_environment};
use crate::launch::foreground::{Environment, base_url_variables, is_no_proxy, proxy_in_use};
use crate::launch::launchers::{Shell, quoted};
use crate::tls::bundle::{Bundle, environment_beside};

/// Print the variables by which the programs of a shell use the CONNECT proxy of a running serve
///
/// The programs that are started from that shell afterwards are counted, as long as `gravimeter
/// serve` runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eval \"$(gravimeter env)\"       in sh, bash and zsh
  gravimeter env | source        in fish
  eval \"$(gravimeter env --door base-url)\"")]
pub(super) struct Env {
    /// Where the programs are led: the CONNECT proxy, for all of them, or the base-URL door, for agents that
    /// are told where their provider is and trust no further CA
    #[arg(long, value_enum, default_value_t = Target::Connect)]
    door: Target,
    /// Whose syntax is printed; without it, that of SHELL
    #[arg(long, value_enum)]
    shell: Option<Syntax>,
    #[command(flatten)]
    config: ConfigFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// capture.base_url.listen
    BaseUrl,
    /// capture.connect_listen
    Connect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Syntax {
    /// fish
    Fish,
    /// sh, bash, zsh and other shells of that family
    Sh,
}

impl Env {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let own = process_environment();
        let shell = self.shell.unwrap_or_else(|| Syntax::of(&own));
        let config = self.config.load()?.config;
        let mut text = String::new();
        match self.door {
            Target::BaseUrl => {
                let door = base_url_door(config.capture.base_url_listen)?;
                for (name, value) in base_urls(door, &own)? {
                    text.push_str(&shell.line(name, &value));
                }
            }
            Target::Connect => {
                let proxy = proxy(config.capture.connect_listen)?;
                let environment = environment(&config, proxy, &own)?;
                for (name, value) in environment.variables() {
                    let (name, value) = (text_of(name)?, text_of(value)?);
                    text.push_str(&shell.line(name, value));
                }
            }
        }
        text.push_str(shell.advice(self.door));
        out.write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Syntax {
    /// The shell that `SHELL` names; that of the most where it names none that is known.
    fn of(own: &[(OsString, OsString)]) -> Self {
        let named = own.iter().find(|(name, _)| name == "SHELL");
        match named.and_then(|(_, path)| Shell::of_path(Path::new(path))) {
            Some(Shell::Fish) => Self::Fish,
            Some(Shell::Bash | Shell::Zsh) | None => Self::Sh,
        }
    }

    /// The line that sets an exported variable.
    fn line(self, name: &str, value: &str) -> String {
        let value = quoted(value);
        match self {
            Self::Fish => format!("set -gx {name} {value}\n"),
            Self::Sh => format!("export {name}={value}\n"),
        }
    }

    fn advice(self, door: Target) -> &'static str {
        match (self, door) {
            (Self::Fish, Target::Connect) => "# To use it: gravimeter env | source\n",
            (Self::Fish, Target::BaseUrl) => {
                "# To use it: gravimeter env --door base-url | source\n"
            }
            (Self::Sh, Target::Connect) => "# To use it: eval \"$(gravimeter env)\"\n",
            (Self::Sh, Target::BaseUrl) => {
                "# To use it: eval \"$(gravimeter env --door base-url)\"\n"
            }
        }
    }
}

/// Where the proxy listens, if one does.
fn proxy(connect_listen: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let Some(listen) = connect_listen else {
        bail!(
            "there is no CONNECT proxy in this configuration: set capture.connect_listen = \"127.0.0.1:8743\" for \
             `gravimeter serve`, or use `gravimeter run -- PROGRAM`, which needs none"
        );
    };
    listening(listen, "capture.connect_listen", "127.0.0.1:8743")
}

/// Where the base-URL door is, if there is one.
fn base_url_door(listen: Option<SocketAddr>) -> anyhow::Result<SocketAddr> {
    let Some(listen) = listen else {
        bail!(
            "there is no base-URL door in this configuration: set capture.base_url.listen = \"127.0.0.1:8744\" for \
             `gravimeter serve`"
        );
    };
    listening(listen, "capture.base_url.listen", "127.0.0.1:8744")
}

/// The address at which programs reach what listens at `listen`, which `key` says.
fn listening(listen: SocketAddr, key: &str, example: &str) -> anyhow::Result<SocketAddr> {
    if listen.port() == 0 {
        bail!(
            "{key} is {listen}, whose port is another one at every start: give it a fixed one, such as {example}"
        );
    }
    let address = reachable(listen);
    TcpStream::connect_timeout(&address, PATIENCE).with_context(|| {
        format!("nothing listens at {address} ({key}): start `gravimeter serve`")
    })?;
    Ok(address)
}

/// The variables that lead agents to the door. One that leads somewhere else already is left as it
/// is: a gateway must not be passed by.
fn base_urls(
    door: SocketAddr,
    own: &[(OsString, OsString)],
) -> io::Result<Vec<(&'static str, String)>> {
    let mut variables = Vec::new();
    for (name, value) in base_url_variables(door) {
        let set = own.iter().find(|(known, _)| known == name);
        match set.filter(|(_, set)| !set.is_empty() && **set != *value) {
            Some(_) => writeln!(
                io::stderr(),
                "warning: {name} leads to another server already and is left as it is: set capture.base_url.upstream to \
                 that server, and {name} to http://{door}"
            )?,
            None => variables.push((name, value)),
        }
    }
    Ok(variables)
}

/// The variables to set, and no others.
fn environment(
    config: &Config,
    proxy: SocketAddr,
    own: &[(OsString, OsString)],
) -> anyhow::Result<Environment> {
    let url = OsString::from(format!("http://{proxy}"));
    let others: Vec<_> = own
        .iter()
        .filter(|(_, value)| *value != url)
        .cloned()
        .collect();
    if let Some(variable) = proxy_in_use(&others) {
        bail!(
            "{variable} leads to another proxy already, and gravimeter cannot go through it: unset {variable}"
        );
    }
    let bundle = Bundle::find(&config.bundle).with_context(|| {
        format!(
            "the CA files that `gravimeter serve` writes ({}) cannot be read: run it with the same configuration",
            config.bundle.display()
        )
    })?;
    let named = |name: &str| {
        let found = own.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| PathBuf::from(value))
    };
    let trust = environment_beside(&bundle, named)
        .context("the CA files that this shell names cannot be added to a copy: unset them")?;
    for (name, error) in &trust.unreadable {
        writeln!(
            io::stderr(),
            "warning: {name} names a file that cannot be read ({error}): it is left as it is, and its programs will not \
             trust the CA"
        )?;
    }
    let kept: Vec<_> = own
        .iter()
        .filter(|(name, _)| is_no_proxy(name))
        .cloned()
        .collect();
    Ok(Environment::new(&kept, trust.variables).with_proxy(proxy))
}

fn text_of(text: &OsStr) -> anyhow::Result<&str> {
    text.to_str()
        .with_context(|| format!("{} is not UTF-8: unset it", text.display()))
}

/// A listener on this machine accepts at once, or none is there.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_of_the_user_is_meant() {
        let of = |path: &str| Syntax::of(&[("SHELL".into(), path.into())]);
        assert_eq!(of("/usr/bin/fish"), Syntax::Fish);
        assert_eq!(of("/usr/bin/zsh"), Syntax::Sh);
        assert_eq!(Syntax::of(&[]), Syntax::Sh);
    }

    #[test]
    fn without_a_proxy_nothing_is_printed() {
        let refused = |listen: Option<&str>| {
            let listen = listen.map(|listen| listen.parse().unwrap());
            proxy(listen).unwrap_err().to_string()
        };
        assert!(refused(None).contains("set capture.connect_listen"));
        assert!(refused(Some("127.0.0.1:0")).contains("give it a fixed one"));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        assert!(refused(Some(&address)).contains("start `gravimeter serve`"));
        let no_door = base_url_door(None).unwrap_err().to_string();
        assert!(no_door.contains("set capture.base_url.listen"), "{no_door}");
    }

    #[test]
    fn a_gateway_is_not_passed_by() {
        let door = "127.0.0.1:8744".parse().unwrap();
        let own = |value: &str| vec![("OPENAI_BASE_URL".into(), value.into())];
        let names = |own: &[_]| {
            let variables = base_urls(door, own).unwrap();
            variables.iter().any(|(name, _)| *name == "OPENAI_BASE_URL")
        };
        assert!(!names(&own("https://gateway.example.com")));
        assert!(names(&own("http://127.0.0.1:8744/openai/v1")) && names(&own("")) && names(&[]));
    }
}
