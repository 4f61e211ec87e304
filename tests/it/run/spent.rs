//! The summary at the end of a run, and where its calls are kept.

use std::fs;
use std::process::{Output, Stdio};

use super::{Stage, borrowed, call, err, out};
use crate::kit::binary::until;

const USAGE: &str = "prompt=16 cached=4 thoughts=42 output=3";

#[test]
fn what_a_program_spends_is_counted_to_the_token_and_kept() {
    let stage = Stage::new();
    let words = call(USAGE);
    let output = stage.run(&borrowed(&words)).output().expect("it runs");
    assert!(output.status.success(), "{}", err(&output));
    assert!(out(&output).contains("usageMetadata"), "the answer itself");
    let summary = err(&output);
    for expected in [
        "gravimeter    curl ran for ",
        "calls         1: 1 ok\n",
        "tokens        61: 12 input, 4 cache read, 3 output, 42 thinking\n",
        "cache         25 % of the input was read from the cache\n",
        "scope         proxy: what does not use HTTPS_PROXY is not seen\n",
    ] {
        assert!(summary.contains(expected), "{expected}\n{summary}");
    }
    for line in summary.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let json = stage.json();
    assert_eq!(json["tokens"]["thinking"], 42, "{json}");
    assert_eq!(json["models"][0]["asked"], "gemini-3-pro", "{json}");
    assert!(json["first_chunk_p50_seconds"].is_number(), "{json}");

    // The next run adds to the same ledger, and its summary is of itself alone.
    let again = stage.run(&borrowed(&words)).output().expect("it runs");
    assert!(
        err(&again).contains("calls         1: 1 ok\n"),
        "{}",
        err(&again)
    );
    let mut usage = stage.as_user();
    usage
        .arg(stage.path("gravimeter"))
        .args(["usage", "--json", "--web.listen", "127.0.0.1:9"]);
    let kept = usage.output().expect("it runs");
    let kept: serde_json::Value = serde_json::from_str(&out(&kept)).expect("JSON");
    assert_eq!(kept["totals"]["calls"], 2, "{kept}");
    assert_eq!(kept["totals"]["thinking_tokens"], 84, "{kept}");
}

/// No `serve` runs: each run sums the budget up from the ledger, adds to it, and obeys it.
#[test]
fn a_budget_is_told_of_at_the_end_and_goes_on_in_the_next_run() {
    let stage = Stage::new();
    let budget = r#"[{ name = "small", tokens = 100, per = "month", stop = 1.0, zone = "UTC" }]"#;
    let spend = || {
        let mut run = stage.as_user();
        run.args(stage.words("proxy"))
            .args(["--budget", budget, "--"]);
        run.args(call(USAGE)).output().expect("it runs")
    };
    // Long lines are wrapped.
    let told = |output: &Output| {
        let summary = err(output);
        summary.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let first = spend();
    assert!(first.status.success(), "{}", err(&first));
    let line = "budget small: 61 tokens of 100 tokens a month spent (61 %) scope ";
    assert!(told(&first).contains(line), "{}", err(&first));
    assert_eq!(stage.json()["budgets"][0]["state"], "ok");

    let second = spend();
    assert!(second.status.success(), "{}", err(&second));
    let line = "budget small: 122 tokens of 100 tokens a month spent (122 %), stopped until 20";
    assert!(told(&second).contains(line), "{}", err(&second));
    let json = stage.json();
    assert_eq!(json["tokens"]["output"], 3, "its own alone: {json}");
    assert_eq!(json["budgets"][0]["state"], "stopped", "{json}");

    let third = spend();
    assert!(!third.status.success(), "the call is not carried");
    let refused = "1 connection refused, as a budget is used up";
    assert!(told(&third).contains(refused), "{}", err(&third));
}

#[test]
fn a_run_without_a_call_gets_one_line_and_a_quiet_one_none() {
    let stage = Stage::new();
    let output = stage.run(&["echo", "hello"]).output().expect("it runs");
    assert_eq!(out(&output), "hello\n");
    let summary = err(&output);
    assert_eq!(summary.lines().count(), 1, "{summary}");
    assert!(summary.contains("no call of a model was seen"), "{summary}");

    let mut quiet = stage.as_user();
    quiet
        .args(stage.words("proxy"))
        .args(["--quiet", "--", "echo", "hello"]);
    let output = quiet.output().expect("it runs");
    assert_eq!(
        (out(&output).as_str(), err(&output).as_str()),
        ("hello\n", "")
    );
}

/// The ledger has one writer: the second one says that it keeps nothing, and each sums up its own.
#[tokio::test]
async fn two_runs_at_once_do_not_harm_each_other() {
    let stage = Stage::new();
    let ready = stage.home().join("ready");
    let go = stage.home().join("go");
    let script = format!(
        "touch {}; while ! test -e {}; do sleep 0.01; done",
        ready.display(),
        go.display()
    );
    let mut first = stage.as_user();
    first
        .args(stage.words("proxy"))
        .args(["--", "sh", "-c", &script]);
    let first = first.stderr(Stdio::piped()).spawn().expect("it runs");
    until(async || ready.exists().then_some(())).await;
    let second = stage
        .run(&borrowed(&call(USAGE)))
        .output()
        .expect("it runs");
    assert!(second.status.success(), "{}", err(&second));
    let summary = err(&second);
    assert!(summary.contains("tokens        61: "), "{summary}");
    assert!(summary.contains("not kept in the ledger"), "{summary}");
    fs::write(&go, "").expect("written");
    let first = first.wait_with_output().expect("it ends");
    assert!(first.status.success(), "{}", err(&first));

    let third = stage
        .run(&borrowed(&call(USAGE)))
        .output()
        .expect("it runs");
    assert!(
        err(&third).contains("`gravimeter usage`"),
        "{}",
        err(&third)
    );
}

/// Files that the user names for a company's own roots are kept, with our CA added.
#[test]
fn the_environment_is_the_users_own_with_our_ca() {
    let stage = Stage::new();
    let corporate = stage.home().join("corporate.pem");
    fs::write(&corporate, "# corporate\n").expect("written");
    let script =
        "cat $NODE_EXTRA_CA_CERTS; echo $OWN $HTTPS_PROXY; grep -c BEGIN $SSL_CERT_FILE; ulimit -n";
    let plain = stage
        .as_user()
        .args(["sh", "-c", "ulimit -n"])
        .output()
        .expect("it runs");
    let output = stage
        .run(&["sh", "-c", script])
        .env("OWN", "kept")
        .env("NODE_EXTRA_CA_CERTS", &corporate)
        .output()
        .expect("it runs");
    let said = out(&output);
    assert!(
        said.starts_with("# corporate\n-----BEGIN CERTIFICATE-----"),
        "{said}"
    );
    assert!(said.contains("\nkept http://127.0.0.1:"), "{said}");
    let lines: Vec<_> = said.lines().rev().take(2).collect();
    assert_eq!(
        format!("{}\n", lines[0]),
        out(&plain),
        "the limit of open files"
    );
    assert!(
        lines[1].parse::<u32>().expect("a number") > 10,
        "the system's roots and ours"
    );
    assert_eq!(
        fs::read_to_string(&corporate).expect("there"),
        "# corporate\n"
    );
}

#[test]
fn another_proxy_is_refused_with_a_remedy() {
    let stage = Stage::new();
    let output = stage
        .run(&["true"])
        .env("HTTPS_PROXY", "http://proxy.example:3128")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("unset HTTPS_PROXY"),
        "{}",
        err(&output)
    );
}
