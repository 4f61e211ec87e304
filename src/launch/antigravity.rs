//! The language server of Google Antigravity: where it lies, which flags its versions take, what it
//! reads first.
//!
//! Flags and fields are known from public observation only. A build exits with status 2 (`flags
//! provided but not defined`) at a flag that it does not know, so that the version must be chosen
//! rather than tried.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::announce::{Announcement, CsrfToken};

/// A generation of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AntigravityVersion {
    /// Before 1.21: one RPC port over TLS, which must be given.
    V1_20,
    /// 1.21 and later: RPC ports may be random.
    V1_21,
    /// 2.x: the vendor's own stand-alone mode.
    V2,
}

impl AntigravityVersion {
    /// Every version.
    pub const ALL: &[Self] = &[Self::V1_20, Self::V1_21, Self::V2];

    /// Its name in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_20 => "1.20",
            Self::V1_21 => "1.21",
            Self::V2 => "2",
        }
    }

    /// What a client of this generation says of itself.
    fn ide_version(self) -> &'static str {
        match self {
            Self::V1_20 => "1.20.5",
            Self::V1_21 => "1.21.0",
            Self::V2 => "2.4.2",
        }
    }
}

/// The preset's own arguments, and what of the announcement they settle beforehand.
pub(super) fn arguments(
    version: AntigravityVersion,
    endpoint: &str,
) -> (Vec<String>, Announcement) {
    let token = CsrfToken::random();
    let mut announcement = Announcement {
        csrf_token: Some(token.clone()),
        ..Announcement::default()
    };
    let mut arguments: Vec<String> = vec!["--csrf_token".into(), token.expose().into()];
    arguments.extend(["--cloud_code_endpoint".into(), endpoint.into()]);
    let ports = ["--https_server_port", "0", "--http_server_port", "0"].map(str::to_owned);
    match version {
        AntigravityVersion::V2 => {
            arguments.insert(0, "--standalone".into());
            arguments.extend(ports);
        }
        // Early --standalone kept no trajectories; --persistent_mode lives without the pipe of a
        // parent, too.
        AntigravityVersion::V1_21 => {
            arguments.insert(0, "--persistent_mode".into());
            arguments.extend(ports);
        }
        AntigravityVersion::V1_20 => {
            arguments.insert(0, "--persistent_mode".into());
            if let Some(port) = free_port() {
                arguments.extend(["--server_port".into(), port.to_string()]);
                announcement.https_port = Some(port);
            }
        }
    }
    (arguments, announcement)
}

/// The protobuf message `exa.codeium_common_pb.Metadata` that it reads from standard input until
/// the end of file. Field 3, the API key, stays empty: the token comes from the agent's own
/// sign-in.
pub(super) fn metadata(version: AntigravityVersion, session: &str) -> Vec<u8> {
    let fields = [
        (1, "antigravity"),
        (2, version.ide_version()),
        (4, "en"),
        (5, "linux"),
        (7, version.ide_version()),
        (10, session),
        (12, "antigravity"),
    ];
    fields
        .iter()
        .flat_map(|(number, text)| string_field(*number, text))
        .collect()
}

/// The first of the usual places that has the executable.
///
/// # Errors
/// All of them, when none has it.
pub(super) fn find() -> Result<PathBuf, String> {
    let found = PLACES.iter().map(Path::new).find(|path| path.is_file());
    found.map(Path::to_owned).ok_or_else(|| PLACES.join(", "))
}

/// Where it announces its ports in persistent mode, below its user's home.
pub(super) const DISCOVERY_FOLDER: &str = ".gemini/antigravity/daemon";

/// The desktop application 2.x, then the extension of the editor before it.
const PLACES: &[&str] = &[
    "/usr/share/antigravity/resources/bin/language_server",
    "/opt/antigravity/resources/bin/language_server",
    #[cfg(target_arch = "x86_64")]
    "/usr/share/antigravity/resources/app/extensions/antigravity/bin/language_server_linux_x64",
    #[cfg(target_arch = "aarch64")]
    "/usr/share/antigravity/resources/app/extensions/antigravity/bin/language_server_linux_arm",
];

