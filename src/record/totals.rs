//! Everything that was counted before this process began: what counters resume from.

use super::{
    CorrelationMethod, Cost, ModalitySplits, Model, Operation, Outcome, PerKind, ProgramName,
    Provider, Quality, RateLimitReason, RepositoryName, StepKind, StepStatus, UsageComparison,
};

/// Counts of earlier processes. Each list has at most one entry for each set of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Calls and their tokens.
    pub calls: Vec<CallGroup>,
    /// Calls that another model has answered than the requested one.
    pub substitutions: Vec<Substitution>,
    /// The tokens of calls by what they stand for.
    pub modalities: Vec<ModalityGroup>,
    /// Calls by the identifier that assigns their conversation.
    pub correlations: Vec<(CorrelationMethod, u64)>,
    /// Calls by program and repository, where either is known.
    pub callers: Vec<CallerTotals>,
    /// Comparisons of the agent's counts with those of the wire.
    pub comparisons: Vec<(UsageComparison, u64)>,
    /// Ended steps.
    pub steps: Vec<((StepKind, StepStatus), u64)>,
}

/// What the tokens of the calls stand for that are alike in these labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModalityGroup {
    /// Who answered.
    pub provider: Provider,
    /// The requested model under its bounded name ([`super::Models`]).
    pub model: Model,
    /// What they were for.
    pub operation: Operation,
    /// How their tokens are split.
    pub splits: ModalitySplits,
}

/// The calls of one program in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerTotals {
    /// The program that has called.
    pub program: Option<ProgramName>,
    /// The repository that it works in.
    pub repository: Option<RepositoryName>,
    /// How many.
    pub calls: u64,
    /// Their tokens.
    pub tokens: PerKind<u64>,
    /// What those that have a price cost.
    pub cost: Cost,
}

/// The calls that are alike in every label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallGroup {
    /// Who answered.
    pub provider: Provider,
    /// The requested model under its bounded name ([`super::Models`]).
    pub model: Model,
    /// What they were for.
    pub operation: Operation,
    /// How they ended.
    pub outcome: Outcome,
    /// Why they were refused, where they were for quota, rate or capacity.
    pub rate_limit: Option<RateLimitReason>,
    /// How far their tokens can be trusted.
    pub quality: Quality,
    /// How many.
    pub calls: u64,
    /// Those of them that have a price.
    pub priced_calls: u64,
    /// Those of them that have tokens and no price.
    pub unpriced_calls: u64,
    /// What those that have a price cost.
    pub cost: Cost,
    /// The part of it that providers report themselves.
    pub reported_cost: Cost,
    /// Their tokens.
    pub tokens: PerKind<u64>,
}

/// Calls that asked for one model and were answered by another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitution {
    /// Who answered.
    pub provider: Provider,
    /// The requested model under its bounded name ([`super::Models`]).
    pub model: Model,
    /// The model that answered, under its bounded name.
    pub served_model: Model,
    /// How many.
    pub calls: u64,
}
