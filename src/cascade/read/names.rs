//! The language server's enums, by their names in JSON and by their numbers in protobuf; shared by
//! both readers.
//!
//! Source: the descriptors that ship inside the agent's own bundles. An unknown value is never an
//! error: newer agents have more values than Gravimeter knows.

use crate::cascade::update::{RunStatus, Termination};
use crate::record::{Id, Label, StepKind, StepStatus};

/// A value of one of the language server's enums.
pub(in crate::cascade) trait Named: Sized {
    /// From its JSON name, prefix included; `None` when it is unspecified.
    fn from_name(name: &str) -> Option<Self>;

    /// From its number; `None` when it is unspecified. JSON has numbers too, for values that the
    /// writer itself did not know.
    fn from_number(number: u64) -> Option<Self>;
}

impl Named for RunStatus {
    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::from_number(number)
    }
}

impl Named for Termination {
    fn from_name(name: &str) -> Option<Self> {
        Self::from_name(name)
    }

    fn from_number(number: u64) -> Option<Self> {
        Self::from_number(number)
    }
}

impl Named for StepKind {
    fn from_name(name: &str) -> Option<Self> {
        Some(by_label(name, "CORTEX_STEP_TYPE_").unwrap_or(Self::Other))
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            5 => Self::CodeAction,
            7 => Self::GrepSearch,
            8 => Self::ViewFile,
            9 => Self::ListDirectory,
            14 => Self::UserInput,
            15 => Self::PlannerResponse,
            17 => Self::ErrorMessage,
            21 => Self::RunCommand,
            23 => Self::Checkpoint,
            33 => Self::SearchWeb,
            38 => Self::McpTool,
            81 => Self::TaskBoundary,
            82 => Self::NotifyUser,
            85 => Self::BrowserSubagent,
            90 => Self::EphemeralMessage,
            91 => Self::GenerateImage,
            127 => Self::InvokeSubagent,
            _ => Self::Other,
        })
    }
}

impl Named for StepStatus {
    fn from_name(name: &str) -> Option<Self> {
        Some(by_label(name, "CORTEX_STEP_STATUS_").unwrap_or(Self::Other))
    }

    fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Pending,
            2 => Self::Running,
            3 => Self::Done,
            4 => Self::Invalid,
            5 => Self::Cleared,
            6 => Self::Canceled,
            7 => Self::Error,
            8 => Self::Generating,
            9 => Self::Waiting,
            11 => Self::Queued,
            12 => Self::Interrupted,
            _ => Self::Other,
        })
    }
}

/// The name of a model by its number in the enum, whose placeholders begin at 1000.
pub(in crate::cascade) fn model_of_number(number: u64) -> Option<Id> {
    match number {
        0 => None,
        1..FIRST_PLACEHOLDER => Id::from_wire(&format!("MODEL_{number}")),
        _ => Id::from_wire(&format!(
            "MODEL_PLACEHOLDER_M{}",
            number - FIRST_PLACEHOLDER
        )),
    }
}

/// `MODEL_PLACEHOLDER_M0`
const FIRST_PLACEHOLDER: u64 = 1000;

/// Finds a label by an enum name: labels of steps are the language server's names in lower case.
fn by_label<L: Label>(name: &str, prefix: &str) -> Option<L> {
    let name = name.strip_prefix(prefix)?;
    L::ALL
        .iter()
        .copied()
        .find(|label| label.as_str().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_and_numbers() {
        assert_eq!(
            StepKind::from_name("CORTEX_STEP_TYPE_MCP_TOOL"),
            Some(StepKind::McpTool)
        );
        assert_eq!(
            StepKind::from_name("CORTEX_STEP_TYPE_NEW_ONE"),
            Some(StepKind::Other)
        );
        assert_eq!(StepKind::from_name("MCP_TOOL"), Some(StepKind::Other));
        assert_eq!(
            StepStatus::from_name("CORTEX_STEP_STATUS_DONE"),
            Some(StepStatus::Done)
        );
        assert_eq!(
            StepStatus::from_name("CORTEX_STEP_STATUS_HALTED"),
            Some(StepStatus::Other)
        );
        let kinds = (0..200)
            .filter(|number| StepKind::from_number(*number) != Some(StepKind::Other))
            .count();
        assert_eq!(
            kinds,
            StepKind::ALL.len() - 1,
            "every kind but `other` has one number"
        );
        let statuses = (0..20)
            .filter(|number| StepStatus::from_number(*number) != Some(StepStatus::Other))
            .count();
        assert_eq!(
            statuses,
            StepStatus::ALL.len() - 1,
            "every status but `other` has one number"
        );
    }

    #[test]
    fn models_have_their_placeholders() {
        let name = |number| model_of_number(number).map(|id| id.to_string());
        assert_eq!(name(0), None);
        assert_eq!(name(342).as_deref(), Some("MODEL_342"));
        assert_eq!(name(1026).as_deref(), Some("MODEL_PLACEHOLDER_M26"));
        assert!(name(u64::MAX).is_some());
    }
}
