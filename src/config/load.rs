//! Reads the configuration: from file, environment and flags to the checked [`Config`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::raw::Raw;
use super::source::{Mistake, Mistakes, Origin, Setting};
use super::value::{Value, Wrong};
use super::{Config, Key, Places, check, file, given, keys, otel, prices, rules};

/// Everything that a configuration is made from.
#[derive(Debug, Clone)]
pub struct Inputs {
    /// The file that was named; without it the usual places are searched.
    pub file: Option<PathBuf>,
    /// The keys that were given as flags, with their texts.
    pub flags: Vec<(&'static Key, Vec<String>)>,
    /// Where a configuration and its state usually lie.
    pub places: Places,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// A configuration, and where it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The user's price table.
    pub price_file: Option<PathBuf>,
    /// One entry for each key, in the order of [`super::keys()`].
    pub origins: Vec<Origin>,
    /// What is wrong with OpenTelemetry's variables that are passed over.
    pub warnings: Vec<Mistake>,
}

/// Puts the configuration together.
///
/// # Errors
/// All mistakes at once.
pub fn load(inputs: &Inputs) -> Result<Loaded, Mistakes> {
    let file = inputs
        .places
        .config_file(inputs.file.as_deref(), &inputs.variables);
    let mut said = Said::of(inputs, file.as_deref());
    let mut raw = Raw::of(&inputs.places, &inputs.variables);
    let origins = said.apply_to(&mut raw);
    // A file that is not TOML has been said to be none.
    let is_read = said.mistakes.iter().all(|mistake| mistake.key.is_some());
    let rules = rules::load(
        file.as_deref().filter(|_| is_read),
        raw.rules_folder.as_deref(),
        &raw.relay.intercept,
        &origins,
    );
    let checked = match (prices::load(&raw.pricing, &origins), rules) {
        // Contradictions between keys that are wrong by themselves would only confuse.
        (Ok((prices, price_file)), Ok((rules, rule_files))) if said.mistakes.is_empty() => {
            check::check(raw, prices, &origins).map(|config| {
                let config = Config {
                    rules: Arc::new(rules),
                    rule_files,
                    ..config
                };
                (config, price_file)
            })
        }
        (prices, rules) => Err([
            prices.err().unwrap_or_default(),
            rules.err().unwrap_or_default(),
        ]
        .concat()),
    };
    match checked {
        Ok((config, price_file)) => Ok(Loaded {
            config,
            file,
            price_file,
            origins,
            warnings: said.warnings,
        }),
        Err(wrong) => Err(Mistakes::sorted([said.mistakes, wrong].concat())),
    }
}

/// What file, environment and flags say.
struct Said {
    /// The weakest first.
    settings: Vec<Setting>,
    mistakes: Vec<Mistake>,
    /// What is wrong with variables that are passed over.
    warnings: Vec<Mistake>,
}

impl Said {
    fn of(inputs: &Inputs, file: Option<&std::path::Path>) -> Self {
        let (mut settings, mut mistakes) = file.map(file::read).unwrap_or_default();
        let (variables, unknown) = given::from_variables(&inputs.variables);
        settings.extend(variables);
        settings.extend(given::from_flags(&inputs.flags));
        let is_given = |key: &str| settings.iter().any(|setting| setting.key.name == key);
        let otel::Read {
            settings: standard,
            warnings,
            mistakes: wrong,
        } = otel::from_variables(&inputs.variables, is_given);
        mistakes.extend(wrong);
        mistakes.extend(unknown);
        // What the file says is meant for this program, what OpenTelemetry's variables say for
        // every one.
        settings.splice(..0, standard);
        Self {
            settings,
            mistakes,
            warnings,
        }
    }

    /// Puts every value into its place, and says where each key was set.
    fn apply_to(&mut self, raw: &mut Raw) -> Vec<Origin> {
        let mut origins: Vec<_> = keys().map(Origin::of_default).collect();
        for setting in std::mem::take(&mut self.settings) {
            if let Err(Wrong { message, line }) = (setting.key.set)(raw, &setting.value) {
                let told = if otel::is_passed_over(setting.key, &setting.source) {
                    &mut self.warnings
                } else {
                    &mut self.mistakes
                };
                told.push(Mistake::new(
                    setting.source.on_line(line),
                    setting.key.name,
                    message,
                ));
            } else if let Some(origin) = origins
                .iter_mut()
                .find(|origin| origin.key == setting.key.name)
            {
                *origin = Origin::of_setting(setting);
            }
        }
        // The one default that depends on the machine.
        if let (Some(origin), Some(state_dir)) = (
            origins
                .iter_mut()
                .find(|origin| origin.key == "state.dir" && origin.value.is_empty()),
            &raw.state_dir,
        ) {
            origin.value = Value::Text(state_dir.display().to_string()).to_toml(false);
        }
        origins
    }
}
