//! Assigns the calls of one conversation to the runs in which they began. Each call is settled
//! once: either within a run, which counts it and whose trace contains its span, or outside all
//! runs. Each settled call is returned exactly once.

use std::time::{Duration, Instant};

use super::conversation::{Moment, OBSERVED_WITHIN, RunStart};
use super::waiting::WaitingQueue;
use crate::record::{Call, Cost, Model, Operation, Outcome};

/// What a run needs to know of a call.
#[derive(Debug, Clone)]
pub(super) struct SeenCall {
    pub(super) number: u64,
    /// The place of its span has been reported.
    pub(super) is_placed: bool,
    operation: Operation,
    model: Model,
    pub(super) began: Instant,
    pub(super) ended: Instant,
    first_chunk: Option<Instant>,
    tokens: u64,
    /// Those of a complete answer: of another one the agent makes none.
    tool_calls: u64,
    /// `None` where it has tokens and no price.
    cost: Option<Cost>,
}

impl SeenCall {
    /// Built from a call that was just reported, which may be a while after its end: when it began
    /// is taken from the wall clock, unless the wall clock was set meanwhile.
    pub(super) fn new(call: &Call, now: Moment) -> Self {
        let latest = now.at.checked_sub(call.timing.duration).unwrap_or(now.at);
        let lasted = now.wall.duration_since(call.timing.started_at).ok();
        let by_wall_clock = lasted.and_then(|lasted| now.at.checked_sub(lasted));
        let can_be = |at: &Instant| *at <= latest && *at + STATED_WITHIN >= latest;
        let began = by_wall_clock.filter(can_be).unwrap_or(latest);
        Self {
            number: call.number,
            is_placed: call.trace.is_some(),
            operation: call.operation,
            model: call.model.clone(),
            began,
            ended: began + call.timing.duration,
            first_chunk: call.timing.time_to_first_chunk.map(|after| began + after),
            tokens: call.usage.total(),
            tool_calls: match call.outcome {
                Outcome::Ok => call.turn.tool_calls.into(),
                _ => 0,
            },
            cost: (!call.is_unpriced()).then(|| call.cost.unwrap_or_default()),
        }
    }

    /// The same call with its span placed.
    pub(super) fn placed(self) -> Self {
        Self {
            is_placed: true,
            ..self
        }
    }

    /// Whether the call belongs to the run under way, whatever update comes.
    pub(super) fn is_within(&self, run: ConfirmedInterval) -> bool {
        self.began >= run.began && self.began <= run.until
    }

    /// Its number, if its span is not placed yet.
    fn unplaced(&self) -> Option<u64> {
        (!self.is_placed).then_some(self.number)
    }
}

/// The part of the run under way that no later update can assign to another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ConfirmedInterval {
    pub(super) began: Instant,
    pub(super) until: Instant,
}

/// The calls of a conversation that belong to no ended run.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// Calls that are not settled, in order of arrival, each with its time of arrival.
    waiting: WaitingQueue<SeenCall, MAX_WAITING>,
    /// Sum of the calls that certainly belong to the run under way.
    settled: Sum,
    /// When the last run ended.
    last_end: Option<Instant>,
}

/// Running totals of the calls of one run.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) count: u64,
    pub(super) tokens: u64,
    pub(super) tool_calls: u64,
    /// `None` where one of them has tokens and no price.
    pub(super) cost: Option<Cost>,
    /// The first call (hidden, began, model): a chat turn sorts before hidden calls.
    pub(super) first: Option<(bool, Instant, Model)>,
    /// Not all of them have asked for its model.
    pub(super) has_several_models: bool,
    pub(super) first_chunk: Option<Instant>,
    began: Option<Instant>,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            count: 0,
            tokens: 0,
            tool_calls: 0,
            cost: Some(Cost::default()),
            first: None,
            has_several_models: false,
            first_chunk: None,
            began: None,
        }
    }
}

impl Sum {
    pub(super) fn add(&mut self, call: &SeenCall) {
        self.count += 1;
        self.tokens = self.tokens.saturating_add(call.tokens);
        self.tool_calls = self.tool_calls.saturating_add(call.tool_calls);
        self.cost = self
            .cost
            .zip(call.cost)
            .map(|(sum, cost)| sum.saturating_add(cost));
        let is_hidden = call.operation != Operation::Chat;
        let has_another = |(_, _, model): &(bool, Instant, Model)| *model != call.model;
        self.has_several_models |= self.first.as_ref().is_some_and(has_another);
        if self
            .first
            .as_ref()
            .is_none_or(|(hidden, began, _)| (is_hidden, call.began) < (*hidden, *began))
        {
            self.first = Some((is_hidden, call.began, call.model.clone()));
        }
        self.first_chunk = self.first_chunk.into_iter().chain(call.first_chunk).min();
        self.began = self.began.into_iter().chain([call.began]).min();
    }
}

