//! The whole main job: a stand-in language server as its own user, led by real rules and started
//! through a real sudo by Gravimeter of another user, and on to providers at addresses that are not
//! loopback.

use std::path::Path;

use serde_json::{Value, json};

use crate::running::{
    AGENT_PROGRAM, FIRST, GRAVIMETER_ISSUER, PROVIDER_ISSUER, Provider, SECOND, exchanges,
    foreign_rules, intercepted, issuer, readiness, scrape, serve, serve_ready, settled_usage, stop,
    wait_for, write_idle_agent,
};
use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, PROVIDER_V6, SCRIPT, STATE, all_rules, as_user, install,
    on_stage, root, shell_as, text, write_program,
};

/// Case 42 and its IPv6 half: counts are exact, other users' traffic is untouched, nothing of the
/// rules stays behind.
pub(crate) fn a_language_server_of_its_own_user_is_counted_to_the_token() {
    on_stage(
        "whole::a_language_server_of_its_own_user_is_counted_to_the_token",
        || {
            foreign_rules();
            let before = all_rules();
            let providers = [
                Provider::start(PROVIDER_V4, FIRST),
                Provider::start(&format!("[{PROVIDER_V6}]"), SECOND),
            ];
            install();
            write_program(AGENT_PROGRAM, &agent_program(&providers));
            let gravimeter = serve();
            wait_for("both visits", || {
                Path::new("/var/lib/antigravity-ls/done").exists()
            });

            let truths: Vec<Value> = providers.iter().map(Provider::truth).collect();
            let usage = settled_usage(truths.iter().map(exchanges).sum());
            let models = truths[0]["models"].as_object().expect("models");
            assert!(!models.is_empty());
            for model in models.keys() {
                for kind in ["input", "cache_read", "tool_input", "output", "thinking"] {
                    let sent: u64 = truths
                        .iter()
                        .map(|truth| truth["models"][model][kind].as_u64().unwrap_or(0))
                        .sum();
                    let label = format!("model=\"{model}\",kind=\"{kind}\"}} {sent}");
                    assert_eq!(
                        usage["models"][model][format!("{kind}_tokens")],
                        sent,
                        "{model} {kind}"
                    );
                    assert!(scrape().contains(&label), "/metrics: {label}");
                }
            }
            for line in [
                "redirect_active{family=\"ipv4\"} 1",
                "redirect_active{family=\"ipv6\"} 1",
                "agent_up 1",
            ] {
                assert!(scrape().contains(&format!("gravimeter_{line}")), "{line}");
            }
            assert!(
                shell_as("root", &format!("pgrep -u {AGENT} -x sleep"))
                    .status
                    .success()
            );

            others_go_straight_to_the_provider(&providers);
            assert!(
                !shell_as(AGENT, "curl -s -m 5 127.0.0.1:8741/metrics")
                    .status
                    .success(),
                "the exporter is out of reach"
            );
            assert!(
                !shell_as(AGENT, "curl -s -m 5 127.0.0.1:8742/")
                    .status
                    .success(),
                "so is the redirect door"
            );
            stop(gravimeter);
            assert!(
                !shell_as("root", &format!("pgrep -u {AGENT}"))
                    .status
                    .success(),
                "the agent has ended"
            );
            root(&format!("{SCRIPT} remove --purge"));
            assert_eq!(all_rules(), before, "the rules are as they were");
        },
    );
}

/// Issuers tell who answered: Gravimeter's CA for the agent's user, the provider's own root for
/// everybody else.
fn others_go_straight_to_the_provider(providers: &[Provider]) {
    let before = intercepted();
    assert!(before > 0, "the agent's own connections");
    for address in providers.iter().map(|provider| &provider.at) {
        for other in ["root", OPERATOR] {
            let issuer = issuer(other, address);
            assert!(
                issuer.contains(PROVIDER_ISSUER),
                "{other} at {address}: {issuer}"
            );
        }
    }
    for address in providers.iter().map(|provider| &provider.at) {
        let issuer = issuer(AGENT, address);
        assert!(issuer.contains(GRAVIMETER_ISSUER), "{address}: {issuer}");
    }
    // The agent's two came last: once they are counted, whatever came before them is, too.
    let expected = before + providers.len() as u64;
    wait_for("the agent's connections", || intercepted() >= expected);
    assert_eq!(
        intercepted(),
        expected,
        "Gravimeter saw nothing of the others"
    );
}

