//! Leads connections of programs that are not asked for around the interception.

use std::time::Duration;

use super::Relay;
use super::route::Route;
use crate::capture::PeerSearch;
use crate::record::TunnelReason;

impl Relay {
    /// Where only certain programs are asked for, tunnels the connections of all others, and those
    /// of which the program cannot be found. Only then does a connection wait for that, at most for
    /// [`SEARCH_LIMIT`].
    pub(super) async fn around_other_programs(&self, route: Route, peer: &mut PeerSearch) -> Route {
        let host = match route {
            Route::Intercept { ref host, .. } if !self.config.programs.is_empty() => host.clone(),
            route => return route,
        };
        peer.wait(SEARCH_LIMIT).await;
        let is_selected = peer.caller().program().is_some_and(|program| {
            let mut patterns = self.config.programs.iter();
            patterns.any(|pattern| pattern.matches(program))
        });
        if is_selected {
            return route;
        }
        Route::Tunnel {
            why: TunnelReason::OtherProgram,
            sni: Some(host),
        }
    }
}

/// The search begins when the connection is accepted and takes some milliseconds: this long it takes
/// on a machine that has no time for it.
pub(super) const SEARCH_LIMIT: Duration = Duration::from_secs(1);
