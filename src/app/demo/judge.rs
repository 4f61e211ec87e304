//! What Gravimeter says of the agent's conversations against what the agent's own log says.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::demo::agent::{CallEntry, Log, RunEnd, RunEntry};
use crate::ledger::{CallRecord, CascadeDetails, Ledger, Limits, Run};
use crate::record::{Id, Label as _, RunOutcome};

/// How far both agree. Only what both still keep, and what Gravimeter has had time to learn, is
/// compared.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Judgement {
    /// Calls that Gravimeter has joined to the conversation that made them.
    joined: usize,
    /// Calls that it has not.
    not_joined: usize,
    /// Runs that it has seen, with the same end, the same number of calls and the same tokens.
    seen: usize,
    /// Runs that it has not.
    not_seen: usize,
    /// The largest difference between the durations of a run.
    largest_difference: Duration,
}

impl Judgement {
    /// Compares; `now` is when the log was asked for.
    pub(super) fn new(log: &Log, ledger: &Ledger, now: Timestamp) -> Self {
        let mut judgement = Self::default();
        let mut conversations: BTreeMap<&str, (Vec<&CallEntry>, Vec<&RunEntry>)> = BTreeMap::new();
        for call in &log.calls {
            conversations.entry(&call.cascade).or_default().0.push(call);
        }
        for run in log.runs.iter().filter(|run| is_settled(run, now)) {
            conversations.entry(&run.cascade).or_default().1.push(run);
        }
        // Of more conversations than it keeps, Gravimeter has let the oldest go.
        let keeps_all = conversations.len() <= Limits::default().cascades;
        for (cascade, (calls, runs)) in conversations {
            let known = Id::from_wire(cascade).and_then(|id| ledger.cascade(&id));
            if known.is_none() && !keeps_all {
                continue;
            }
            judgement.compare(known, &calls, &runs, log.forgotten_calls > 0, now);
        }
        judgement
    }

    fn compare(
        &mut self,
        known: Option<CascadeDetails>,
        calls: &[&CallEntry],
        runs: &[&RunEntry],
        log_is_cut: bool,
        now: Timestamp,
    ) {
        // A call of the last moments may be in the log and not in Gravimeter yet, or here and not in
        // a log that was read before.
        let is_settled =
            |ended: Timestamp| now.duration_since(ended).as_secs_f64() >= SEEN_WITHIN.as_secs_f64();
        let is_old = |call: &CallEntry| is_settled(microseconds(call.ended_us));
        let Some(known) = known else {
            self.not_seen += runs.len();
            self.not_joined += calls.iter().filter(|call| is_old(call)).count();
            return;
        };
        // Of a long conversation Gravimeter keeps the newest calls and runs only.
        let oldest_run = known.runs.last().map(|run| run.started_at);
        let is_whole = |kept: usize, total: u64| kept as u64 == total;
        let all_calls = is_whole(known.calls.len(), known.cascade.usage.calls);
        let all_runs = is_whole(known.runs.len(), known.cascade.runs_ended);
        let mut left: Vec<&CallRecord> = known.calls.iter().collect();
        for call in calls {
            match left.iter().position(|seen| is_same_call(seen, call)) {
                Some(index) => {
                    left.swap_remove(index);
                    self.joined += 1;
                }
                None if all_calls && is_old(call) => self.not_joined += 1,
                None => {}
            }
        }
        // What is left of a conversation that both know whole has been joined to the wrong one.
        if all_calls && !log_is_cut {
            self.not_joined += left.iter().filter(|call| is_settled(ended(call))).count();
        }
        for run in runs {
            let began = microseconds(run.started_us);
            if !all_runs && oldest_run.is_some_and(|oldest| began < oldest) {
                continue;
            }
            match known.runs.iter().find(|seen| is_same(seen, run, began)) {
                Some(seen) => {
                    self.seen += 1;
                    let real = Duration::from_micros(
                        run.ended_us.saturating_sub(run.started_us).unsigned_abs(),
                    );
                    let shown =
                        Duration::try_from_secs_f64(seen.duration_seconds).unwrap_or_default();
                    self.largest_difference = self.largest_difference.max(real.abs_diff(shown));
                }
                None => self.not_seen += 1,
            }
        }
    }

