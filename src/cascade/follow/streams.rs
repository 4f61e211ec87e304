//! The open streams, at most one for each conversation. There may be more conversations than
//! streams, so that a conversation that rests gives its stream to one that the agent works on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::ask::Agent;
use super::method::FollowMethod;
use super::watch::{Watch, WatchEnd};
use crate::cascade::correlate::Correlator;
use crate::record::Id;

/// The streams of one agent.
#[derive(Debug)]
pub(super) struct Streams {
    most: usize,
    tasks: JoinSet<(Id, FollowMethod, WatchEnd)>,
    open: BTreeMap<Id, OpenStream>,
    /// Conversations whose streams have ended, or were given up for others.
    finished: Vec<Id>,
}

#[derive(Debug)]
struct OpenStream {
    method: FollowMethod,
    task: AbortHandle,
    /// When its conversation was last known to be worked on, or was first watched.
    worked_on: Instant,
}

/// A stream that has ended; `None` if it had been given up before.
pub(super) type EndedStream = Option<(Id, FollowMethod, WatchEnd)>;

impl Streams {
    /// No open stream, and room for `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            open: BTreeMap::new(),
            finished: Vec::new(),
        }
    }

    /// The method of a conversation's stream, if it has one.
    pub(super) fn method(&self, cascade: &Id) -> Option<FollowMethod> {
        self.open.get(cascade).map(|stream| stream.method)
    }

    pub(super) fn has_room(&self) -> bool {
        self.open.len() < self.most
    }

    /// Notes that the agent works on a conversation.
    pub(super) fn note_work(&mut self, cascade: &Id, now: Instant) {
        if let Some(stream) = self.open.get_mut(cascade) {
            stream.worked_on = now;
        }
    }

    /// Gives up the stream of the conversation that has rested for longest: it was not worked on at
    /// the last poll, and none of its runs is under way. Returns whether there is room.
    pub(super) fn make_room(
        &mut self,
        last_poll: Instant,
        is_running: impl Fn(&Id) -> bool,
    ) -> bool {
        let open = self.open.iter();
        let resting =
            open.filter(|(cascade, stream)| stream.worked_on < last_poll && !is_running(cascade));
        let longest = resting
            .min_by_key(|(_, stream)| stream.worked_on)
            .map(|(cascade, _)| cascade.clone());
        if !self.has_room()
            && let Some(cascade) = longest
        {
            self.give_up(&cascade);
            self.finished.push(cascade);
        }
        self.has_room()
    }

    /// Opens the stream of a conversation.
    pub(super) fn open(
        &mut self,
        agent: &Arc<Agent>,
        correlator: &Arc<Correlator>,
        cascade: &Id,
        method: FollowMethod,
    ) {
        let (agent, correlator) = (Arc::clone(agent), Arc::clone(correlator));
        let task = self.tasks.spawn(
            Watch {
                agent,
                correlator,
                cascade: cascade.clone(),
                method,
            }
            .run(),
        );
        self.open.insert(
            cascade.clone(),
            OpenStream {
                method,
                task,
                worked_on: Instant::now(),
            },
        );
    }

    pub(super) fn give_up(&mut self, cascade: &Id) {
        if let Some(stream) = self.open.remove(cascade) {
            stream.task.abort();
        }
    }

    /// The conversations whose streams have ended, or were given up for others, since the last time:
    /// something that the list had shown may not have come.
    pub(super) fn take_finished(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.finished)
    }

    /// Gives up every stream of another method.
    pub(super) fn keep_only(&mut self, method: FollowMethod) {
        self.open.retain(|cascade, stream| {
            let stays = stream.method == method;
            if !stays {
                stream.task.abort();
                self.finished.push(cascade.clone());
            }
            stays
        });
    }

    /// Gives up all streams: none of them delivers anything after this returns.
    pub(super) async fn shutdown(&mut self) {
        self.tasks.shutdown().await;
        self.open.clear();
        self.finished.clear();
    }

    /// Waits until a stream ends; for ever when there is none. Cancel-safe.
    pub(super) async fn next_end(&mut self) -> EndedStream {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.ended(ended),
            None => std::future::pending().await,
        }
    }

    /// The next one of those that have ended already.
    pub(super) fn try_next_end(&mut self) -> Option<EndedStream> {
        self.tasks
            .try_join_next_with_id()
            .map(|ended| self.ended(ended))
    }

    /// Removes an ended stream. It may have been given up before, and another one may watch the
    /// conversation meanwhile.
    fn ended(
        &mut self,
        ended: Result<(tokio::task::Id, (Id, FollowMethod, WatchEnd)), JoinError>,
    ) -> EndedStream {
        let task = match &ended {
            Ok((task, _)) => *task,
            Err(error) => error.id(),
        };
        let known = self.open.len();
        self.open.retain(|_, stream| stream.task.id() != task);
        let (_, end) = ended.ok()?;
        let end = (self.open.len() < known).then_some(end)?;
        self.finished.push(end.0.clone());
        Some(end)
    }
}
