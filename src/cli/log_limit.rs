//! How much of one kind may stand in the log: what others cause again and again is told some times,
//! and then counted.
//!
//! Events enter, whether each may be told leaves; at the end of each window a line for every kind
//! says how many were left out. Whoever connects, sends or answers can thus fill neither a disk nor
//! the log that an operator reads.

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, debug, info, warn};
use tracing_subscriber::layer::{Context, Filter};

/// The lines of this window, by kind.
#[derive(Debug, Clone, Default)]
pub(super) struct LogLimit(Arc<Mutex<Window>>);

type Window = HashMap<Option<Kind>, Lines>;

/// Lines that say the same: from one place in the program, for one of its reasons. `None` is every
/// kind beyond [`MOST_KINDS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    place: Identifier,
    reason: Option<String>,
}

#[derive(Debug)]
struct Lines {
    told: u32,
    left_out: u64,
    level: Level,
    message: String,
}

impl LogLimit {
    /// Runs the program, and says every [`WINDOW`] and at the end what was left out of the log.
    pub(super) async fn watch<T>(&self, program: impl Future<Output = T>) -> T {
        let mut program = pin!(program);
        loop {
            let ended = timeout(WINDOW, &mut program).await;
            self.end_window();
            if let Ok(value) = ended {
                return value;
            }
        }
    }

    /// Says what was left out, and begins anew.
    fn end_window(&self) {
        // Taken out first: what is told here goes through the same filter.
        let window = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (
            kind,
            Lines {
                left_out,
                level,
                message,
                ..
            },
        ) in window
        {
            let reason = kind.and_then(|kind| kind.reason);
            let reason = reason.as_deref();
            match level {
                _ if left_out == 0 => {}
                Level::ERROR | Level::WARN => warn!(left_out, like = message, reason, "{LEFT_OUT}"),
                Level::INFO => info!(left_out, like = message, reason, "{LEFT_OUT}"),
                _ => debug!(left_out, like = message, reason, "{LEFT_OUT}"),
            }
        }
    }

    fn may_tell(&self, event: &Event<'_>) -> bool {
        let metadata = event.metadata();
        if is_exempt(metadata.target()) {
            return true;
        }
        let reason = REASONS.iter().find_map(|name| text(event, name));
        let kind = Kind {
            place: metadata.callsite(),
            reason,
        };
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_one_too_many =
            window.len() >= MOST_KINDS && !window.contains_key(&Some(kind.clone()));
        let lines = window
            .entry((!is_one_too_many).then_some(kind))
            .or_insert_with(|| Lines {
                told: 0,
                left_out: 0,
                level: *metadata.level(),
                message: if is_one_too_many {
                    OTHERS.to_owned()
                } else {
                    text(event, "message").unwrap_or_default()
                },
            });
        if lines.told < MOST_TOLD {
            lines.told += 1;
            return true;
        }
        lines.left_out += 1;
        false
    }
}

impl<S: Subscriber> Filter<S> for LogLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn callsite_enabled(&self, _: &'static Metadata<'static>) -> Interest {
        // Not `always`: the registry then asks `event_enabled` alone, and its bookkeeping expects
        // `enabled` before it.
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.may_tell(event)
    }
}

