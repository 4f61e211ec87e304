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
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::record::{TokenKind, sample_call};

    fn call(number: u64, operation: Operation, began: Instant, tokens: u64) -> SeenCall {
        let model = Model::from_wire(&format!("m{number}"));
        SeenCall {
            number,
            is_placed: false,
            operation,
            model,
            began,
            ended: began,
            first_chunk: Some(began + Duration::from_millis(10)),
            tokens,
            tool_calls: 0,
            cost: Some(Cost::from_nano_usd(tokens * 2)),
        }
    }

    /// Times in seconds.
    fn clock() -> impl Fn(u64) -> Instant {
        let zero = Instant::now() + Duration::from_secs(60);
        move |seconds| zero + Duration::from_secs(seconds)
    }

    fn reported(at: Instant) -> RunStart {
        RunStart {
            at,
            wall: SystemTime::UNIX_EPOCH,
            is_reported: true,
        }
    }

    fn observed(at: Instant) -> RunStart {
        RunStart {
            is_reported: false,
            ..reported(at)
        }
    }

    fn model(run: &RunCalls) -> Option<&str> {
        run.model.as_ref().map(Model::as_str)
    }

    #[test]
    fn calls_count_in_the_run_in_which_they_began() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.add(call(1, Operation::Checkpoint, at(1), 5), at(0));
        calls.add(call(2, Operation::Chat, at(2), 7), at(0));
        calls.add(call(3, Operation::Chat, at(21), 100), at(0));
        calls.remove(9);
        let first = calls.of_run(observed(at(1)), at(20), at(20));
        assert_eq!(
            (first.count, first.tokens, model(&first), first.began),
            (2, 12, Some("m2"), None)
        );
        assert_eq!(first.first_chunk, Some(at(1) + Duration::from_millis(10)));
        let second = calls.of_run(observed(at(25)), at(30), at(30));
        assert_eq!(
            (second.count, second.tokens, second.began),
            (1, 100, Some(at(21))),
            "seen late"
        );
        let third = calls.of_run(observed(at(31)), at(32), at(32));
        assert_eq!((third.count, model(&third)), (0, None));
    }

    #[test]
    fn a_run_costs_what_its_calls_do_unless_that_of_one_is_not_known() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.add(call(1, Operation::Chat, at(2), 5), at(0));
        calls.add(call(2, Operation::Checkpoint, at(3), 7), at(0));
        assert_eq!(
            calls.of_run(reported(at(1)), at(4), at(4)).cost,
            Some(Cost::from_nano_usd(24))
        );
        calls.add(call(3, Operation::Chat, at(6), 5), at(0));
        calls.add(
            SeenCall {
                cost: None,
                ..call(4, Operation::Chat, at(7), 1)
            },
            at(0),
        );
        assert_eq!(calls.of_run(reported(at(5)), at(8), at(8)).cost, None);
        assert_eq!(
            calls.of_run(reported(at(9)), at(9), at(9)).cost,
            Some(Cost::default())
        );
    }

    #[test]
    fn a_call_of_unknown_price_has_no_cost_and_one_without_tokens_costs_nothing() {
        let now = Moment {
            at: Instant::now(),
            wall: SystemTime::now(),
        };
        let mut unpriced = sample_call();
        assert_eq!(SeenCall::new(&unpriced, now).cost, Some(Cost::default()));
        unpriced.usage = unpriced.usage.with(TokenKind::Output, 1);
        assert_eq!(SeenCall::new(&unpriced, now).cost, None);
    }

    /// A call that is reported late began when the wall clock says; a clock that was set meanwhile
    /// says nothing of it.
    #[test]
    fn a_call_began_when_the_wall_clock_says_unless_that_was_set() {
        let second = Duration::from_secs(1);
        let at = Instant::now() + 7200 * second;
        let mut call = sample_call();
        call.timing.duration = 10 * second;
        let ago = |lasted: Duration| {
            let wall = call.timing.started_at + lasted;
            at - SeenCall::new(&call, Moment { at, wall }).began
        };
        assert_eq!(ago(10 * second), 10 * second, "reported at once");
        assert_eq!(ago(12 * second), 12 * second, "reported late");
        assert_eq!(ago(3600 * second), 10 * second, "the clock was put forward");
        assert_eq!(ago(second), 10 * second, "the clock was put back");
    }

    #[test]
    fn a_run_tells_whether_its_calls_asked_for_one_model() {
        let (at, mut calls) = (clock(), Calls::default());
        let of = |number, model: &str, began| SeenCall {
            model: Model::from_wire(model),
            ..call(number, Operation::Chat, began, 1)
        };
        for (models, expected) in [
            (&["a", "a", "a"][..], false),
            (&["a", "a", "b"], true),
            (&["a", "b", "b"], true),
            (&["b", "a", "b"], true),
            (&["a"], false),
            (&[], false),
        ] {
            // The first one comes last.
            for (number, model) in models.iter().enumerate() {
                let number = u64::try_from(number).expect("few");
                calls.add(of(number, model, at(9 - number)), at(0));
            }
            let run = calls.of_run(reported(at(1)), at(10), at(10));
            assert_eq!(run.has_several_models, expected, "{models:?}");
            calls.last_end = None;
        }
    }

    #[test]
    fn hidden_calls_between_two_runs_belong_to_none() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.of_run(observed(at(0)), at(1), at(1));
        calls.add(call(1, Operation::Checkpoint, at(2), 5), at(0));
        calls.add(call(2, Operation::Chat, at(4), 7), at(0));
        let run = calls.of_run(observed(at(3)), at(5), at(5));
        assert_eq!((run.count, run.tokens), (1, 7));
    }

    #[test]
    fn a_call_before_a_message_is_not_the_answer_to_it() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.add(call(1, Operation::Chat, at(2), 5), at(0));
        calls.add(call(2, Operation::Chat, at(4), 7), at(0));
        let run = calls.of_run(reported(at(3)), at(5), at(5));
        assert_eq!((run.count, run.tokens, run.began), (1, 7, None));
    }

    #[test]
    fn what_was_counted_once_is_not_counted_again() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.add(call(1, Operation::Chat, at(2), 5), at(0));
        assert_eq!(calls.of_run(reported(at(1)), at(3), at(3)).count, 1);
        assert_eq!(calls.of_run(reported(at(1)), at(5), at(5)).count, 0);
        let pushed_out = (0..MAX_WAITING as u64 + 9)
            .filter_map(|n| calls.add(call(n, Operation::Chat, at(6), 1), at(0)));
        assert_eq!(pushed_out.collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
        assert_eq!(
            calls.of_run(reported(at(6)), at(7), at(7)).count,
            MAX_WAITING as u64
        );
    }

    #[test]
    fn a_run_whose_end_only_steps_tell_goes_on_with_its_last_call() {
        let zero = Instant::now() + Duration::from_secs(60);
        let at = |seconds| zero + Duration::from_secs(seconds);
        let mut calls = Calls::default();
        calls.add(call(1, Operation::Chat, at(2), 5), at(0));
        calls.add(
            SeenCall {
                ended: at(8),
                ..call(2, Operation::Chat, at(6), 7)
            },
            at(0),
        );
        calls.add(call(3, Operation::Chat, at(12), 100), at(0));
        let run = calls.of_run(reported(at(1)), at(5), at(10));
        assert_eq!((run.count, run.tokens, run.ended), (2, 12, Some(at(8))));
        assert_eq!(calls.of_run(reported(at(11)), at(13), at(13)).ended, None);
    }

    #[test]
    fn a_call_is_early_for_a_run_only_shortly_before_it_and_after_the_one_before() {
        let at = clock();
        let began = at(100);
        let early = |before: Duration, last_end: Option<Instant>| {
            let mut calls = Calls::default();
            last_end.into_iter().for_each(|end| calls.begin_after(end));
            calls.add(call(1, Operation::Chat, began - before, 5), at(0));
            let run = calls.of_run(observed(began), at(110), at(110));
            (run.count, run.outside_runs)
        };
        let longer = OBSERVED_WITHIN + Duration::from_millis(1);
        assert_eq!(early(OBSERVED_WITHIN, None), (1, vec![]));
        assert_eq!(early(longer, None), (0, vec![1]));
        let within = OBSERVED_WITHIN / 2;
        let call_began = began - within;
        let before = call_began - Duration::from_millis(1);
        assert_eq!(early(within, Some(before)), (1, vec![]));
        assert_eq!(early(within, Some(call_began)), (0, vec![1]));
    }

    #[test]
    fn calls_whose_spans_have_no_place_are_told_of_once() {
        let (at, mut calls) = (clock(), Calls::default());
        calls.add(call(1, Operation::Chat, at(1), 1), at(0));
        calls.add(call(2, Operation::Chat, at(6), 1), at(0));
        calls.add(call(3, Operation::Chat, at(7), 1).placed(), at(0));
        calls.add(call(4, Operation::Chat, at(8), 1), at(0));
        calls.add(call(5, Operation::Chat, at(20), 1), at(0));
        let confirmed = ConfirmedInterval {
            began: at(5),
            until: at(7),
        };
        assert_eq!(calls.settle(confirmed), [2]);
        let run = calls.of_run(reported(at(5)), at(9), at(9));
        assert_eq!((run.count, run.unplaced), (3, vec![4]));
        assert_eq!(run.outside_runs, [1]);
        assert!(
            calls
                .stop_waiting(at(0) + RUN_REPORTED_WITHIN / 2)
                .is_empty()
        );
        assert_eq!(calls.stop_waiting(at(1) + RUN_REPORTED_WITHIN), [5]);
        assert!(!calls.are_waiting());
    }

    #[test]
    fn a_call_that_prolonged_a_run_keeps_the_next_one_from_beginning_earlier() {
        let (at, mut calls) = (clock(), Calls::default());
        let long = SeenCall {
            ended: at(8),
            ..call(1, Operation::Chat, at(6), 7)
        };
        calls.add(long, at(0));
        calls.of_run(reported(at(1)), at(5), at(10));
        calls.add(call(2, Operation::Chat, at(8), 1), at(0));
        let next = calls.of_run(observed(at(9)), at(12), at(12));
        assert_eq!((next.count, next.outside_runs), (0, vec![2]));
    }
}
