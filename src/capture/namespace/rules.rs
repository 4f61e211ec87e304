//! The rules inside a namespace: TCP port 443 is redirected to our listeners, UDP port 443 is
//! rejected. Where nobody else carries the rest ([`super::Carrier::Own`]), other TCP connections and
//! questions to resolvers are redirected as well, and everything else is rejected. Put in place by
//! iptables or, where that is missing or fails, by nft.

use std::net::SocketAddr;

use super::feed::feed;

/// The rules could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("the redirect inside the namespace: {0}; install iptables or nftables")]
pub struct RulesError(String);

/// Where the traffic of one IP family is redirected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Targets {
    /// The listener for intercepted connections.
    pub(super) intercepted: SocketAddr,
    /// The ports for everything else, where it is ours to carry.
    pub(super) forwarded: Option<ForwardedPorts>,
}

/// Ports on the loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ForwardedPorts {
    /// For TCP connections.
    pub(super) tcp: u16,
    /// For questions to resolvers by UDP.
    pub(super) questions: u16,
}

/// Puts the rules in place in the current network namespace. `targets` has one entry for each IP
/// family.
///
/// # Errors
/// What iptables and nft have said.
pub(super) fn install(targets: &[Targets]) -> Result<(), RulesError> {
    with_iptables(targets).or_else(|first| {
        feed("nft", &["-f", "-"], &nft(targets))
            .map_err(|second| RulesError(format!("{first}; {second}")))
    })
}

fn with_iptables(targets: &[Targets]) -> Result<(), String> {
    targets.iter().try_for_each(|targets| {
        let program = match targets.intercepted {
            SocketAddr::V4(_) => "iptables-restore",
            SocketAddr::V6(_) => "ip6tables-restore",
        };
        feed(program, &[], &iptables(*targets))
    })
}

/// Connections to the namespace's own loopback are left alone: pasta leads them to the machine's.
/// Only resolvers may be there and be asked through us, as systemd-resolved's is.
fn iptables(targets: Targets) -> String {
    let (loopback, port) = (loopback(targets.intercepted), targets.intercepted.port());
    let (mut nat_first, mut nat_last, mut filter) = <(String, String, &str)>::default();
    if let Some(ForwardedPorts { tcp, questions }) = targets.forwarded {
        nat_first = format!(
            "-A OUTPUT -p udp -m udp --dport 53 -j REDIRECT --to-ports {questions}\n\
             -A OUTPUT -p tcp -m tcp --dport 53 -j REDIRECT --to-ports {tcp}\n"
        );
        nat_last = format!(
            "-A OUTPUT -p tcp -m addrtype ! --dst-type LOCAL -j REDIRECT --to-ports {tcp}\n"
        );
        filter = "-A OUTPUT -m addrtype ! --dst-type LOCAL -j REJECT\n";
    }
    format!(
        "*nat\n\
         {nat_first}\
         -A OUTPUT ! -d {loopback} -p tcp -m tcp --dport 443 -j REDIRECT --to-ports {port}\n\
         {nat_last}\
         COMMIT\n\
         *filter\n\
         -A OUTPUT ! -d {loopback} -p udp -m udp --dport 443 -j REJECT\n\
         {filter}\
         COMMIT\n"
    )
}

fn nft(targets: &[Targets]) -> String {
    targets
        .iter()
        .map(|targets| {
            let listener = targets.intercepted;
            let family = if listener.is_ipv4() { "ip" } else { "ip6" };
            let (loopback, port) = (loopback(listener), listener.port());
            let (mut nat_first, mut nat_last, mut filter) = <(String, String, &str)>::default();
            if let Some(ForwardedPorts { tcp, questions }) = targets.forwarded {
                nat_first = format!(
                    "udp dport 53 redirect to :{questions}\ntcp dport 53 redirect to :{tcp}\n"
                );
                nat_last = format!("fib daddr type != local meta l4proto tcp redirect to :{tcp}\n");
                filter = "fib daddr type != local reject\n";
            }
            format!(
                "table {family} gravimeter {{\n\
                 chain nat {{ type nat hook output priority -100;\n\
                 {nat_first}\
                 {family} daddr != {loopback} tcp dport 443 redirect to :{port}\n\
                 {nat_last}}}\n\
                 chain filter {{ type filter hook output priority 0;\n\
                 {family} daddr != {loopback} udp dport 443 reject\n\
                 {filter}}}\n}}\n"
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
