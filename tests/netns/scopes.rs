//! The other ways of `gravimeter run` to capture a program: a namespace without pasta, root's, a
//! cgroup; and which way is taken where something is missing.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::client;
use crate::pty::Pty;
use crate::run::{
    HOME, background, call, command, line, nothing_is_left, on_network, quoted, report, run,
};
use crate::running::{FIRST, HOST, Provider, SECOND, wait_for};
use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, PROVIDER_V6, STATE, as_user, install, root, shell_as,
    text, write_program,
};

/// Without pasta, TCP and names pass by Gravimeter itself, and everything else is rejected at once.
pub(crate) fn without_pasta_tcp_and_names_pass() {
    on_network("scopes::without_pasta_tcp_and_names_pass", || {
        let _providers = [
            Provider::start(PROVIDER_V4, FIRST),
            Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
        ];
        let _services = services();
        for with_iptables in [true, false] {
            root("rm -f $(type -P pasta)");
            if !with_iptables {
                root("rm $(type -P iptables-restore ip6tables-restore)");
            }
            // By its name, which only the resolver knows.
            let by_name =
                call(PROVIDER_V4).replace(&format!("--resolve {HOST}:443:{PROVIDER_V4}"), "");
            let calls = [by_name, call(&format!("[{PROVIDER_V6}]"))].join(" && ");
            let output = run(&format!("--scope namespace -- bash -c {}", quoted(&calls)));
            assert!(output.status.success(), "{}", text(&output));
            let report = report();
            assert_eq!(
                (&report["scope"], &report["calls"]),
                (&"namespace".into(), &2.into()),
                "{report}"
            );
            let reason = report["scope_reason"].as_str().expect("a reason");
            for words in [
                "nothing else passes",
                "no pasta: pasta is not installed",
                "install the package passt",
            ] {
                assert!(reason.contains(words), "{reason}");
            }
            let said = text(&run("--scope namespace --quiet -- python3 /mnt/inside.py"));
            assert_eq!(
                said,
                "another port: served\na closed port: reset\nnames by tcp: 203.0.113.7\nthe machine's loopback: refused\n\
                 udp 443: rejected\nudp 123: rejected\nudp6 443: rejected\nudp6 123: rejected\n"
            );
        }
        nothing_is_left();
    });
}

/// The provider's, and the resolver's answer to every question.
pub(crate) const ADDRESS_OF_EVERY_NAME: &str = "203.0.113.7";

/// A resolver that gives the provider's address for every name, by UDP and TCP; a service on
/// another port; and one on the machine's loopback.
pub(crate) fn services() -> impl Drop {
    root(&format!(
        "cat > /mnt/services.py <<'END'\n{SERVICES}END\ncat > /mnt/inside.py <<'END'\n{INSIDE}END\n\
         ip address add 203.0.113.53/32 dev lo; echo nameserver 203.0.113.53 > /etc/resolv.conf"
    ));
    let child = Command::new("python3").arg("/mnt/services.py").spawn();
    let services = Services(child.expect("python"));
    wait_for("the services", || Path::new("/mnt/services.up").exists());
    services
}

struct Services(std::process::Child);

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVICES: &str = r#"
import selectors, socket, struct
def answer(question):
    end = question.index(b"\0", 12) + 5
    kind = struct.unpack(">H", question[end - 4:end - 2])[0]
    found = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("203.0.113.7") if kind == 1 else b""
    return question[:2] + b"\x81\x80\0\1" + struct.pack(">HHH", 1 if found else 0, 0, 0) + question[12:end] + found
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("203.0.113.53", 53))
waiting = selectors.DefaultSelector()
waiting.register(udp, selectors.EVENT_READ)
for address in (("203.0.113.53", 53), ("203.0.113.7", 8099), ("127.0.0.1", 8098)):
    tcp = socket.create_server(address)
    waiting.register(tcp, selectors.EVENT_READ)
open("/mnt/services.up", "w").close()
while True:
    for key, _ in waiting.select():
        if key.fileobj is udp:
            question, asker = udp.recvfrom(4096)
            udp.sendto(answer(question), asker)
            continue
        peer, _ = key.fileobj.accept()
        if key.fileobj.getsockname()[1] == 53:
            length, = struct.unpack(">H", peer.recv(2, socket.MSG_WAITALL))
            said = answer(peer.recv(length, socket.MSG_WAITALL))
            peer.sendall(struct.pack(">H", len(said)) + said)
        else:
            peer.sendall(b"served")
        peer.close()
