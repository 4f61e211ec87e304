//! One message of `StreamAgentStateUpdates`: the first holds everything, later ones only what has
//! changed.

use std::sync::LazyLock;

use super::entries::Budget;
use super::fields::{TrajectoryField, news};
use super::table::{at, paths};
use super::trajectory::TrajectoryDraft;
use super::values::{id, named};
use super::{Malformed, Message};
use crate::cascade::update::Update;
use crate::observe::json::{Paths, Value};
use crate::record::Id;

/// Reads `{"update": {…}}` into an [`Update`]. What a message does not mention stays as it was.
#[derive(Debug, Default)]
pub struct AgentState {
    said: Update,
    main: TrajectoryDraft,
    /// The subagent's trajectory that is being read.
    sub: Option<(Id, TrajectoryDraft)>,
    budget: Budget,
}

/// The fields that are read.
#[derive(Debug, Clone, Copy)]
pub enum AgentStateField {
    ActiveChildren,
    Cascade,
    FullyIdle,
    Main(TrajectoryField),
    Status,
    Sub(TrajectoryField),
    Subtrajectory,
    Trajectory,
}

impl Message for AgentState {
    type Field = AgentStateField;
    type Content = Update;

    fn paths() -> &'static Paths<AgentStateField> {
        &PATHS
    }

    fn read_value(&mut self, field: AgentStateField, value: Value<'_>) -> Result<(), Malformed> {
        match field {
            AgentStateField::ActiveChildren => {
                self.said.has_active_children = value == Value::Bool(true)
            }
            AgentStateField::Cascade => self.said.cascade = id(value),
            AgentStateField::FullyIdle => self.said.fully_idle = value == Value::Bool(true),
            AgentStateField::Main(field) => self.main.read_value(field, value, &mut self.budget)?,
            AgentStateField::Status => self.said.status = named(value),
            AgentStateField::Sub(field) => {
                if let Some((_, trajectory)) = &mut self.sub {
                    trajectory.read_value(field, value, &mut self.budget)?;
                }
            }
            AgentStateField::Subtrajectory => self.read_subtrajectory(value)?,
            AgentStateField::Trajectory => self.said.trajectory = id(value),
        }
        Ok(())
    }

    fn finish(self) -> Result<Update, Malformed> {
        // A conversation that works for no other is its own root.
        let root = self
            .main
            .root()
            .filter(|root| self.said.cascade.as_ref() != Some(*root))
            .cloned();
        let (main, inside) = self.main.finish(0)?;
        let subtrajectories = self
            .said
            .subtrajectories
            .into_iter()
            .chain(inside)
            .collect();
        Ok(Update {
            root,
            main,
            subtrajectories,
            ..self.said
        })
    }
}

impl AgentState {
    fn read_subtrajectory(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        match value {
            Value::Key(key) => {
                self.budget.spend()?;
                self.sub = Id::from_wire(key).map(|id| (id, TrajectoryDraft::default()));
            }
            Value::End => {
                if let Some((id, trajectory)) = self.sub.take() {
                    let (update, inside) = trajectory.finish(0)?;
                    self.said.subtrajectories.push((id, update));
                    self.said.subtrajectories.extend(inside);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

static PATHS: LazyLock<Paths<AgentStateField>> = LazyLock::new(|| {
    let main = news("update.mainTrajectoryUpdate.", AgentStateField::Main);
    let sub = news("update.subtrajectoryUpdates.*.", AgentStateField::Sub);
    paths(
        at("", &FIELDS, |field| field)
            .into_iter()
            .chain(main)
            .chain(sub),
    )
});

const FIELDS: [(&str, AgentStateField); 6] = [
    ("update.conversationId", AgentStateField::Cascade),
    ("update.fullyIdle", AgentStateField::FullyIdle),
    ("update.hasActiveChildren", AgentStateField::ActiveChildren),
    ("update.status", AgentStateField::Status),
    (
        "update.subtrajectoryUpdates.*",
        AgentStateField::Subtrajectory,
    ),
    ("update.trajectoryId", AgentStateField::Trajectory),
];
