//! Faults that need a kernel of one's own: a provider behind a black hole, no free port, an agent
//! killed in mid-stream.

use std::process::{Child, Command, Stdio};

use crate::running::{
    AGENT_PROGRAM, FIRST, HOST, Provider, count, readiness, scrape, serve_ready, serve_ready_with,
    stop, wait_for, write_idle_agent,
};
use crate::stage::{
    AGENT, OPERATOR, PROGRAM, PROVIDER_V4, STATE, as_user, install, on_stage, root, write_program,
};

/// Case 58: nobody pays for an answer that nobody waits for.
pub(crate) fn a_killed_agent_stops_what_it_had_asked_for() {
    on_stage("faults::a_killed_agent_stops_what_it_had_asked_for", || {
        let provider = Provider::with_pause(PROVIDER_V4, FIRST, SLOW);
        install();
        let question =
            format!("curl -sN -o /dev/null {CALL} --cacert {STATE}/trust/bundle.pem {DIRECT}");
        write_program(AGENT_PROGRAM, &format!("#!/bin/bash\nexec {question}\n"));
        let gravimeter = serve_ready();
        wait_for("the call", || in_flight() == 1);
        root(&format!("pkill -9 -u {AGENT} -x curl"));
        wait_for("its end at the provider", || aborted(&provider) == 1);
        wait_for("the record", || {
            count("gravimeter_calls_total", "outcome=\"aborted\"") == 1
        });
        wait_for("the next agent", || in_flight() == 1);
        assert_eq!(
            count("gravimeter_agent_restarts_total", "reason=\"killed\""),
            1
        );
        stop_at_once(gravimeter);
    });
}

/// Case 59: packets are dropped, nobody says a word. The agent is told after the limit, in
/// mid-stream and before.
pub(crate) fn a_provider_that_vanishes_is_given_up() {
    on_stage("faults::a_provider_that_vanishes_is_given_up", || {
        let _provider = Provider::with_pause(PROVIDER_V4, FIRST, SLOW);
        install();
        write_idle_agent();
        let gravimeter = serve_ready_with(&[
            ("GRAVIMETER_TIMEOUTS_IDLE", "6s"),
            ("GRAVIMETER_TIMEOUTS_UPSTREAM_CONNECT", "2s"),
        ]);
        let mut agent = call(&as_agent(), DIRECT);
        wait_for("the call", || in_flight() == 1);
        // Of the idle connections, the kernel asks after a minute whether the peer is still there.
        let timers = root("ss -Htno state established dport = :443");
        assert!(
            timers.lines().count() > 0 && timers.lines().all(asks_within_a_minute),
            "{timers}"
        );

        for rule in [
            format!("-p tcp -d {PROVIDER_V4} --dport 443 -m owner --uid-owner {OPERATOR}"),
            format!("-p tcp -s {PROVIDER_V4} --sport 443 -m owner --uid-owner root"),
        ] {
            root(&format!("iptables -I OUTPUT {rule} -j DROP"));
        }
        assert!(
            !agent.wait().expect("its end").success(),
            "a broken answer is no answer"
        );
        wait_for("the time-out", || {
            count("gravimeter_timeouts_total", "step=\"idle\"") == 1
        });
        assert!(
            !call(&as_agent(), DIRECT).wait().expect("its end").success(),
            "no connection is no answer either"
        );
        wait_for("the time-out", || {
            count("gravimeter_timeouts_total", "step=\"upstream_connect\"") == 1
        });

        root("iptables -D OUTPUT 1 && iptables -D OUTPUT 1");
        let mut agent = call(&as_agent(), DIRECT);
        wait_for("service as before", || in_flight() == 1);
        agent.kill().expect("a signal");
        agent.wait().expect("its end");
        stop_at_once(gravimeter);
    });
}

/// Whether the timer of a connection, as ss(8) shows it, is the one of keepalive, set to a minute
/// at most; a chunk that is under way has another one.
fn asks_within_a_minute(connection: &str) -> bool {
    let Some((_, timer)) = connection.split_once("timer:(keepalive,") else {
        return connection.contains("timer:(on,");
    };
    let left = timer.split(',').next().unwrap_or_default();
    left.ends_with("sec") || left.ends_with("ms") || left == "1min"
}

/// A start that changes nothing needs no room on the disk.
pub(crate) fn a_full_disk_does_not_keep_gravimeter_from_starting_again() {
    on_stage(
        "faults::a_full_disk_does_not_keep_gravimeter_from_starting_again",
        || {
            root(&format!(
                "mount -t tmpfs -o size=4m,mode=755 tmpfs {STATE} && chown {OPERATOR}: {STATE}"
            ));
            let start = || {
                let mut command = as_user(OPERATOR);
                command.args([
                    PROGRAM,
                    "serve",
                    "--state.dir",
                    STATE,
                    "--capture.redirect",
                    "off",
                ]);
                let gravimeter = command.stdin(Stdio::null()).spawn().expect("Gravimeter");
                wait_for("readiness", || readiness() == "200");
                gravimeter
            };
            let files = || {
                root(&format!(
                    "cd {STATE}/trust && sha256sum *.pem && stat -c %i *.pem"
                ))
            };
            stop(start());
            let before = files();
            assert!(before.contains("bundle.pem"), "{before}");
            // It fails when it has used up the last block.
            root(&format!(
                "dd if=/dev/zero of={STATE}/filler bs=4k 2>/dev/null || true"
            ));
            assert_eq!(
                root(&format!("df --output=avail {STATE} | tail -1")).trim(),
                "0"
            );
            stop(start());
            assert_eq!(files(), before, "the same files");
        },
    );
}