"#;

const INSIDE: &str = r#"
import socket, struct
def outcome(address):
    try:
        with socket.create_connection(address, 60) as peer:
            return peer.recv(16).decode()
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"
print("another port:", outcome(("203.0.113.7", 8099)))
print("a closed port:", outcome(("203.0.113.7", 8097)))
question = b"\0\7\1\0\0\1\0\0\0\0\0\0\4name\0\0\1\0\1"
with socket.create_connection(("127.0.0.53", 53), 60) as resolver:
    resolver.sendall(struct.pack(">H", len(question)) + question)
    length, = struct.unpack(">H", resolver.recv(2, socket.MSG_WAITALL))
    print("names by tcp:", socket.inet_ntoa(resolver.recv(length, socket.MSG_WAITALL)[-4:]))
print("the machine's loopback:", outcome(("127.0.0.1", 8098)))
for name, family, address in (("udp", socket.AF_INET, "203.0.113.7"), ("udp6", socket.AF_INET6, "2001:db8::7")):
    for port in (443, 123):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        udp.settimeout(60)
        udp.connect((address, port))
        try:
            udp.send(b"x")
            udp.recv(1)
        except (ConnectionRefusedError, PermissionError):
            print(name, str(port) + ": rejected")
"#;

/// Root stays root, with the files of every user, with and without pasta.
pub(crate) fn root_keeps_its_rights_in_a_namespace() {
    on_network("scopes::root_keeps_its_rights_in_a_namespace", || {
        let _provider = Provider::start(PROVIDER_V4, FIRST);
        root(&format!(
            "install -m 600 -o {OPERATOR} /dev/null {HOME}/own && echo hers > {HOME}/own"
        ));
        for pasta in [true, false] {
            if !pasta {
                root("rm $(type -P pasta)");
            }
            let program = format!("id -u; cat {HOME}/own; {}", call(PROVIDER_V4));
            let line = format!(
                "HOME=/mnt {}",
                command(&format!(
                    "--scope namespace -- bash -c {}",
                    quoted(&program)
                ))
            );
            let output = shell_as("root", &line);
            let said = text(&output);
            assert!(
                output.status.success() && said.starts_with("0\nhers\n"),
                "{said}"
            );
            let report = report();
            assert_eq!(
                (&report["scope"], &report["calls"]),
                (&"namespace".into(), &1.into()),
                "{report}"
            );
            assert_eq!(report["scope_reason"].is_null(), pasta, "{report}");
        }
        let namespaces = root("lsns --noheadings --type net | wc -l");
        assert_eq!(namespaces.trim(), "1", "{}", root("lsns --type net"));
    });
}

/// Only what runs in the cgroup is captured, by iptables and by nft.
pub(crate) fn a_cgroup_is_captured_and_nothing_else_is() {
    on_network("scopes::a_cgroup_is_captured_and_nothing_else_is", || {
        let _providers = [
            Provider::start(PROVIDER_V4, FIRST),
            Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
        ];
        let cgroups = Cgroups::new();
        let calls = [call(PROVIDER_V4), call(&format!("[{PROVIDER_V6}]"))].join(" && ");
        let refused = cgroups.run("--scope cgroup -- touch started");
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(text(&refused).contains(INSTALL), "{}", text(&refused));
        for tool in ["iptables", "nft"] {
            if tool == "nft" {
                root("rm $(type -P iptables-save)");
            }
            let said = cgroups.install("agents");
            assert!(said.contains("TCP 443 goes to port 8744"), "{said}");
            root(&format!("{PROGRAM} redirect status --cgroup"));
            let output = cgroups.run(&format!("--scope cgroup -- bash -c {}", quoted(&calls)));
            assert!(output.status.success(), "{tool}: {}", text(&output));
            let report = report();
            assert_eq!(
                (&report["scope"], &report["calls"]),
                (&"cgroup".into(), &2.into()),
                "{report}"
            );

            // Beside it, another program of the same user reaches the provider itself.
            let issuer = format!(
                "curl -sS --cacert /var/lib/provider-{FIRST}.pem --resolve {HOST}:443:{PROVIDER_V4} -o /dev/null https://{HOST}/"
            );
            let beside = cgroups.shell(&issuer);
            assert!(beside.status.success(), "{tool}: {}", text(&beside));

            let quic = "exec 3<>/dev/udp/203.0.113.7/443 && echo hello >&3 && read -t 10 <&3";
            let quic = cgroups.run(&format!(
                "--scope cgroup --quiet -- bash -c {}",
                quoted(quic)
            ));
            let said = text(&quic);
            assert!(
                said.contains("refused") || said.contains("not permitted"),
                "{tool}: {said}"
            );

            root(&format!("{PROGRAM} redirect remove --cgroup"));
            let refused = cgroups.run("--scope cgroup -- touch started");
            assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
            assert!(text(&refused).contains(INSTALL), "{}", text(&refused));
            root(&format!("{PROGRAM} redirect remove --cgroup --purge"));
        }
        assert!(!Path::new(HOME).join("started").exists());
        assert!(!Path::new("/var/lib/gravimeter-redirect").exists());
    });
}