/// Another process may take the port before the agent does; then it ends, and the next start asks
/// for another one.
fn free_port() -> Option<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

/// Wire type 2: tag, length, bytes. Numbers and lengths here are below 128, so that each takes one
/// byte.
fn string_field(number: u8, text: &str) -> Vec<u8> {
    let text = text.get(..text.len().min(127)).unwrap_or_default();
    let length = u8::try_from(text.len()).unwrap_or_default();
    [&[number << 3 | 2, length], text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(version: AntigravityVersion) -> (String, Announcement) {
        let (arguments, announcement) = arguments(version, "https://e");
        let token = announcement.csrf_token.clone().expect("a token");
        (
            arguments.join(" ").replace(token.expose(), "T"),
            announcement,
        )
    }

    #[test]
    fn each_version_gets_the_flags_it_knows() {
        let ports = "--https_server_port 0 --http_server_port 0";
        let (v2, announcement) = line(AntigravityVersion::V2);
        assert_eq!(
            v2,
            format!("--standalone --csrf_token T --cloud_code_endpoint https://e {ports}")
        );
        assert_eq!(announcement.https_port, None);
        let (v1_21, _) = line(AntigravityVersion::V1_21);
        assert_eq!(
            v1_21,
            format!("--persistent_mode --csrf_token T --cloud_code_endpoint https://e {ports}")
        );
        let (v1_20, announcement) = line(AntigravityVersion::V1_20);
        let port = announcement.https_port.expect("a port");
        let expected = format!(
            "--persistent_mode --csrf_token T --cloud_code_endpoint https://e --server_port {port}"
        );
        assert_eq!(v1_20, expected);
    }

    #[test]
    fn tokens_are_fresh() {
        let token = || {
            arguments(AntigravityVersion::V2, "")
                .1
                .csrf_token
                .expect("a token")
        };
        assert_ne!(token(), token());
        assert_eq!(token().expose().len(), 36);
    }

    #[test]
    fn metadata_is_protobuf() {
        let expected =
            b"\x0a\x0bantigravity\x12\x052.4.2\x22\x02en\x2a\x05linux\x3a\x052.4.2\x52\x01s\x62\x0bantigravity";
        assert_eq!(metadata(AntigravityVersion::V2, "s"), expected);
    }

    /// `deploy/systemd/gravimeter-agent.service` starts the same language server without us.
    #[test]
    fn the_shipped_unit_says_the_same() {
        let unit = include_str!("../../deploy/systemd/gravimeter-agent.service");
        let value_of = |key| {
            unit.lines()
                .find_map(|line: &str| line.strip_prefix(key))
                .expect("a line")
        };
        let (command, arguments) = value_of("ExecStart=").split_once(' ').expect("arguments");
        assert_eq!(Path::new(command), Path::new(PLACES[0]));
        let endpoint = crate::launch::Config::default().cloud_code_endpoint;
        let (ours, announcement) = super::arguments(AntigravityVersion::V2, &endpoint);
        let token = announcement.csrf_token.expect("a token");
        let ours = ours
            .join(" ")
            .replace(token.expose(), "${GRAVIMETER_CASCADE_CSRF_TOKEN}");
        let ours = ours.replace("https_server_port 0", "https_server_port 8745");
        assert_eq!(
            arguments,
            ours.replace("http_server_port 0", "http_server_port 8744")
        );
        let input = format!(
            "-----BEGIN INPUT-----\n{}\n-----END INPUT-----\n",
            value_of("StandardInputData=")
        );
        let input = pem::parse(input).expect("base64");
        assert_eq!(
            input.contents(),
            metadata(AntigravityVersion::V2, "gravimeter-agent.service")
        );
    }
}
