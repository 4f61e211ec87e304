//! How a budget stands, as it is shown and served, and what is said when that changes.

use jiff::Timestamp;
use serde::Serialize;

use super::amount::{Amount, Unit};
use super::definition::{BudgetName, GroupBy, NamePattern, OnError};
use super::window::Window;
use crate::record::label;

/// How much of a limit is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than the warning is given at.
    Within,
    /// As much as the warning is given at.
    Warned,
    /// As much as calls are stopped at.
    Stopped,
}

label! {
    /// What holds of a budget.
    pub enum State {
        /// Calls pass.
        Ok => "ok",
        /// Calls pass, but a warning was given.
        Warned => "warned",
        /// No new call is carried.
        Stopped => "stopped",
        /// Calls pass though they would be stopped: somebody has lifted the budget for a while.
        Lifted => "lifted",
    }
}

/// How a budget stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetStatus {
    /// Its name.
    pub name: BudgetName,
    /// What it counts.
    pub unit: Unit,
    /// How much may be spent in a window, by each of its groups.
    pub limit: Amount,
    /// For how long that is.
    pub per: Window,
    /// What has the limit for itself.
    pub by: GroupBy,
    /// The groups that are meant; all of them where there is none.
    pub only: Vec<NamePattern>,
    /// From which share on a warning is given.
    pub warn: f64,
    /// From which share on no new call is carried; `None` never stops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<f64>,
    /// What holds while not everything could be counted.
    pub fail: OnError,
    /// When the window has begun; `None` for sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When it ends; `None` for sessions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What holds; the most severe of its groups.
    pub state: State,
    /// What the group has spent that has spent most.
    pub used: Amount,
    /// The share of the limit that this is.
    pub used_ratio: f64,
    /// Whether more was spent than could be counted.
    pub is_lower_bound: bool,
    /// Until when it stops nothing, where somebody has lifted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifted_until: Option<Timestamp>,
    /// How often it has stopped calls since this process began.
    pub stops: u64,
    /// Those that have spent most, the first 100 of them; none where all calls count together.
    pub groups: Vec<GroupStatus>,
}

/// How one group of a budget stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupStatus {
    /// What it is: the name of a model, a program and so on; empty where the budget is for all calls
    /// of a session.
    pub name: String,
    /// The session, where the budget is for each one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// What it has spent.
    pub used: Amount,
    /// The share of the limit that this is.
    pub used_ratio: f64,
    /// What holds of it.
    pub state: State,
}

/// Something has changed about a budget.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notice {
    /// Which budget.
    pub budget: BudgetName,
    /// Which group of it; empty where all calls count together.
    pub group: String,
    /// What holds from now on.
    pub state: State,
    /// What the group has spent.
    pub used: Amount,
    /// What it may spend.
    pub limit: Amount,
    /// For how long that is.
    pub per: Window,
    /// When this state ends by itself, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// When it changed.
    pub at: Timestamp,
}
