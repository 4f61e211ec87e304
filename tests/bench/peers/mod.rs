//! Gravimeter beside other proxies: all behind the same redirect of one network namespace, measured
//! in turns.
//!
//! `peers [--smoke|--full] [--ours] [LOAD...]`; `--ours` leaves other people's proxies out, for
//! more rounds in the same time. What leaves: a table on standard output, and the same as
//! `peers.md` and `peers.json` below `target/tmp`. Figures are compared within a round only. Who is
//! not installed, or cannot carry a load, is named.

mod bulk;
mod contestant;
mod load;
mod process;
mod relay;
mod report;
mod stage;
mod streams;

use std::collections::HashSet;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::provider::Provider;
use crate::skip;
use contestant::{Contestant, Kind, Setting};
use load::{Figures, Load};
use report::{Report, Results};

pub const NAME: &str = "peers";

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Scale {
    name: &'static str,
    rounds: usize,
    /// Of calls or connections, in each turn.
    time: Duration,
    /// Of one download or upload.
    bulk: usize,
    streams: Vec<usize>,
    /// How long the events of slow streams are timed.
    stream_time: Duration,
    idle: usize,
    contestants: Vec<Kind>,
}

impl Scale {
    fn from(flags: &[String]) -> Self {
        const MIB: usize = 1 << 20;
        let has = |flag: &str| flags.iter().any(|given| given == flag);
        let seconds = Duration::from_secs;
        let (ours, all) = (
            Kind::ALL.into_iter().filter(|kind| kind.is_ours()),
            Kind::ALL.into_iter(),
        );
        let (contestants, times): (Vec<_>, _) = if has("--ours") {
            (ours.collect(), 3)
        } else {
            (all.collect(), 1)
        };
        if has("--smoke") {
            let (time, stream_time) = (Duration::from_millis(200), Duration::from_millis(300));
            let streams = vec![8];
            return Self {
                name: "smoke",
                rounds: 1,
                time,
                bulk: 8 * MIB,
                streams,
                stream_time,
                idle: 16,
                contestants,
            };
        }
        if has("--full") {
            let streams = vec![200, 2000];
            let (time, stream_time) = (seconds(5), seconds(10));
            let rounds = 7 * times;
            return Self {
                name: "full",
                rounds,
                time,
                bulk: 1024 * MIB,
                streams,
                stream_time,
                idle: 5000,
                contestants,
            };
        }
        let (time, stream_time) = (seconds(1), seconds(5));
        let (rounds, streams) = (5 * times, vec![200]);
        Self {
            name: "short",
            rounds,
            time,
            bulk: 256 * MIB,
            streams,
            stream_time,
            idle: 1000,
            contestants,
        }
    }

    /// Bytes of one answer that is read event by event.
    fn events(&self) -> usize {
        self.bulk.min(128 << 20)
    }

    /// Longer than any turn should take; whoever needs more has failed.
    fn limit(&self) -> Duration {
        self.time + self.stream_time + Duration::from_secs(120)
    }
}

/// Runs the benchmark, first of all on a stage of its own.
pub async fn main(wanted: &[String], flags: &[String]) {
    if let [role, rest @ ..] = wanted
        && role == relay::ROLE
    {
        return relay::main(rest).await;
    }
    if !flags.iter().any(|flag| flag == stage::FLAG) {
        return stage::run_again(wanted, flags);
    }
    let scale = Scale::from(flags);
    let loads = chosen(wanted, &scale);
    let tasks = TaskTracker::new();
    let provider = Provider::listen(stage::PROVIDER, &tasks).await;
    let setting = Setting::new(&provider, &tasks);
    let mut report = Report::new(&scale);
    let mut contestants = start_all(&scale.contestants, &setting, &mut report).await;
    for load in loads {
        if load.needs_new_processes() {
            contestants = restart_all(contestants, &setting, &mut report).await;
        }
        let results = measure(&contestants, load, &scale, &mut report).await;
        report.add(load, results);
    }
    report.write();
    if !report.is_complete() {
        drop(contestants);
        println!("\nincomplete: see the notes above");
        std::process::exit(1);
    }
}

