//! What the command line of a language server says. Text enters, an [`Announcement`] leaves;
//! nothing is trusted.

use crate::launch::Announcement;
use crate::launch::announce::CsrfToken;

/// Reads the arguments (without the program's own name) of a process whose program has that name.
/// `None` when it is no language server of Antigravity.
pub(super) fn announced(name: &str, arguments: &[String]) -> Option<Announcement> {
    if !is_language_server(name) || is_sibling(arguments) {
        return None;
    }
    let port = |names: &[&str]| {
        let given = names.iter().find_map(|name| value(arguments, name));
        // 0 leaves the choice to the language server.
        given
            .and_then(|text| text.parse().ok())
            .filter(|port| *port != 0)
    };
    Some(Announcement {
        // Until 1.20 the port over TLS was the server's only one.
        https_port: port(&["https_server_port", "server_port"]),
        http_port: port(&["http_server_port"]),
        lsp_port: port(&["lsp_port"]),
        csrf_token: value(arguments, "csrf_token").map(|text| CsrfToken::new(text.to_owned())),
    })
}

/// The executable's name differs between systems and versions (`language_server_linux_x64`,
/// `language_server`); in the command line tool `agy` the server runs in the tool's own process.
pub(super) fn is_language_server(name: &str) -> bool {
    name.starts_with("language_server") || name == "agy"
}

/// The editor starts one for each workspace with this flag, and one without it, which has the
/// conversations of all.
pub(super) fn is_for_workspace(arguments: &[String]) -> bool {
    value(arguments, "workspace_id").is_some()
}

/// Windsurf's language server has the same name and speaks with other numbers in the same messages.
/// Only that one gets the folder of its data by this flag, and the name of its product by this one.
fn is_sibling(arguments: &[String]) -> bool {
    value(arguments, "codeium_dir").is_some() || value(arguments, "ide_name") == Some("windsurf")
}

/// The value of a flag in any of the forms that Go's `flag` package takes: `-name value`, `--name
/// value`, `-name=value`, `--name=value`. The last one counts.
fn value<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let (mut rest, mut found) = (arguments, None);
    while let [argument, tail @ ..] = rest {
        rest = tail;
        let Some(flag) = argument
            .strip_prefix("--")
            .or_else(|| argument.strip_prefix('-'))
        else {
            continue;
        };
        let given = match flag.split_once('=') {
            Some((flag, value)) if flag == name => Some(value),
            None if flag == name => tail
                .first()
                .map(String::as_str)
                .filter(|value| !value.starts_with('-')),
            _ => None,
        };
        found = given.filter(|value| !value.is_empty()).or(found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, line: &str) -> Option<Announcement> {
        announced(
            name,
            &line.split(' ').map(str::to_owned).collect::<Vec<_>>(),
        )
    }

    fn ports(line: &str) -> (Option<u16>, Option<u16>, Option<u16>) {
        let found = read("language_server", line).expect("a language server");
        (found.https_port, found.http_port, found.lsp_port)
    }

    fn token(line: &str) -> Option<String> {
        let found = read("language_server", line).expect("a language server");
        found.csrf_token.map(|token| token.expose().to_owned())
    }

    #[test]
    fn flags_are_read_in_every_form() {
        assert_eq!(
            ports("--https_server_port 1 --http_server_port=2 -lsp_port 3"),
            (Some(1), Some(2), Some(3))
        );
        assert_eq!(
            ports("--https_server_port 0 --http_server_port 0"),
            (None, None, None)
        );
        assert_eq!(
            ports("--server_port=9 --random_port"),
            (Some(9), None, None)
        );
        assert_eq!(
            ports("--extension_server_port 7 --https_server_port 70000"),
            (None, None, None)
        );
        assert_eq!(ports("--http_server_port"), (None, None, None));
        assert_eq!(
            token("--standalone --csrf_token T --enable_lsp"),
            Some("T".into())
        );
        assert_eq!(
            token("--csrf_token=a --csrf_token=b --extension_server_csrf_token=c"),
            Some("b".into())
        );
        assert_eq!(token("--csrf_token --standalone"), None);
        assert_eq!(token("--csrf_token= csrf_token d"), None);
    }

    #[test]
    fn only_antigravity_counts() {
        for name in [
            "language_server",
            "language_server_linux_x64",
            "language_server_linux_arm",
            "agy",
        ] {
            assert!(read(name, "--csrf_token T").is_some(), "{name}");
        }
        for name in ["", "agyx", "server", "my_language_server"] {
            assert!(read(name, "--csrf_token T").is_none(), "{name}");
        }
        assert!(
            read(
                "language_server_linux_x64",
                "--csrf_token T --codeium_dir .codeium/windsurf"
            )
            .is_none()
        );
        assert!(
            read(
                "language_server_linux_x64",
                "--ide_name windsurf --csrf_token T"
            )
            .is_none()
        );
    }

    #[test]
    fn a_token_is_not_shown() {
        let found = read("agy", "--csrf_token s3cr3t").expect("a language server");
        assert!(found.csrf_token.is_some() && !format!("{found:?}").contains("s3cr3t"));
    }
}
