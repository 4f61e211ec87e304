use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::budget::{Amount, GroupBy, OnError, Unit, Window};
use crate::record::{
    Cost, Fact, Host, Model, Outcome, PathShape, Provider, Quota, QuotaWindow, Sink as _,
    TokenUsage, UnreadCall, UnreadReason,
};
use crate::summary::Collector;
use crate::summary::collector::tests::{call, circumstances as sample_circumstances};

fn text(collector: &Collector, circumstances: Circumstances) -> String {
    let text = render(&collector.report(circumstances), UNIX_EPOCH);
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
        assert!(line.chars().all(|c| !c.is_control()), "{line:?}");
    }
    text
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

#[test]
fn a_run_is_summed_up_in_a_few_lines() {
    let collector = Collector::default();
    let mut call = call("claude-opus", 0, 40);
    call.usage = TokenUsage::default()
        .with(TokenKind::Input, 1000)
        .with(TokenKind::CacheRead, 3000)
        .with(TokenKind::Output, 500);
    call.cost = Some(Cost::from_nano_usd(12_300_000));
    call.timing.time_to_first_chunk = Some(Duration::from_millis(850));
    collector.receive(&Fact::Call(Box::new(call)));
    for window in [QuotaWindow::Day, QuotaWindow::Requests] {
        collector.receive(&Fact::Quota(Quota {
            provider: Provider::CloudCode,
            model: Model::from_wire("gemini"),
            window,
            remaining: 0.42,
            resets_at: Some(UNIX_EPOCH + Duration::from_secs(2 * 3600)),
        }));
    }
    let expected = "\
gravimeter    claude ran for 1 min 40 s; a model worked for 40 s of it (40 %)
calls         1: 1 ok
tokens        4,500: 1,000 input, 3,000 cache read, 500 output
cache         75 % of the input was read from the cache
cost          $0.0123
model         claude-opus
first chunk   p50 850 ms, p95 850 ms
limit         42 % of gemini (1d) left, full again in 2 h 0 min
scope         namespace: all connections to port 443
details       `gravimeter usage`, log ~/state/runs/1/log
";
    assert_eq!(text(&collector, sample_circumstances()), expected);
}

#[test]
fn several_models_are_a_table() {
    let collector = Collector::default();
    for (model, served) in [("gemini-3-pro", "gemini-3-pro-low"), ("b", "b")] {
        let mut call = call(model, 0, 1);
        call.served_model = Some(Model::from_wire(served));
        collector.receive(&Fact::Call(Box::new(call)));
    }
    let text = text(&collector, sample_circumstances());
    assert!(text.contains("MODEL "), "{text}");
    assert!(
        text.contains("gemini-3-pro (answered: gemini-3-pro-low)"),
        "{text}"
    );
    assert!(!text.contains("\nmodel "), "{text}");
}

