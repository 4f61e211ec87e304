//! A call for tests, which change what they are about.

use std::time::{Duration, UNIX_EPOCH};

use super::{
    Call, CallIds, Caller, Correlation, Host, ModalitySplits, Model, Operation, Outcome, Provider,
    Quality, Reported, RequestSettings, Timing, TokenUsage, Turn,
};

/// A streamed chat that went well, of an unknown model and without tokens, which took no time.
pub(crate) fn sample_call() -> Call {
    Call {
        number: 0,
        provider: Provider::CloudCode,
        host: Host::parse("daily-cloudcode-pa.googleapis.com").expect("a host"),
        operation: Operation::Chat,
        model: Model::unknown(),
        counted_as: None,
        settings: RequestSettings::default(),
        is_compacted: false,
        served_model: None,
        rules: None,
        is_substituted: false,
        outcome: Outcome::Ok,
        status: Some(200),
        streamed: true,
        finish_reason: None,
        rate_limit: None,
        usage: TokenUsage::default(),
        modalities: ModalitySplits::default(),
        quality: Quality::Unknown,
        reported: Reported::default(),
        cost: None,
        timing: Timing {
            started_at: UNIX_EPOCH,
            duration: Duration::ZERO,
            time_to_first_chunk: None,
            content_duration: None,
        },
        ids: CallIds::default(),
        turn: Turn::default(),
        correlation: Correlation::default(),
        caller: Caller::default(),
        port: 443,
        parent: None,
        trace: None,
        setup: None,
    }
}
