//! One LLM call: one request and its response.

use std::time::{Duration, SystemTime};

use super::label::label;
use super::{
    AppliedRules, CallIds, Caller, ConnectionSetup, Correlation, Cost, CostSource, Host, Id,
    ModalitySplits, Model, Quality, Reported, RequestSettings, TokenUsage, TraceContext,
    TraceParent, Turn,
};

label! {
    /// Who answers the call, under the name of the OpenTelemetry GenAI convention
    /// (`gen_ai.provider.name`).
    pub enum Provider {
        /// Google Cloud Code (`*cloudcode-pa*.googleapis.com`).
        CloudCode => "gcp.gen_ai",
        /// The public Gemini API (`generativelanguage.googleapis.com`).
        Gemini => "gcp.gemini",
        /// Vertex AI (`*aiplatform.googleapis.com`), for models of all makers.
        VertexAi => "gcp.vertex_ai",
        /// Anthropic, on its own hosts and on AWS.
        Anthropic => "anthropic",
        /// Amazon Bedrock.
        Bedrock => "aws.bedrock",
        /// Models of other makers on Azure AI Foundry.
        AzureInference => "azure.ai.inference",
        /// OpenAI's models on Azure.
        AzureOpenAi => "azure.ai.openai",
        /// DeepSeek.
        DeepSeek => "deepseek",
        /// GitHub Copilot. The convention has no name for it.
        Copilot => "github.copilot",
        /// Groq.
        Groq => "groq",
        /// Mistral AI.
        Mistral => "mistral_ai",
        /// Moonshot AI.
        Moonshot => "moonshot_ai",
        /// Ollama, on any machine. The convention has no name for it.
        Ollama => "ollama",
        /// OpenAI, and unknown hosts that speak its form.
        OpenAi => "openai",
        /// OpenRouter. The convention has no name for it.
        OpenRouter => "openrouter",
        /// xAI.
        XAi => "x_ai",
        /// Z.ai (GLM). The convention has no name for it.
        ZAi => "z_ai",
    }
}

impl Provider {
    /// Whether its calls to a model are `generateContent`, whatever they generate. Vertex AI serves
    /// Anthropic's models in Anthropic's form, and in OpenAI's form models whose names begin with
    /// that of their maker.
    #[must_use]
    pub fn generates_content(self, model: &Model) -> bool {
        let of_another_form = |model: &str| model.starts_with("claude") || model.contains('/');
        match self {
            Self::CloudCode | Self::Gemini => true,
            Self::VertexAi => !of_another_form(model.as_str()),
            _ => false,
        }
    }
}

label! {
    /// What the call is for.
    pub enum Operation {
        /// A turn of a conversation, or any other generation.
        Chat => "chat",
        /// A hidden call that titles or summarises a conversation.
        Checkpoint => "checkpoint",
        /// A call that shortens a conversation.
        Compact => "compact",
        /// Counting tokens without generating.
        CountTokens => "count_tokens",
        /// Vectors for texts or images.
        Embeddings => "embeddings",
        /// Inline completion in an editor.
        Autocomplete => "autocomplete",
        /// Generation of an image.
        ImageGeneration => "image_generation",
        /// Continuing a text from a prompt, without a conversation.
        TextCompletion => "text_completion",
        /// Writing down what somebody says.
        Transcription => "transcription",
        /// A search on the web through the model.
        WebSearch => "web_search",
    }
}

label! {
    /// How the call ended.
    pub enum Outcome {
        /// The agent went away or reset first.
        ///
        /// What to do: nothing if users stop answers. If it rises without them, look for a timeout
        /// of the agent that is shorter than its calls.
        Aborted => "aborted",
        /// The provider refused the request (4xx other than a rate limit).
        ///
        /// What to do: look at the agent's own log for the provider's message: a wrong model, key
        /// or parameter.
        ClientError => "client_error",
        /// Gravimeter was killed while the call was under way: how it ended is not known.
        ///
        /// What to do: find out what killed Gravimeter (`journalctl`, the kernel's out-of-memory
        /// killer).
        Interrupted => "interrupted",
        /// The answer is complete: it said why it stopped, and its message ended in order.
        Ok => "ok",
        /// The provider refused for quota, rate or capacity.
        ///
        /// What to do: see `gravimeter_rate_limits_total` for why, and
        /// `gravimeter_quota_remaining_ratio` for what is left.
        RateLimited => "rate_limited",
        /// The provider failed (5xx).
        ///
        /// What to do: look at the provider's status page; agents retry by themselves.
        ServerError => "server_error",
        /// The provider reset the stream or sent an error inside it.
        ///
        /// What to do: look at the provider's status page; a rise at one host alone may be a proxy
        /// that resets long streams.
        StreamError => "stream_error",
        /// The connection ended before the message did, or the message in order but before the
        /// answer.
        ///
        /// What to do: look for a proxy or firewall that closes idle connections, and at
        /// `gravimeter_timeouts_total`.
        Truncated => "truncated",
    }
}

label! {
    /// Why a call was rate limited.
    #[derive(Default)]
    pub enum RateLimitReason {
        /// The model has no capacity left (`MODEL_CAPACITY_EXHAUSTED`).
        ///
        /// What to do: try later, or another model: the account is not the reason.
        Capacity => "capacity",
        /// The quota of the account is used up (`QUOTA_EXHAUSTED`,
        /// `INSUFFICIENT_G1_CREDITS_BALANCE`, a quota of a day).
        ///
        /// What to do: wait until the quota is full again
        /// (`gravimeter_quota_reset_timestamp_seconds`), or raise it.
        QuotaExhausted => "quota_exhausted",
        /// Too many requests or tokens in a short time (`RATE_LIMIT_EXCEEDED`, a quota of a
        /// minute).
        ///
        /// What to do: run fewer agents at once, or ask the provider for a higher rate.
        RateLimitExceeded => "rate_limit_exceeded",
        /// The provider gave no detail.
        ///
        /// What to do: look at the agent's own log for the provider's message.
        #[default]
        Unspecified => "unspecified",
    }
}

