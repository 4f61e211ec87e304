//! The redirect rules: whom they catch, that they come all or none, that they go without a trace.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gravimeter::capture::redirect::{Config, FamilyStatus, Redirect, Status};
use gravimeter::record::{Fact, IpFamily, Record};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::role;
use crate::stage::{
    self, AGENT, OPERATOR, PROVIDER_V4, PROVIDER_V6, SCRIPT, root, shell_as, text, write_program,
};

pub(crate) fn only_the_agents_port_443_is_redirected() {
    stage::on_stage("rules::only_the_agents_port_443_is_redirected", || {
        stage::install();
        for address in ["127.0.0.1:8742", "[::1]:8742"] {
            greet(address, "gravimeter");
        }
        for address in [PROVIDER_V4, PROVIDER_V6] {
            greet(&socket(address, 443), "provider");
            greet(&socket(address, 8443), "provider");
        }
        let mapped = format!("::ffff:{PROVIDER_V4}");
        for address in [PROVIDER_V4, PROVIDER_V6, &mapped] {
            assert_eq!(greeting(AGENT, address, 443), "gravimeter", "{address}");
            assert_eq!(greeting(OPERATOR, address, 443), "provider", "{address}");
            assert_eq!(greeting("root", address, 443), "provider", "{address}");
            assert_eq!(
                greeting(AGENT, address, 8443),
                "provider",
                "another port of {address}"
            );
        }
        root(&format!("{SCRIPT} remove"));
        assert_eq!(greeting(AGENT, PROVIDER_V4, 443), "provider");
        assert_eq!(greeting(AGENT, PROVIDER_V6, 443), "provider");
    });
}

pub(crate) fn a_dead_gravimeter_refuses_at_once() {
    stage::on_stage("rules::a_dead_gravimeter_refuses_at_once", || {
        stage::install();
        greet(&socket(PROVIDER_V4, 443), "provider");
        greet(&socket(PROVIDER_V6, 443), "provider");
        for address in [PROVIDER_V4, PROVIDER_V6] {
            assert_eq!(greeting(AGENT, address, 443), "refused", "{address}");
        }
    });
}

pub(crate) fn the_agent_cannot_reach_gravimeter_directly() {
    stage::on_stage("rules::the_agent_cannot_reach_gravimeter_directly", || {
        stage::install();
        for address in ["127.0.0.1", "::1"] {
            for port in [8741, 8742, 8743, 8744] {
                greet(&socket(address, port), "gravimeter");
            }
            for port in [8741, 8742, 8743] {
                assert_eq!(
                    greeting(AGENT, address, port),
                    "refused",
                    "{address} {port}"
                );
                assert_eq!(
                    greeting(OPERATOR, address, port),
                    "gravimeter",
                    "{address} {port}"
                );
            }
            assert_eq!(
                greeting(AGENT, address, 8744),
                "gravimeter",
                "its own RPC on {address}"
            );
        }
    });
}

pub(crate) fn http_3_is_refused_at_once() {
    stage::on_stage("rules::http_3_is_refused_at_once", || {
        stage::install();
        for address in [PROVIDER_V4, PROVIDER_V6] {
            let provider = UdpSocket::bind(socket(address, 443)).expect("a UDP socket");
            provider.set_nonblocking(true).expect("its mode");
            // A refused datagram is an error of the write or of the read behind it; a dropped one
            // would wait ten seconds.
            let ask = format!(
                "exec 3<>/dev/udp/{address}/443 && echo hello >&3 && read -t 10 <&3; echo $?"
            );
            let said = text(&shell_as(AGENT, &ask));
            assert!(
                said.contains("refused") || said.contains("not permitted"),
                "{said}"
            );
            assert!(provider.recv(&mut [0; 16]).is_err(), "nothing may arrive");
            shell_as(OPERATOR, &format!("echo hello >/dev/udp/{address}/443"));
            assert!(
                provider.recv(&mut [0; 16]).is_ok(),
                "another user's datagram arrives"
            );
        }
    });
}

pub(crate) fn rules_come_all_or_none() {
    stage::on_stage("rules::rules_come_all_or_none", || {
        surround();
        let before = stage::all_rules();
        // The first run only tests the rules, the second one commits them.
        for (failing, reported) in [(1, "would not take"), (2, "did not take")] {
            root("rm -f /run/runs");
            let shim = format!(
                "#!/bin/bash\necho >>/run/runs\n\
                 [[ $(wc -l </run/runs) -ne {failing} ]] || {{ echo the shim fails >&2; exit 4; }}\n\
                 exec /usr/sbin/ip6tables-restore \"$@\"\n"
            );
            // The script looks there first.
            write_program("/usr/local/sbin/ip6tables-restore", &shim);
            let output = shell_as("root", &format!("{SCRIPT} install"));
            assert_eq!(output.status.code(), Some(1), "{}", text(&output));
            assert!(text(&output).contains(reported), "{}", text(&output));
            assert_eq!(stage::all_rules(), before, "failing at step {failing}");
            assert_eq!(
                shell_as("root", &format!("{SCRIPT} status")).status.code(),
                Some(3)
            );
        }
    });
}

