//! Parses the section `tls_server_config` into checked settings.
//!
//! Names of versions, ciphers and curves are those of Go, as in every web configuration file.

use std::path::{Path, PathBuf};

use super::mistakes::Mistake;
use super::reader::{Section, Text};
use super::yaml::Node;

/// The settings of TLS.
#[derive(Debug)]
pub(super) struct TlsSettings {
    pub(super) certificate: Pem,
    pub(super) key: Pem,
    pub(super) client_ca: Option<Pem>,
    pub(super) clients: ClientAuth,
    /// The names one of which a client's certificate must have.
    pub(super) client_names: Option<Vec<String>>,
    pub(super) oldest: Version,
    pub(super) newest: Version,
    /// Cipher suites of TLS 1.2, by their standard names; all if empty.
    pub(super) suites: Vec<String>,
    /// Names of [`CURVES`]; the defaults if empty.
    pub(super) curves: Vec<String>,
    /// Whether the server's order of suites counts, not the client's.
    pub(super) own_order: bool,
}

/// A setting that gives PEM text.
#[derive(Debug)]
pub(super) struct Pem {
    /// The key of the setting.
    pub(super) key: &'static str,
    pub(super) line: usize,
    pub(super) source: PemSource,
}

/// The source of the text: the file itself, or another one.
#[derive(Debug)]
pub(super) enum PemSource {
    File(PathBuf),
    Inline(String),
}

/// The kind of client authentication; the names are Go's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuth {
    None,
    Request,
    RequireAndVerify,
    RequireAny,
    VerifyIfGiven,
}

/// A supported version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    Tls12,
    Tls13,
}

/// Reads the section; `line` is that of its key. `None` when it is empty or wrong.
pub(super) fn read(
    node: &Node,
    line: usize,
    folder: &Path,
    mistakes: &mut Vec<Mistake>,
) -> Option<TlsSettings> {
    let before = mistakes.len();
    let mut section = Section::open(SECTION, node, mistakes);
    let certificate = pem(&mut section, ("cert_file", "cert"), folder, mistakes);
    let key = pem(&mut section, ("key_file", "key"), folder, mistakes);
    let client_ca = pem(
        &mut section,
        ("client_ca_file", "client_ca"),
        folder,
        mistakes,
    );
    let clients = section.text("client_auth_type", mistakes);
    let client_names = section.list("client_allowed_sans", mistakes);
    let oldest = section.text("min_version", mistakes);
    let newest = section.text("max_version", mistakes);
    let suites = section.list("cipher_suites", mistakes).unwrap_or_default();
    let own_order = section.switch("prefer_server_cipher_suites", true, mistakes);
    let curves = section
        .list("curve_preferences", mistakes)
        .unwrap_or_default();
    section.end(mistakes);
    let is_asked_for =
        certificate.is_some() || key.is_some() || client_ca.is_some() || clients.is_some();
    if !is_asked_for && mistakes.len() == before {
        // As with the Prometheus exporters, versions and ciphers alone do not enable TLS; but a
        // rule for clients must not be ignored.
        if client_names.is_some() {
            mistakes.push(Mistake::new(
                line,
                SECTION,
                "client_allowed_sans without a certificate: set cert_file, key_file",
            ));
        }
        return None;
    }
    for (given, file) in [(&certificate, "cert_file"), (&key, "key_file")] {
        if given.is_none() && mistakes.len() == before {
            mistakes.push(Mistake::new(
                line,
                SECTION,
                format!("{file} is missing: set it, or leave the section out"),
            ));
        }
    }
    let clients = client_auth(
        clients,
        line,
        client_ca.is_some(),
        client_names.is_some(),
        mistakes,
    );
    let settings = TlsSettings {
        certificate: certificate?,
        key: key?,
        client_ca,
        clients: clients?,
        client_names: client_names.map(|names| names.into_iter().map(|(name, _)| name).collect()),
        oldest: version("min_version", oldest, Version::Tls12, mistakes)?,
        newest: version("max_version", newest.clone(), Version::Tls13, mistakes)?,
        suites: cipher_suites(suites, mistakes),
        curves: curve_names(curves, mistakes),
        own_order,
    };
    if settings.oldest > settings.newest {
        let line = newest.map_or(line, |(_, line)| line);
        mistakes.push(full(
            line,
            "max_version",
            "is older than min_version: turn them round",
        ));
    }
    Some(settings)
}