/// A refusal for quota, rate or capacity, as far as the provider explained it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Why.
    pub reason: RateLimitReason,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// When the quota is full again.
    pub resets_at: Option<SystemTime>,
}

/// When things happened in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Wall clock at the first byte of the request.
    pub started_at: SystemTime,
    /// First request byte to last response byte (or to the end of the connection).
    pub duration: Duration,
    /// First request byte to the first content-bearing event.
    pub time_to_first_chunk: Option<Duration>,
    /// First to last content-bearing event.
    pub content_duration: Option<Duration>,
}

/// One finished call, however it ended. Exactly one exists for each [`CallStarted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number, unique in the process.
    pub number: u64,
    /// Who answered.
    pub provider: Provider,
    /// The provider's host, as the agent asked for it (SNI).
    pub host: Host,
    /// What it was for.
    pub operation: Operation,
    /// The requested model as it stands on the wire.
    pub model: Model,
    /// The name under which it is counted, once that is decided ([`super::Models::name`]).
    pub counted_as: Option<Model>,
    /// How its answer was to be generated.
    pub settings: RequestSettings,
    /// Whether the wire shows that the model has read a shortened view of the conversation.
    pub is_compacted: bool,
    /// The rules that changed the request, if any did. All else of the call is of what was sent to
    /// the provider.
    pub rules: Option<Box<AppliedRules>>,
    /// The model that answered, when the provider names it.
    pub served_model: Option<Model>,
    /// Whether that is another model than the requested one, and not only another name of it.
    pub is_substituted: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// HTTP status of the response, when there was one.
    pub status: Option<u16>,
    /// Whether the answer was a stream of events.
    pub streamed: bool,
    /// Why the model stopped, as the provider names it.
    pub finish_reason: Option<Id>,
    /// The rate limit, when the outcome is one.
    pub rate_limit: Option<RateLimit>,
    /// The tokens.
    pub usage: TokenUsage,
    /// What they stand for, as far as the provider says. No split exceeds its sum.
    pub modalities: ModalitySplits,
    /// How far the tokens can be trusted.
    pub quality: Quality,
    /// What the provider reports beside them.
    pub reported: Reported,
    /// What the call cost: by the provider's own word, else at the list price of the day on which
    /// it began. `None` until the price has been looked up, if none is known, and if there are no
    /// tokens to pay for.
    pub cost: Option<Cost>,
    /// When things happened.
    pub timing: Timing,
    /// Its identifiers.
    pub ids: CallIds,
    /// What it says of its agent's turn.
    pub turn: Turn,
    /// Its conversation, as far as it is known when the call ends.
    pub correlation: Correlation,
    /// Who makes it.
    pub caller: Caller,
    /// The provider's port.
    pub port: u16,
    /// The span that the agent says the call is part of.
    pub parent: Option<TraceParent>,
    /// Where its own span stands; `None` while that is not settled, or where nothing is traced.
    pub trace: Option<TraceContext>,
    /// What it took to open its connection, when the call is the first one on it.
    pub setup: Option<Box<ConnectionSetup>>,
}

impl Call {
    /// Who says what it cost.
    #[must_use]
    pub fn cost_source(&self) -> CostSource {
        if self.reported.cost.is_some() {
            CostSource::Provider
        } else {
            CostSource::List
        }
    }

    /// What it cost, where the provider says so.
    #[must_use]
    pub fn reported_cost(&self) -> Option<Cost> {
        self.cost
            .filter(|_| self.cost_source() == CostSource::Provider)
    }

    /// Whether it has tokens that no price is known for.
    #[must_use]
    pub fn is_unpriced(&self) -> bool {
        self.cost.is_none() && self.usage.total() > 0
    }

    /// Whether the provider has answered it as the model that it asks for: completely, or with
    /// tokens. A request that is refused can name any model.
    #[must_use]
    pub fn proves_its_model(&self) -> bool {
        self.outcome == Outcome::Ok || self.usage.total() > 0
    }
}

/// A call whose request head has been seen: as much as is known of it then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallStarted {
    /// [`Call::number`].
    pub number: u64,
    /// Who is asked.
    pub provider: Provider,
    /// [`Call::host`].
    pub host: Host,
    /// What the path says the call is for; the body may say it more closely.
    pub operation: Operation,
    /// The model, where the path names it.
    pub model: Option<Model>,
    /// Wall clock at the first byte of the request.
    pub started_at: SystemTime,
    /// [`Call::caller`], as far as it is known by then.
    pub caller: Caller,
}

impl From<&Call> for CallStarted {
    /// Of a call that ended before anybody was told that it had begun.
    fn from(call: &Call) -> Self {
        Self {
            number: call.number,
            provider: call.provider,
            host: call.host.clone(),
            operation: call.operation,
            model: Some(call.model.clone()),
            started_at: call.timing.started_at,
            caller: call.caller.clone(),
        }
    }
}

/// Content-bearing events that followed another one in the same call and came at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentChunks {
    /// Who answers.
    pub provider: Provider,
    /// What the call is for.
    pub operation: Operation,
    /// The requested model.
    pub model: Model,
    /// Time from the content-bearing event before them to the first; between those that came at
    /// once there is none.
    pub gap: Duration,
    /// How many they are, at least one.
    pub count: usize,
}
