//! What a call says of its agent's turn: the work on one message of the user.

use super::Id;
use super::label::label;

label! {
    /// An agent whose runs are known, under the name that spans have for it (`gen_ai.agent.name`).
    pub enum AgentName {
        /// Google Antigravity, which reports its runs itself.
        Antigravity => "antigravity",
        /// Anthropic's Claude Code.
        ClaudeCode => "claude-code",
        /// OpenAI's Codex.
        Codex => "codex",
    }
}

/// What a request says of the turn that it is a part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TurnStep {
    /// It brings a message of the user, and no result of a tool since the model's last answer.
    Begins,
    /// It brings results of tools, or goes on from the model's own words.
    Continues,
    /// It is no step of a turn (a title, a summary), or does not say whether it is.
    #[default]
    Unknown,
}

/// What an answer says of the turn that it is a part of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TurnEnd {
    /// The model has called a tool, or asks to be called again.
    GoesOn,
    /// The model has stopped and asks for nothing: the turn is over.
    Over,
    /// It does not say.
    #[default]
    Unknown,
}

/// What a call says of the turn that it is a part of. A dialect reads it where agents tell it; it
/// is never guessed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Turn {
    /// Which agent it is, where its own identifiers tell it.
    pub agent: Option<AgentName>,
    /// The agent's id of the turn (Claude Code's prompt, Codex's turn).
    pub id: Option<Id>,
    /// What the request says.
    pub step: TurnStep,
    /// What the answer says.
    pub end: TurnEnd,
    /// How many calls of tools the answer asks the agent for; those that the provider makes itself
    /// are not among them.
    pub tool_calls: u32,
}
