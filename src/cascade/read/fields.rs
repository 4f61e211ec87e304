//! The fields of trajectories, and where messages have them. The tables give the paths below a prefix;
//! messages add the prefix.

use super::entries::ListPart;
use super::table::{Rows, at};

/// The fields that are read of a trajectory.
#[derive(Debug, Clone, Copy)]
pub enum TrajectoryField {
    Executors(ListPart),
    Generation(GenerationField),
    Generations(ListPart),
    Id,
    Root,
    Status,
    Step(StepField),
    Steps(ListPart),
    /// A trajectory inside of a step. Until it ends, all values belong to it.
    Subtrajectory,
    Termination,
}

/// The fields that are read of a step.
#[derive(Debug, Clone, Copy)]
pub enum StepField {
    CompletedAt,
    CreatedAt,
    Kind,
    Status,
    Text,
}

/// The fields that are read of a call to a model.
#[derive(Debug, Clone, Copy)]
pub enum GenerationField {
    AssignedMessage,
    Count(Count),
    Execution,
    Message,
    Model,
    Response,
    ServedModel,
    Session,
    Trace,
    Usage,
}

/// One count of tokens.
#[derive(Debug, Clone, Copy)]
pub enum Count {
    CacheRead,
    CacheWrite,
    Input,
    Output,
    Thinking,
}

/// The rows of a trajectory's update below a prefix.
pub(super) fn news<T>(place: &str, field: impl Fn(TrajectoryField) -> T + Copy) -> Rows<T> {
    let generation = |part| field(TrajectoryField::Generation(part));
    let mut rows = at(place, &NEWS, field);
    rows.extend(steps(&format!("{place}stepsUpdate.steps[]."), field));
    rows.extend(at(
        &format!("{place}generatorMetadatasUpdate.generatorMetadatas[]."),
        &GENERATION,
        generation,
    ));
    rows
}

/// The rows of a step's content below a prefix, and of the trajectories of subagents inside of it.
pub(super) fn steps<T>(place: &str, field: impl Fn(TrajectoryField) -> T + Copy) -> Rows<T> {
    let step = |part| field(TrajectoryField::Step(part));
    let generation = |part| field(TrajectoryField::Generation(part));
    let mut rows = at(place, &STEP, step);
    let mut inside = format!("{place}subtrajectory");
    for _ in 0..MAX_INSIDE {
        rows.extend(at(&inside, &SUBTRAJECTORY, field));
        rows.extend(at(&format!("{inside}.steps[]."), &STEP, step));
        rows.extend(at(
            &format!("{inside}.generatorMetadata[]."),
            &GENERATION,
            generation,
        ));
        inside.push_str(".steps[].subtrajectory");
    }
    rows
}

/// How deeply nested trajectories of subagents are read.
const MAX_INSIDE: usize = 3;

/// `gemini_coder.TrajectoryDraft`
const SUBTRAJECTORY: [(&str, TrajectoryField); 9] = [
    ("", TrajectoryField::Subtrajectory),
    (
        ".executorMetadatas",
        TrajectoryField::Executors(ListPart::Entries),
    ),
    (
        ".executorMetadatas[]",
        TrajectoryField::Executors(ListPart::Entry),
    ),
    (
        ".executorMetadatas[].terminationReason",
        TrajectoryField::Termination,
    ),
    (
        ".generatorMetadata",
        TrajectoryField::Generations(ListPart::Entries),
    ),
    (
        ".generatorMetadata[]",
        TrajectoryField::Generations(ListPart::Entry),
    ),
    (".steps", TrajectoryField::Steps(ListPart::Entries)),
    (".steps[]", TrajectoryField::Steps(ListPart::Entry)),
    (".trajectoryId", TrajectoryField::Id),
];

const NEWS: [(&str, TrajectoryField); 16] = [
    (
        "executorMetadatasUpdate.executorMetadatas",
        TrajectoryField::Executors(ListPart::Entries),
    ),
    (
        "executorMetadatasUpdate.executorMetadatas[]",
        TrajectoryField::Executors(ListPart::Entry),
    ),
    (
        "executorMetadatasUpdate.executorMetadatas[].terminationReason",
        TrajectoryField::Termination,
    ),
    (
        "executorMetadatasUpdate.indices",
        TrajectoryField::Executors(ListPart::Indices),
    ),
    (
        "executorMetadatasUpdate.indices[]",
        TrajectoryField::Executors(ListPart::Index),
    ),
    (
        "generatorMetadatasUpdate.generatorMetadatas",
        TrajectoryField::Generations(ListPart::Entries),
    ),
    (
        "generatorMetadatasUpdate.generatorMetadatas[]",
        TrajectoryField::Generations(ListPart::Entry),
    ),
    (
        "generatorMetadatasUpdate.indices",
        TrajectoryField::Generations(ListPart::Indices),
    ),
    (
        "generatorMetadatasUpdate.indices[]",
        TrajectoryField::Generations(ListPart::Index),
    ),
    ("metadata.rootConversationId", TrajectoryField::Root),
    ("status", TrajectoryField::Status),
    (
        "stepsUpdate.indices",
        TrajectoryField::Steps(ListPart::Indices),
    ),
    (
        "stepsUpdate.indices[]",
        TrajectoryField::Steps(ListPart::Index),
    ),
    (
        "stepsUpdate.steps",
        TrajectoryField::Steps(ListPart::Entries),
    ),
    (
        "stepsUpdate.steps[]",
        TrajectoryField::Steps(ListPart::Entry),
    ),
    (
        "stepsUpdate.totalLength",
        TrajectoryField::Steps(ListPart::Total),
    ),
];

/// `gemini_coder.Step`, without the trajectory of a subagent inside of it.
const STEP: [(&str, StepField); 6] = [
    ("metadata.completedAt", StepField::CompletedAt),
    ("metadata.createdAt", StepField::CreatedAt),
    ("plannerResponse.modifiedResponse", StepField::Text),
    ("plannerResponse.response", StepField::Text),
    ("status", StepField::Status),
    ("type", StepField::Kind),
];

/// `cortex_pb.CortexStepGeneratorMetadata`. The usage in `retryInfos` repeats that of the call, so
/// it is not read.
pub(super) const GENERATION: [(&str, GenerationField); 15] = [
    ("chatModel.model", GenerationField::Model),
    ("chatModel.responseModel", GenerationField::ServedModel),
    ("chatModel.retryInfos[].traceId", GenerationField::Trace),
    ("chatModel.usage", GenerationField::Usage),
    (
        "chatModel.usage.cacheReadTokens",
        GenerationField::Count(Count::CacheRead),
    ),
    (
        "chatModel.usage.cacheWriteTokens",
        GenerationField::Count(Count::CacheWrite),
    ),
    (
        "chatModel.usage.inputTokens",
        GenerationField::Count(Count::Input),
    ),
    ("chatModel.usage.messageId", GenerationField::Message),
    (
        "chatModel.usage.outputTokens",
        GenerationField::Count(Count::Output),
    ),
    (
        "chatModel.usage.providerAssignedMessageId",
        GenerationField::AssignedMessage,
    ),
    (
        "chatModel.usage.responseHeader.sessionID",
        GenerationField::Session,
    ),
    (
        "chatModel.usage.responseHeader.sessionId",
        GenerationField::Session,
    ),
    ("chatModel.usage.responseId", GenerationField::Response),
    (
        "chatModel.usage.thinkingOutputTokens",
        GenerationField::Count(Count::Thinking),
    ),
    ("executionId", GenerationField::Execution),
];
