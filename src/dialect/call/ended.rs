//! What is recorded of a call that has ended.

use std::sync::atomic::Ordering;

use super::{LiveCall, NEXT_NUMBER};
use crate::dialect::aliases::is_substitution;
use crate::dialect::answer::Said;
use crate::dialect::provider_of;
use crate::dialect::verdict::Evidence;
use crate::observe::exchange::ExchangeEnd;
use crate::record::{
    Call, CallIds, Caller, Correlation, Cost, ModalitySplits, Model, Operation, Reported, Timing,
    TokenUsage, Turn, UsageTotal,
};

impl LiveCall {
    pub(super) fn call(&self, end: ExchangeEnd, unreadable: bool, said: &Said) -> Call {
        let response = self.response.as_deref();
        let rate_limit = response.and_then(|response| response.rate_limit(said));
        let ids = CallIds {
            provider_trace: said.trace.clone(),
            response: said.response.clone(),
            ..self.request.ids()
        };
        let evidence = Evidence {
            operation: self.operation(),
            status: said
                .status
                .or(response.and_then(|response| response.status)),
            rate_limited: rate_limit.is_some(),
            error_in_answer: said.error.is_some(),
            has_usage: !said.usage.is_unreported(),
            is_sound: said.is_sound,
            has_ended: response.is_some_and(|response| response.body.is_whole(end)),
            unreadable,
            end,
        };
        Call {
            number: self.number,
            provider: self.head.provider,
            host: self.connection.host.clone(),
            operation: evidence.operation,
            model: self.named_or_served(said),
            counted_as: None,
            settings: self.request.settings(),
            is_compacted: self.is_compacted(said),
            served_model: said.served_model.clone(),
            is_substituted: self.is_substituted(said),
            rules: self.rules.clone(),
            outcome: evidence.outcome(),
            status: evidence.status,
            streamed: self.is_streamed(),
            finish_reason: said.finish_reason.clone(),
            rate_limit,
            usage: said.usage,
            modalities: said.modalities.within(&said.usage.counts()),
            quality: evidence.quality(),
            reported: response.map_or_else(Reported::default, |response| response.reported(said)),
            cost: None,
            timing: self.timing(),
            port: self.connection.port,
            parent: self.parent,
            trace: None,
            setup: self.connection.setup.clone(),
            caller: self.caller(),
            correlation: Correlation {
                cascade: None,
                method: self.request.method(),
            },
            ids,
            turn: Turn {
                end: said.turn_end,
                tool_calls: said.tool_calls,
                ..self.request.turn()
            },
        }
    }

    /// Who makes the call. Outside of a session, the agent's own word of its repository counts more
    /// than the working directory of its process.
    fn caller(&self) -> Caller {
        let caller = self.connection.caller.now();
        match self.request.repository() {
            Some(named)
                if caller.session.is_none() && caller.repository.as_ref() != Some(named) =>
            {
                Caller {
                    repository: Some(named.clone()),
                    branch: None,
                    ..caller
                }
            }
            _ => caller,
        }
    }

    /// Whether the model has read a shortened view of the conversation: one that the request brings,
    /// or one that the provider has made before it answered. A call that only shortens a
    /// conversation has read all of it.
    fn is_compacted(&self, said: &Said) -> bool {
        let was_compacted = said.is_compacted && self.operation() != Operation::Compact;
        self.request.is_compacted() || was_compacted
    }

    /// The model that was asked for, or the one that answered where the request names none, as one
    /// does that continues a conversation.
    fn named_or_served(&self, said: &Said) -> Model {
        let named = self.model();
        match &said.served_model {
            Some(served) if named == Model::unknown() => served.clone(),
            _ => named,
        }
    }

    /// Whether another model has answered than the one that was asked. A gateway of the user's own
    /// calls its models what it likes.
    fn is_substituted(&self, said: &Said) -> bool {
        let is_known = provider_of(&self.connection.host).is_some();
        let served = said.served_model.as_ref().filter(|_| is_known);
        served.is_some_and(|served| is_substitution(self.head.provider, &self.model(), served))
    }

    /// The part of the exchange that another model answered, as a call of its own: its tokens have
    /// another price, and its times are those of the whole. A cost that the provider reports is of
    /// the whole, so this part adds nothing to it.
    pub(super) fn part_of(&self, call: &Call, model: Model, usage: TokenUsage) -> Call {
        Call {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            served_model: Some(model.clone()),
            is_substituted: false,
            model,
            usage,
            modalities: ModalitySplits::default(),
            finish_reason: None,
            reported: Reported {
                cost: call.reported.cost.map(|_| Cost::default()),
                service_tier: call.reported.service_tier,
                inference_geo: call.reported.inference_geo.clone(),
                ..Reported::default()
            },
            setup: None,
            turn: Turn::default(),
            timing: Timing {
                time_to_first_chunk: None,
                content_duration: None,
                ..call.timing
            },
            ..call.clone()
        }
    }

    /// How the total compares with its parts, if the answer reports any of them.
    pub(super) fn total(&self, said: &Said) -> Option<UsageTotal> {
        let is_answer = self
            .response
            .as_ref()
            .is_some_and(|response| response.is_answer(said));
        let reports = said.total != UsageTotal::Absent || !said.usage.is_unreported();
        (is_answer && reports).then_some(said.total)
    }

    fn timing(&self) -> Timing {
        let several = self
            .contents
            .filter(|contents| contents.several && self.is_streamed());
        Timing {
            started_at: self.connection.wall_clock(self.begun),
            duration: self.last.saturating_duration_since(self.begun),
            time_to_first_chunk: self
                .contents
                .filter(|_| self.is_asked)
                .map(|contents| contents.first.saturating_duration_since(self.begun)),
            content_duration: several
                .map(|contents| contents.last.saturating_duration_since(contents.first)),
        }
    }
}
