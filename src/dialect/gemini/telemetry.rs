//! What an agent's telemetry says of its calls: the body of a request in, identifiers that belong
//! together out.
//!
//! `recordCodeAssistMetrics` follows each generation and names its trace and its trajectory.
//! `recordTrajectoryAnalytics` holds a whole trajectory, prompts and answers included, of which its
//! ids and the traces of its calls are read and nothing else.

use std::collections::VecDeque;
use std::sync::LazyLock;

use crate::dialect::notices::ReadNotice;
use crate::dialect::request::id;
use crate::observe::json::{PathReader, Paths, Status, Value};
use crate::record::{Fact, Id, JoinedIds};

/// Reads one body of either kind, in any pieces.
pub(in crate::dialect) struct Telemetry {
    reader: PathReader<Field>,
    /// The element of the metrics that is being read.
    element: JoinedIds,
    /// What the elements said.
    offered: VecDeque<JoinedIds>,
    /// The trajectory that the body holds.
    trajectory: JoinedIds,
    /// The calls of that trajectory.
    traces: VecDeque<Id>,
}

impl Telemetry {
    pub(in crate::dialect) fn new() -> Self {
        Self {
            reader: PathReader::new(&PATHS),
            element: JoinedIds::default(),
            offered: VecDeque::new(),
            trajectory: JoinedIds::default(),
            traces: VecDeque::new(),
        }
    }
}

impl ReadNotice for Telemetry {
    fn feed(&mut self, plain: &[u8]) -> Status {
        let Self {
            reader,
            element,
            offered,
            trajectory,
            traces,
        } = self;
        reader.feed(plain, &mut |field, value| match (field, value) {
            (Field::Element, Value::Object) => *element = JoinedIds::default(),
            (Field::Element, Value::End) => push_last(offered, std::mem::take(element)),
            (Field::Element, _) => {}
            (Field::OfferedTrace, _) => element.provider_trace = id(value),
            (Field::OfferedTrajectory, _) => element.trajectory = id(value),
            (Field::Cascade, _) => trajectory.cascade = id(value),
            (Field::Trajectory, _) => trajectory.trajectory = id(value),
            (Field::Trace, _) => id(value)
                .into_iter()
                .for_each(|trace| push_last(traces, trace)),
        })
    }

    /// Which identifiers belong together; none when the document is malformed.
    fn finish(self: Box<Self>) -> Vec<Fact> {
        let Self {
            reader,
            offered,
            trajectory,
            traces,
            ..
        } = *self;
        if reader.status() == Status::Malformed {
            return Vec::new();
        }
        let of_trajectory = trajectory.clone();
        let calls = traces.into_iter().map(move |trace| JoinedIds {
            provider_trace: Some(trace),
            ..of_trajectory.clone()
        });
        let all = offered.into_iter().chain([trajectory]).chain(calls);
        all.filter(joins).map(Fact::IdsJoined).collect()
    }
}

/// Most elements, and most traces, that are kept of one body. A long conversation makes some
/// hundreds of calls; of more the last ones are the news.
const MAX_JOINED: usize = 512;

fn push_last<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MAX_JOINED {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// One identifier alone joins nothing: the call of a checkpoint, say, has no trajectory.
fn joins(ids: &JoinedIds) -> bool {
    [&ids.cascade, &ids.trajectory, &ids.provider_trace]
        .into_iter()
        .flatten()
        .count()
        > 1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Cascade,
    /// One metric.
    Element,
    OfferedTrace,
    OfferedTrajectory,
    Trace,
    Trajectory,
}

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    Paths::new([
        ("metrics[]", Field::Element),
        ("metrics[].conversationOffered.traceId", Field::OfferedTrace),
        (
            "metrics[].conversationOffered.trajectoryId",
            Field::OfferedTrajectory,
        ),
        ("trajectory.cascadeId", Field::Cascade),
        ("trajectory.trajectoryId", Field::Trajectory),
        (
            "trajectory.generatorMetadata[].chatModel.retryInfos[].traceId",
            Field::Trace,
        ),
    ])
});

#[cfg(test)]
mod tests {
    use super::*;

