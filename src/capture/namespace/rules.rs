//! The rules inside a namespace: TCP port 443 is redirected to our listeners, UDP port 443 is
//! rejected. Put in place by iptables or, where that is missing or fails, by nft.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

/// The rules could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("the redirect inside the namespace: {0}; install iptables or nftables")]
pub struct RulesError(String);

/// Puts the rules in place in the current network namespace. `listeners` has one address for each IP
/// family.
///
/// # Errors
/// What iptables and nft have said.
pub(super) fn install(listeners: &[SocketAddr]) -> Result<(), RulesError> {
    with_iptables(listeners).or_else(|first| {
        run("nft", &["-f", "-"], &nft(listeners))
            .map_err(|second| RulesError(format!("{first}; {second}")))
    })
}

fn with_iptables(listeners: &[SocketAddr]) -> Result<(), String> {
    listeners.iter().try_for_each(|listener| {
        let program = match listener {
            SocketAddr::V4(_) => "iptables-restore",
            SocketAddr::V6(_) => "ip6tables-restore",
        };
        run(program, &[], &iptables(*listener))
    })
}

/// Connections to the namespace's own loopback are left alone: pasta leads them to the machine's.
fn iptables(listener: SocketAddr) -> String {
    let (loopback, port) = (loopback(listener), listener.port());
    format!(
        "*nat\n\
         -A OUTPUT ! -d {loopback} -p tcp -m tcp --dport 443 -j REDIRECT --to-ports {port}\n\
         COMMIT\n\
         *filter\n\
         -A OUTPUT ! -d {loopback} -p udp -m udp --dport 443 -j REJECT\n\
         COMMIT\n"
    )
}

fn nft(listeners: &[SocketAddr]) -> String {
    listeners
        .iter()
        .map(|listener| {
            let family = if listener.is_ipv4() { "ip" } else { "ip6" };
            let (loopback, port) = (loopback(*listener), listener.port());
            format!(
                "table {family} gravimeter {{\n\
                 chain nat {{ type nat hook output priority -100;\n\
                 {family} daddr != {loopback} tcp dport 443 redirect to :{port}\n}}\n\
                 chain filter {{ type filter hook output priority 0;\n\
                 {family} daddr != {loopback} udp dport 443 reject\n}}\n}}\n"
            )
        })
        .collect()
}

fn loopback(listener: SocketAddr) -> &'static str {
    match listener {
        SocketAddr::V4(_) => "127.0.0.0/8",
        SocketAddr::V6(_) => "::1/128",
    }
}

/// Runs a program that reads rules from standard input.
fn run(program: &str, arguments: &[&str], rules: &str) -> Result<(), String> {
    let fed = || -> io::Result<_> {
        let mut child = Command::new(program)
            .args(arguments)
            // The older iptables takes a lock in /run, where only root may write; nobody else is in
            // this namespace.
            .env("XTABLES_LOCKFILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends early says why.
            let _ = stdin.write_all(rules.as_bytes());
        }
        child.wait_with_output()
    };
    match fed() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
