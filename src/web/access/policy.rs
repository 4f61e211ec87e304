//! The access rules built from one state of the files.
//!
//! Input: files; output: a [`Policy`] or all mistakes. A policy never changes: a change of the
//! files makes another one.

use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;
use rustls::pki_types::ServerName;

use super::files::Files;
use super::mistakes::{AccessError, Mistake};
use super::rate::RateLimits;
use super::settings::Settings;
use super::tls::Tls;
use super::users::Users;

/// Who may ask, and which header fields are added.
#[derive(Debug)]
pub(in crate::web) struct Policy {
    /// Unique among the policies of a process.
    number: u64,
    tls: Option<Tls>,
    pub(super) users: Arc<Users>,
    pub(super) rates: Option<Arc<RateLimits>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Policy {
    /// Reads the file and those that it names. Unchanged rate limits are taken over from `before`
    /// with their state.
    pub(super) fn load(
        path: &Path,
        must_protect: bool,
        files: &mut Files,
        number: u64,
        before: Option<&Self>,
    ) -> Result<Self, AccessError> {
        let failed = |mistakes| AccessError::new(path, mistakes);
        let bytes = files.read(path).map_err(|error| {
            failed(vec![Mistake::of_file(format!(
                "cannot read it: {error}; check web.config_file and its permissions"
            ))])
        })?;
        let text = String::from_utf8(bytes)
            .map_err(|_| failed(vec![Mistake::of_file("this is not UTF-8")]))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let settings = Settings::read(&text, folder).map_err(failed)?;
        let tls = settings
            .tls
            .map(|tls| tls.build(settings.http2, files))
            .transpose();
        let tls = tls.map_err(|mistake| failed(vec![mistake]))?;
        let same = |rate| {
            before
                .and_then(|before| before.rates.clone())
                .filter(|rates| rates.rate() == rate)
        };
        let rates = settings
            .rate
            .map(|rate| same(rate).unwrap_or_else(|| Arc::new(RateLimits::new(rate))));
        let users = Arc::new(Users::new(settings.users));
        let policy = Self {
            number,
            tls,
            users,
            rates,
            headers: settings.headers,
        };
        if must_protect && !policy.protects() {
            return Err(failed(vec![Mistake::of_file(UNPROTECTED)]));
        }
        Ok(policy)
    }

    /// Whether every client is authenticated, over an encrypted connection.
    fn protects(&self) -> bool {
        self.tls
            .as_ref()
            .is_some_and(|tls| tls.verifies_clients || !self.users.is_empty())
    }

    /// The TLS configuration, if there is one.
    pub(in crate::web) fn tls(&self) -> Option<&Arc<ServerConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }

    /// Whether a connection that was admitted under the policy of that number satisfies this one.
    pub(in crate::web) fn covers(&self, number: u64) -> bool {
        self.number == number || !self.tls.as_ref().is_some_and(|tls| tls.verifies_clients)
    }

    pub(in crate::web) fn number(&self) -> u64 {
        self.number
    }

    /// Whether the certificate is for this host. A browser accepts no answer under a name that the
    /// certificate does not have: a foreign page cannot point one of these names here.
    pub(in crate::web) fn is_named(&self, host: &str) -> bool {
        let Some(tls) = &self.tls else { return false };
        let Ok(name) = ServerName::try_from(host.trim_matches(['[', ']'])) else {
            return false;
        };
        let certificate = webpki::EndEntityCert::try_from(&tls.certificate);
        certificate
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }

    /// The fields that the file adds to every answer.
    pub(in crate::web) fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }
}

const UNPROTECTED: &str = "other machines can reach web.listen: the file must have tls_server_config, and with it \
     basic_auth_users or client_auth_type: RequireAndVerifyClientCert";
