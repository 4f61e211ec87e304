//! Where all of it happens: a network, process and mount namespace of its own with real redirect
//! rules, gone with its first process.
//!
//! Each contestant has an address on `lo`; the provider listens on all of them. Connections that
//! carry the agent's mark are redirected by their destination to the contestant whose address it
//! is; its own connections carry no mark and arrive.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, exit};

use crate::skip;

pub const FLAG: &str = "--on-stage";
pub const MARK: u32 = 7;
pub const PROVIDER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 443);

/// Contestants whose rules are there.
pub const PLACES: u8 = 8;

/// Documentation addresses (RFC 5737): nothing outside answers to them.
pub fn address(place: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 10 + place], 443))
}

/// Where the connections to [`address`] are redirected to; place 0 has none.
pub fn door(place: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8100 + 10 * u16::from(place)))
}

/// Runs this program again on a new stage and ends with its exit code. Where none can be built, it
/// fails; with `--smoke` it may also be skipped.
pub fn run_again(wanted: &[String], flags: &[String]) {
    let own = std::env::current_exe().expect("the path of this program");
    let mut unshare = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args([
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
        "bash",
        "-c",
        BUILD,
        "stage",
    ]);
    unshare
        .arg(build_rules())
        .arg(own)
        .arg(super::NAME)
        .args(wanted)
        .args(flags)
        .arg(FLAG);
    let status = unshare.status().expect("unshare of util-linux");
    if status.code() == Some(CANNOT) {
        let reason = "no network namespace with redirect rules can be built here (needs root, or user namespaces, and iptables)";
        let is_smoke = flags.iter().any(|flag| flag == "--smoke");
        let skipped = if is_smoke {
            skip::decide(super::NAME, 1, reason)
        } else {
            Err(reason.to_owned())
        };
        if let Err(refusal) = skipped {
            crate::title(&format!("peers: {refusal}"));
            exit(1);
        }
        exit(0);
    }
    exit(status.code().unwrap_or(1));
}

/// For iptables-restore.
fn build_rules() -> String {
    let rule = |place| {
        let (address, door) = (address(place).ip(), door(place).port());
        format!(
            "-A OUTPUT -d {address} -p tcp --dport 443 -m mark --mark {MARK} -j REDIRECT --to-ports {door}\n"
        )
    };
    let rules: String = (1..PLACES).map(rule).collect();
    format!("*nat\n{rules}COMMIT\n")
}

const CANNOT: i32 = 77;

/// Connections are many and short: ports are used again at once, which only a private network may
/// be told.
const BUILD: &str = r#"
rules=$1
shift
build() {
    ip link set lo up &&
    for host in {10..17}; do ip address add 203.0.113.$host/32 dev lo || return 1; done &&
    iptables-restore <<<"$rules" &&
    echo 10000 65000 >/proc/sys/net/ipv4/ip_local_port_range &&
    echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse &&
    echo 4096 >/proc/sys/net/core/somaxconn
}
build || exit 77
"$@"
exit $?
"#;
