//! The enums of `exa.cortex_pb` that the stand-in uses, by name and number, with a few that no
//! client has heard of.

/// An enum with its numbers, and its names as proto3 JSON has them.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident $prefix:literal { $($variant:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::demo::agent) enum $name { $($variant = $number),* }

        impl $name {
            /// As on the protobuf wire.
            pub(in crate::demo::agent) fn number(self) -> u32 {
                self as u32
            }

            /// As in JSON.
            pub(in crate::demo::agent) fn name(self) -> &'static str {
                match self { $(Self::$variant => concat!($prefix, $text),)* }
            }
        }
    };
}

names! {
    /// `CascadeRunStatus`. `WAITING` was seen in the wild; its number is not known, nor is this
    /// one.
    RunStatus "CASCADE_RUN_STATUS_" {
        Idle = 1 "IDLE",
        Running = 2 "RUNNING",
        Canceling = 3 "CANCELING",
        Waiting = 97 "WAITING",
    }
}

names! {
    /// `CortexStepStatus`. `HALTED` was seen in the wild; its number is not known, nor is this one.
    StepStatus "CORTEX_STEP_STATUS_" {
        Pending = 1 "PENDING",
        Running = 2 "RUNNING",
        Done = 3 "DONE",
        Canceled = 6 "CANCELED",
        Error = 7 "ERROR",
        Generating = 8 "GENERATING",
        Halted = 97 "HALTED",
    }
}

names! {
    /// `CortexStepType`, and one that is to come.
    StepKind "CORTEX_STEP_TYPE_" {
        GrepSearch = 7 "GREP_SEARCH",
        ViewFile = 8 "VIEW_FILE",
        UserInput = 14 "USER_INPUT",
        PlannerResponse = 15 "PLANNER_RESPONSE",
        ErrorMessage = 17 "ERROR_MESSAGE",
        RunCommand = 21 "RUN_COMMAND",
        Checkpoint = 23 "CHECKPOINT",
        InvokeSubagent = 127 "INVOKE_SUBAGENT",
        Unheard = 9701 "HOLODECK",
    }
}

names! {
    /// `ExecutorTerminationReason`
    Termination "EXECUTOR_TERMINATION_REASON_" {
        Error = 1 "ERROR",
        UserCanceled = 2 "USER_CANCELED",
        NoToolCall = 4 "NO_TOOL_CALL",
    }
}
