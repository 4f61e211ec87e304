//! `gravimeter prices update FILE`: prices from a file of another project, first as a difference,
//! then as lines of the user's own table.

use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use crate::cli::flags::ConfigFlags;
use crate::config::MAX_FILE_BYTES as MAX_TABLE_BYTES;
use crate::pricing::{Difference, Import, Line, Pattern, Rates, Table, import, read};
use crate::record::{Label as _, TokenKind};

/// Take over prices from LiteLLM's model_prices_and_context_window.json or models.dev's api.json
///
/// Shows every price of the file that is another one than what holds today. With --yes, those are
/// appended to the table that `pricing.file` names, and hold from today on; lines that are there
/// stay as they are. Nothing is fetched: the file is one that you have.
#[derive(Debug, Args)]
pub(super) struct Update {
    /// The file
    file: PathBuf,
    /// Only these models; a * at the end stands for any rest of a name
    #[arg(long, value_name = "MODEL", value_parser = pattern)]
    only: Vec<Pattern>,
    /// Write the prices into the table of your own
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    config: ConfigFlags,
}

impl Update {
    pub(super) fn run(self, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
        let loaded = self.config.load()?;
        let now = Timestamp::now();
        let (import, as_of) = open(&self.file, now)?;
        let today = day(now);
        let prices = &loaded.config.prices;
        let is_wanted = |line: &Line| {
            let names = line.models.iter().map(ToString::to_string);
            self.only.is_empty()
                || names
                    .into_iter()
                    .any(|name| self.only.iter().any(|pattern| pattern.matches(&name)))
        };
        let differences: Vec<Difference<'_>> = import
            .differences(prices, today)
            .filter(|difference| is_wanted(difference.line))
            .collect();
        write!(out, "{}", shown(&import, &differences))?;
        if differences.is_empty() {
            writeln!(out, "There is nothing to write.")?;
            return Ok(ExitCode::SUCCESS);
        }
        let Some(table) = loaded.price_file else {
            if self.yes {
                bail!(
                    "there is no table of your own to write to: create an empty file, and name it in the configuration \
                     ([pricing] file = \"prices.toml\")"
                );
            }
            writeln!(
                out,
                "Nothing is written. To take these prices over, name a table of your own in the configuration \
                 ([pricing] file = \"prices.toml\"), and add --yes."
            )?;
            return Ok(ExitCode::SUCCESS);
        };
        if !self.yes {
            writeln!(
                out,
                "Nothing is written. Add --yes to append these prices to {}.",
                table.display()
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        let written = append(&table, &differences, &self.file, as_of, today)?;
        writeln!(
            out,
            "{written} prices are written to {}; those that have changed hold from {today} on. \
             Restart Gravimeter to use them.",
            table.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::parse(text).ok_or_else(|| {
        "write a model's name on the wire, or the beginning of one with a * at the end".to_owned()
    })
}

/// Reads the file, and the day on which it was made: that of its last change, as it was downloaded.
fn open(path: &Path, now: Timestamp) -> anyhow::Result<(Import, Date)> {
    let place = path.display();
    let metadata = fs::metadata(path)
        .with_context(|| format!("{place}: the file cannot be read: check its path"))?;
    if metadata.len() > MAX_BYTES {
        bail!(
            "{place}: the file has {} bytes, a file of prices at most {MAX_BYTES}: is it another file?",
            metadata.len()
        );
    }
    let changed = metadata.modified().ok();
    let changed = changed.and_then(|at| Timestamp::try_from(at).ok());
    let as_of = day(changed.unwrap_or(now).min(now));
    let text = fs::read_to_string(path)
        .with_context(|| format!("{place}: the file cannot be read: check its permissions"))?;
    let how = "write the path of LiteLLM's model_prices_and_context_window.json or of models.dev's api.json";
    let import = import(&text, as_of).with_context(|| format!("{place}: {how}"))?;
    Ok((import, as_of))
}

/// The day in UTC, on which prices begin.
fn day(at: Timestamp) -> Date {
    Offset::UTC.to_datetime(at).date()
}

/// A line for each model, and what they are together.
fn shown(import: &Import, differences: &[Difference<'_>]) -> String {
    let mut text = String::new();
    let mut new = 0;
    for Difference { line, now } in differences {
        let models: Vec<String> = line.models.iter().map(ToString::to_string).collect();
        let provider = line.provider.map_or("", |provider| provider.as_str());
        let (word, changes) = match now {
            Some(now) => ("changed", changes(now, line)),
            None => {
                new += 1;
                ("new", prices(line))
            }
        };
        // A text takes whatever is written to it.
        let _ = writeln!(
            text,
            "{word:<8}{provider} {}: {}",
            models.join(" "),
            changes.join(", ")
        );
    }
    let _ = writeln!(
        text,
        "{} prices are read as {} ({} other entries are left out): {new} new, {} changed.",
        import.lines.len(),
        import.format,
        import.left_out,
        differences.len() - new
    );
    text
}

/// Every price of a line, for people.
fn prices(line: &Line) -> Vec<String> {
    figures(line)
        .into_iter()
        .map(|(name, figure)| format!("{name} {figure}"))
        .collect()
}

/// The prices that change, before and after.
fn changes(now: &Line, line: &Line) -> Vec<String> {
    let before = figures(now);
    let before = |name: &str| {
        let known = before.iter().find(|(known, _)| known == name);
        known.map_or("none", |(_, figure)| figure.as_str())
    };
    figures(line)
        .into_iter()
        .filter(|(name, figure)| before(name) != figure)
        .map(|(name, figure)| format!("{name} {} → {figure}", before(&name)))
        .collect()
}

/// All that has a price, and what it costs.
fn figures(line: &Line) -> Vec<(String, String)> {
    let of = |rates: &Rates, prefix: &str| -> Vec<(String, String)> {
        let kinds = TokenKind::ALL.iter();
        let prices = kinds.filter_map(|kind| {
            let name = format!("{prefix}{}", Rates::key(*kind));
            Some((name, rates.own(*kind)?.to_string()))
        });
        prices.collect()
    };
    let tiers = line.tiers.iter().flat_map(|tier| {
        let prefix = format!("above {} ", tier.above_input_tokens);
        of(&tier.rates, &prefix)
    });
    let factors = line.factors.0.iter();
    let factors = factors.map(|(condition, factor)| (condition.to_string(), format!("×{factor}")));
    let searches = line.web_search.map(|searches| {
        (
            searches.key().to_owned(),
            searches.of_a_thousand().to_string(),
        )
    });
    of(&line.rates, "")
        .into_iter()
        .chain(tiers)
        .chain(factors)
        .chain(searches)
        .collect()
}

/// Appends lines to a table, which is replaced at once or not at all. Returns how many.
fn append(
    table: &Path,
    differences: &[Difference<'_>],
    source: &Path,
    as_of: Date,
    today: Date,
) -> anyhow::Result<usize> {
    let place = table.display();
    let before =
        fs::read_to_string(table).with_context(|| format!("{place}: it cannot be read"))?;
    let Table(there) = read(&before).unwrap_or_default();
    let name = source.file_name().unwrap_or_default().display();
    let mut after = before.trim_end().to_owned();
    // A text takes whatever is written to it.
    let gap = if after.is_empty() { "" } else { "\n\n" };
    let _ = writeln!(
        after,
        "{gap}# From {name} of {as_of}, taken over on {today}."
    );
    for Difference { line, now } in differences {
        let line = Line {
            from: now.map(|_| today),
            ..(*line).clone()
        };
        if let Some(same) = there.iter().find(|known| known.is_for_same(&line)) {
            bail!(
                "{place}: {} has a price from {today} on already: remove that line, or try again tomorrow",
                same.models
                    .first()
                    .map_or_else(String::new, ToString::to_string)
            );
        }
        let _ = write!(after, "\n{}", line.to_toml());
    }
    if let Err(flaws) = read(&after) {
        let flaw = flaws.first().map_or("", |flaw| flaw.message.as_str());
        bail!("{place}: it would not be a table any more ({flaw}): nothing is written");
    }
    if after.len() as u64 > MAX_TABLE_BYTES {
        bail!(
            "{place}: it would have {} bytes, a table has at most {MAX_TABLE_BYTES}: take over less of the file with --only",
            after.len()
        );
    }
    let beside = table.with_extension("toml.new");
    fs::write(&beside, &after)
        .and_then(|()| fs::set_permissions(&beside, fs::metadata(table)?.permissions()))
        .and_then(|()| fs::rename(&beside, table))
        .with_context(|| {
            format!("{place}: it cannot be written: check the permissions of its folder")
        })?;
    Ok(differences.len())
}

/// The largest file that is read: LiteLLM's has some two megabytes.
const MAX_BYTES: u64 = 64 << 20;
