//! How a program is led to the CONNECT proxy by its environment: one command for each kind of
//! program, to be copied.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::launchers::quoted;

/// Where the proxy is, and the files with the roots that make a program trust it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionGuide {
    proxy: SocketAddr,
    roots: PathBuf,
    ca: PathBuf,
}

impl ConnectionGuide {
    /// `roots` holds the system's roots and the CA, `ca` the CA alone.
    #[must_use]
    pub fn new(proxy: SocketAddr, roots: &Path, ca: &Path) -> Self {
        Self {
            proxy,
            roots: roots.to_owned(),
            ca: ca.to_owned(),
        }
    }

    /// What each command is for, and the command itself: a line for a shell.
    pub fn commands(&self) -> impl Iterator<Item = (&'static str, String)> {
        PROGRAMS.iter().map(|program| {
            let variables = program.variables.iter().map(|variable| self.set(*variable));
            let words: Vec<_> = variables.chain([program.command.to_owned()]).collect();
            (program.name, words.join(" "))
        })
    }

    fn set(&self, variable: Variable) -> String {
        match variable {
            Variable::Proxy => format!("HTTPS_PROXY=http://{}", self.proxy),
            Variable::NodeProxy => "NODE_USE_ENV_PROXY=1".to_owned(),
            Variable::Adds(name) => format!("{name}={}", word(&self.ca)),
            Variable::Replaces(name) => format!("{name}={}", word(&self.roots)),
        }
    }
}

struct Program {
    name: &'static str,
    variables: &'static [Variable],
    command: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Variable {
    /// Names a file whose roots the program trusts beside its own.
    Adds(&'static str),
    /// Node's own HTTP client reads the next one only with this, from version 24 on.
    NodeProxy,
    Proxy,
    /// Names a file with all roots that the program trusts.
    Replaces(&'static str),
}

use Variable::{Adds, NodeProxy, Proxy, Replaces};

const NODE: Variable = Adds("NODE_EXTRA_CA_CERTS");
const ROOTS: Variable = Replaces("SSL_CERT_FILE");

/// Which variable each obeys was measured with the program itself.
const PROGRAMS: [Program; 7] = [
    Program {
        name: "Claude Code",
        variables: &[Proxy, NODE],
        command: "claude",
    },
    Program {
        name: "Codex",
        variables: &[Proxy, ROOTS],
        command: "codex",
    },
    Program {
        name: "Gemini CLI",
        variables: &[Proxy, NODE],
        command: "gemini",
    },
    Program {
        name: "Antigravity CLI",
        variables: &[Proxy, ROOTS],
        command: "agy",
    },
    Program {
        name: "Node.js",
        variables: &[Proxy, NodeProxy, NODE],
        command: "node app.js",
    },
    Program {
        name: "Python",
        variables: &[Proxy, ROOTS, Replaces("REQUESTS_CA_BUNDLE")],
        command: "python3 app.py",
    },
    Program {
        name: "Go",
        variables: &[Proxy, ROOTS],
        command: "./app",
    },
];

/// A path as one word of a shell, in quotes only where it needs them.
fn word(path: &Path) -> String {
    let plain = path.display().to_string();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+".contains(letter);
    match plain.chars().all(is_plain) {
        true => plain,
        false => quoted(&path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn each_command_sets_what_its_program_obeys() {
        let proxy = "127.0.0.1:8743".parse().unwrap();
        let guide = ConnectionGuide::new(proxy, Path::new("/t/all.pem"), Path::new("/t/ca.pem"));
        let commands: Vec<_> = guide.commands().collect();
        let of = |name| &commands.iter().find(|(known, _)| *known == name).unwrap().1;
        let proxy = "HTTPS_PROXY=http://127.0.0.1:8743";
        let node = "NODE_EXTRA_CA_CERTS=/t/ca.pem";
        assert_eq!(*of("Claude Code"), format!("{proxy} {node} claude"));
        assert_eq!(*of("Go"), format!("{proxy} SSL_CERT_FILE=/t/all.pem ./app"));
        let expected = format!("{proxy} NODE_USE_ENV_PROXY=1 {node} node app.js");
        assert_eq!(*of("Node.js"), expected);
    }

    #[test]
    fn a_shell_reads_any_path_as_one_word() {
        for path in ["/plain/a-b_c.pem", "/a b/it's $HOME `x`.pem"] {
            let script = format!("printf %s {}", word(Path::new(path)));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }
}
