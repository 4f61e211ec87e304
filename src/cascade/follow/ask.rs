//! Requests to the agent and their parsed answers: joins the client, which yields bytes, with the
//! readers.

use serde_json::{Value, json};

use crate::cascade::client::{Client, JsonStream, Method, ReactiveStream, RpcError};
use crate::cascade::reactive::DiffError;
use crate::cascade::read::{
    AgentState, Generations, Malformed, Message, ModelConfig, Reader, Steps, Summaries, Summary,
    UserStatus,
};
use crate::cascade::update::{TrajectoryUpdate, Update};
use crate::dialect::quota::{QuotaDocument, QuotaReport};
use crate::record::{FollowFailure, Id, Provider};

/// An agent that answers requests.
#[derive(Debug)]
pub(super) struct Agent {
    client: Client,
}

/// Why there is no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("a difference does not fit the state that it applies to: {0}")]
    Diff(#[from] DiffError),
    #[error("the agent's answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Rpc(#[from] RpcError),
}

impl Failure {
    pub(super) fn reason(self) -> FollowFailure {
        match self {
            Self::Diff(_) => FollowFailure::Diff,
            Self::Malformed(_) => FollowFailure::Malformed,
            Self::Rpc(error) => error.reason(),
        }
    }

    /// Whether the agent does not offer the method.
    pub(super) fn is_missing(self) -> bool {
        matches!(self, Self::Rpc(error) if error.is_missing())
    }

    pub(super) fn is_deleted(self) -> bool {
        self.reason() == FollowFailure::Deleted
    }
}

impl Agent {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Every conversation that the agent has.
    pub(super) async fn summaries(&self) -> Result<Vec<Summary>, Failure> {
        self.read(
            Method::GetAllCascadeTrajectories,
            &json!({}),
            Summaries::default(),
        )
        .await
    }

    /// The steps from an offset on, with those of subagents inside them. A conversation that the
    /// agent has not touched since its start must be loaded first.
    pub(super) async fn steps(&self, cascade: &Id, offset: u32) -> Result<Update, Failure> {
        let request = json!({"cascadeId": cascade, "stepOffset": offset});
        let ask = || {
            self.read(
                Method::GetCascadeTrajectorySteps,
                &request,
                Steps::from_offset(offset),
            )
        };
        match ask().await {
            Err(failure) if failure.is_deleted() => {
                self.client
                    .unary(
                        Method::LoadTrajectory,
                        &json!({"cascadeId": cascade}),
                        &mut |_| {},
                    )
                    .await?;
                ask().await
            }
            answer => answer,
        }
    }

    /// The calls to models from an offset on.
    pub(super) async fn generations(
        &self,
        cascade: &Id,
        offset: u32,
    ) -> Result<TrajectoryUpdate, Failure> {
        let request = json!({"cascadeId": cascade, "generatorMetadataOffset": offset});
        self.read(
            Method::GetCascadeTrajectoryGeneratorMetadata,
            &request,
            Generations::from_offset(offset),
        )
        .await
    }

    /// What is left of the account's quotas.
    pub(super) async fn quotas(&self) -> Result<QuotaReport, Failure> {
        self.quota_document(Method::RetrieveUserQuotaSummary).await
    }

    /// The models with their display names.
    pub(super) async fn models(&self) -> Result<QuotaReport, Failure> {
        self.quota_document(Method::GetAvailableModels).await
    }

    /// What is left of each model's quota, for older agents without a quota summary.
    pub(super) async fn user_status(&self) -> Result<Vec<ModelConfig>, Failure> {
        self.read(Method::GetUserStatus, &json!({}), UserStatus::default())
            .await
    }

    /// Opens the stream of a conversation's state.
    pub(super) async fn agent_state(
        &self,
        cascade: &Id,
        subscriber: &str,
    ) -> Result<AgentStates, Failure> {
        let request = json!({"conversationId": cascade, "subscriberId": subscriber});
        Ok(AgentStates(
            self.client
                .stream(Method::StreamAgentStateUpdates, &request)
                .await?,
        ))
    }

    /// Opens the reactive stream of a conversation.
    pub(super) async fn reactive(
        &self,
        cascade: &Id,
        subscriber: &str,
    ) -> Result<ReactiveStream, Failure> {
        Ok(self.client.reactive(cascade, subscriber).await?)
    }

    async fn read<M: Message + Send>(
        &self,
        method: Method,
        request: &Value,
        message: M,
    ) -> Result<M::Content, Failure>
    where
        M::Field: Send + Sync,
    {
        let mut reader = Reader::new(message);
        self.client
            .unary(method, request, &mut |bytes| reader.feed(bytes))
            .await?;
        Ok(reader.finish()?)
    }

    async fn quota_document(&self, method: Method) -> Result<QuotaReport, Failure> {
        let mut document = QuotaDocument::new(Provider::CloudCode);
        self.client
            .unary(method, &json!({}), &mut |bytes| _ = document.feed(bytes))
            .await?;
        Ok(document.finish())
    }
}

/// A stream of a conversation's states: the first is complete, the others hold what has changed.
pub(super) struct AgentStates(JsonStream);

impl AgentStates {
    /// The next one; `None` when the agent has ended the stream.
    pub(super) async fn next(&mut self) -> Result<Option<Update>, Failure> {
        let mut reader = Reader::new(AgentState::default());
        match self.0.next(&mut |bytes| reader.feed(bytes)).await? {
            None => Ok(None),
            Some(()) => Ok(Some(reader.finish()?)),
        }
    }
}