/// Whether nobody from outside causes the lines, or the operator asked for every one of them.
fn is_exempt(target: &str) -> bool {
    EXEMPT.iter().any(|room| {
        target
            .strip_prefix(room)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

/// The text of a field, cut to [`MOST_CHARACTERS`].
fn text(event: &Event<'_>, name: &'static str) -> Option<String> {
    struct Text(&'static str, Option<String>);
    impl Text {
        fn keep(&mut self, field: &Field, value: impl FnOnce() -> String) {
            if field.name() == self.0 {
                self.1 = Some(value().chars().take(MOST_CHARACTERS).collect());
            }
        }
    }
    impl Visit for Text {
        fn record_str(&mut self, field: &Field, value: &str) {
            self.keep(field, || value.to_owned());
        }

        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.keep(field, || format!("{value:?}"));
        }
    }
    let mut text = Text(name, None);
    event.record(&mut text);
    text.1
}

const LEFT_OUT: &str = "log lines were left out: there were too many of one kind";
const OTHERS: &str = "(other kinds)";

/// The fields that tell apart what one place in the program says, from short lists each.
const REASONS: [&str; 2] = ["reason", "location"];

/// The start and the end of the program, its agent as a process, the agent's output (which
/// `agent.log_output` asks for), and what is said here.
const EXEMPT: [&str; 4] = [
    "gravimeter::app",
    "gravimeter::launch",
    "agent",
    module_path!(),
];

/// Enough to see what happens and to whom; with [`WINDOW`] at most three lines a second of one
/// kind.
const MOST_TOLD: u32 = 30;

/// Soon enough that what was left out is told while it happens.
const WINDOW: Duration = Duration::from_secs(10);

/// More than the program has: the libraries below it have kinds of their own.
const MOST_KINDS: usize = 256;

/// The longest message of the program is shorter.
const MOST_CHARACTERS: usize = 200;

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

    use super::*;

    /// The lines of what happens, as JSON.
    fn told(limit: &LogLimit, happens: impl FnOnce()) -> Vec<serde_json::Value> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = std::fs::File::create(&path).unwrap();
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(file);
        let log = tracing_subscriber::registry().with(lines.with_filter(limit.clone()));
        tracing::subscriber::with_default(log, happens);
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn refuse(reason: &str) {
        warn!(target: "gravimeter::relay", reason, "refused");
    }

    #[test]
    fn a_flood_leaves_a_bounded_log_that_says_what_it_lacks() {
        let limit = LogLimit::default();
        let lines = told(&limit, || {
            (0..1000).for_each(|_| refuse("flood"));
            refuse("rare");
            limit.end_window();
            refuse("flood");
            limit.end_window();
        });
        let of = |reason: &str, message: &str| {
            lines
                .iter()
                .filter(|line| line["reason"] == reason && line["message"] == message)
                .count()
        };
        assert_eq!(
            (of("flood", "refused"), of("rare", "refused")),
            (MOST_TOLD as usize + 1, 1)
        );
        let left_out: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == LEFT_OUT)
            .collect();
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert_eq!(left_out[0]["left_out"], 1000 - u64::from(MOST_TOLD));
        assert_eq!(
            (&left_out[0]["like"], &left_out[0]["reason"]),
            (&"refused".into(), &"flood".into())
        );
    }

    #[test]
    fn the_start_and_the_agent_s_output_are_told_in_full() {
        let lines = told(&LogLimit::default(), || {
            for _ in 0..1000 {
                info!(target: "gravimeter::app::trust", "made a new CA");
                info!(target: "agent", "a line");
                info!(target: "agents", "not the agent");
            }
        });
        let of = |target: &str| lines.iter().filter(|line| line["target"] == target).count();
        assert_eq!([of("gravimeter::app::trust"), of("agent")], [1000, 1000]);
        assert_eq!(of("agents"), MOST_TOLD as usize);
    }

    #[test]
    fn kinds_without_end_are_one_kind() {
        let limit = LogLimit::default();
        let lines = told(&limit, || {
            (0..10_000).for_each(|number: u32| refuse(&number.to_string()));
            limit.end_window();
        });
        assert_eq!(lines.len(), MOST_KINDS + MOST_TOLD as usize + 1);
        assert!(limit.0.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn windows_end_while_the_program_runs_and_with_it() {
        let limit = LogLimit::default();
        let lines = || Lines {
            told: MOST_TOLD,
            left_out: 1,
            level: Level::WARN,
            message: String::new(),
        };
        let is_told = || limit.0.lock().unwrap().is_empty();
        let program = async {
            limit.0.lock().unwrap().insert(None, lines());
            tokio::time::sleep(2 * WINDOW).await;
            assert!(is_told());
            limit.0.lock().unwrap().insert(None, lines());
            "ended"
        };
        assert_eq!(limit.watch(program).await, "ended");
        assert!(is_told());
    }
}
