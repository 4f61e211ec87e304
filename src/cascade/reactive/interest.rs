//! The table of the fields of a conversation's state that are kept: everything else is skipped.
//!
//! Numbers are those of `jetski_cortex_pb.CascadeState` and of what is inside it. Source: the
//! descriptors that ship inside the agent's own bundles.

/// What is kept of a value.
#[derive(Debug)]
pub(super) struct Interest {
    /// The fields, if it is a message; for a list, those of each element.
    pub(super) fields: &'static [(u32, &'static Interest)],
    /// The keys, if it is a map.
    pub(super) keys: &'static [(&'static str, &'static Interest)],
    /// Whether a text that is an identifier is kept, or only whether there is a text.
    pub(super) identifiers: bool,
}

impl Interest {
    pub(super) const fn message(fields: &'static [(u32, &'static Self)]) -> Self {
        Self {
            fields,
            keys: &[],
            identifiers: false,
        }
    }

    pub(super) const fn map(keys: &'static [(&'static str, &'static Self)]) -> Self {
        Self {
            fields: &[],
            keys,
            identifiers: false,
        }
    }

    /// What is kept of a field, if anything.
    pub(super) fn field(&self, number: u32) -> Option<&'static Self> {
        self.fields
            .iter()
            .find_map(|(listed, interest)| (*listed == number).then_some(*interest))
    }

    /// What is kept under a key, if anything.
    pub(super) fn key(&self, key: &str) -> Option<(&'static str, &'static Self)> {
        self.keys.iter().find(|(listed, _)| *listed == key).copied()
    }
}

/// A number, a boolean or an identifier.
pub(super) static VALUE: Interest = Interest {
    fields: &[],
    keys: &[],
    identifiers: true,
};

/// A text of which only the presence counts.
pub(super) static PRESENCE: Interest = Interest {
    fields: &[],
    keys: &[],
    identifiers: false,
};

/// `jetski_cortex_pb.CascadeState`
pub(super) mod state {
    pub(in super::super) const CASCADE: u32 = 1;
    pub(in super::super) const TRAJECTORY: u32 = 2;
    pub(in super::super) const STATUS: u32 = 3;
    pub(in super::super) const EXECUTOR: u32 = 4;
    pub(in super::super) const ACTIVE_CHILDREN: u32 = 11;
}

pub(super) static CASCADE_STATE: Interest = Interest::message(&[
    (state::CASCADE, &VALUE),
    (state::TRAJECTORY, &TRAJECTORY),
    (state::STATUS, &VALUE),
    (state::EXECUTOR, &EXECUTOR),
    (state::ACTIVE_CHILDREN, &VALUE),
]);

/// `gemini_coder.Trajectory`
pub(super) mod trajectory {
    pub(in super::super) const ID: u32 = 1;
    pub(in super::super) const STEPS: u32 = 2;
    pub(in super::super) const GENERATIONS: u32 = 3;
    pub(in super::super) const EXECUTORS: u32 = 9;
}

static TRAJECTORY: Interest = Interest::message(&[
    (trajectory::ID, &VALUE),
    (trajectory::STEPS, &STEP),
    (trajectory::GENERATIONS, &GENERATION),
    (trajectory::EXECUTORS, &EXECUTOR),
]);

/// `cortex_pb.ExecutorMetadata`
pub(super) mod executor {
    pub(in super::super) const TERMINATION: u32 = 1;
}

static EXECUTOR: Interest = Interest::message(&[(executor::TERMINATION, &VALUE)]);

/// `gemini_coder.Step`
pub(super) mod step {
    pub(in super::super) const KIND: u32 = 1;
    pub(in super::super) const STATUS: u32 = 4;
    pub(in super::super) const METADATA: u32 = 5;
    pub(in super::super) const SUBTRAJECTORY: u32 = 6;
    pub(in super::super) const PLANNER: u32 = 20;
    /// Inside the metadata.
    pub(in super::super) const CREATED_AT: u32 = 1;
    /// Inside the metadata.
    pub(in super::super) const COMPLETED_AT: u32 = 8;
    /// Inside the planner's response.
    pub(in super::super) const TEXTS: [u32; 2] = [1, 8];
}