/// The calls of one run together.
#[derive(Debug)]
pub(super) struct RunCalls {
    pub(super) count: u64,
    pub(super) tokens: u64,
    /// `None` where one of them has tokens and no price: a sum without it would be mistaken for the
    /// full cost.
    pub(super) cost: Option<Cost>,
    /// The model of the first one.
    pub(super) model: Option<Model>,
    /// Not all of them have asked for it.
    pub(super) has_several_models: bool,
    pub(super) first_chunk: Option<Instant>,
    /// When the first one began, if that was before the agent was seen to work.
    pub(super) began: Option<Instant>,
    /// When the last call ended that no step of the run shows, if there was one.
    pub(super) ended: Option<Instant>,
    /// Calls of the run whose spans are not placed yet.
    pub(super) unplaced: Vec<u64>,
    /// Calls that no run will contain, whose spans are not placed yet.
    pub(super) outside_runs: Vec<u64>,
}

impl Calls {
    /// Adds a call. Returns the oldest one when there was no room, if its span is not placed: no
    /// run will contain it.
    pub(super) fn add(&mut self, call: SeenCall, now: Instant) -> Option<u64> {
        let oldest = self.waiting.push(call, now);
        oldest.and_then(|oldest| oldest.unplaced())
    }

    /// Runs reported earlier had ended by `end`.
    pub(super) fn begin_after(&mut self, end: Instant) {
        self.last_end = self.last_end.max(Some(end));
    }

    /// Adds a call that came before its conversation was followed, and whose span is placed.
    pub(super) fn add_earlier(&mut self, call: SeenCall, now: Instant) {
        if !self.waiting.is_full() {
            self.waiting.push(call, now);
        }
    }

    /// Whether calls wait for a run.
    pub(super) fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Removes a call, unless it is settled.
    pub(super) fn remove(&mut self, number: u64) -> Option<SeenCall> {
        self.waiting.take_first(|call| call.number == number)
    }

    /// Settles the calls that certainly belong to the run under way. Returns those whose spans are
    /// not placed yet.
    pub(super) fn settle(&mut self, run: ConfirmedInterval) -> Vec<u64> {
        let settled = self.waiting.take_all(|call| call.is_within(run));
        settled.iter().for_each(|call| self.settled.add(call));
        settled.iter().filter_map(SeenCall::unplaced).collect()
    }

    /// Settles calls that have waited long enough for a run that never came. Returns those whose
    /// spans are not placed yet.
    pub(super) fn stop_waiting(&mut self, now: Instant) -> Vec<u64> {
        let late = self.waiting.take_late(now, RUN_REPORTED_WITHIN);
        late.filter_map(|call| call.unplaced()).collect()
    }

    /// No run will come: settles all calls. Returns those whose spans are not placed yet.
    pub(super) fn give_up(&mut self) -> Vec<u64> {
        let calls = self.waiting.take_all(|_| true);
        calls.iter().filter_map(SeenCall::unplaced).collect()
    }

    /// Removes and adds up the calls that began in a run. The agent works before it calls, but it
    /// may be observed working only later: when the agent did not report when the run began, a chat
    /// turn that began after the previous run and shortly before this one is part of this one.
    ///
    /// Where only steps show the end, a call may have begun after it, up to `latest`: the run went
    /// on for that long.
    pub(super) fn of_run(&mut self, began: RunStart, ended: Instant, latest: Instant) -> RunCalls {
        let last_end = self.last_end.take();
        let RunStart {
            at: began,
            is_reported,
            ..
        } = began;
        let belongs = |call: &SeenCall| {
            let is_early = !is_reported
                && call.operation == Operation::Chat
                && call.began + OBSERVED_WITHIN >= began
                && last_end.is_none_or(|end| call.began > end);
            call.began <= latest && (call.began >= began || is_early)
        };
        let calls = self.waiting.take_all(belongs);
        let outside_runs = self.waiting.take_all(|call| call.began <= latest);
        // The next run may begin at that moment, so a call that takes longer does not extend this
        // run.
        let unseen = calls
            .iter()
            .filter(|call| call.began > ended)
            .map(|call| call.ended.min(latest))
            .max();
        self.last_end = Some(unseen.unwrap_or(ended).max(ended));
        let mut sum = std::mem::take(&mut self.settled);
        calls.iter().for_each(|call| sum.add(call));
        RunCalls {
            count: sum.count,
            tokens: sum.tokens,
            cost: sum.cost,
            model: sum.first.map(|(_, _, model)| model),
            has_several_models: sum.has_several_models,
            first_chunk: sum.first_chunk,
            began: sum.began.filter(|first| *first < began),
            ended: unseen.filter(|unseen| *unseen > ended),
            unplaced: calls.iter().filter_map(SeenCall::unplaced).collect(),
            outside_runs: outside_runs.iter().filter_map(SeenCall::unplaced).collect(),
        }
    }
}

/// How late a call may be reported on a busy machine.
const STATED_WITHIN: Duration = Duration::from_secs(5);

/// Most calls that are not settled; the longest turns known make some hundred.
const MAX_WAITING: usize = 4_096;

/// How long a call waits for its run. An agent is polled within seconds after it was called; a run
/// that was not seen by then began without this call.
const RUN_REPORTED_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