pub(crate) fn rules_go_without_a_trace() {
    stage::on_stage("rules::rules_go_without_a_trace", || {
        surround();
        let before = (stage::all_rules(), places());
        stage::install();
        let installed = stage::all_rules();
        assert_ne!(installed, before.0);
        stage::install();
        assert_eq!(
            stage::all_rules(),
            installed,
            "installing twice changes nothing"
        );
        // A second instance is a neighbour, not a part.
        root(&format!(
            "{SCRIPT} install --name other --port 9000 --keep-away 9001 --no-sudoers"
        ));
        root(&format!("{SCRIPT} remove --name other --purge"));
        assert_eq!(stage::all_rules(), installed);
        for options in ["", "", "--purge", "--purge"] {
            root(&format!("{SCRIPT} remove {options}"));
            assert_eq!(stage::all_rules(), before.0);
        }
        assert_eq!(places(), before.1, "files, users and groups");
    });
}

pub(crate) fn rules_of_a_half_broken_installation_are_removed_too() {
    stage::on_stage(
        "rules::rules_of_a_half_broken_installation_are_removed_too",
        || {
            surround();
            let before = stage::all_rules();
            stage::install();
            root(
                "rm -r /var/lib/gravimeter-redirect && ip6tables -t nat -D OUTPUT 1 && iptables -F GRAVIMETER_gravimeter",
            );
            assert_eq!(
                text(&shell_as("root", &format!("{SCRIPT} status"))),
                "ipv4 partial\nipv6 partial\n"
            );
            root(&format!("{SCRIPT} remove"));
            assert_eq!(stage::all_rules(), before);
        },
    );
}

pub(crate) fn a_user_who_is_not_made_by_us_stays() {
    stage::on_stage("rules::a_user_who_is_not_made_by_us_stays", || {
        root("useradd --system bob");
        root(&format!(
            "{SCRIPT} install --user bob && {SCRIPT} remove --purge && id bob"
        ));
    });
}

pub(crate) fn older_connections_are_warned_of() {
    stage::on_stage("rules::older_connections_are_warned_of", || {
        assert!(!stage::install().contains("warning"), "nobody runs");
        root(&format!("{SCRIPT} remove"));
        let mut running = stage::as_user(AGENT)
            .args(["sleep", "1000"])
            .spawn()
            .expect("a process");
        // setpriv may still be root.
        while !shell_as(
            "root",
            &format!("[[ $(stat -c %U /proc/{}) = {AGENT} ]]", running.id()),
        )
        .status
        .success()
        {}
        assert!(stage::install().contains("opened before now stay direct and unmetered"));
        assert!(
            !stage::install().contains("warning"),
            "the rules were there already"
        );
        running
            .kill()
            .and_then(|()| running.wait())
            .expect("its end");
    });
}

pub(crate) fn misuse_is_told_with_a_remedy() {
    stage::on_stage("rules::misuse_is_told_with_a_remedy", || {
        let refused = |user: &str, line: &str, status: i32, remedy: &str| {
            let output = shell_as(user, &format!("{SCRIPT} {line}"));
            assert_eq!(
                output.status.code(),
                Some(status),
                "{line}: {}",
                text(&output)
            );
            assert!(text(&output).contains(remedy), "{line}: {}", text(&output));
        };
        refused(OPERATOR, "install", 1, "run it with sudo");
        refused(
            "root",
            "install --user root",
            1,
            "root cannot be redirected",
        );
        refused("root", "install --port 70000", 2, "from 1 to 65535");
        refused("root", "install --name 'x;y'", 2, "a-z, 0-9 and -");
        for ports in [
            "1,,x",
            "1,2,",
            ",1",
            "'1 2'",
            "'/*'",
            "0",
            "65536",
            "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16",
        ] {
            refused(
                "root",
                &format!("install --keep-away {ports}"),
                2,
                "separated by commas",
            );
        }
        refused("root", "install --program /bin/true", 2, "--operator");
        refused(
            "root",
            "install --operator ann --program '/bin/true ALL'",
            2,
            "absolute path",
        );
        refused(
            "root",
            &format!("install --operator {AGENT} --program /bin/true"),
            2,
            "intercept himself",
        );
        for same in ["--no-sudoers", "", "--program /bin/true"] {
            refused(
                "root",
                &format!("install --operator {AGENT} {same}"),
                2,
                "intercept himself",
            );
        }
        refused(
            "root",
            "install --operator 'x y' --no-sudoers",
            2,
            "not a user name",
        );
        refused(
            "root",
            "install --operator ann --program /usr/bin",
            2,
            "not an executable file",
        );
        refused(
            "root",
            "install --operator ann --program /etc/passwd",
            2,
            "not an executable file",
        );
        refused("root", "install --user", 2, "needs a value");
        refused("root", "frobnicate", 2, "Usage");
        let bare = root(&format!(
            "setpriv --bounding-set -net_admin {SCRIPT} install 2>&1 || true"
        ));
        assert!(bare.contains("CAP_NET_ADMIN is missing"), "{bare}");
        root("rm /usr/sbin/ip6tables-save");
        refused("root", "install", 1, "install the iptables package");
        assert_eq!(root("iptables-save"), "", "nothing was changed");
    });
}