    /// `(cascade, trajectory, trace)` of all that a document joins.
    fn joined(document: &str) -> Vec<[Option<String>; 3]> {
        let mut telemetry = Telemetry::new();
        document
            .as_bytes()
            .chunks(3)
            .for_each(|piece| _ = telemetry.feed(piece));
        let text = |id: Option<Id>| id.map(|id| id.to_string());
        let facts = Box::new(telemetry).finish().into_iter();
        let joined = facts.filter_map(|fact| match fact {
            Fact::IdsJoined(ids) => Some(ids),
            _ => None,
        });
        joined
            .map(|ids| [ids.cascade, ids.trajectory, ids.provider_trace].map(text))
            .collect()
    }

    fn ids(cascade: &str, trajectory: &str, trace: &str) -> [Option<String>; 3] {
        [cascade, trajectory, trace].map(|id| (!id.is_empty()).then(|| id.to_owned()))
    }

    #[test]
    fn each_metric_joins_its_own_trace_and_trajectory() {
        let document = r#"{"metrics":[
            {"conversationOffered":{"traceId":"x1","trajectoryId":"t1","status":"OK"}},
            {"conversationOffered":{"trajectoryId":"t2","streamingLatency":{"traceId":"no"},"traceId":"x2"}},
            {"conversationOffered":{"traceId":"checkpoint"}},
            {"conversationInteraction":{"traceId":"no","trajectoryId":"no"}},
            {}, null, []
        ],"traceId":"no","trajectoryId":"no"}"#;
        assert_eq!(joined(document), [ids("", "t1", "x1"), ids("", "t2", "x2")]);
    }

    #[test]
    fn a_trajectory_is_joined_with_its_conversation_and_every_call_of_it() {
        let document = r#"{"trajectory":{
            "steps":[{"userInput":{"userResponse":"\"cascadeId\":\"no\""},"traceId":"no"}],
            "generatorMetadata":[
                {"chatModel":{"retryInfos":[{"traceId":"x1"},{"traceId":"x2","usage":{}}]}},
                {"chatModel":{"retryInfos":[]}},
                {"chatModel":{"retryInfos":[{"traceId":"x3"}]}}
            ],"trajectoryId":"t","cascadeId":"c"}}"#;
        let expected = [
            ids("c", "t", ""),
            ids("c", "t", "x1"),
            ids("c", "t", "x2"),
            ids("c", "t", "x3"),
        ];
        assert_eq!(joined(document), expected);
        let nameless = r#"{"trajectory":{"generatorMetadata":[{"chatModel":{"retryInfos":[{"traceId":"x"}]}}]}}"#;
        assert_eq!(joined(nameless), Vec::<[Option<String>; 3]>::new());
    }

    #[test]
    fn a_malformed_body_says_nothing_and_a_cut_one_what_was_whole() {
        let whole = r#"{"metrics":[{"conversationOffered":{"traceId":"x1","trajectoryId":"t1"}},{"conversationOff"#;
        assert_eq!(joined(whole), [ids("", "t1", "x1")]);
        assert_eq!(joined(&format!("{whole}\n,\"")), [ids("", "t1", "x1")]);
        assert_eq!(
            joined(&format!("{whole}\"]")),
            Vec::<[Option<String>; 3]>::new()
        );
        assert_eq!(joined("null"), Vec::<[Option<String>; 3]>::new());
    }

    #[test]
    fn of_too_many_the_last_ones_are_kept() {
        let traces: Vec<_> = (0..MAX_JOINED + 9)
            .map(|n| format!(r#"{{"traceId":"x{n}"}}"#))
            .collect();
        let traces = traces.join(",");
        let document = format!(
            r#"{{"trajectory":{{"cascadeId":"c","generatorMetadata":[{{"chatModel":{{"retryInfos":[{traces}]}}}}]}}}}"#
        );
        let joined = joined(&document);
        assert_eq!(joined.len(), MAX_JOINED);
        assert_eq!(joined[0], ids("c", "", "x9"));
        assert_eq!(
            joined[MAX_JOINED - 1],
            ids("c", "", &format!("x{}", MAX_JOINED + 8))
        );
    }
}
