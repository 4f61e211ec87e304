//! The replies to polling: steps and calls to models from an offset on.

use std::sync::LazyLock;

use super::entries::{Budget, ListPart};
use super::fields::{GENERATION, TrajectoryField, steps};
use super::table::{at, paths};
use super::trajectory::{ReadTrajectories, TrajectoryDraft};
use super::{Malformed, Message};
use crate::cascade::update::{TrajectoryUpdate, Update};
use crate::observe::json::{Paths, Value};

/// The reply of `GetCascadeTrajectorySteps`.
#[derive(Debug)]
pub struct Steps(Reply);

/// The reply of `GetCascadeTrajectoryGeneratorMetadata`.
#[derive(Debug)]
pub struct Generations(Reply);

impl Steps {
    /// The reply to a request for all steps from this index on.
    #[must_use]
    pub fn from_offset(offset: u32) -> Self {
        Self(Reply::from_offset(offset))
    }
}

impl Generations {
    /// The reply to a request for all calls from this index on.
    #[must_use]
    pub fn from_offset(offset: u32) -> Self {
        Self(Reply::from_offset(offset))
    }
}

impl Message for Steps {
    type Field = TrajectoryField;
    /// With the trajectories of subagents inside of the steps.
    type Content = Update;

    fn paths() -> &'static Paths<TrajectoryField> {
        &STEPS
    }

    fn read_value(&mut self, field: TrajectoryField, value: Value<'_>) -> Result<(), Malformed> {
        self.0.read_value(field, value)
    }

    fn finish(self) -> Result<Update, Malformed> {
        let (main, subtrajectories) = self.0.finish()?;
        Ok(Update {
            main,
            subtrajectories,
            ..Update::default()
        })
    }
}

impl Message for Generations {
    type Field = TrajectoryField;
    type Content = TrajectoryUpdate;

    fn paths() -> &'static Paths<TrajectoryField> {
        &GENERATIONS
    }

    fn read_value(&mut self, field: TrajectoryField, value: Value<'_>) -> Result<(), Malformed> {
        self.0.read_value(field, value)
    }

    fn finish(self) -> Result<TrajectoryUpdate, Malformed> {
        Ok(self.0.finish()?.0)
    }
}

#[derive(Debug)]
struct Reply {
    offset: u32,
    trajectory: TrajectoryDraft,
    budget: Budget,
}

impl Reply {
    fn from_offset(offset: u32) -> Self {
        Self {
            offset,
            trajectory: TrajectoryDraft::default(),
            budget: Budget::default(),
        }
    }

    fn read_value(&mut self, field: TrajectoryField, value: Value<'_>) -> Result<(), Malformed> {
        self.trajectory.read_value(field, value, &mut self.budget)
    }

    fn finish(self) -> Result<ReadTrajectories, Malformed> {
        self.trajectory.finish(self.offset)
    }
}

static STEPS: LazyLock<Paths<TrajectoryField>> = LazyLock::new(|| {
    let list = [("steps", ListPart::Entries), ("steps[]", ListPart::Entry)];
    paths(
        at("", &list, TrajectoryField::Steps)
            .into_iter()
            .chain(steps("steps[].", |field| field)),
    )
});

static GENERATIONS: LazyLock<Paths<TrajectoryField>> = LazyLock::new(|| {
    let list = [
        ("generatorMetadata", ListPart::Entries),
        ("generatorMetadata[]", ListPart::Entry),
    ];
    let inside = at(
        "generatorMetadata[].",
        &GENERATION,
        TrajectoryField::Generation,
    );
    paths(
        at("", &list, TrajectoryField::Generations)
            .into_iter()
            .chain(inside),
    )
});