#[test]
fn what_was_not_seen_is_named_with_what_helps() {
    let collector = Collector::default();
    collector.receive(&Fact::Call(Box::new(call("m", 0, 1))));
    collector.receive(&Fact::CertificateRejected(host("api.example.com")));
    for number in 0..5 {
        collector.receive(&Fact::ConnectionTunnelled {
            reason: TunnelReason::NotSelected,
            host: Some(host(&format!("h{number}.example.com"))),
        });
    }
    collector.receive(&Fact::CallUnread(UnreadCall {
        provider: None,
        host: host("llm.example.com"),
        path: PathShape::of("/v9/chat"),
        reason: UnreadReason::EventStream,
    }));
    let circumstances = Circumstances {
        scope: "proxy".into(),
        scope_reason: Some(
            "no namespace: pasta is not installed; install the package passt".to_owned(),
        ),
        scope_failure: Some("the network was lost".to_owned()),
        ledger: Recorded::Nowhere("/state/ledger.db is in use".to_owned()),
        ..sample_circumstances()
    };
    let text = text(&collector, circumstances);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "not seen the network was lost",
        "does not trust Gravimeter's CA for api.example.com: give it the file that SSL_CERT_FILE or NODE_EXTRA_CA_CERTS names",
        "1 call in no format that is read, to llm.example.com/v9/chat",
        "5 connections to other hosts: h0.example.com, h1.example.com, h2.example.com and 2 more",
        "proxy: what does not use HTTPS_PROXY is not seen (no namespace: pasta is not installed; install the package passt)",
        "not kept in the ledger (/state/ledger.db is in use)",
    ] {
        assert!(words.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_ledger_that_another_process_has_gets_the_calls_later() {
    let circumstances = Circumstances {
        ledger: Recorded::Later("/state/ledger.db".into()),
        ..sample_circumstances()
    };
    let collector = Collector::default();
    collector.receive(&Fact::Call(Box::new(call("m", 0, 1))));
    let text = text(&collector, circumstances);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("in the ledger when the other gravimeter that has it has ended; log"),
        "{text}"
    );
}

#[test]
fn a_run_without_a_call_is_one_line_with_a_remedy() {
    let collector = Collector::default();
    let render = |collector: &Collector, scope: &'static str| {
        let circumstances = Circumstances {
            scope: Cow::Borrowed(scope),
            ..sample_circumstances()
        };
        render(&collector.report(circumstances), UNIX_EPOCH)
    };
    for (scope, remedy) in [
        ("proxy", "--scope namespace"),
        ("namespace", "port or proxy"),
    ] {
        let text = render(&collector, scope);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("no call of a model was seen") && text.contains(remedy),
            "{text}"
        );
    }
    collector.receive(&Fact::CertificateRejected(host("api.example.com")));
    assert!(render(&collector, "proxy").contains("api.example.com"));
    let circumstances = Circumstances {
        already_running: Some(4711),
        ..sample_circumstances()
    };
    let text = super::render(&collector.report(circumstances), UNIX_EPOCH);
    assert!(text.contains("ran already (process 4711)"), "{text}");
}

#[test]
fn budgets_are_named_with_what_they_have_stopped() {
    let collector = Collector::default();
    collector.receive(&Fact::ConnectionRefused(RefuseReason::Budget));
    let nothing = render(&collector.report(sample_circumstances()), UNIX_EPOCH);
    assert!(
        nothing.contains("1 connection refused, as a budget is used up"),
        "{nothing}"
    );
    collector.receive(&Fact::Call(Box::new(call("claude-opus", 0, 1))));
    let dollars = |value| Amount {
        unit: Unit::Cost,
        value,
    };
    let status = BudgetStatus {
        name: "daily".parse().unwrap(),
        unit: Unit::Cost,
        limit: dollars(5_000_000_000),
        per: Window::Day,
        by: GroupBy::All,
        only: Vec::new(),
        warn: 0.8,
        stop: Some(1.0),
        fail: OnError::Open,
        since: None,
        until: "2026-12-01T00:00:00Z".parse().ok(),
        state: State::Stopped,
        used: dollars(5_020_000_000),
        used_ratio: 1.004,
        is_lower_bound: true,
        lifted_until: None,
        stops: 1,
        groups: Vec::new(),
    };
    let circumstances = Circumstances {
        budgets: vec![status],
        ..sample_circumstances()
    };
    let text = text(&collector, circumstances);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let expected = "budget daily: at least $5.02 of $5.00 a day spent (100 %), stopped until 2026-12-01T00:00:00Z";
    assert!(words.contains(expected), "{text}");
}

/// Of the names in a report, those of hosts and models come from the traffic, that of the program
/// and the log from the user.
#[test]
fn no_name_steers_the_terminal_or_breaks_the_width() {
    let collector = Collector::default();
    let mut hostile = call(&"m\u{1b}[2J".repeat(40), 0, 1);
    hostile.outcome = Outcome::StreamError;
    collector.receive(&Fact::Call(Box::new(hostile)));
    collector.receive(&Fact::Call(Box::new(call("b", 0, 1))));
    let circumstances = Circumstances {
        program: crate::record::printable("x\u{1b}[2J\r"),
        log: PathBuf::from("/state/\u{1b}/log"),
        ..sample_circumstances()
    };
    text(&collector, circumstances);
}

#[test]
fn long_entries_are_broken_into_lines() {
    assert_eq!(entry("x", &"word ".repeat(40)).lines().count(), 4);
}
