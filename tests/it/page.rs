//! Promise: the page shows in a real browser what `/v1/usage` answers, keeps up by itself, survives
//! a restart of the program, and loads nothing from outside.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gravimeter::demo::agent::{AgentOptions, converse};
use gravimeter::demo::provider::ProviderOptions;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::kit::soon;
use crate::skip;
use crate::whole::Whole;

/// Chromium with the page open. It ends when it is dropped.
struct Browser {
    _child: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Skips the test where Playwright is not installed.
    fn open(page: SocketAddr) -> Option<Self> {
        let python = skip::tool(
            "Playwright",
            "playwright/bin/python",
            Some("PLAYWRIGHT_PYTHON"),
        )?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/page.py");
        let mut child = Command::new(python)
            .args([
                script.as_os_str(),
                "judge".as_ref(),
                format!("http://{page}").as_ref(),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python");
        let questions = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        Some(Self {
            _child: child,
            questions,
            answers,
        })
    }

    async fn ask(&mut self, question: &str) -> Value {
        self.questions
            .write_all(format!("{question}\n").as_bytes())
            .await
            .expect("a running browser");
        let answer = soon(self.answers.next_line())
            .await
            .expect("a line")
            .expect("an answer");
        serde_json::from_str(&answer).expect("JSON")
    }
}

async fn gravimeter(web: SocketAddr) -> Whole {
    let script = ProviderOptions {
        seed: 11,
        max_events: 5,
        ..ProviderOptions::default()
    };
    Whole::with(script, |config| config.web.listen = Some(web)).await
}

async fn some_calls(gravimeter: &Whole, seed: u64) {
    let agent = AgentOptions {
        rounds: Some(5),
        pause_ms: 0,
        abort_percent: 10,
        seed,
        ..gravimeter.agent()
    };
    let tasks = &gravimeter.provider_tasks;
    let outcome = converse(agent, tasks.tracker(), tasks.stopping())
        .await
        .expect("an agent");
    assert!(outcome.is_clean(), "{:?}", outcome.failures);
}

/// The columns of the table of models, from the answer of `/v1/usage`.
fn columns(usage: &Value) -> Vec<u64> {
    let fields = [
        "calls",
        "input",
        "cache_read",
        "cache_write",
        "tool_input",
        "output",
        "thinking",
        "total",
    ];
    let name = |field: &str| {
        if field == "calls" {
            field.to_owned()
        } else {
            format!("{field}_tokens")
        }
    };
    fields
        .iter()
        .map(|field| usage[name(field)].as_u64().expect("a figure"))
        .collect()
}

async fn agrees(gravimeter: &Whole, browser: &mut Browser) {
    let shown = browser.ask("figures").await;
    let usage: Value = serde_json::from_str(&gravimeter.get("/v1/usage").await).expect("JSON");
    let sum = |fields: &[&str]| {
        fields
            .iter()
            .map(|field| usage["totals"][field].as_u64().expect("a figure"))
            .sum()
    };
    let cards: [(&str, u64); 4] = [
        ("tokens", sum(&["total_tokens"])),
        ("calls", sum(&["calls"])),
        (
            "input",
            sum(&[
                "input_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "tool_input_tokens",
            ]),
        ),
        ("output", sum(&["output_tokens", "thinking_tokens"])),
    ];
    for (card, expected) in cards {
        assert_eq!(
            shown["cards"][card].as_u64(),
            Some(expected),
            "{card}: {shown}"
        );
    }
    let models = usage["models"].as_object().expect("models");
    assert!(!models.is_empty() && cards[0].1 > 0);
    assert_eq!(
        shown["models"].as_object().expect("rows").len(),
        models.len()
    );
    for (model, group) in models {
        let row: Vec<u64> = serde_json::from_value(shown["models"][model].clone()).expect("a row");
        assert_eq!(row, columns(group), "{model}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_shows_what_the_api_answers_and_survives_a_restart() {
    let first = gravimeter(crate::whole::any_port()).await;
    let web = first.exporter();
    some_calls(&first, 1).await;
    let Some(mut browser) = Browser::open(web) else {
        return first.stop().await;
    };
    agrees(&first, &mut browser).await;
    some_calls(&first, 2).await;
    agrees(&first, &mut browser).await;
    let before = browser.ask("figures").await;
    first.stop().await;
    let lost = browser.ask("lost").await;
    assert_eq!(lost["cards"], before["cards"], "the last figures stay");

    let second = gravimeter(web).await;
    some_calls(&second, 3).await;
    agrees(&second, &mut browser).await;
    let keyboard = browser.ask("keyboard").await;
    let focused: Vec<_> = keyboard["focused"]
        .as_array()
        .expect("names")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(focused[..2], ["Pause", "Models"], "{focused:?}");
    let faults = browser.ask("faults").await;
    assert_eq!(faults["outside"], serde_json::json!([]));
    let wrong = faults["wrong"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(Value::as_str);
    // What the browser says of the time in between.
    let wrong: Vec<_> = wrong.filter(|message| !message.contains("ERR_")).collect();
    assert_eq!(wrong, [""; 0]);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_page_shows_what_to_copy_at_every_width() {
    let gravimeter = gravimeter(crate::whole::any_port()).await;
    let Some(mut browser) = Browser::open(gravimeter.exporter()) else {
        return gravimeter.stop().await;
    };
    let shown = browser.ask("invitation").await;
    assert_eq!(shown["too_wide"], serde_json::json!([]), "{shown}");
    let commands = shown["commands"].as_array().expect("commands");
    let commands: Vec<_> = commands.iter().filter_map(Value::as_str).collect();
    assert_eq!(
        commands.first(),
        Some(&"gravimeter run -- PROGRAM"),
        "{commands:?}"
    );
    let proxy = format!("HTTPS_PROXY=http://{} ", gravimeter.connect());
    for program in [
        "claude",
        "codex",
        "gemini",
        "agy",
        "node app.js",
        "python3 app.py",
        "./app",
    ] {
        let command = commands.iter().find(|command| command.ends_with(program));
        assert!(
            command.is_some_and(|command| command.starts_with(&proxy)),
            "{program}: {shown}"
        );
    }
    gravimeter.stop().await;
}