    /// Whether Gravimeter has made no mistake.
    pub(super) fn is_right(&self) -> bool {
        self.not_joined == 0 && self.not_seen == 0
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            joined,
            not_joined,
            seen,
            not_seen,
            largest_difference,
        } = self;
        let (calls, runs) = (joined + not_joined, seen + not_seen);
        let milliseconds = largest_difference.as_secs_f64() * 1000.0;
        write!(
            f,
            "{joined} of {calls} calls are joined to their conversations, {seen} of {runs} runs were seen to their end; \
             the durations differ by at most {milliseconds:.1} ms"
        )
    }
}

/// By the agent's own id of it. Coding agents give none: of theirs, subagent, tokens and the model that
/// was asked for, before a rule put another in its place, are the same.
fn is_same_call(seen: &CallRecord, call: &CallEntry) -> bool {
    if !call.request.is_empty() {
        return seen.request.as_ref().map(Id::as_str) == Some(&call.request);
    }
    let subagent = seen.subagent.as_ref().map_or("", Id::as_str);
    let asked = seen.asked_model.as_ref().unwrap_or(&seen.model);
    seen.request.is_none()
        && subagent == call.trajectory
        && asked.as_str() == call.model
        && seen.total_tokens == call.tokens.total()
}

fn is_same(seen: &Run, run: &RunEntry, began: Timestamp) -> bool {
    let outcome = match run.outcome {
        RunEnd::Canceled => RunOutcome::Canceled,
        RunEnd::Error => RunOutcome::Error,
        RunEnd::Ok => RunOutcome::Ok,
        RunEnd::Swallowed => RunOutcome::Swallowed,
    };
    let apart = seen.started_at.duration_since(began).unsigned_abs();
    seen.outcome.as_str() == outcome.as_str()
        && (seen.calls, seen.total_tokens) == (run.calls, run.tokens.total())
        && apart < SAME_BEGINNING
}

fn ended(call: &CallRecord) -> Timestamp {
    let lasted = SignedDuration::try_from_secs_f64(call.duration_seconds).unwrap_or_default();
    call.started_at
        .saturating_add(lasted)
        .unwrap_or(call.started_at)
}

/// Whether Gravimeter has had time to see it. That a prompt was lost shows only after a while.
fn is_settled(run: &RunEntry, now: Timestamp) -> bool {
    let limit = if run.outcome == RunEnd::Swallowed {
        LOST_WITHIN
    } else {
        SEEN_WITHIN
    };
    now.duration_since(microseconds(run.ended_us))
        .unsigned_abs()
        >= limit
}

fn microseconds(since_epoch: i64) -> Timestamp {
    Timestamp::from_microsecond(since_epoch).unwrap_or_default()
}

/// Two runs of one conversation are further apart.
const SAME_BEGINNING: Duration = Duration::from_secs(2);

/// A look at an idle agent, and the time in which an ended run may still go on.
const SEEN_WITHIN: Duration = Duration::from_secs(6);

/// As Gravimeter waits for something to come of a prompt.
const LOST_WITHIN: Duration = Duration::from_secs(16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Tokens;
    use crate::demo::agent::CallEnd;

    fn call(request: &str, ended_us: i64) -> CallEntry {
        CallEntry {
            trace: None,
            response: None,
            cascade: "c".to_owned(),
            trajectory: "t".to_owned(),
            request: request.to_owned(),
            model: "m".to_owned(),
            outcome: CallEnd::Ok,
            tokens: Tokens::default(),
            ended_us,
        }
    }

    #[test]
    fn what_gravimeter_has_had_no_time_to_learn_is_no_mistake() {
        let now = microseconds(100_000_000);
        let (old, fresh) = (call("old", 94_000_000), call("fresh", 94_000_001));
        let mut judgement = Judgement::default();
        judgement.compare(None, &[&fresh], &[], false, now);
        assert_eq!((judgement.not_joined, judgement.is_right()), (0, true));
        judgement.compare(None, &[&fresh, &old], &[], false, now);
        assert_eq!((judgement.not_joined, judgement.is_right()), (1, false));
    }
}