/// `auto` takes the cgroup where there is no namespace, and the proxy where another run has the
/// cgroup.
pub(crate) fn a_cgroup_comes_after_a_namespace_and_is_one_runs_at_a_time() {
    on_network(
        "scopes::a_cgroup_comes_after_a_namespace_and_is_one_runs_at_a_time",
        || {
            let cgroups = Cgroups::new();
            cgroups.install("agents");
            root("rm $(type -P pasta)");
            let inner = command("-- true").replace("run.json", "inner.json");
            let output = cgroups.run(&format!(
                "-- bash -c {}",
                quoted(&format!(
                    "echo $$ > {}/outside/cgroup.procs; {inner}",
                    cgroups.folder
                ))
            ));
            assert!(output.status.success(), "{}", text(&output));
            let (outer, inner) = (report(), root(&format!("cat {HOME}/inner.json")));
            assert_eq!(outer["scope"], "cgroup", "{outer}");
            let reason = outer["scope_reason"].as_str().expect("a reason");
            assert_eq!(
                reason,
                "no namespace: pasta is not installed; install the package passt"
            );
            let inner: serde_json::Value = serde_json::from_str(&inner).expect("JSON");
            assert_eq!(inner["scope"], "proxy", "{inner}");
            let reason = inner["scope_reason"].as_str().expect("a reason");
            assert!(reason.contains("no cgroup: port 8744"), "{reason}");
            let nested = cgroups.run(&format!("-- {}", command("--scope cgroup -- true")));
            assert!(
                text(&nested).contains("gravimeter itself runs in the cgroup"),
                "{}",
                text(&nested)
            );
            root(&format!("{PROGRAM} redirect remove --cgroup --purge"));
        },
    );
}

/// The cgroup is a slice of the user's own systemd, into which only that systemd may put a program.
pub(crate) fn a_slice_of_the_users_systemd_is_captured() {
    on_network("scopes::a_slice_of_the_users_systemd_is_captured", || {
        root("type -P systemd-run >/dev/null && test -x /lib/systemd/systemd");
        let _provider = Provider::start(PROVIDER_V4, FIRST);
        let cgroups = Cgroups::new();
        let manager = format!("{}/manager", cgroups.folder);
        root(&format!(
            "mkdir -p {manager}/init.scope /run/user/ann /run/systemd/system && chmod 700 /run/user/ann
             chown -R {OPERATOR} {manager} /run/user/ann"
        ));
        let start = format!(
            "echo $$ > {manager}/init.scope/cgroup.procs; exec setpriv --reuid {OPERATOR} --regid {OPERATOR} --init-groups \
             env -i PATH=$PATH HOME={HOME} XDG_RUNTIME_DIR=/run/user/ann /lib/systemd/systemd --user"
        );
        let mut systemd = Command::new("bash")
            .args(["-c", &start])
            .spawn()
            .expect("systemd");
        wait_for("systemd", || {
            Path::new("/run/user/ann/systemd/private").exists()
        });
        cgroups.install("manager/gravimeter.slice");
        // It belongs to systemd, which is the only one that may move a process there.
        root(&format!(
            "chown root {manager}/gravimeter.slice/cgroup.procs"
        ));
        let program = format!("grep ^0: /proc/self/cgroup; {}", call(PROVIDER_V4));
        let words = command(&format!("--scope cgroup -- bash -c {}", quoted(&program)));
        let output = cgroups.shell_in(
            "manager/init.scope",
            &format!("cd {HOME}; HOME={HOME} XDG_RUNTIME_DIR=/run/user/ann exec {words}"),
        );
        let said = text(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("/manager/gravimeter.slice/run-"), "{said}");
        assert_eq!(report()["calls"], 1, "{said}");
        systemd.kill().expect("it runs");
        systemd.wait().expect("it ends");
        root(&format!("{PROGRAM} redirect remove --cgroup"));
    });
}

