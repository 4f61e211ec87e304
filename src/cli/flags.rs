//! `--config` and a flag for every key, made from the table of keys, and the configuration that
//! follows from them.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{PathBufValueParser, StyledStr};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::HELP_WIDTH;
use crate::config::{
    DefaultValue, Inputs, Key, Kind, Loaded, Mistakes, Places, keys, load, process_environment,
};

/// The part of the command line that belongs to the configuration.
#[derive(Debug, Clone, Default)]
pub(super) struct ConfigFlags {
    file: Option<PathBuf>,
    given: Vec<(&'static Key, Vec<String>)>,
}

impl ConfigFlags {
    /// Puts the configuration together from flags, environment and file.
    pub(super) fn load(self) -> Result<Loaded, Mistakes> {
        load(&Inputs {
            file: self.file,
            flags: self.given,
            places: Places::default(),
            variables: process_environment(),
        })
    }

    /// Whether a key was given as a flag.
    pub(super) fn is_given(&self) -> bool {
        !self.given.is_empty()
    }

    /// Sets a key as if its flag had been given, unless it was.
    pub(super) fn or_set(mut self, name: &str, text: &str) -> Self {
        let free = !self.given.iter().any(|(key, _)| key.name == name);
        if let Some(key) = keys().find(|key| key.name == name).filter(|_| free) {
            self.given.push((key, vec![text.to_owned()]));
        }
        self
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        command.arg(file_flag()).args(keys().map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn file_flag() -> Arg {
    Arg::new(FILE)
        .long(FILE)
        .value_name("PATH")
        .value_parser(PathBufValueParser::new())
        .help("The configuration file; every key is an option, too: gravimeter help config")
        .long_help(FILE_HELP)
        .help_heading(HEADING)
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = |key: &'static Key| {
            let texts: Vec<_> = matches.get_many::<String>(key.name)?.cloned().collect();
            Some((key, texts))
        };
        Ok(Self {
            file: matches.get_one(FILE).cloned(),
            given: keys().filter_map(texts).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The help of every key, as one text: the help of a command does not show them, as so many flags
/// would bury what it is for.
pub(super) fn keys_help() -> StyledStr {
    let shown = |argument: Arg| argument.hide(false);
    let file = file_flag();
    Command::new("gravimeter COMMAND")
        .about(KEYS_ABOUT)
        .disable_help_flag(true)
        .max_term_width(HELP_WIDTH)
        .arg(file)
        .args(keys().map(flag).map(shown))
        .render_long_help()
}

/// The flag by which `serve` starts the language server, too.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Standalone {
    /// Start the Antigravity language server as well (agent.preset = "antigravity") and keep it
    /// running
    ///
    /// A configured agent (agent.preset or agent.command) is started in any case.
    #[arg(long)]
    standalone: bool,
}

impl Standalone {
    /// The configuration with what the flag adds to it.
    pub(super) fn load(self, flags: ConfigFlags) -> Result<Loaded, Mistakes> {
        if self.standalone && flags.clone().load()?.config.agent.is_none() {
            return flags.or_set("agent.preset", "antigravity").load();
        }
        flags.load()
    }
}

/// What helps where a switch was given its value as a word of its own, which clap takes for an
/// argument of the command: `--metrics.genai no`.
pub(super) fn switch_tip(arguments: &[OsString]) -> Option<String> {
    let is_switch = |flag: &OsStr| {
        let name = flag.to_str()?.strip_prefix("--")?;
        keys().find(|key| key.name == name && key.kind == Kind::Switch)
    };
    let pairs = arguments.windows(2).filter_map(|pair| match pair {
        [flag, value] => Some((is_switch(flag)?, value.to_str()?)),
        _ => None,
    });
    let mut wrong = pairs.filter_map(|(key, value)| Some((key, switch(value)?)));
    let (key, value) = wrong.next()?;
    let name = key.name;
    Some(format!(
        "  tip: write '--{name}={value}': the value of a switch stands behind `=`"
    ))
}

/// What people write for a switch.
fn switch(word: &str) -> Option<bool> {
    match word {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// The flag of one key.
fn flag(key: &'static Key) -> Arg {
    let default = match key.default {
        DefaultValue::InterceptedHosts => "Default: see `gravimeter config reference`".to_owned(),
        DefaultValue::Is(value) => format!("Default: {value}"),
        DefaultValue::Unset { means, .. } => format!("Without it: {means}"),
    };
    // The table breaks lines for a page, clap breaks them for the terminal.
    let help = key.help.replace('\n', " ");
    let flag = Arg::new(key.name)
        .long(key.name)
        .value_name(key.kind.placeholder())
        .help(key.summary())
        .long_help(format!("{help}\n{default}"))
        .help_heading(HEADING)
        .hide(true)
        .action(if key.kind.repeats() {
            ArgAction::Append
        } else {
            ArgAction::Set
        });
    // As all Prometheus exporters spell it.
    let flag = if key.name == "web.config_file" {
        flag.alias("web.config.file")
    } else {
        flag
    };
    match key.kind {
        Kind::Switch => flag
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        // `--agent.args --verbose`: the next word is the agent's, whatever it looks like.
        Kind::List(ARGUMENT) => flag.allow_hyphen_values(true),
        _ => flag,
    }
}

const FILE: &str = "config";

/// What the table calls an element of a list of another program's arguments.
const ARGUMENT: &str = "arg";

const HEADING: &str = "Configuration";

const FILE_HELP: &str = "\
The configuration file. Without it: GRAVIMETER_CONFIG, /etc/gravimeter/gravimeter.toml,
$XDG_CONFIG_HOME/gravimeter/gravimeter.toml, or none.

Every key of the file is an option, too (--web.listen), and a variable (GRAVIMETER_WEB_LISTEN):
`gravimeter help config` lists them. Lists are written with commas; options win over variables,
variables over the file.";

const KEYS_ABOUT: &str = "\
The keys of the configuration. Each is an option of every command that reads the configuration,
a variable (--web.listen: GRAVIMETER_WEB_LISTEN) and a key of the file (listen in [web]).
`gravimeter config check` tries a configuration, `gravimeter config example` prints a file.";