static STEP: Interest = Interest::message(&[
    (step::KIND, &VALUE),
    (step::STATUS, &VALUE),
    (step::METADATA, &STEP_METADATA),
    (step::SUBTRAJECTORY, &TRAJECTORY),
    (step::PLANNER, &PLANNER),
]);

static STEP_METADATA: Interest = Interest::message(&[
    (step::CREATED_AT, &TIMESTAMP),
    (step::COMPLETED_AT, &TIMESTAMP),
]);

static PLANNER: Interest =
    Interest::message(&[(step::TEXTS[0], &PRESENCE), (step::TEXTS[1], &PRESENCE)]);

/// `google.protobuf.Timestamp`
pub(super) mod timestamp {
    pub(in super::super) const SECONDS: u32 = 1;
    pub(in super::super) const NANOS: u32 = 2;
}

static TIMESTAMP: Interest =
    Interest::message(&[(timestamp::SECONDS, &VALUE), (timestamp::NANOS, &VALUE)]);

/// `cortex_pb.CortexStepGeneratorMetadata`
pub(super) mod generation {
    pub(in super::super) const CHAT_MODEL: u32 = 1;
    pub(in super::super) const EXECUTION: u32 = 4;
}

static GENERATION: Interest = Interest::message(&[
    (generation::CHAT_MODEL, &CHAT_MODEL),
    (generation::EXECUTION, &VALUE),
]);

/// `cortex_pb.ChatModelMetadata`
pub(super) mod chat_model {
    pub(in super::super) const MODEL: u32 = 3;
    pub(in super::super) const USAGE: u32 = 4;
    pub(in super::super) const RETRIES: u32 = 17;
    pub(in super::super) const SERVED_MODEL: u32 = 19;
    /// Inside each of the retries.
    pub(in super::super) const TRACE: u32 = 4;
}

static CHAT_MODEL: Interest = Interest::message(&[
    (chat_model::MODEL, &VALUE),
    (chat_model::USAGE, &USAGE),
    (chat_model::RETRIES, &RETRY),
    (chat_model::SERVED_MODEL, &VALUE),
]);

static RETRY: Interest = Interest::message(&[(chat_model::TRACE, &VALUE)]);

/// `codeium_common_pb.ModelUsageStats`
pub(super) mod usage {
    pub(in super::super) const INPUT: u32 = 2;
    pub(in super::super) const OUTPUT: u32 = 3;
    pub(in super::super) const CACHE_WRITE: u32 = 4;
    pub(in super::super) const CACHE_READ: u32 = 5;
    pub(in super::super) const MESSAGE: u32 = 7;
    pub(in super::super) const HEADER: u32 = 8;
    pub(in super::super) const THINKING: u32 = 9;
    pub(in super::super) const RESPONSE: u32 = 11;
    pub(in super::super) const ASSIGNED_MESSAGE: u32 = 12;
    /// Keys of the header. No other one is kept.
    pub(in super::super) const SESSIONS: [&str; 2] = ["sessionID", "sessionId"];
}

static USAGE: Interest = Interest::message(&[
    (usage::INPUT, &VALUE),
    (usage::OUTPUT, &VALUE),
    (usage::CACHE_WRITE, &VALUE),
    (usage::CACHE_READ, &VALUE),
    (usage::MESSAGE, &VALUE),
    (usage::HEADER, &HEADER),
    (usage::THINKING, &VALUE),
    (usage::RESPONSE, &VALUE),
    (usage::ASSIGNED_MESSAGE, &VALUE),
]);

static HEADER: Interest =
    Interest::map(&[(usage::SESSIONS[0], &VALUE), (usage::SESSIONS[1], &VALUE)]);