/// The remedy for whatever is wrong with the cgroup's rules.
const INSTALL: &str = "sudo gravimeter redirect install --cgroup";

/// Cgroups of a test: the hierarchy is the machine's, whose other cgroups are left alone.
struct Cgroups {
    /// A folder that was given to the operator, with the cgroup `outside` for everything that is not
    /// captured.
    folder: String,
    path: String,
}

impl Cgroups {
    fn new() -> Self {
        root("mount -t cgroup2 none /sys/fs/cgroup");
        let path = format!("gravimeter-test-{}", uuid());
        let folder = format!("/sys/fs/cgroup/{path}");
        root(&format!(
            "mkdir -p {folder}/outside && chown -R {OPERATOR} {folder}"
        ));
        Self { folder, path }
    }

    /// The rules for one of them.
    fn install(&self, cgroup: &str) -> String {
        let path = &self.path;
        root(&format!(
            "{PROGRAM} redirect install --cgroup {path}/{cgroup} --operator {OPERATOR}"
        ))
    }

    /// `gravimeter run` by the operator, outside of the captured cgroup.
    fn run(&self, words: &str) -> Output {
        self.shell(&line(words))
    }

    fn shell(&self, line: &str) -> Output {
        self.shell_in("outside", line)
    }

    fn shell_in(&self, cgroup: &str, line: &str) -> Output {
        let enter = format!(
            "echo $$ > {}/{cgroup}/cgroup.procs; exec setpriv --reuid {OPERATOR} --regid {OPERATOR} --init-groups bash -c {}",
            self.folder,
            quoted(line)
        );
        shell_as("root", &enter)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let folder = &self.folder;
        root(&format!(
            "for round in $(seq 100); do
                 for procs in $(find {folder} -name cgroup.procs); do xargs -r kill -9 < $procs; done 2>/dev/null
                 find {folder} -depth -type d -exec rmdir {{}} \\; 2>/dev/null
                 test -d {folder} || exit 0
                 sleep 0.1
             done; exit 1"
        ));
    }
}

fn uuid() -> String {
    root("cat /proc/sys/kernel/random/uuid").trim().to_owned()
}

/// Each thing that a way needs is taken away: the next one is taken, the reason and the remedy are
/// shown, and what was asked for by name is refused where it cannot be had.
pub(crate) fn what_is_missing_is_named_and_the_next_way_is_taken() {
    on_network(
        "scopes::what_is_missing_is_named_and_the_next_way_is_taken",
        || {
            let doctor = || {
                text(&shell_as(
                    OPERATOR,
                    &format!("HOME={HOME} {PROGRAM} doctor run"),
                ))
            };
            let sound = doctor();
            for words in [
                "works: all connections to port 443",
                "no redirect rules for a cgroup are installed",
                INSTALL,
                "works for programs that use HTTPS_PROXY",
            ] {
                assert!(sound.contains(words), "{sound}");
            }
            root("mkdir /mnt/taken");
            for (taken, back, what, remedy, works_without_pasta) in [
                (
                    "chmod 600 /dev/net/tun",
                    "chmod 666 /dev/net/tun",
                    "/dev/net/tun cannot be used",
                    "chmod 666",
                    true,
                ),
                (
                    "umount /dev/net/tun && mv -f $(type -P pasta) /mnt/taken",
                    "mv /mnt/taken/pasta /usr/bin; mount --bind /mnt/tun /dev/net/tun",
                    "pasta is not installed",
                    "install the package passt",
                    true,
                ),
                (
                    "mv $(readlink -f $(type -P ip)) $(type -P pasta) /mnt/taken",
                    "mv /mnt/taken/pasta /mnt/taken/ip /usr/bin",
                    "pasta is not installed",
                    "install the package passt",
                    false,
                ),
                (
                    "mv $(type -P unshare) /mnt/taken",
                    "mv /mnt/taken/unshare /usr/bin",
                    "unshare is not installed",
                    "install the package util-linux",
                    false,
                ),
                (
                    "rm $(type -P iptables-restore ip6tables-restore nft)",
                    "true",
                    "iptables is not installed",
                    "install the package iptables",
                    false,
                ),
            ] {
                root(taken);
                let output = run("-- true");
                assert!(output.status.success(), "{taken}: {}", text(&output));
                let report = report();
                assert_eq!(report["scope"], "proxy", "{taken}: {report}");
                let reason = report["scope_reason"].as_str().expect("a reason");
                let found = doctor();
                for shown in [reason, found.as_str()] {
                    assert!(
                        shown.contains(what) && shown.contains(remedy),
                        "{taken}: {shown}"
                    );
                }
                assert_eq!(
                    found.contains("works without pasta"),
                    works_without_pasta,
                    "{taken}: {found}"
                );
                root(&format!("rm -f {HOME}/started"));
                let asked = run("--scope namespace -- touch started");
                assert_eq!(
                    asked.status.success(),
                    works_without_pasta,
                    "{taken}: {}",
                    text(&asked)
                );
                assert_eq!(
                    Path::new(HOME).join("started").exists(),
                    works_without_pasta,
                    "{taken}"
                );
                root(back);
            }
            nothing_is_left();
        },
    );
}

