//! The environment of a program: our own, the variables that make it trust our CA and, where it has
//! to come to a proxy by itself, the variables that lead it there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::dialect::BASE_URL_PATHS;

/// What a program finds in its environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Our own environment with `trust`, the variables that name CA files.
    pub(crate) fn new(own: &[(OsString, OsString)], trust: Vec<(String, PathBuf)>) -> Self {
        let mut variables: BTreeMap<_, _> = own.iter().cloned().collect();
        variables.extend(
            trust
                .into_iter()
                .map(|(name, path)| (name.into(), path.into())),
        );
        Self(variables)
    }

    /// The same, with every HTTPS connection led to our CONNECT proxy, but for those to this
    /// machine.
    pub(crate) fn with_proxy(mut self, proxy: SocketAddr) -> Self {
        for name in PROXY {
            self.set(name, format!("http://{proxy}"));
        }
        // Node's own HTTP client reads the others only where this is set, from version 24 on.
        self.set("NODE_USE_ENV_PROXY", "1");
        for name in NO_PROXY {
            let own = self
                .0
                .get(OsStr::new(name))
                .filter(|value| !value.is_empty());
            let value = own.map_or_else(|| LOOPBACK.into(), |own| with_loopback(own));
            self.set(name, value);
        }
        self
    }

    /// The same, with agents that are told where their provider is led to our base-URL door, but for
    /// those that are led elsewhere already.
    pub(crate) fn with_base_urls(mut self, door: SocketAddr) -> Self {
        for (name, value) in base_url_variables(door) {
            let own = self.0.get(OsStr::new(name));
            if own.is_none_or(|own| own.is_empty()) {
                self.set(name, value);
            }
        }
        self
    }

    /// The variables with their values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.0.insert(name.into(), value.into());
    }
}

/// The hosts of `NO_PROXY` and this machine, once.
fn with_loopback(own: &OsStr) -> OsString {
    let mut hosts = own.to_owned();
    if !own.as_encoded_bytes().ends_with(LOOPBACK.as_bytes()) {
        hosts.push(",");
        hosts.push(LOOPBACK);
    }
    hosts
}

/// The variables that lead agents to the base-URL door, and their values.
pub(crate) fn base_url_variables(door: SocketAddr) -> impl Iterator<Item = (&'static str, String)> {
    BASE_URL_PATHS.iter().filter_map(move |path| {
        let (name, rest) = path.variable?;
        Some((name, format!("http://{door}/{}{rest}", path.segment)))
    })
}

/// Whether the variable names hosts that are connected to without a proxy.
pub(crate) fn is_no_proxy(name: &OsStr) -> bool {
    NO_PROXY.iter().any(|known| name == *known)
}

/// The name of the variable by which programs are led to another proxy already.
pub(crate) fn proxy_in_use(own: &[(OsString, OsString)]) -> Option<&'static str> {
    PROXY
        .into_iter()
        .chain(["ALL_PROXY", "all_proxy"])
        .find(|name| {
            own.iter()
                .any(|(known, value)| known == name && !value.is_empty())
        })
}

/// curl reads the lower case, others the upper case.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The CONNECT proxy never leads to this machine itself.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

#[cfg(test)]
mod tests {
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    fn value(environment: &Environment, name: &str) -> Option<String> {
        let found = environment.variables().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_program_keeps_what_it_had_and_learns_whom_to_trust() {
        let trust = vec![("SSL_CERT_FILE".to_owned(), "/run/all.pem".into())];
        let environment = Environment::new(&own(&[("HOME", "/home/ann"), ("EMPTY", "")]), trust);
        assert_eq!(value(&environment, "HOME").as_deref(), Some("/home/ann"));
        assert_eq!(value(&environment, "EMPTY").as_deref(), Some(""));
        let file = value(&environment, "SSL_CERT_FILE");
        assert_eq!(file.as_deref(), Some("/run/all.pem"));
        assert_eq!(value(&environment, "HTTPS_PROXY"), None);
    }

    #[test]
    fn a_proxy_is_for_https_and_not_for_this_machine() {
        let own = own(&[("NO_PROXY", "corp.example"), ("no_proxy", "")]);
        let environment =
            Environment::new(&own, Vec::new()).with_proxy("127.0.0.1:9".parse().unwrap());
        for (name, expected) in [
            ("HTTPS_PROXY", "http://127.0.0.1:9"),
            ("https_proxy", "http://127.0.0.1:9"),
            ("NO_PROXY", "corp.example,localhost,127.0.0.1,::1"),
            ("no_proxy", "localhost,127.0.0.1,::1"),
        ] {
            assert_eq!(value(&environment, name).as_deref(), Some(expected));
        }
        assert_eq!(value(&environment, "HTTP_PROXY"), None);
        let again: Vec<_> = environment
            .variables()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let again = Environment::new(&again, Vec::new()).with_proxy("127.0.0.1:9".parse().unwrap());
        assert_eq!(again, environment, "nothing is added twice");
    }

    #[test]
    fn agents_find_the_base_url_door_unless_they_are_led_elsewhere() {
        let own = own(&[("OPENAI_BASE_URL", "https://gateway.example.com/v1")]);
        let environment = Environment::new(&own, Vec::new());
        let environment = environment.with_base_urls("127.0.0.1:9".parse().unwrap());
        for (name, expected) in [
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/anthropic"),
            ("OPENAI_BASE_URL", "https://gateway.example.com/v1"),
            ("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9/gemini"),
            ("CLOUD_CODE_URL", "http://127.0.0.1:9/cloudcode"),
        ] {
            assert_eq!(value(&environment, name).as_deref(), Some(expected));
        }
    }

    #[test]
    fn another_proxy_is_noticed() {
        assert_eq!(proxy_in_use(&own(&[("HTTPS_PROXY", "")])), None);
        assert_eq!(
            proxy_in_use(&own(&[("https_proxy", "http://p:1")])),
            Some("https_proxy")
        );
        assert_eq!(
            proxy_in_use(&own(&[("ALL_PROXY", "socks5://p:1")])),
            Some("ALL_PROXY")
        );
    }
}
