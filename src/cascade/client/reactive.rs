//! The reactive stream: protobuf messages over gRPC, or over Connect where gRPC is not supported.

use prost::Message as _;

use super::Client;
use super::error::{Malformation, RpcError};
use super::grpc::{self, GrpcStream};
use super::method;
use super::stream::{self, MessageStream};
use crate::cascade::proto::reactive_component_pb::{
    StreamReactiveUpdatesRequest, StreamReactiveUpdatesResponse,
};
use crate::record::Id;

/// The stream of differences of one conversation's state.
pub struct ReactiveStream(Transport);

enum Transport {
    Connect(ConnectStream),
    Grpc(GrpcStream),
}

impl Client {
    /// Opens the reactive stream of a conversation. `subscriber` is any name, one for each stream.
    /// The connection closes when the stream is dropped.
    ///
    /// # Errors
    /// [`RpcError`]; [`RpcError::is_missing`] when this language server has it switched off, which
    /// it may also report in the stream itself.
    pub async fn reactive(
        &self,
        cascade: &Id,
        subscriber: &str,
    ) -> Result<ReactiveStream, RpcError> {
        let (id, subscriber_id) = (cascade.as_str().to_owned(), subscriber.to_owned());
        let request = StreamReactiveUpdatesRequest {
            protocol_version: PROTOCOL_VERSION,
            id,
            subscriber_id,
        };
        if let Some(https) = self.endpoint.https()
            && let Some(stream) = grpc::open(self, https, request.clone()).await?
        {
            return Ok(ReactiveStream(Transport::Grpc(stream)));
        }
        let message = request.encode_to_vec();
        let path = method::path("StreamCascadeReactiveUpdates");
        let stream = stream::open(self, path, stream::PROTO, &message, MAX_MESSAGE as u64).await?;
        Ok(ReactiveStream(Transport::Connect(ConnectStream {
            stream,
            message: Vec::new(),
        })))
    }
}

impl ReactiveStream {
    /// Waits for the next message, for ever while the language server sends nothing. `None`: the
    /// stream has ended normally, as it does after each turn.
    ///
    /// Cancel safety: nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`RpcError`]; the stream is over then.
    pub async fn next(&mut self) -> Result<Option<StreamReactiveUpdatesResponse>, RpcError> {
        match &mut self.0 {
            Transport::Connect(stream) => stream.next().await,
            Transport::Grpc(stream) => stream.next().await,
        }
    }
}

struct ConnectStream {
    stream: MessageStream,
    /// The received part of the current message.
    message: Vec<u8>,
}

impl ConnectStream {
    async fn next(&mut self) -> Result<Option<StreamReactiveUpdatesResponse>, RpcError> {
        let message = &mut self.message;
        if self
            .stream
            .next(&mut |piece| message.extend_from_slice(piece))
            .await?
            .is_none()
        {
            return Ok(None);
        }
        // Freed rather than cleared: the first message of a long conversation is by far the
        // largest.
        let message = std::mem::take(&mut self.message);
        StreamReactiveUpdatesResponse::decode(message.as_slice())
            .map(Some)
            .map_err(|_| RpcError::Malformed(Malformation::Message))
    }
}

/// The protocol version that Gravimeter can read.
const PROTOCOL_VERSION: u32 = 1;

/// Most bytes of one protobuf message, which must be complete before it can be read. The first one
/// holds the whole conversation: one of 2302 steps has 44 MiB, and a limit of 16 MiB has been too
/// small for others.
pub const MAX_MESSAGE: usize = 128 << 20;
