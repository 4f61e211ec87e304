//! What was measured, for people (Markdown) and for programs (JSON).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Scale;
use super::contestant::Kind;
use super::load::{Figures, Load};

/// The figures of each contestant, round by round; who failed once has none.
pub type Results = HashMap<&'static str, Vec<Figures>>;

pub struct Report {
    scale: Scale,
    markdown: String,
    loads: Vec<Value>,
    notes: Vec<String>,
    complete: bool,
}

impl Report {
    pub fn new(scale: &Scale) -> Self {
        let (markdown, loads, notes) = (String::new(), Vec::new(), Vec::new());
        let mut report = Self {
            scale: scale.clone(),
            markdown,
            loads,
            notes,
            complete: true,
        };
        report.say(&format!(
            "{}; {} rounds, medians (quartiles)\n",
            machine(),
            scale.rounds
        ));
        report
    }

    /// What a reader of the figures must know.
    pub fn note(&mut self, text: &str) {
        // A page of error is not a note.
        let text: String = text
            .lines()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(300)
            .collect();
        self.say(&format!("- {text}"));
        self.notes.push(text);
    }

    /// Notes what makes the whole run fail.
    pub fn fail(&mut self, reason: &str) {
        self.note(reason);
        self.complete = false;
    }

    /// Whether each of ours carried each load, and nobody was left out who must not be.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn add(&mut self, load: Load, results: Results) {
        let description = load.describe(&self.scale);
        self.complete &= Kind::ALL
            .into_iter()
            .all(|kind| !kind.is_ours() || results.contains_key(kind.name()));
        let present: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| results.contains_key(kind.name()))
            .collect();
        let Some(names) = present.first().map(|kind| names(&results[kind.name()])) else {
            return self.note(&format!("nobody carries {}", load.name()));
        };
        let (first, rest) = names.split_first().expect("a figure");
        let cpu = names
            .iter()
            .position(|name| name.contains("CPU"))
            .filter(|place| *place > 0);
        let mut table =
            format!("\n### {description}\n\n| | {first} | of no proxy | of the bare relay |");
        rest.iter()
            .for_each(|name| write!(table, " {name} |").expect("memory"));
        table.push_str(if cpu.is_some() {
            " CPU of the bare relay |"
        } else {
            ""
        });
        write!(
            table,
            "\n|---|{}",
            "---|".repeat(names.len() + 2 + usize::from(cpu.is_some()))
        )
        .expect("memory");
        for kind in &present {
            let rounds = &results[kind.name()];
            let value = |place: usize| short(Spread::of(&column(rounds, place)).median);
            let ratio = |other, place| {
                ratios(&results, *kind, other, place).map_or("-".to_owned(), |it| it.text())
            };
            // Nothing takes no processor time and no memory.
            let takes = |name: &str| {
                *kind != Kind::Nothing || !["CPU", "KiB", "MiB"].iter().any(|it| name.contains(it))
            };
            write!(table, "\n| {} |", kind.name()).expect("memory");
            let mut cell = |name: &str, text: String| {
                write!(
                    table,
                    " {} |",
                    if takes(name) { text } else { "-".to_owned() }
                )
                .expect("memory");
            };
            cell(first, value(0));
            cell(first, ratio(Kind::Nothing, 0));
            cell(first, ratio(Kind::BareRelay, 0));
            rest.iter()
                .zip(1..)
                .for_each(|(name, place)| cell(name, value(place)));
            if let Some(place) = cpu {
                cell("CPU", ratio(Kind::BareRelay, place));
            }
        }
        self.say(&table);
        self.loads.push(json!({
            "load": load.name(),
            "description": description,
            "figures": names,
            "contestants": present.iter().map(|kind| contestant(&results, *kind, &names)).collect::<Vec<_>>(),
        }));
    }

    fn say(&mut self, text: &str) {
        println!("{text}");
        self.markdown.push_str(text);
        self.markdown.push('\n');
    }

    /// Both forms, below the folder of the build.
    pub fn write(&self) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let all = json!({
            "machine": machine(),
            "scale": self.scale.name,
            "rounds": self.scale.rounds,
            "notes": self.notes,
            "loads": self.loads,
        });
        for (name, text) in [
            ("peers.md", &self.markdown),
            ("peers.json", &format!("{all:#}\n")),
        ] {
            let path = folder.join(name);
            fs::write(&path, text).expect("a writable target folder");
            println!("\nwritten: {}", path.display());
        }
    }
}

fn contestant(results: &Results, kind: Kind, names: &[&str]) -> Value {
    let rounds = &results[kind.name()];
    let figures: Vec<_> = (0..names.len())
        .map(|place| {
            let values = column(rounds, place);
            json!({ "name": names[place], "median": Spread::of(&values).median, "rounds": values })
        })
        .collect();
    let cpu = names
        .iter()
        .position(|name| name.contains("CPU"))
        .filter(|_| kind != Kind::Nothing);
    let ratio = |other, place| ratios(results, kind, other, place).map(|spread| spread.json());
    json!({
        "name": kind.name(),
        "figures": figures,
        "of_no_proxy": ratio(Kind::Nothing, 0),
        "of_the_bare_relay": ratio(Kind::BareRelay, 0),
        "cpu_of_the_bare_relay": cpu.and_then(|place| ratio(Kind::BareRelay, place)),
    })
}

fn names(rounds: &[Figures]) -> Vec<&'static str> {
    rounds
        .first()
        .expect("a round")
        .iter()
        .map(|figure| figure.name)
        .collect()
}

fn column(rounds: &[Figures], place: usize) -> Vec<f64> {
    rounds.iter().map(|figures| figures[place].value).collect()
}

/// Of one figure, within each round.
fn ratios(results: &Results, kind: Kind, other: Kind, place: usize) -> Option<Spread> {
    let (these, others) = (
        column(&results[kind.name()], place),
        column(results.get(other.name())?, place),
    );
    let ratios: Vec<_> = these
        .iter()
        .zip(&others)
        .map(|(this, other)| this / other)
        .collect();
    // The memory of nothing is none: there is no ratio to it.
    ratios
        .iter()
        .all(|ratio| ratio.is_finite())
        .then(|| Spread::of(&ratios))
}

struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
        Self {
            low: at(0.25),
            median: at(0.5),
            high: at(0.75),
        }
    }

    fn text(&self) -> String {
        format!("{:.2} ({:.2}-{:.2})", self.median, self.low, self.high)
    }

    fn json(&self) -> Value {
        json!({ "lower_quartile": self.low, "median": self.median, "upper_quartile": self.high })
    }
}

/// Three digits that matter.
fn short(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 1.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (info, load) = (read("/proc/cpuinfo"), read("/proc/loadavg"));
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (load, kernel) = (
        load.split(' ').next().unwrap_or("?"),
        read("/proc/sys/kernel/osrelease"),
    );
    let build = if cfg!(debug_assertions) {
        ", built without optimisation: no figures to keep"
    } else {
        ""
    };
    format!(
        "{cores} cores, {model}, Linux {}, load {load} at the start{build}",
        kernel.trim()
    )
}
