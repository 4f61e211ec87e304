//! `gravimeter run --scope namespace`: a program that takes no notice of us is seen whole, keeps what
//! it had, and leaves nothing behind.
//!
//! The stage gets a network with a default route, as a machine has one, and a `/dev/net/tun` for
//! everybody.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use serde_json::Value;

use crate::running::{FIRST, HOST, Provider, SECOND, root_file, wait_for};
use crate::stage::{
    OPERATOR, PROGRAM, PROVIDER_V4, PROVIDER_V6, STATE, USUAL_LIMIT_SECONDS, as_user, on_stage_for,
    root, shell_as, text,
};

pub(crate) const HOME: &str = "/var/lib/ann";
pub(crate) const REPORT: &str = "/var/lib/ann/run.json";

/// A network, the device that pasta needs, and both providers.
pub(crate) fn on_network(name: &str, body: impl FnOnce()) {
    on_network_for(name, USUAL_LIMIT_SECONDS, body);
}

/// The same for a test that may take longer than usual.
pub(crate) fn on_network_for(name: &str, limit_seconds: u32, body: impl FnOnce()) {
    on_stage_for(name, limit_seconds, || {
        root(
            "type -P pasta bwrap nft >/dev/null || { echo scripts/test.sh installs passt, bubblewrap, nftables; exit 1; }",
        );
        root(
            "set -e
             ip link add uplink type veth peer name far
             ip link set uplink up && ip link set far up
             ip address add 198.51.100.2/24 dev uplink
             ip route add default via 198.51.100.1
             ip address add 2001:db8:1::2/64 dev uplink nodad
             ip -6 route add default via 2001:db8:1::1
             mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun",
        );
        body();
    });
}

/// `gravimeter run` as the operator, with further flags and the program.
pub(crate) fn run(words: &str) -> Output {
    shell_as(OPERATOR, &line(words))
}

pub(crate) fn line(words: &str) -> String {
    format!("cd {HOME}; HOME={HOME} exec {}", command(words))
}

/// `gravimeter run` with the roots of the providers that run.
pub(crate) fn command(words: &str) -> String {
    let roots = [FIRST, SECOND].map(root_file);
    let roots: Vec<_> = roots
        .iter()
        .filter(|file| Path::new(file).exists())
        .cloned()
        .collect();
    let roots = match roots.as_slice() {
        [] => String::new(),
        roots => format!("--upstream.extra_roots {}", roots.join(",")),
    };
    format!("{PROGRAM} run --json {REPORT} {roots} {words}")
}

pub(crate) fn report() -> Value {
    serde_json::from_str(&root(&format!("cat {REPORT}"))).expect("JSON")
}

/// A call to `address` by a curl that uses no proxy.
pub(crate) fn call(address: &str) -> String {
    let body = r#"{"model":"gemini-3-pro","request":{"contents":[{"role":"user","parts":[{"text":"demo: prompt=16 cached=4 thoughts=42 output=3"}]}]}}"#;
    format!(
        "curl --noproxy '*' -sS --fail -m 60 --resolve {HOST}:443:{address} -d '{body}' \
         'https://{HOST}/v1internal:streamGenerateContent?alt=sse'"
    )
}

/// Waits until no process of the operator is left, and so no namespace.
pub(crate) fn nothing_is_left() {
    wait_for("the end of every process", || {
        !shell_as("root", &format!("pgrep -u {OPERATOR}"))
            .status
            .success()
    });
    let namespaces = root("lsns --noheadings --type net | wc -l");
    assert_eq!(namespaces.trim(), "1", "{}", root("lsns --type net"));
}

