//! Where the values of a message stand that are read, in one document and in the events of a
//! stream.

use std::sync::LazyLock;

use super::usage::Count;
use crate::dialect::reports::Report;
use crate::observe::json::Paths;

/// What is read of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::dialect) enum Field {
    /// What a part of the message is.
    BlockType,
    /// A value that is content by being there.
    Content,
    Count(Count),
    /// The kind of error.
    ErrorType,
    /// An entry of `usage.iterations[]`.
    Iteration,
    IterationCount(Count),
    IterationModel,
    IterationType,
    Model,
    Report(Report),
    Response,
    StopReason,
    /// What the document is: the name of the event, or `message`, or `error`.
    Type,
}

pub(super) static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| Paths::new(table()));

/// The table of paths, for answers in which more is read than a message.
pub(in crate::dialect) fn table() -> impl Iterator<Item = (String, Field)> {
    let of_message = ["", "message."].into_iter().flat_map(|place| {
        let fields = [
            ("id", Field::Response),
            ("model", Field::Model),
            ("stop_reason", Field::StopReason),
        ];
        fields.map(|(name, field)| (format!("{place}{name}"), field))
    });
    let counts = ["usage.", "message.usage."].into_iter().flat_map(|place| {
        let top = COUNTS.map(|(name, count)| (format!("{place}{name}"), Field::Count(count)));
        let iteration = format!("{place}iterations[]");
        let inside = COUNTS
            .map(|(name, count)| (format!("{iteration}.{name}"), Field::IterationCount(count)));
        let names = [
            ("", Field::Iteration),
            (".model", Field::IterationModel),
            (".type", Field::IterationType),
        ];
        let names = names.map(|(name, field)| (format!("{iteration}{name}"), field));
        let reports =
            REPORTS.map(|(name, report)| (format!("{place}{name}"), Field::Report(report)));
        top.into_iter()
            .chain(reports)
            .chain(inside)
            .chain(names)
            .collect::<Vec<_>>()
    });
    let others = OTHERS.map(|(path, field)| (path.to_owned(), field));
    of_message.chain(counts).chain(others)
}

const OTHERS: [(&str, Field); 8] = [
    ("type", Field::Type),
    // Of GitHub Copilot.
    (
        "copilot_usage.total_nano_aiu",
        Field::Report(Report::NanoCredits),
    ),
    ("delta.stop_reason", Field::StopReason),
    ("error.type", Field::ErrorType),
    // Of a document that is the whole message, and of thinking that is not shown.
    ("content[]", Field::Content),
    ("content[].type", Field::BlockType),
    ("content_block.data", Field::Content),
    ("content_block.type", Field::BlockType),
];

const COUNTS: [(&str, Count); 7] = [
    ("input_tokens", Count::Input),
    ("cache_read_input_tokens", Count::CacheRead),
    ("cache_creation_input_tokens", Count::CacheWrite),
    (
        "cache_creation.ephemeral_5m_input_tokens",
        Count::CacheWrite5m,
    ),
    (
        "cache_creation.ephemeral_1h_input_tokens",
        Count::CacheWrite1h,
    ),
    ("output_tokens", Count::Output),
    ("output_tokens_details.thinking_tokens", Count::Thinking),
];

/// What is reported in `usage` beside counts. OpenRouter writes its price there, xAI its own, in
/// this form too.
const REPORTS: [(&str, Report); 9] = [
    ("cost", Report::Cost),
    ("cost_details.upstream_inference_cost", Report::UpstreamCost),
    ("cost_in_usd_ticks", Report::CostTicks),
    ("inference_geo", Report::InferenceGeo),
    ("is_byok", Report::HasOwnKey),
    ("server_tool_use.web_fetch_requests", Report::WebFetches),
    ("server_tool_use.web_search_requests", Report::WebSearches),
    ("service_tier", Report::ServiceTier),
    ("speed", Report::Speed),
];