pub(crate) fn the_sudoers_file_permits_three_fixed_commands() {
    stage::on_stage(
        "rules::the_sudoers_file_permits_three_fixed_commands",
        || {
            stage::install();
            let file = root("cat /etc/sudoers.d/gravimeter");
            assert!(
                !file.contains('*') && !file.contains("(ALL") && !file.contains(" SETENV"),
                "{file}"
            );
            assert_eq!(
                root("stat -c '%a %U' /etc/sudoers.d/gravimeter"),
                "440 root\n"
            );
            root("visudo -c");
            let may = |line: &str| {
                shell_as(OPERATOR, &format!("sudo -n {line}"))
                    .status
                    .success()
            };
            assert!(may(
                "/usr/local/libexec/gravimeter/mitm-redirect status --name gravimeter"
            ));
            for other in ["status --name other", "remove", "install", "status"] {
                assert!(
                    !may(&format!(
                        "/usr/local/libexec/gravimeter/mitm-redirect {other}"
                    )),
                    "{other}"
                );
            }
            assert!(!may(&format!("-u {AGENT} /bin/true")));
            assert!(!may(&format!("-u {AGENT} {} serve", stage::PROGRAM)));
            // PATH of the caller must not choose what root runs.
            root("mkdir /run/evil.d");
            write_program("/run/evil.d/iptables-save", "#!/bin/sh\ntouch /run/evil\n");
            let sudo = "PATH=/run/evil.d:$PATH sudo -n /usr/local/libexec/gravimeter/mitm-redirect status --name gravimeter";
            assert_eq!(
                text(&shell_as(OPERATOR, sudo)),
                "ipv4 active\nipv6 active\n"
            );
            root("[[ ! -e /run/evil ]]");
        },
    );
}

/// The same rules where iptables is not installed.
pub(crate) fn nft_does_where_iptables_is_missing() {
    stage::on_stage("rules::nft_does_where_iptables_is_missing", || {
        root("rm $(type -P iptables-save iptables-restore ip6tables-save ip6tables-restore)");
        stage::install();
        for address in ["127.0.0.1", "::1"] {
            greet(&socket(address, 8742), "gravimeter");
            greet(&socket(address, 8741), "gravimeter");
        }
        for address in [PROVIDER_V4, PROVIDER_V6] {
            greet(&socket(address, 443), "provider");
            assert_eq!(greeting(AGENT, address, 443), "gravimeter", "{address}");
            assert_eq!(greeting(OPERATOR, address, 443), "provider", "{address}");
            let ask = format!(
                "exec 3<>/dev/udp/{address}/443 && echo hello >&3 && read -t 10 <&3; echo $?"
            );
            let said = text(&shell_as(AGENT, &ask));
            assert!(
                said.contains("refused") || said.contains("not permitted"),
                "{said}"
            );
        }
        for address in ["127.0.0.1", "::1"] {
            assert_eq!(greeting(AGENT, address, 8741), "refused", "{address}");
        }
        let status = || {
            let output = shell_as("root", &format!("{SCRIPT} status"));
            (text(&output), output.status.code())
        };
        assert_eq!(status(), ("ipv4 active\nipv6 active\n".to_owned(), Some(0)));
        root("nft flush chain ip gravimeter_gravimeter nat");
        assert_eq!(
            status(),
            ("ipv4 partial\nipv6 active\n".to_owned(), Some(3))
        );
        stage::install();
        assert_eq!(status().1, Some(0));
        root(&format!("{SCRIPT} remove --purge"));
        assert_eq!(root("nft list ruleset"), "");
        assert!(!std::path::Path::new("/var/lib/gravimeter-redirect").exists());
    });
}

