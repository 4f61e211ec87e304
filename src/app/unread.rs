//! Tells people, once for each host and shape of path, that calls of models pass without being
//! read.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::record::{Fact, Host, Label as _, PathShape, Sink, UnreadCall};

/// Logs what is not read.
#[derive(Debug, Default)]
pub(super) struct UnreadLog {
    /// What has been logged. Locked for as long as it takes to look one up.
    told: Mutex<BTreeSet<(Host, PathShape)>>,
}

impl UnreadLog {
    /// Whether this is the first call of its kind, and there is room to remember it.
    fn is_new(&self, call: &UnreadCall) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert((call.host.clone(), call.path.clone()))
    }
}

impl Sink for UnreadLog {
    fn receive(&self, fact: &Fact) {
        let Fact::CallUnread(call) = fact else { return };
        if self.is_new(call) {
            tracing::warn!(
                host = %call.host,
                path = %call.path,
                reason = call.reason.as_str(),
                "an exchange looks like an LLM call but is in no format that is read: its tokens are missing from all figures"
            );
        }
    }
}

/// Most kinds that are logged and remembered: an agent uses a handful, and more would be made up.
const MAX_TOLD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::UnreadReason;

    #[test]
    fn each_kind_is_told_once_and_their_number_is_bounded() {
        let log = UnreadLog::default();
        let call = |host: &str, path: &str| UnreadCall {
            provider: None,
            host: Host::parse(host).unwrap(),
            path: PathShape::of(path),
            reason: UnreadReason::Usage,
        };
        assert!(log.is_new(&call("a.example.com", "/v1/models/one")));
        assert!(
            !log.is_new(&call("a.example.com", "/v1/models/two")),
            "of the same shape"
        );
        assert!(log.is_new(&call("b.example.com", "/v1/models/one")));
        assert!(log.is_new(&call("a.example.com", "/v1/chat")));
        let news = (0..1000)
            .filter(|n| log.is_new(&call(&format!("h{n}.example.com"), "/v1/chat")))
            .count();
        assert_eq!(news, MAX_TOLD - 3);
    }
}
