//! Real agents under `gravimeter run`, as a person starts them: by an ordinary user, on a terminal,
//! in a namespace, with nothing else of Gravimeter's running.

use std::process::Command;

use serde_json::Value;

use crate::client::{Client, PROXY_USER, Route};
use crate::provider::{Call, Providers, ROOT, Setting, Tokens, USE_TOOL};
use crate::pty::Pty;
use crate::run::check_others;
use crate::stage::{PROGRAM, root, shell_as, text};
use crate::{claude_code, codex, gemini_cli};

pub(crate) fn claude_code() {
    check(|client| {
        claude_code::claude(client, USE_TOOL, claude_code::ANTHROPIC);
    });
}

pub(crate) fn codex() {
    check(|client| {
        codex::codex(client, USE_TOOL, &[]);
    });
}

pub(crate) fn gemini_cli() {
    check(|client| {
        gemini_cli::gemini(client, USE_TOOL);
    });
}

/// Every kind of token of the run is in its summary and in the ledger as the provider has sent it.
fn check(agent: impl FnOnce(&Client)) {
    root(&format!(
        "set -e
        type -P pasta >/dev/null || {{ echo scripts/test.sh installs passt; exit 1; }}
        useradd {PROXY_USER}
        ip link add uplink type veth peer name far
        ip link set uplink up && ip link set far up
        ip address add 198.51.100.2/24 dev uplink
        ip route add default via 198.51.100.1
        mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun"
    ));
    let providers = Providers::start();
    providers.set(Setting::default());
    let client = Client::new(Route::Run);
    agent(&client);
    let calls: Vec<Call> = providers.served().calls.clone();
    assert!(!calls.is_empty(), "it has asked");
    check_others(providers.served().others.keys());
    let sent: Tokens = calls.iter().map(|call| call.tokens).sum();
    let report = json(&format!("cat {REPORT}"));
    assert_eq!(report["scope"], "namespace", "{report}");
    assert_eq!(report["calls"], calls.len(), "{report}");
    let usage = json(&format!("{PROGRAM} usage --json --state.dir {STATE}"));
    let totals = &usage["totals"];
    assert_eq!(totals["calls"], calls.len(), "{usage}");
    assert_eq!(totals["usage_quality"]["exact"], calls.len(), "{usage}");
    for (kind, sent) in sent.kinds() {
        assert_eq!(
            report["tokens"][kind].as_u64().unwrap_or(0),
            sent,
            "{kind}: {report}"
        );
        assert_eq!(
            totals[format!("{kind}_tokens")].as_u64().unwrap_or(0),
            sent,
            "{kind}: {usage}"
        );
    }
}

fn json(line: &str) -> Value {
    let output = shell_as(PROXY_USER, line);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{line}: {}", text(&output)))
}

/// Runs a command on a terminal to its good end; everything that it has shown.
pub(crate) fn screen(command: &Command) -> String {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (status, screen) = runtime.block_on(Pty::start(command, 24, 80).end());
    assert!(status.success(), "{status}: {screen}");
    screen.replace("\r\n", "\n")
}

/// What stands before the program.
pub(crate) const WORDS: [&str; 12] = [
    PROGRAM,
    "run",
    "--scope",
    "namespace",
    "--json",
    REPORT,
    "--state.dir",
    STATE,
    "--upstream.extra_roots",
    ROOT,
    "--quiet",
    "--",
];

const REPORT: &str = "/var/lib/client/run.json";
const STATE: &str = "/var/lib/client/state";
