//! One user: sends message after message, each beginning a run, and after some of them starts a new
//! conversation.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::call::Caller;
use super::cascade::{Cascade, Store, StoredConversation};
use super::context::{ActiveTrajectory, ConversationContext, uuid};
use super::dial::Dialer;
use super::prompt::{self, Session, Speaker};
use super::provider_client::ProviderClient;
use super::{AgentOptions, Outcome};

/// A user with a conversation, and the counts of its results.
pub(super) struct Conversation {
    pub(super) context: ConversationContext,
    pub(super) main: ActiveTrajectory,
    store: Arc<Store>,
    shutdown: CancellationToken,
    /// Whether the conversations of this user begin with one whose `requestId` names an agent.
    odd: bool,
    /// Whether the next message waits for a client that will see its run.
    patient: bool,
}

impl Conversation {
    /// The user with this number; all ids and chances follow from the options' seed.
    pub(super) fn new(
        options: Arc<AgentOptions>,
        number: u32,
        dialer: Arc<Dialer>,
        store: Arc<Store>,
        shutdown: CancellationToken,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(options.seed ^ (u64::from(number) << 32));
        let model = options
            .models
            .iter()
            .cycle()
            .nth(number as usize)
            .cloned()
            .unwrap_or_default();
        let provider = ProviderClient::new(
            Caller::new(dialer),
            Duration::from_millis(options.backoff_ms),
        );
        let odd = number % 2 == 1;
        let (speaker, stored, main) = open(&store, &mut rng, odd, options.random_session_percent);
        let context = ConversationContext::new(options, provider, rng, model, (speaker, stored));
        Self {
            context,
            main,
            store,
            shutdown,
            odd,
            patient: true,
        }
    }

    /// Sends messages until its rounds are done or the shutdown. A call that the shutdown cuts off
    /// is not counted.
    pub(super) async fn run(mut self) -> Outcome {
        let shutdown = self.shutdown.clone();
        shutdown.run_until_cancelled(self.talk()).await;
        self.context.provider.close()
    }

    async fn talk(&mut self) {
        for path in [LOAD, MODELS, QUOTA] {
            self.context.provider.control(path, prompt::hello()).await;
        }
        let options = Arc::clone(&self.context.options);
        let mut round = 0;
        while options.rounds.is_none_or(|rounds| round < rounds) {
            let new = round % options.cascade_rounds.max(1) == 0;
            if new && round > 0 {
                self.start_anew();
            }
            // A conversation that no client ever watched is not waited for again.
            self.patient |= new;
            if self.patient {
                self.patient = self
                    .context
                    .stored
                    .is_watched(Duration::from_millis(options.patience_ms))
                    .await;
            }
            self.round(round).await;
            round += 1;
            sleep(Duration::from_millis(options.pause_ms)).await;
        }
    }

    fn start_anew(&mut self) {
        self.odd = !self.odd;
        let random_sessions = self.context.options.random_session_percent;
        let (speaker, stored, main) = open(
            &self.store,
            &mut self.context.rng,
            self.odd,
            random_sessions,
        );
        (self.context.speaker, self.context.stored, self.main) = (speaker, stored, main);
    }
}

/// Begins a new conversation in the store. Of 100, `random_sessions` use a new session in each
/// request.
fn open(
    store: &Store,
    rng: &mut StdRng,
    odd: bool,
    random_sessions: u8,
) -> (Speaker, Arc<StoredConversation>, ActiveTrajectory) {
    let (cascade, trajectory, agent) = (uuid(rng), uuid(rng), uuid(rng));
    let stored = store.open(Cascade::new(
        cascade.clone(),
        trajectory.clone(),
        Timestamp::now(),
    ));
    let agent = if odd { agent } else { cascade.clone() };
    let kept = Session::Kept(rng.random());
    let session = if rng.random_range(0..100) < random_sessions {
        Session::Random
    } else {
        kept
    };
    let speaker = Speaker {
        cascade,
        agent,
        session,
    };
    (speaker, stored, ActiveTrajectory::new(trajectory, None))
}

const LOAD: &str = "/v1internal:loadCodeAssist";
const MODELS: &str = "/v1internal:fetchAvailableModels";
const QUOTA: &str = "/v1internal:retrieveUserQuotaSummary";
