//! Where the values of an answer stand that are read: a table for each shape of answers.

use std::sync::LazyLock;

use super::refusal::Detail;
use super::searches::SearchPart;
use super::split::{EntryPart, SplitList};
use super::usage::Count;
use crate::observe::json::Paths;

/// What is read of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Field {
    BlockReason,
    /// One of the answers that a frame holds a piece of.
    Candidate,
    CandidateIndex,
    /// A value that is content by being there.
    Content,
    Count(Count),
    Detail(Detail),
    /// An element of the array in which a stream without `alt=sse` comes: one frame.
    Element,
    Error,
    FinishReason,
    /// Whether the part that is being read is a thought.
    IsThought,
    /// A part of a candidate's content.
    Part,
    Response,
    Search(SearchPart),
    ServedModel,
    ServiceTier,
    /// A part of a list that splits a count by modality.
    Split(SplitList, EntryPart),
    /// The status of an interaction.
    Status,
    /// A text that is content unless it is empty.
    Text,
    /// The same, of a thought.
    ThoughtText,
    Trace,
    /// Vertex AI's name of the service tier.
    TrafficType,
}

/// The shape of an answer: where its figures stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum AnswerShape {
    /// Candidates and `usageMetadata`, in one document or many.
    Generation,
    /// An interaction, or events that tell of it.
    Interaction,
    /// Predictions, each with statistics of its own.
    Prediction,
}

/// The table for answers of this shape.
pub(super) fn paths(shape: AnswerShape) -> &'static Paths<Field> {
    match shape {
        AnswerShape::Generation => &GENERATION,
        AnswerShape::Interaction => &INTERACTION,
        AnswerShape::Prediction => &PREDICTION,
    }
}

/// Bare and in Cloud Code's wrapper, alone and in an array, in camelCase and in snake_case.
static GENERATION: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let built = part_paths("candidates[].content.parts[]").chain(usage_paths());
    let built: Vec<_> = built.collect();
    let built = built.iter().map(|(path, field)| (path.as_str(), *field));
    at(
        &["", "response.", "[].", "[].response."],
        GENERATION_FIELDS
            .into_iter()
            .chain(ERROR_FIELDS)
            .chain(built),
    )
});

/// The paths of the content that stands in these parts.
pub(super) fn part_paths(parts: &str) -> impl Iterator<Item = (String, Field)> {
    PART_FIELDS
        .into_iter()
        .map(move |(name, field)| (format!("{parts}{name}"), field))
}

/// The paths of `usageMetadata`.
pub(super) fn usage_paths() -> impl Iterator<Item = (String, Field)> {
    let counts = USAGE_FIELDS.map(|(name, field)| (format!("usageMetadata.{name}"), field));
    let splits = split_paths(&["usageMetadata."], SPLITS, "tokenCount");
    counts.into_iter().chain(splits)
}

/// As the answer and inside its events.
static INTERACTION: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let places = ["usage.", "metadata.total_usage."];
    let counts = USAGE_OF_INTERACTIONS.into_iter().flat_map(|(name, count)| {
        places.map(|place| (format!("{place}{name}"), Field::Count(count)))
    });
    let usage: Vec<_> = counts
        .chain(split_paths(&places, SPLITS_OF_INTERACTIONS, "tokens"))
        .chain(places.into_iter().flat_map(|place| {
            SEARCHES_OF_INTERACTIONS
                .map(|(name, part)| (format!("{place}{name}"), Field::Search(part)))
        }))
        .collect();
    let usage = usage.iter().map(|(path, field)| (path.as_str(), *field));
    at(
        &["", "interaction."],
        INTERACTION_FIELDS
            .into_iter()
            .chain(ERROR_FIELDS)
            .chain(usage),
    )
});

static PREDICTION: LazyLock<Paths<Field>> = LazyLock::new(|| {
    at(
        &["", "[]."],
        PREDICTION_FIELDS.into_iter().chain(ERROR_FIELDS),
    )
});

/// The paths of lists that split counts by modality, below each of the places. `tokens` is the name
/// of an entry's count.
fn split_paths<const LISTS: usize>(
    places: &[&str],
    lists: [(&str, SplitList); LISTS],
    tokens: &str,
) -> Vec<(String, Field)> {
    let parts = [
        (String::new(), EntryPart::Entry),
        (".modality".to_owned(), EntryPart::Modality),
        (format!(".{tokens}"), EntryPart::Tokens),
    ];
    let entries = places
        .iter()
        .flat_map(|place| lists.map(|(list, which)| (format!("{place}{list}[]"), which)));
    entries
        .flat_map(|(entry, which)| {
            parts
                .each_ref()
                .map(|(name, part)| (format!("{entry}{name}"), Field::Split(which, *part)))
        })
        .collect()
}

/// The table of these fields at each of the places, in both cases.
fn at<'a>(places: &[&str], fields: impl Iterator<Item = (&'a str, Field)>) -> Paths<Field> {
    let everywhere = fields.flat_map(|(path, field)| {
        places
            .iter()
            .map(move |place| (format!("{place}{path}"), field))
    });
    let table = [("[]".to_owned(), Field::Element)]
        .into_iter()
        .chain(everywhere.flat_map(in_both_cases));
    Paths::new(table).lasting(lasts)
}

/// Whether a frame that repeats such a value of the frame before says nothing new with it. The total
/// is of the other counts in its frame, a list by modality is replaced as a whole, and counts of
/// several prompts add up.
fn lasts(field: Field) -> bool {
    matches!(
        field,
        Field::Count(
            Count::Cached
                | Count::Candidates
                | Count::Prompt
                | Count::Thoughts
                | Count::ToolUsePrompt
        ) | Field::Response
            | Field::ServedModel
            | Field::Trace
    )
}