/// A run in the background, whose program has said that it is up.
pub(crate) fn background(program: &str) -> Child {
    root(&format!("rm -f {HOME}/up"));
    let words = format!("--scope namespace -- sh -c 'echo $$ > up.new; mv up.new up; {program}'");
    let child = as_user(OPERATOR)
        .args(["bash", "-c", &line(&words)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    wait_for("the program", || Path::new(HOME).join("up").exists());
    child
}

pub(crate) fn a_program_that_ignores_proxies_is_counted_to_the_token() {
    on_network(
        "run::a_program_that_ignores_proxies_is_counted_to_the_token",
        || {
            let _providers = [
                Provider::start(PROVIDER_V4, FIRST),
                Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
            ];
            let calls = [call(PROVIDER_V4), call(&format!("[{PROVIDER_V6}]"))].join(" && ");
            let output = run(&format!("-- bash -c {}", quoted(&calls)));
            assert!(output.status.success(), "{}", text(&output));
            let report = report();
            assert_eq!(report["scope"], "namespace", "{report}");
            assert_eq!(
                (&report["calls"], &report["tokens"]["thinking"]),
                (&2.into(), &84.into()),
                "{report}"
            );
            // The program is found behind the redirect, in the table of sockets of its namespace.
            let usage = format!("HOME={HOME} {PROGRAM} usage --json --by program");
            let usage = shell_as(OPERATOR, &usage);
            let usage: Value = serde_json::from_slice(&usage.stdout).expect("JSON");
            // A call that is over before its program is found counts for that of the run.
            let of = |program: &str| usage["programs"][program]["calls"].as_u64().unwrap_or(0);
            assert!(of("curl") > 0, "{usage}");
            assert_eq!(of("curl") + of("bash"), 2, "{usage}");
            assert!(
                text(&output).contains("namespace: all connections to port 443"),
                "{}",
                text(&output)
            );
            nothing_is_left();
        },
    );
}

/// What a program had before it has inside: its uid, its sandbox, both loopbacks.
pub(crate) fn a_program_keeps_its_user_its_sandbox_and_both_loopbacks() {
    on_network(
        "run::a_program_keeps_its_user_its_sandbox_and_both_loopbacks",
        || {
            let uid = root(&format!("id -u {OPERATOR}"));
            let ids = run("--scope namespace --quiet -- id -u");
            assert_eq!(text(&ids), uid);
            let sandbox = run(
                "--scope namespace --quiet -- bwrap --ro-bind / / --unshare-all --dev /dev id -u",
            );
            assert_eq!(text(&sandbox), uid);
            let provider = Provider::start(PROVIDER_V4, FIRST);
            let inside = run(&format!(
                "--scope namespace -- bwrap --ro-bind / / --unshare-user --unshare-pid --dev /dev --proc /proc {}",
                call(PROVIDER_V4)
            ));
            assert!(inside.status.success(), "{}", text(&inside));
            assert_eq!(report()["calls"], 1, "{}", text(&inside));
            drop(provider);
            let nested =
                run("--scope namespace --quiet -- unshare --user --map-root-user --net id -u");
            assert_eq!(text(&nested), "0\n");

            root("mkdir /mnt/served && echo outside > /mnt/served/file");
            let mut outside = as_user(OPERATOR)
                .args([
                    "python3",
                    "-m",
                    "http.server",
                    "--bind",
                    "127.0.0.1",
                    "--directory",
                    "/mnt/served",
                    "18080",
                ])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("python");
            wait_for("the service outside", || {
                shell_as("root", "curl -sf 127.0.0.1:18080/file")
                    .status
                    .success()
            });
            let asked = run(
                "--scope namespace --quiet -- curl -sS --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:18080/file",
            );
            assert_eq!(text(&asked), "outside\n");
            outside.kill().expect("it runs");
            outside.wait().expect("it ends");

            let mut inside =
                background("exec python3 -m http.server --bind 127.0.0.1 18099 >/dev/null 2>&1");
            wait_for("the service inside", || {
                shell_as("root", "curl -sf -m 2 127.0.0.1:18099/")
                    .status
                    .success()
            });
            inside.kill().expect("it runs");
            inside.wait().expect("it ends");
            nothing_is_left();
        },
    );
}

pub(crate) fn quic_is_rejected_at_once() {
    on_network("run::quic_is_rejected_at_once", || {
        let program = "\
import socket
for family, address in ((socket.AF_INET, '203.0.113.7'), (socket.AF_INET6, '2001:db8::7')):
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.settimeout(60)
    udp.connect((address, 443))
    try:
        udp.send(b'x')
        udp.recv(1)
    except (ConnectionRefusedError, PermissionError):
        print('rejected')
";
        root(&format!("cat > /mnt/quic.py <<'END'\n{program}END"));
        let output = run("--scope namespace --quiet -- python3 /mnt/quic.py");
        assert_eq!(text(&output), "rejected\nrejected\n");
    });
}

pub(crate) fn endings_are_passed_on_from_inside() {
    on_network("run::endings_are_passed_on_from_inside", || {
        let code = |words: &str| {
            run(&format!("--scope namespace --quiet -- {words}"))
                .status
                .code()
        };
        assert_eq!(code("bash -c 'exit 7'"), Some(7));
        assert_eq!(code("no-such-program"), Some(127));
        let output = shell_as(
            OPERATOR,
            &format!(
                "({}); echo $?",
                line("--scope namespace --quiet -- bash -c 'kill -TERM $$'")
            ),
        );
        assert!(text(&output).starts_with("143\n"), "{}", text(&output));
        let input = shell_as(
            OPERATOR,
            &format!(
                "echo typed | ({})",
                line("--scope namespace --quiet -- cat")
            ),
        );
        assert_eq!(
            text(&input),
            "typed\n",
            "standard input is the program's own"
        );
        nothing_is_left();
    });
}

/// kill -9 of each party: the program ends with gravimeter, and without pasta it loses its network
/// and goes on.
pub(crate) fn after_any_kill_nothing_is_left() {
    on_network("run::after_any_kill_nothing_is_left", || {
        let mut child = background("exec sleep 1000");
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        nothing_is_left();
        run("--scope proxy --quiet -- true");
        let trust = format!("find {STATE}/runs -name trust");
        assert_eq!(root(&trust), "", "CA files of the killed run");

        let mut child = background("exec sleep 1000");
        root(&format!("pkill -9 -u {OPERATOR} -x sleep"));
        assert_eq!(child.wait().expect("it ends").signal(), Some(9));
        nothing_is_left();

        let _provider = Provider::start(PROVIDER_V4, FIRST);
        for party in ["^pasta ", "^/usr/local/bin/gravimeter run-stage hold"] {
            let after = format!(
                "while ! test -e go; do sleep 0.01; done; {} 2>&1; echo it goes on",
                call(PROVIDER_V4).replace('\'', "'\\''")
            );
            root(&format!("rm -f {HOME}/go"));
            let child = background(&after);
            root(&format!("pkill -9 -u {OPERATOR} -f '{party}'"));
            // By its name: the words of its command line are gone before it has ended.
            wait_for("the end of pasta", || {
                let pasta = format!("pgrep -r R,S,D -u {OPERATOR} '^(pasta|passt)'");
                !shell_as("root", &pasta).status.success()
            });
            root(&format!("touch {HOME}/go"));
            let output = child.wait_with_output().expect("it ends");
            let said = text(&output);
            assert!(said.contains("curl: (7) "), "refused at once: {said}");
            assert!(said.contains("it goes on"), "{said}");
            assert!(said.contains("pasta ended before the program"), "{said}");
            nothing_is_left();
        }
    });
}

/// Where nothing but nft is installed.
pub(crate) fn nft_does_where_iptables_is_missing() {
    on_network("run::nft_does_where_iptables_is_missing", || {
        root("rm $(type -P iptables-restore ip6tables-restore)");
        let _provider = Provider::start(PROVIDER_V4, FIRST);
        let output = run(&format!("--scope namespace -- {}", call(PROVIDER_V4)));
        assert!(output.status.success(), "{}", text(&output));
        assert_eq!(report()["calls"], 1);
    });
}

/// One word for a shell.
pub(crate) fn quoted(words: &str) -> String {
    format!("'{}'", words.replace('\'', "'\\''"))
}
