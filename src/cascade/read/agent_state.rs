//! One message of `StreamAgentStateUpdates`: everything at first, later only what has changed.

use std::sync::LazyLock;

use super::entries::Budget;
use super::table::{at, paths};
use super::trajectory::{Trajectory, TrajectoryField, news};
use super::values::{id, named};
use super::{Malformed, Message};
use crate::cascade::update::Update;
use crate::observe::json::{Paths, Value};
use crate::record::Id;

/// `{"update": {…}}`, read into the news that it brings. What a message does not mention stays as
/// it was; only a stream's first one says everything.
#[derive(Debug, Default)]
pub struct AgentState {
    said: Update,
    main: Trajectory,
    /// The subagent's trajectory that is being read.
    sub: Option<(Id, Trajectory)>,
    budget: Budget,
}

/// What is read of such a message.
#[derive(Debug, Clone, Copy)]
pub enum Field {
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
    type Field = Field;
    type Content = Update;

    fn paths() -> &'static Paths<Field> {
        &PATHS
    }

    fn take(&mut self, field: Field, value: Value<'_>) -> Result<(), Malformed> {
        match field {
            Field::ActiveChildren => self.said.has_active_children = value == Value::Bool(true),
            Field::Cascade => self.said.cascade = id(value),
            Field::FullyIdle => self.said.fully_idle = value == Value::Bool(true),
            Field::Main(field) => self.main.take(field, value, &mut self.budget)?,
            Field::Status => self.said.status = named(value),
            Field::Sub(field) => {
                if let Some((_, trajectory)) = &mut self.sub {
                    trajectory.take(field, value, &mut self.budget)?;
                }
            }
            Field::Subtrajectory => self.take_subtrajectory(value)?,
            Field::Trajectory => self.said.trajectory = id(value),
        }
        Ok(())
    }

    fn finish(self) -> Result<Update, Malformed> {
        // A conversation that works for nobody is its own root.
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
    fn take_subtrajectory(&mut self, value: Value<'_>) -> Result<(), Malformed> {
        match value {
            Value::Key(key) => {
                self.budget.spend()?;
                self.sub = Id::from_wire(key).map(|id| (id, Trajectory::default()));
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

static PATHS: LazyLock<Paths<Field>> = LazyLock::new(|| {
    let main = news("update.mainTrajectoryUpdate.", Field::Main);
    let sub = news("update.subtrajectoryUpdates.*.", Field::Sub);
    paths(
        at("", &FIELDS, |field| field)
            .into_iter()
            .chain(main)
            .chain(sub),
    )
});

const FIELDS: [(&str, Field); 6] = [
    ("update.conversationId", Field::Cascade),
    ("update.fullyIdle", Field::FullyIdle),
    ("update.hasActiveChildren", Field::ActiveChildren),
    ("update.status", Field::Status),
    ("update.subtrajectoryUpdates.*", Field::Subtrajectory),
    ("update.trajectoryId", Field::Trajectory),
];