/// The path as it is written in camelCase, and the same in snake_case.
pub(super) fn in_both_cases<T: Copy>((path, tag): (String, T)) -> [(String, T); 2] {
    [(snake_case(&path), tag), (path, tag)]
}

/// `generateContent`, `streamGenerateContent`, `embedContent` and what Cloud Code makes of them.
const GENERATION_FIELDS: [(&str, Field); 8] = [
    ("candidates[]", Field::Candidate),
    ("candidates[].index", Field::CandidateIndex),
    ("candidates[].finishReason", Field::FinishReason),
    (
        "candidates[].groundingMetadata.webSearchQueries[]",
        Field::Search(SearchPart::Query),
    ),
    ("promptFeedback.blockReason", Field::BlockReason),
    ("modelVersion", Field::ServedModel),
    ("responseId", Field::Response),
    ("traceId", Field::Trace),
];

/// `Part`, by the members that are content.
const PART_FIELDS: [(&str, Field); 9] = [
    ("", Field::Part),
    (".text", Field::Text),
    (".thought", Field::IsThought),
    (".codeExecutionResult", Field::Content),
    (".executableCode", Field::Content),
    (".fileData", Field::Content),
    (".functionCall", Field::Content),
    (".functionResponse", Field::Content),
    (".inlineData", Field::Content),
];

/// `GenerateContentResponseUsageMetadata`.
const USAGE_FIELDS: [(&str, Field); 9] = [
    ("promptTokenCount", Field::Count(Count::Prompt)),
    ("cachedContentTokenCount", Field::Count(Count::Cached)),
    ("candidatesTokenCount", Field::Count(Count::Candidates)),
    // The Live API's name for the same.
    ("responseTokenCount", Field::Count(Count::Candidates)),
    ("thoughtsTokenCount", Field::Count(Count::Thoughts)),
    (
        "toolUsePromptTokenCount",
        Field::Count(Count::ToolUsePrompt),
    ),
    ("totalTokenCount", Field::Count(Count::Total)),
    ("serviceTier", Field::ServiceTier),
    ("trafficType", Field::TrafficType),
];

/// `ModalityTokenCount[]`. Embeddings and the Live API have names of their own for theirs. Source:
/// googleapis/js-genai `src/types.ts`.
const SPLITS: [(&str, SplitList); 6] = [
    ("promptTokensDetails", SplitList::Prompt),
    ("promptTokenDetails", SplitList::Prompt),
    ("cacheTokensDetails", SplitList::Cached),
    ("candidatesTokensDetails", SplitList::Candidates),
    ("responseTokensDetails", SplitList::Candidates),
    ("toolUsePromptTokensDetails", SplitList::ToolUsePrompt),
];

/// `google.rpc.Status`.
const ERROR_FIELDS: [(&str, Field); 9] = [
    ("error", Field::Error),
    ("error.code", Field::Detail(Detail::Code)),
    ("error.status", Field::Detail(Detail::Status)),
    ("error.details[].reason", Field::Detail(Detail::Reason)),
    (
        "error.details[].retryDelay",
        Field::Detail(Detail::RetryDelay),
    ),
    (
        "error.details[].metadata.quotaResetDelay",
        Field::Detail(Detail::ResetDelay),
    ),
    (
        "error.details[].metadata.quotaResetTimeStamp",
        Field::Detail(Detail::ResetTime),
    ),
    (
        "error.details[].metadata.quota_limit",
        Field::Detail(Detail::QuotaId),
    ),
    (
        "error.details[].violations[].quotaId",
        Field::Detail(Detail::QuotaId),
    ),
];

/// The Interactions API: the interaction as the answer, or events that hold it or tell of it
/// (`interaction.*`, `step.*`, and `content.*` before those). Source: googleapis/js-genai
/// `src/gaos`.
const INTERACTION_FIELDS: [(&str, Field); 10] = [
    ("id", Field::Response),
    ("model", Field::ServedModel),
    ("service_tier", Field::ServiceTier),
    ("status", Field::Status),
    ("outputs[].text", Field::Text),
    ("steps[].content[].text", Field::Text),
    ("delta.text", Field::Text),
    ("delta.data", Field::Content),
    ("delta.arguments", Field::Content),
    ("delta.content.text", Field::ThoughtText),
];

const USAGE_OF_INTERACTIONS: [(&str, Count); 6] = [
    ("total_input_tokens", Count::Prompt),
    ("total_cached_tokens", Count::Cached),
    ("total_output_tokens", Count::Candidates),
    ("total_thought_tokens", Count::Thoughts),
    ("total_tool_use_tokens", Count::ToolUsePrompt),
    ("total_tokens", Count::Total),
];

/// `GroundingToolCount[]`.
const SEARCHES_OF_INTERACTIONS: [(&str, SearchPart); 3] = [
    ("grounding_tool_count[]", SearchPart::Tool),
    ("grounding_tool_count[].type", SearchPart::ToolType),
    ("grounding_tool_count[].count", SearchPart::ToolUses),
];

/// `ModalityTokens[]`.
const SPLITS_OF_INTERACTIONS: [(&str, SplitList); 4] = [
    ("input_tokens_by_modality", SplitList::Prompt),
    ("cached_tokens_by_modality", SplitList::Cached),
    ("output_tokens_by_modality", SplitList::Candidates),
    ("tool_use_tokens_by_modality", SplitList::ToolUsePrompt),
];

/// `predict` of a text embedding model of Vertex AI: one prediction for each text.
const PREDICTION_FIELDS: [(&str, Field); 1] = [(
    "predictions[].embeddings.statistics.tokenCount",
    Field::Count(Count::OneOfPrompts),
)];

fn snake_case(path: &str) -> String {
    path.chars().fold(String::new(), |mut snake, c| {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
        snake
    })
}
