//! What a provider reports of a call beside its tokens.

use std::time::Duration;

use super::label::{Label as _, label};
use super::{Cost, Id};

/// What the answer to a call says of its price and of the provider's own work. Everything is `None`
/// or `false` where nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reported {
    /// What the provider charges for the call. At most [`Cost::MAX_OF_A_CALL`].
    pub cost: Option<Cost>,
    /// What the call takes of a plan that is counted in AI credits of GitHub, in 10⁻⁹ credits.
    pub nano_credits: Option<u64>,
    /// The service tier that served the call.
    pub service_tier: Option<ServiceTier>,
    /// The speed at which the model ran.
    pub speed: Option<Speed>,
    /// Where the model ran, such as `us`.
    pub inference_geo: Option<Id>,
    /// The provider's own tools that the model used.
    pub server_tools: ServerTools,
    /// The call is paid for beyond what the plan includes.
    pub is_overage: bool,
    /// How long the provider itself worked on the call.
    pub time: ProviderTime,
}

label! {
    /// How urgently a provider serves a call, which changes its price. The names are those on the
    /// wire.
    pub enum ServiceTier {
        /// What the account is set to.
        Auto => "auto",
        /// Within a day.
        Batch => "batch",
        /// OpenAI's usual tier.
        Default => "default",
        /// Google's tier for calls that may wait.
        Deferred => "deferred",
        /// When there is capacity to spare.
        Flex => "flex",
        /// A tier that is not known here.
        Other => "other",
        /// Before others.
        Priority => "priority",
        /// With capacity that was bought in advance (OpenAI; Vertex AI's provisioned throughput).
        Scale => "scale",
        /// The usual tier of Anthropic and Google.
        Standard => "standard",
        /// OpenAI's fastest tier.
        Ultrafast => "ultrafast",
    }
}

impl ServiceTier {
    /// The tier of this name; [`ServiceTier::Other`] for one that is not known.
    #[must_use]
    pub fn from_wire(name: &str) -> Self {
        Self::parse(name).unwrap_or(Self::Other)
    }
}

label! {
    /// The speed at which Anthropic runs a model, which changes its price.
    pub enum Speed {
        /// Faster than usual.
        Fast => "fast",
        /// A speed that is not known here.
        Other => "other",
        /// As usual.
        Standard => "standard",
    }
}

/// Requests of a provider's own tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServerTools {
    /// Searches of the web, which are paid for one by one.
    pub web_searches: Option<u64>,
    /// Pages that were fetched from the web.
    pub web_fetches: Option<u64>,
}

/// How long a provider worked on a call, as it measured that itself: without the network between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProviderTime {
    /// Until it began to answer.
    pub first_byte: Option<Duration>,
    /// Until it had answered.
    pub total: Option<Duration>,
}

impl Speed {
    /// The speed of this name; [`Speed::Other`] for one that is not known.
    #[must_use]
    pub fn from_wire(name: &str) -> Self {
        Self::parse(name).unwrap_or(Self::Other)
    }
}

label! {
    /// Who says what a call cost.
    pub enum CostSource {
        /// A price table: it is what the tokens cost at list prices.
        List => "list",
        /// The provider, in its answer.
        Provider => "provider",
    }
}