/// A machine on which no process may make a user namespace. The limit is that of a user namespace
/// around the test, whose users are the machine's.
pub(crate) fn without_user_namespaces_the_proxy_is_used() {
    on_network("scopes::without_user_namespaces_the_proxy_is_used", || {
        let as_operator =
            format!("setpriv --reuid {OPERATOR} --regid {OPERATOR} --init-groups bash -c");
        write_program(
            "/usr/local/bin/limited",
            &format!(
                "#!/bin/bash\nmkfifo /mnt/ready /mnt/mapped\n\
                 unshare --user bash -c 'echo $$ > /mnt/ready; read -r _ < /mnt/mapped; exec bash -c \"echo 0 > /proc/sys/user/max_user_namespaces && exec {as_operator} \\\"\\$1\\\"\" limited \"$1\"' limited \"$1\" &\n\
                 read -r pid < /mnt/ready\n\
                 echo 0 0 65536 > /proc/$pid/uid_map; echo 0 0 65536 > /proc/$pid/gid_map; echo > /mnt/mapped\n\
                 rm /mnt/ready /mnt/mapped; wait $!\n"
            ),
        );
        let limited = |line: &str| shell_as("root", &format!("limited {}", quoted(line)));
        let _provider = Provider::start(PROVIDER_V4, FIRST);
        let output = limited(&line("-- true"));
        assert!(output.status.success(), "{}", text(&output));
        let report = report();
        assert_eq!(report["scope"], "proxy", "{report}");
        let reason = report["scope_reason"].as_str().expect("a reason");
        for words in [
            "user namespaces are turned off",
            "sudo sysctl user.max_user_namespaces",
        ] {
            assert!(reason.contains(words), "{reason}");
        }
        let refused = limited(&line("--scope namespace -- touch started"));
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(!Path::new(HOME).join("started").exists());
    });
}

/// A program that draws on the whole screen shows the same bytes by every way.
pub(crate) fn the_screen_is_the_same_byte_for_byte() {
    on_network("scopes::the_screen_is_the_same_byte_for_byte", || {
        root(&format!("cat > /mnt/screen.py <<'END'\n{SCREEN}END"));
        let program = "python3 /mnt/screen.py";
        let alone = screen(&format!("exec {program}"));
        assert_eq!(
            screen(&line(&format!("--scope namespace --quiet -- {program}"))),
            alone
        );
        root("rm $(type -P pasta)");
        assert_eq!(
            screen(&line(&format!("--scope namespace --quiet -- {program}"))),
            alone
        );
    });
}

/// What a program shows that is run on a terminal and answers some keys.
fn screen(line: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let mut command = as_user(OPERATOR);
    command.args(["bash", "-c", line]);
    runtime.expect("a runtime").block_on(async {
        let mut pty = Pty::start(&command, 24, 101);
        for (keys, shown) in [
            ("", "size 101x24\r\n"),
            ("a", "key b'a'\r\n"),
            ("\x03", "key b'\\x03'\r\n"),
            ("\x1a", "key b'\\x1a'\r\n"),
        ] {
            pty.enter(keys);
            pty.shows(shown).await;
        }
        pty.resize(30, 77);
        pty.shows("size 77x30\r\n").await;
        pty.enter("q");
        let (status, screen) = pty.end().await;
        assert!(status.success(), "{line}: {screen:?}");
        screen
    })
}

const SCREEN: &str = include_str!("../it/kit/screen.py");