/// Case 50: rules that somebody took away show in the metric and in readiness.
pub(crate) fn rules_that_vanish_are_told() {
    on_stage("whole::rules_that_vanish_are_told", || {
        install();
        write_idle_agent();
        let gravimeter = serve_ready();
        root("iptables -t nat -F OUTPUT");
        wait_for("the metric", || {
            scrape().contains("gravimeter_redirect_active{family=\"ipv4\"} 0")
        });
        wait_for("unreadiness", || readiness() == "503");
        stop(gravimeter);
    });
}

/// M5: Gravimeter refuses to run as the user whose traffic is led to it.
pub(crate) fn the_redirected_user_cannot_run_gravimeter() {
    on_stage("whole::the_redirected_user_cannot_run_gravimeter", || {
        install();
        let home = format!("/var/lib/{AGENT}/state");
        let flags = [
            "serve",
            "--capture.redirect",
            "require",
            "--state.dir",
            &home,
        ];
        let output = as_user(AGENT)
            .arg(PROGRAM)
            .args(flags)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        let expected = format!("gravimeter runs as {AGENT} (uid ");
        assert!(text(&output).contains(&expected), "{}", text(&output));
        assert!(
            text(&output).contains("whose traffic is redirected"),
            "{}",
            text(&output)
        );
    });
}

/// What a new user does: install, then serve. The state folder that install makes is found without
/// being named.
pub(crate) fn an_installed_gravimeter_needs_no_more_words() {
    on_stage("whole::an_installed_gravimeter_needs_no_more_words", || {
        write_idle_agent();
        let flags = [
            "serve",
            "--agent.user",
            AGENT,
            "--agent.command",
            AGENT_PROGRAM,
        ];
        // A home that nobody else may pass, and no other place.
        root(&format!("rmdir {STATE} && chmod 700 /var/lib/ann"));
        let refused = as_user(OPERATOR)
            .env("HOME", "/var/lib/ann")
            .arg(PROGRAM)
            .args(flags)
            .output()
            .expect("the program runs");
        assert_eq!(refused.status.code(), Some(1), "{}", text(&refused));
        assert!(
            text(&refused).contains("/var/lib/ann is closed to other users"),
            "{}",
            text(&refused)
        );

        install();
        let gravimeter = as_user(OPERATOR)
            .env("HOME", "/var/lib/ann")
            .arg(PROGRAM)
            .args(flags)
            .spawn()
            .expect("Gravimeter");
        wait_for("readiness", || readiness() == "200");
        assert!(
            shell_as(AGENT, &format!("cat {STATE}/trust/bundle.pem"))
                .status
                .success()
        );
        assert!(!shell_as(AGENT, &format!("ls {STATE}/ca")).status.success());
        stop(gravimeter);
        root(&format!("{SCRIPT} remove --purge"));
        assert!(!Path::new(STATE).exists());
    });
}

/// Visits each provider in turn, says so, and stays.
fn agent_program(providers: &[Provider]) -> String {
    let visits = providers.iter().map(|provider| {
        let options = json!({
            "dial": provider.at, "conversations": 4, "rounds": 3, "pause_ms": 0, "backoff_ms": 1, "abort_percent": 0,
        });
        format!("{PROGRAM} demo-agent --options '{options}' </dev/null || exit 1\n")
    });
    format!(
        "#!/bin/bash\ncat >/dev/null\n{}touch /var/lib/{AGENT}/done\nexec sleep infinity\n",
        visits.collect::<String>()
    )
}