fn pem(
    section: &mut Section<'_>,
    (file, here): (&'static str, &'static str),
    folder: &Path,
    mistakes: &mut Vec<Mistake>,
) -> Option<Pem> {
    let (path, text) = (section.text(file, mistakes), section.text(here, mistakes));
    match (path, text) {
        (Some(_), Some((_, line))) => {
            mistakes.push(full(
                line,
                here,
                format!("{file} is set, too: leave one of them out"),
            ));
            None
        }
        (Some((path, line)), None) => Some(Pem {
            key: file,
            line,
            source: PemSource::File(folder.join(path)),
        }),
        (None, Some((text, line))) => Some(Pem {
            key: here,
            line,
            source: PemSource::Inline(text),
        }),
        (None, None) => None,
    }
}

fn client_auth(
    given: Option<Text>,
    section: usize,
    has_ca: bool,
    has_names: bool,
    mistakes: &mut Vec<Mistake>,
) -> Option<ClientAuth> {
    use ClientAuth::{None as Nobody, Request, RequireAndVerify, RequireAny, VerifyIfGiven};
    let line = given.as_ref().map_or(section, |(_, line)| *line);
    let clients = match given
        .as_ref()
        .map_or("NoClientCert", |(text, _)| text.as_str())
    {
        "NoClientCert" => Nobody,
        "RequestClientCert" => Request,
        // The second is the toolkit's older name.
        "RequireAnyClientCert" | "RequireClientCert" => RequireAny,
        "VerifyClientCertIfGiven" => VerifyIfGiven,
        "RequireAndVerifyClientCert" => RequireAndVerify,
        _ => {
            let message = "there is no such way: write RequireAndVerifyClientCert, VerifyClientCertIfGiven, \
                           RequireAnyClientCert, RequestClientCert or NoClientCert";
            mistakes.push(full(line, "client_auth_type", message));
            return None;
        }
    };
    if clients == Nobody && has_ca {
        let message =
            "client_ca_file is set, but no client is asked: write RequireAndVerifyClientCert";
        mistakes.push(full(line, "client_auth_type", message));
    }
    if matches!(clients, RequireAndVerify | VerifyIfGiven) && !has_ca {
        mistakes.push(full(
            line,
            "client_auth_type",
            "nobody could be verified: set client_ca_file, too",
        ));
    }
    if has_names && !matches!(clients, RequireAndVerify | RequireAny) {
        let message = "client_allowed_sans needs a certificate of every client: write RequireAndVerifyClientCert";
        mistakes.push(full(line, "client_auth_type", message));
    }
    Some(clients)
}

fn version(
    key: &str,
    given: Option<Text>,
    default: Version,
    mistakes: &mut Vec<Mistake>,
) -> Option<Version> {
    let Some((text, line)) = given else {
        return Some(default);
    };
    let message = match text.as_str() {
        "TLS12" => return Some(Version::Tls12),
        "TLS13" => return Some(Version::Tls13),
        "TLS10" | "TLS11" => "TLS 1.0 and 1.1 are not spoken here: write TLS12 or TLS13",
        _ => "there is no such version: write TLS12 or TLS13",
    };
    mistakes.push(full(line, key, message));
    None
}

/// The supported suites of TLS 1.2: those with AEAD and an ephemeral key.
pub(super) const SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Those of TLS 1.3, which are always on: the key is for versions up to 1.2, in Go as here.
const SUITES_OF_13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

fn cipher_suites(given: Vec<Text>, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let mut suites = Vec::new();
    for (name, line) in given {
        if SUITES.contains(&name.as_str()) {
            suites.push(name);
        } else if !SUITES_OF_13.contains(&name.as_str()) {
            let message = "a suite here is not spoken (neither are CBC and RSA key exchange): leave it out; \
                           docs/operate/exporter.md lists those that are";
            mistakes.push(full(line, "cipher_suites", message));
        }
    }
    suites
}

/// The supported curves.
pub(super) const CURVES: [&str; 4] = ["CurveP256", "CurveP384", "X25519", "X25519MLKEM768"];

fn curve_names(given: Vec<Text>, mistakes: &mut Vec<Mistake>) -> Vec<String> {
    let (known, unknown): (Vec<_>, Vec<_>) = given
        .into_iter()
        .partition(|(name, _)| CURVES.contains(&name.as_str()));
    for (_, line) in unknown {
        let message = format!(
            "a curve here is not spoken: the curves are {}",
            CURVES.join(", ")
        );
        mistakes.push(full(line, "curve_preferences", message));
    }
    known.into_iter().map(|(name, _)| name).collect()
}

fn full(line: usize, key: &str, message: impl Into<String>) -> Mistake {
    Mistake::new(line, format!("{SECTION}.{key}"), message)
}

const SECTION: &str = "tls_server_config";