/// Case 65: as many connections to a provider as there are ports, and no more.
pub(crate) fn without_a_free_port_newcomers_are_refused_and_the_others_live() {
    on_stage(
        "faults::without_a_free_port_newcomers_are_refused_and_the_others_live",
        || {
            let provider = Provider::with_pause(PROVIDER_V4, FIRST, SLOW);
            install();
            write_idle_agent();
            let resolve = format!("{HOST}:443={}", provider.at);
            let gravimeter = serve_ready_with(&[
                ("GRAVIMETER_UPSTREAM_RESOLVE", &resolve),
                ("GRAVIMETER_CAPTURE_CONNECT_LISTEN", "127.0.0.1:8743"),
            ]);
            // A port is free again a second after its connection has ended, not a minute.
            root(
                "cd /proc/sys/net/ipv4; echo 40000 40019 >ip_local_port_range; echo 1 >tcp_tw_reuse",
            );
            // The agents come from addresses of their own, so that only Gravimeter runs out of
            // ports.
            let mut agents: Vec<_> = (0..PORTS + REFUSED)
                .map(|number| call(&by_proxy(number), ""))
                .collect();
            let refused = || {
                count(
                    "gravimeter_connections_refused_total",
                    "reason=\"upstream_connect\"",
                )
            };
            wait_for("those with a port", || in_flight() == PORTS);
            wait_for("those without", || refused() == REFUSED);
            assert_eq!(in_flight(), PORTS, "who was there stays");
            for agent in &mut agents {
                // Fails on those that were refused and have ended.
                let _ = agent.kill();
                agent.wait().expect("its end");
            }
            wait_for("their ends", || in_flight() == 0);
            wait_for("service as before", || {
                let mut agent = call(&by_proxy(0), "");
                let served = (0..20).any(|_| {
                    std::thread::sleep(std::time::Duration::from_millis(100));
                    in_flight() == 1
                });
                let _ = agent.kill();
                agent.wait().expect("its end");
                served
            });
            assert!(scrape().contains("gravimeter_"), "the exporter answers");
            stop_at_once(gravimeter);
        },
    );
}

fn in_flight() -> u64 {
    count("gravimeter_calls_in_flight", "provider")
}

fn aborted(provider: &Provider) -> u64 {
    let truth = provider.truth();
    let models = truth["models"].as_object().cloned().unwrap_or_default();
    models
        .values()
        .filter_map(|model| model["aborted"].as_u64())
        .sum()
}

/// A call as `way` leads it.
fn call((user, way): &(&str, String), more: &str) -> Child {
    let line = format!("exec curl -sN -o /dev/null {CALL} {way} {more}");
    let mut command: Command = as_user(user);
    command
        .args(["bash", "-c", &line])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("curl")
}

/// Redirected by its uid.
fn as_agent() -> (&'static str, String) {
    (AGENT, format!("--cacert {STATE}/trust/bundle.pem"))
}

/// Through the CONNECT proxy, ten from each address.
fn by_proxy(number: u64) -> (&'static str, String) {
    let from = format!("--interface 127.0.0.{}", 2 + number / 10);
    (
        OPERATOR,
        format!("--cacert {STATE}/trust/bundle.pem --proxy http://127.0.0.1:8743 {from}"),
    )
}

/// Two forced signals: what still runs is not waited for.
fn stop_at_once(mut gravimeter: Child) {
    root(&format!(
        "kill -TERM {0}; sleep 0.2; kill -TERM {0} 2>/dev/null || true",
        gravimeter.id()
    ));
    assert!(gravimeter.wait().expect("an end").success());
}

const PORTS: u64 = 20;
const REFUSED: u64 = 5;

/// Milliseconds between two events: longer than any of these tests looks at a stream.
const SLOW: u64 = 20_000;

const CALL: &str = concat!(
    "--http1.1 'https://daily-cloudcode-pa.googleapis.com/v1internal:streamGenerateContent?alt=sse' ",
    "-H 'Content-Type: application/json' -d '{\"model\":\"gemini-3.1-pro-low\",\"request\":{\"contents\":[{\"role\":\"user\",",
    "\"parts\":[{\"text\":\"demo: prompt=16 cached=4 thoughts=42 output=3 events=9\"}]}]}}'"
);
const DIRECT: &str = "--connect-to daily-cloudcode-pa.googleapis.com:443:203.0.113.7:443";
