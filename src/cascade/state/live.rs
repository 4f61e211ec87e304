//! One conversation with its calls: what happens in it becomes facts.

use std::time::SystemTime;

use crate::cascade::compare::Books;
use crate::cascade::conversation::{Conversation, EndedRun, Event, Moment};
use crate::cascade::runs::Calls;
use crate::cascade::spans;
use crate::record::{CascadeRun, Fact, Id, Model, RunOutcome, RunStarted, Sampling, StepEnded, TraceContext};

/// A conversation of the agent that is being followed.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) conversation: Conversation,
    pub(super) trajectory: Option<Id>,
    pub(super) calls: Calls,
    /// The model of the first call of its run, by the agent's word.
    model: Option<Model>,
    /// Where the span of the run stands that its calls are part of, once one of them or the run itself needs it.
    span: Option<TraceContext>,
}

impl Live {
    pub(super) fn new(since: SystemTime) -> Self {
        Self {
            conversation: Conversation::new(since),
            trajectory: None,
            calls: Calls::default(),
            model: None,
            span: None,
        }
    }

    /// What its events mean to the views.
    pub(super) fn tell(
        &mut self,
        cascade: &Id,
        events: Vec<Event>,
        books: &mut Books,
        sampling: Option<Sampling>,
        now: Moment,
    ) -> Vec<Fact> {
        let facts = events.into_iter().filter_map(|event| match event {
            Event::Generation { generation, fresh } => {
                let model = generation.served_model.clone().filter(|_| fresh);
                self.model = self.model.take().or(model);
                books.agent(generation, fresh, now.at).map(Fact::UsageCompared)
            }
            Event::RunEnded(run) => Some(Fact::RunEnded(Box::new(self.ended(cascade, run, sampling)))),
            Event::RunStarted(began) => {
                self.model = None;
                Some(Fact::RunStarted(RunStarted { cascade: cascade.clone(), started_at: began.wall }))
            }
            Event::StepEnded(step, status) => {
                Some(Fact::StepEnded(StepEnded { cascade: cascade.clone(), step, status }))
            }
        });
        facts.collect()
    }

    /// Where the span of the run stands that is under way, or comes next.
    pub(super) fn span(&mut self, sampling: Sampling) -> TraceContext {
        *self.span.get_or_insert_with(|| spans::root(sampling))
    }

    fn ended(&mut self, cascade: &Id, run: EndedRun, sampling: Option<Sampling>) -> CascadeRun {
        let calls = self.calls.of_run(run.began, run.ended, run.latest);
        let began = calls.began.unwrap_or(run.began.at);
        let earlier = run.began.at.saturating_duration_since(began);
        // An agent that made calls has not lost its prompt, whatever steps it shows.
        let outcome = match run.outcome {
            RunOutcome::Swallowed if calls.count > 0 => RunOutcome::Ok,
            outcome => outcome,
        };
        CascadeRun {
            cascade: cascade.clone(),
            trajectory: self.trajectory.clone(),
            model: calls.model.or(self.model.take()).unwrap_or_else(Model::unknown),
            outcome,
            started_at: run.began.wall.checked_sub(earlier).unwrap_or(run.began.wall),
            duration: calls.ended.unwrap_or(run.ended).saturating_duration_since(began),
            time_to_first_chunk: calls.first_chunk.map(|first| first.saturating_duration_since(began)),
            calls: calls.count,
            tokens: calls.tokens,
            cost: calls.cost,
            trace: sampling.map(|sampling| self.span.take().unwrap_or_else(|| spans::root(sampling))),
        }
    }
}
