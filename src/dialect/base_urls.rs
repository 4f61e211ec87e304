//! The paths of the base-URL door: which server each leads to, and the variable by which agents are
//! told of it.

use std::net::{Ipv4Addr, SocketAddr};

/// A path of the base-URL door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseUrlPath {
    /// The first segment of the path, which the server never sees.
    pub segment: &'static str,
    /// The server.
    pub server: BaseUrlServer,
    /// The variable that agents read, and what follows the segment in it.
    pub variable: Option<(&'static str, &'static str)>,
}

/// The server behind a path of the base-URL door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseUrlServer {
    /// A provider, by its host: TLS at port 443.
    Provider(&'static str),
    /// A program on this machine, in the clear.
    Local(SocketAddr),
}

/// Every path.
pub const BASE_URL_PATHS: [BaseUrlPath; 5] = [
    BaseUrlPath {
        segment: "anthropic",
        server: BaseUrlServer::Provider("api.anthropic.com"),
        variable: Some(("ANTHROPIC_BASE_URL", "")),
    },
    BaseUrlPath {
        segment: "openai",
        server: BaseUrlServer::Provider("api.openai.com"),
        variable: Some(("OPENAI_BASE_URL", "/v1")),
    },
    BaseUrlPath {
        segment: "gemini",
        server: BaseUrlServer::Provider("generativelanguage.googleapis.com"),
        variable: Some(("GOOGLE_GEMINI_BASE_URL", "")),
    },
    BaseUrlPath {
        segment: "cloudcode",
        server: BaseUrlServer::Provider("daily-cloudcode-pa.googleapis.com"),
        variable: Some(("CLOUD_CODE_URL", "")),
    },
    BaseUrlPath {
        segment: "ollama",
        server: BaseUrlServer::Local(SocketAddr::new(
            std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
            OLLAMA_PORT,
        )),
        // OLLAMA_HOST is also where Ollama itself listens: set for its clients alone, it is no
        // variable for a whole shell.
        variable: None,
    },
];

/// Where Ollama listens unless it is told otherwise.
const OLLAMA_PORT: u16 = 11434;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::hosts;

    #[test]
    fn every_provider_is_one_whose_traffic_is_read() {
        for path in BASE_URL_PATHS {
            if let BaseUrlServer::Provider(host) = path.server {
                assert!(hosts().any(|known| known == host), "{host}");
            }
        }
    }
}
