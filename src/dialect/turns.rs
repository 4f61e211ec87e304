//! Whether a request begins a turn of its agent or goes on with one: what it holds since the
//! model's last words decides.
//!
//! An agent sends the whole conversation with every request, and answers of tools as if the user
//! had said them. So the last message alone would not do: what a user writes while tools run stands
//! behind their results.

use crate::record::TurnStep;

/// What one message, or one item, of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The model's own words, its thinking, or its call of a tool.
    Model,
    /// The result of a tool.
    ToolResult,
    /// The words of the user, or of the agent in the user's place.
    User,
}

/// What has come since the model's last words; parts enter in the order of the request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SinceModel {
    has_user: bool,
    has_result: bool,
}

impl SinceModel {
    pub(super) fn add(&mut self, part: Part) {
        match part {
            Part::Model => *self = Self::default(),
            Part::ToolResult => self.has_result = true,
            Part::User => self.has_user = true,
        }
    }

    /// Where the request is a step of a turn.
    pub(super) fn step(self) -> TurnStep {
        if self.has_user && !self.has_result {
            TurnStep::Begins
        } else {
            TurnStep::Continues
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Part::{Model, ToolResult, User};
    use super::*;

    #[test]
    fn what_follows_the_models_last_words_decides() {
        for (parts, step) in [
            (&[User][..], TurnStep::Begins),
            (&[User, Model, User], TurnStep::Begins),
            (&[User, User], TurnStep::Begins),
            (&[User, Model, ToolResult], TurnStep::Continues),
            (&[User, Model, ToolResult, User], TurnStep::Continues),
            (&[User, Model, ToolResult, Model, User], TurnStep::Begins),
            (&[User, Model], TurnStep::Continues),
            (&[], TurnStep::Continues),
        ] {
            let mut since = SinceModel::default();
            parts.iter().for_each(|part| since.add(*part));
            assert_eq!(since.step(), step, "{parts:?}");
        }
    }
}
