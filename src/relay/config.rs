//! What is intercepted, and where it goes.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Untrusting;
use super::base_url::BaseUrlTarget;
use super::timeouts::Timeouts;
use crate::capture::peer::ProgramPattern;
use crate::dialect;
use crate::record::{Host, HostPattern};

/// What is intercepted, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The hosts to decrypt; everything else is tunnelled.
    pub intercept: Vec<HostPattern>,
    /// Addresses to dial for a host and port instead of the real ones, for tests and demos.
    /// Verification is not touched.
    pub resolve: HashMap<(Host, u16), SocketAddr>,
    /// The programs whose connections are decrypted; those of all others are tunnelled. All programs
    /// where there are none.
    pub programs: Vec<ProgramPattern>,
    /// What happens to clients that do not trust Gravimeter's CA.
    pub untrusting: Untrusting,
    /// Where the base-URL door leads for paths that name no provider.
    pub base_url_upstream: Option<BaseUrlTarget>,
    /// The most memory, in bytes, that bodies take which are read for rules and budgets, in all
    /// connections together.
    pub max_body_memory: usize,
    /// How long each step may take.
    pub timeouts: Timeouts,
}

impl Default for Config {
    fn default() -> Self {
        let intercept = dialect::hosts()
            .filter_map(|pattern| HostPattern::parse(pattern).ok())
            .collect();
        Self {
            intercept,
            resolve: HashMap::new(),
            programs: Vec::new(),
            untrusting: Untrusting::default(),
            base_url_upstream: None,
            max_body_memory: DEFAULT_MAX_BODY_MEMORY,
            timeouts: Timeouts::default(),
        }
    }
}

/// Eight of the largest bodies that are read for a rule unless it says otherwise, or hundreds of
/// usual ones, which have less than one MiB.
const DEFAULT_MAX_BODY_MEMORY: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_pattern_is_a_whole_name() {
        let patterns = Config::default().intercept;
        let texts: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        assert_eq!(texts, dialect::hosts().collect::<Vec<_>>());
        assert!(patterns.iter().all(|pattern| pattern.is_exact()));
    }
}