pub(crate) fn drift_is_stated() {
    stage::on_stage("rules::drift_is_stated", || {
        let config = Config {
            poll: Duration::from_millis(50),
            ..Config::default()
        };
        let redirect = Arc::new(Redirect::new(config));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let (facts, mut heard) = mpsc::channel(64);
        let shutdown = CancellationToken::new();
        runtime.block_on(async {
            redirect.install(None).await.expect("the rules");
            let record = Facts(Mutex::new(facts));
            let flush = async {
                until(&mut heard, [true, true]).await;
                root("iptables -t nat -F OUTPUT");
                until(&mut heard, [false, true]).await;
                assert_eq!(
                    redirect.status().await.expect("a status").ipv4,
                    FamilyStatus::Partial
                );
                redirect.install(None).await.expect("the rules");
                until(&mut heard, [true, true]).await;
                assert!(
                    redirect
                        .subscribe()
                        .borrow()
                        .is_some_and(Status::is_complete)
                );
                redirect.remove(true).await.expect("removed");
                until(&mut heard, [false, false]).await;
                shutdown.cancel();
            };
            tokio::join!(redirect.watch(&record, &shutdown), flush);
        });
    });
}

pub(crate) fn the_operator_sees_the_status_without_root() {
    stage::on_stage("rules::the_operator_sees_the_status_without_root", || {
        assert!(
            role::status().contains("run `gravimeter redirect install` as root once"),
            "{}",
            role::status()
        );
        let redirect = Redirect::new(Config::default());
        let operator = gravimeter::capture::redirect::Operator {
            user: OPERATOR.into(),
            program: stage::PROGRAM.into(),
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime
            .block_on(redirect.install(Some(&operator)))
            .expect("the rules");
        // The copy that sudo runs is the script that the program carries.
        root(&format!(
            "diff {SCRIPT} /usr/local/libexec/gravimeter/mitm-redirect"
        ));
        assert_eq!(role::status(), "Ok(Status { ipv4: Active, ipv6: Active })");
        root("ip6tables -t nat -F OUTPUT");
        assert_eq!(role::status(), "Ok(Status { ipv4: Active, ipv6: Partial })");
    });
}

struct Facts(Mutex<mpsc::Sender<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        let sent = self.0.lock().expect("the channel").try_send(fact);
        sent.expect("room for a few facts");
    }
}

/// Waits for the facts to say this of IPv4 and IPv6; an installation in the making may be seen half
/// way.
async fn until(facts: &mut mpsc::Receiver<Fact>, expected: [bool; 2]) {
    let mut seen = [!expected[0], !expected[1]];
    while seen != expected {
        match facts.recv().await {
            Some(Fact::Redirect {
                family: IpFamily::Ipv4,
                active,
            }) => seen[0] = active,
            Some(Fact::Redirect {
                family: IpFamily::Ipv6,
                active,
            }) => seen[1] = active,
            other => panic!("not of the redirect: {other:?}"),
        }
    }
}

/// Somebody else's rules around ours.
fn surround() {
    root(
        "for tool in iptables ip6tables; do
            $tool -t nat -N FOREIGN && $tool -t nat -A OUTPUT -p tcp --dport 9 -j FOREIGN
            $tool -A OUTPUT -m comment --comment 'gravimeter is not me' -j ACCEPT
            $tool -t mangle -A OUTPUT -j MARK --set-mark 7
        done",
    );
}

/// Everything that an installation may leave outside the kernel.
fn places() -> String {
    root("ls -R /etc/sudoers.d /var/lib/gravimeter-redirect /usr/local/libexec/gravimeter /var/lib/antigravity-ls 2>&1 || true
        cat /etc/passwd /etc/group /etc/shadow")
}

fn socket(address: &str, port: u16) -> String {
    SocketAddr::new(address.parse().expect("an address"), port).to_string()
}

/// Greets everyone who connects to `address`, for as long as the stage stands.
fn greet(address: &str, greeting: &'static str) {
    let listener = TcpListener::bind(address).expect("a listener");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.write_all(greeting.as_bytes());
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let _ = stream.read(&mut [0; 1]);
        }
    });
}

/// What a user hears when he connects, or `refused`.
fn greeting(user: &str, address: &str, port: u16) -> String {
    let said = text(&shell_as(user, &format!("cat </dev/tcp/{address}/{port}")));
    if said.contains("Connection refused") {
        "refused".into()
    } else {
        said
    }
}
