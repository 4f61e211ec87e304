//! The CONNECT proxy on a machine with addresses and users of its own.

use gravimeter::capture::LoopGuard;
use gravimeter::record::RefuseReason;

use crate::running::{count, scrape, serve_ready_with, stop, wait_for, write_idle_agent};
use crate::stage::{OPERATOR, STATE, install, on_stage, root, shell_as, text};

/// Public addresses of the machine itself, from the moment at which it has them.
pub(crate) fn an_own_address_is_inside_for_as_long_as_it_is_one() {
    on_stage(
        "connect::an_own_address_is_inside_for_as_long_as_it_is_one",
        || {
            let guard = LoopGuard::new(vec![], true);
            for (address, spellings) in [
                ("1.2.3.4/32", &["1.2.3.4:443", "[::ffff:1.2.3.4]:443"][..]),
                ("10.2.3.4/32", &["10.2.3.4:443"]),
                ("2a00:1450::4/128", &["[2a00:1450::4]:443"]),
            ] {
                let refused =
                    |spelling: &&str| guard.requested(spelling.parse().expect("an address")).err();
                let all = |expected| {
                    spellings
                        .iter()
                        .all(|spelling| refused(spelling) == expected)
                };
                assert!(all(None), "{address} is somebody else's");
                root(&format!(
                    "ip address add {address} dev lo $([[ {address} != *:* ]] || echo nodad)"
                ));
                assert!(
                    all(Some(RefuseReason::ForbiddenDestination)),
                    "{address} is our own"
                );
                root(&format!("ip address del {address} dev lo"));
                assert!(all(None), "{address} is somebody else's again");
            }
        },
    );
}

/// A user who is neither the operator nor the agent gets nothing of the proxy but a refusal,
/// however many times he asks.
pub(crate) fn other_users_are_refused_and_counted() {
    on_stage("connect::other_users_are_refused_and_counted", || {
        install();
        write_idle_agent();
        root("useradd mallory && useradd bob");
        let bob = root("id -u bob");
        let gravimeter = serve_ready_with(&[
            ("GRAVIMETER_CAPTURE_CONNECT_LISTEN", "127.0.0.1:8743"),
            ("GRAVIMETER_CAPTURE_CONNECT_USERS", bob.trim()),
        ]);
        // Not intercepted, not resolved and refused only after the door has opened: a CONNECT that
        // was answered 200.
        let ask = "exec 3<>/dev/tcp/127.0.0.1/8743 && printf 'CONNECT host.invalid:443 HTTP/1.1\\r\\n\\r\\n' >&3 && head -1 <&3";
        for served in [OPERATOR, "bob"] {
            assert!(
                text(&shell_as(served, ask)).starts_with("HTTP/1.1 200 "),
                "{served}"
            );
        }
        let refused = || {
            count(
                "gravimeter_connections_refused_total",
                "reason=\"other_user\"",
            )
        };
        assert_eq!(refused(), 0);
        for (asked, other) in (1..).zip(["mallory", "root", "mallory"]) {
            let said = text(&shell_as(other, ask));
            assert!(said.starts_with("HTTP/1.1 403 "), "{other}: {said}");
            wait_for("the refusal", || refused() == asked);
        }
        assert!(
            !scrape().contains("reason=\"unknown_user\"} 1"),
            "every owner was found"
        );
        stop(gravimeter);
    });
}

/// At its port, and at its Unix socket, whose file everybody may write to.
pub(crate) fn other_users_are_refused_at_the_base_url_door() {
    on_stage(
        "connect::other_users_are_refused_at_the_base_url_door",
        || {
            install();
            write_idle_agent();
            root("useradd mallory && useradd bob");
            let socket = format!("{STATE}/base-url.sock");
            let gravimeter = serve_ready_with(&[
                ("GRAVIMETER_CAPTURE_BASE_URL_LISTEN", "127.0.0.1:8744"),
                ("GRAVIMETER_CAPTURE_BASE_URL_SOCKET", socket.as_str()),
                ("GRAVIMETER_CAPTURE_CONNECT_USERS", "bob"),
            ]);
            // No server is behind that path: who is served is told so.
            let ask = "curl -s -w ' %{http_code}' http://localhost:8744/nothing";
            let by_socket = format!("{ask} --unix-socket {socket}");
            for served in [OPERATOR, "bob"] {
                for ask in [ask, by_socket.as_str()] {
                    let said = text(&shell_as(served, ask));
                    assert!(said.ends_with(" 404"), "{served}: {said}");
                }
            }
            for other in ["mallory", "root"] {
                let said = text(&shell_as(other, ask));
                assert!(said.ends_with(" 403"), "{other}: {said}");
                let said = text(&shell_as(other, &by_socket));
                assert!(said.ends_with(" 000"), "{other}: {said}");
            }
            let refused = "gravimeter_connections_refused_total";
            wait_for("the refusals", || {
                count(refused, "reason=\"other_user\"") == 4
            });
            stop(gravimeter);
        },
    );
}

/// With the redirect, which `agent.user` asks for, nobody finds the proxy unless it was asked for.
pub(crate) fn beside_a_redirect_nobody_listens() {
    on_stage("connect::beside_a_redirect_nobody_listens", || {
        install();
        write_idle_agent();
        let gravimeter = serve_ready_with(&[]);
        let listening = root("ss -Hltn 'sport = :8743'");
        assert_eq!(listening, "", "{STATE}");
        stop(gravimeter);
    });
}