/// Without pasta a killed holder costs nothing: the network is the kernel's and ours.
pub(crate) fn without_pasta_a_killed_holder_costs_nothing() {
    on_network(
        "scopes::without_pasta_a_killed_holder_costs_nothing",
        || {
            root("rm $(type -P pasta)");
            let _provider = Provider::start(PROVIDER_V4, FIRST);
            root(&format!("rm -f {HOME}/go"));
            let after = format!(
                "while ! test -e go; do sleep 0.01; done; {}",
                call(PROVIDER_V4).replace('\'', "'\\''")
            );
            let child = background(&after);
            let holder = "^/usr/local/bin/gravimeter run-stage hold";
            root(&format!("pkill -9 -u {OPERATOR} -f '{holder}'"));
            wait_for("its end", || {
                !shell_as(
                    "root",
                    &format!("pgrep -r R,S,D -u {OPERATOR} -f '{holder}'"),
                )
                .status
                .success()
            });
            root(&format!("touch {HOME}/go"));
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", text(&output));
            assert_eq!(report()["calls"], 1);
            nothing_is_left();

            let mut child = background("exec sleep 1000");
            child.kill().expect("it runs");
            child.wait().expect("it ends");
            nothing_is_left();
        },
    );
}

/// `--scope user`: as the user of the redirect rules, through sudo, with keys, signals and exit code.
pub(crate) fn another_user_runs_on_the_same_terminal() {
    on_network("scopes::another_user_runs_on_the_same_terminal", || {
        let _providers = [
            Provider::start(PROVIDER_V4, FIRST),
            Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
        ];
        let state = format!("--scope user --state.dir {STATE}");
        let refused = run(&format!("{state} -- touch started"));
        assert!(
            text(&refused).contains("redirect install"),
            "{}",
            text(&refused)
        );
        install();
        let closed = run("--scope user -- true");
        assert!(
            text(&closed).contains("set state.dir to /var/lib/gravimeter"),
            "{}",
            text(&closed)
        );
        root(&format!("chmod 755 {STATE}"));
        let calls = [call(PROVIDER_V4), call(&format!("[{PROVIDER_V6}]"))].join(" && ");
        let program = format!("id -un; echo $HOME; {calls} >/dev/null; exit 7");
        let output = run(&format!("{state} -- bash -c {}", quoted(&program)));
        let said = text(&output);
        assert_eq!(output.status.code(), Some(7), "{said}");
        assert!(
            said.starts_with(&format!("{AGENT}\n/var/lib/{AGENT}\n")),
            "{said}"
        );
        assert_eq!(
            (&report()["scope"], &report()["calls"]),
            (&"user".into(), &2.into()),
            "{said}"
        );

        root(&format!("cat > /mnt/screen.py <<'END'\n{SCREEN}END"));
        let alone = screen("exec python3 /mnt/screen.py");
        let other = screen(&line(&format!("{state} --quiet -- python3 /mnt/screen.py")));
        assert_eq!(other, alone);

        let waiting = "trap 'echo asked; exit 3' TERM; echo up; while :; do sleep 0.01; done";
        let mut child = as_user(OPERATOR);
        child.args([
            "bash",
            "-c",
            &line(&format!("{state} --quiet -- bash -c {}", quoted(waiting))),
        ]);
        let mut child = child.stdout(Stdio::piped()).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), "up");
        root(&format!("kill -TERM {}", child.id()));
        assert_eq!(lines.next().expect("a line").expect("text"), "asked");
        assert_eq!(child.wait().expect("it ends").code(), Some(3));

        root("iptables -t nat -F OUTPUT");
        let refused = run(&format!("{state} -- touch started"));
        assert!(
            text(&refused).contains("the redirect rules of"),
            "{}",
            text(&refused)
        );
    });
}

/// Go reads one variable, and no proxy is named to it.
pub(crate) fn a_go_program_needs_only_ssl_cert_file() {
    client::build_client();
    on_network("scopes::a_go_program_needs_only_ssl_cert_file", || {
        let provider = Provider::start(PROVIDER_V4, FIRST);
        let client = client::client_words(&provider);
        let program = format!("exec env -i SSL_CERT_FILE=$SSL_CERT_FILE {client} -n 3");
        let output = run(&format!(
            "--scope namespace -- bash -c {}",
            quoted(&program)
        ));
        assert!(output.status.success(), "{}", text(&output));
        let report = report();
        assert_eq!(report["calls"], 3, "{report}");
        for (kind, each) in client::TOKENS {
            assert_eq!(report["tokens"][kind], 3 * each, "{kind}: {report}");
        }
        nothing_is_left();
    });
}