/// Those that start, carry a call, and count what they claim to count.
async fn start_all(kinds: &[Kind], setting: &Setting, report: &mut Report) -> Vec<Contestant> {
    let mut started = Vec::new();
    for &kind in kinds {
        let tried = async {
            let contestant = Contestant::start(kind, setting).await?;
            let mut notes = vec![contestant.shows().await?];
            notes.extend(contestant.trial().await?);
            Ok::<_, String>((contestant, notes))
        };
        match tried.await {
            Ok((contestant, notes)) => {
                notes.iter().for_each(|note| report.note(note));
                started.push(contestant);
            }
            Err(reason) => {
                let name = kind.name();
                report.note(&format!("{name} is left out: {reason}"));
                if let Err(refusal) = skip::decide(&format!("{NAME}::{name}"), 1, &reason) {
                    report.fail(&refusal);
                }
            }
        }
    }
    started
}

fn chosen(wanted: &[String], scale: &Scale) -> Vec<Load> {
    let all = Load::all(scale);
    for name in wanted {
        let names: Vec<_> = all.iter().map(|load| load.name()).collect();
        assert!(
            names.contains(name),
            "there is no load {name}, only {names:?}"
        );
    }
    all.into_iter()
        .filter(|load| wanted.is_empty() || wanted.contains(&load.name()))
        .collect()
}

async fn restart_all(
    contestants: Vec<Contestant>,
    setting: &Setting,
    report: &mut Report,
) -> Vec<Contestant> {
    let mut started = Vec::new();
    for contestant in contestants {
        let name = contestant.kind.name();
        match contestant.restart(setting).await {
            Ok(contestant) => started.push(contestant),
            Err(reason) => report.note(&format!("{name} did not start again: {reason}")),
        }
    }
    started
}

/// All rounds of one load. Every round begins with another contestant, so that none has always the
/// same one before it.
async fn measure(
    contestants: &[Contestant],
    load: Load,
    scale: &Scale,
    report: &mut Report,
) -> Results {
    let mut results = Results::default();
    let mut unable = HashSet::new();
    for round in 0..load.rounds(scale) {
        for place in 0..contestants.len() {
            let contestant = &contestants[(round + place) % contestants.len()];
            let name = contestant.kind.name();
            if unable.contains(name) {
                continue;
            }
            match turn(contestant, load, scale).await {
                Ok(figures) => results.entry(name).or_default().push(figures),
                Err(reason) => {
                    unable.insert(name);
                    results.remove(name);
                    report.note(&format!("{name} does not carry {}: {reason}", load.name()));
                }
            }
        }
    }
    results
}

/// One call first, so that who cannot carry the load is known before it is measured.
async fn turn(contestant: &Contestant, load: Load, scale: &Scale) -> Result<Figures, String> {
    let probed = contestant.subject.clone();
    guarded(PROBE, async move { load.probe(&probed).await }).await?;
    let (subject, limit, scale) = (contestant.subject.clone(), scale.limit(), scale.clone());
    guarded(limit, async move { load.turn(&subject, &scale).await }).await
}

/// In a task of its own, which may fail, or take too long, without the others.
pub async fn guarded<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, String> {
    let mut task = JoinSet::new();
    task.spawn(work);
    match timeout(limit, task.join_next()).await {
        Ok(Some(Ok(done))) => Ok(done),
        Ok(Some(Err(error))) => Err(panic_message(error)),
        Ok(None) => Err("it did not begin".to_owned()),
        Err(_) => Err(format!("it takes longer than {limit:?}")),
    }
}

fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    let message = panic.downcast_ref::<String>().cloned();
    message
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}

const PROBE: Duration = Duration::from_secs(15);
