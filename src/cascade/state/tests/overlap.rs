//! Runs of one conversation never overlap, whichever sources report them, in whichever order, and
//! whatever is lost on the way.

use super::*;
use crate::cascade::test_updates::status;

/// What a conversation is really like when it is reported; each source shows a part of it.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// The agent answers, with an answer, an error, or a tool.
    Answer(StepKind, bool),
    /// A call passes on the wire; it has lasted for so many milliseconds.
    Call(u64),
    /// The agent's list of conversations says whether subagents work.
    List(bool),
    /// News come, by this way, perhaps after a gap, with so many milliseconds' difference of the
    /// agent's clock.
    News {
        source: UpdateSource,
        after_gap: bool,
        fully_idle: bool,
    },
    /// The agent pauses, or goes on.
    Status(RunStatus),
    /// A subagent's step begins, or ends.
    Subagent(bool),
    /// The agent is not followed any more, and is again.
    Refollow,
    /// The user writes; the step is dated so many milliseconds before.
    Write(u64),
}

fn any_act() -> impl Strategy<Value = Act> {
    use UpdateSource::{AgentState, Polling, Reactive};
    let source = prop::sample::select(vec![AgentState, Polling, Reactive]);
    let news = (source, any::<bool>(), prop::bool::weighted(0.3));
    let kind = prop::sample::select(vec![
        StepKind::PlannerResponse,
        StepKind::ErrorMessage,
        StepKind::RunCommand,
    ]);
    let run_status = prop::sample::select(vec![
        RunStatus::Idle,
        RunStatus::Running,
        RunStatus::Canceling,
    ]);
    prop_oneof![
        3 => (kind, any::<bool>()).prop_map(|(kind, is_dated)| Act::Answer(kind, is_dated)),
        3 => (0..6_000_u64).prop_map(Act::Call),
        1 => any::<bool>().prop_map(Act::List),
        8 => news.prop_map(|(source, after_gap, fully_idle)| Act::News { source, after_gap, fully_idle }),
        5 => run_status.prop_map(Act::Status),
        1 => any::<bool>().prop_map(Act::Subagent),
        1 => Just(Act::Refollow),
        3 => prop_oneof![Just(0), 0..4_000_u64].prop_map(Act::Write),
    ]
}

/// The conversation as the agent has it.
struct Truth {
    status: RunStatus,
    steps: Vec<Step>,
    calls: u64,
}

impl Truth {
    fn update(&self, after_gap: bool, fully_idle: bool) -> Update {
        let is_idle = self.status == RunStatus::Idle;
        let update = status(self.status)
            .of_trajectory("t")
            .steps(0, self.steps.iter().cloned());
        Update {
            after_gap,
            fully_idle: fully_idle && is_idle,
            ..update
        }
    }
}

fn dated(kind: StepKind, status: StepStatus, seconds: f64, is_dated: bool) -> Step {
    let at = Some(wall(seconds)).filter(|_| is_dated);
    Step {
        kind,
        status,
        created_at: at,
        completed_at: at,
        has_text: kind == StepKind::PlannerResponse,
    }
}

proptest! {
    #![proptest_config(crate::seeds::usual())]

    #[test]
    fn runs_of_one_conversation_never_overlap(acts in prop::collection::vec((0..3_000_u32, any_act()), 0..80)) {
        let mut told = Told::following();
        told.summary(0.0, &[summary("c", "t", None)]);
        let mut truth = Truth { status: RunStatus::Idle, steps: Vec::new(), calls: 0 };
        let mut seconds = 0.0;
        for (pause, act) in acts {
            seconds += f64::from(pause) / 1000.0;
            told.tick(seconds);
            match act {
                Act::Answer(kind, is_dated) => truth.steps.push(dated(kind, StepStatus::Done, seconds, is_dated)),
                Act::Call(lasted) => {
                    truth.calls += 1;
                    let mut call = labelled(truth.calls, "t");
                    call.timing.duration = Duration::from_millis(lasted);
                    told.call(seconds, call);
                }
                Act::List(is_at_work) => {
                    told.summary(seconds, &[Summary { not_fully_idle: is_at_work, ..summary("c", "t", None) }]);
                }
                Act::News { source, after_gap, fully_idle } => {
                    let after_gap = after_gap || source == UpdateSource::Polling;
                    let fully_idle = fully_idle && source == UpdateSource::AgentState;
                    told.update_from(source, seconds, "c", &truth.update(after_gap, fully_idle));
                }
                Act::Status(status) => truth.status = status,
                Act::Subagent(true) => {
                    truth.steps.push(dated(StepKind::InvokeSubagent, StepStatus::Running, seconds, true));
                }
                Act::Subagent(false) => {
                    let open = truth.steps.iter_mut().filter(|step| step.status == StepStatus::Running);
                    open.for_each(|step| (step.status, step.completed_at) = (StepStatus::Done, Some(wall(seconds))));
                }
                Act::Refollow => {
                    told.unfollow(seconds);
                    told.state.follow(told.at(seconds).wall);
                }
                Act::Write(before) => {
                    let at = seconds - f64::from(u32::try_from(before).unwrap()) / 1000.0;
                    truth.steps.push(dated(StepKind::UserInput, StepStatus::Done, at, true));
                }
            }
        }
        told.unfollow(seconds + 1.0);
        let mut last_end = None;
        for run in told.ended() {
            prop_assert!(last_end.is_none_or(|end| run.started_at >= end), "{run:?} begins before {last_end:?}");
            last_end = Some(run.started_at + run.duration);
        }
    }
}
