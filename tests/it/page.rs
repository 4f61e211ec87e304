//! Promise: the page shows in a real browser what `/v1/usage` answers, keeps up by itself, survives
//! a restart of the program, and loads nothing from outside.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use gravimeter::demo::agent::{AgentOptions, converse};
use gravimeter::demo::provider::ProviderOptions;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::deploy::free_port;
use crate::kit::agent::{Agent, knock};
use crate::kit::binary::{Binary, PROGRAM, until};
use crate::kit::{read_all, soon};
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

/// The page of a program that is gone says so, and looks like it.
fn looks_dead(lost: &Value) {
    let says = lost["says"].as_str().expect("text");
    assert!(
        says.starts_with("Gravimeter is out of reach since ") && says.contains(" CET."),
        "{says}"
    );
    assert_eq!(lost["title"], "(out of reach) Gravimeter");
    assert_eq!(lost["ready"], false, "nobody knows whether it is ready");
    assert_eq!(lost["coloured"], json!([]), "nothing stays green");
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
    looks_dead(&lost);

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
    assert_eq!(focused[0], "Pause", "{focused:?}");
    assert!(focused.contains(&"Models"), "{focused:?}");
    let faults = browser.ask("faults").await;
    assert_eq!(faults["outside"], json!([]));
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
    assert_eq!(shown["too_wide"], json!([]), "{shown}");
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

/// One call of each of forty models with long names.
async fn many_models(gravimeter: &Whole) {
    let root = std::fs::read_to_string(gravimeter.state.path().join("ca/ca.pem"));
    let agent = Agent::new(&root.expect("a CA"), &["http/1.1"]);
    let target = format!("{PUBLIC_API}:443");
    for number in 0..40 {
        let tcp = knock(gravimeter.connect(), &target).await;
        let tcp = tcp.expect("a way to the provider");
        let mut session = agent.handshake(tcp, PUBLIC_API).await.expect("trust");
        let name = format!("publisher-of-models-{number}-a-model-with-a-long-name-preview-2026-11");
        let body =
            json!({"contents": [{"parts": [{"text": format!("call {number}")}]}]}).to_string();
        let request = format!(
            "POST /v1beta/models/{name}:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: {PUBLIC_API}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        session
            .write_all(request.as_bytes())
            .await
            .expect("a request");
        read_all(&mut session).await;
    }
}

const PUBLIC_API: &str = "generativelanguage.googleapis.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_models_with_long_names_hide_no_number_and_have_marks_of_their_own() {
    let gravimeter = gravimeter(crate::whole::any_port()).await;
    let Some(mut browser) = Browser::open(gravimeter.exporter()) else {
        return gravimeter.stop().await;
    };
    some_calls(&gravimeter, 4).await;
    many_models(&gravimeter).await;
    let shown = browser.ask("figures").await;
    assert!(
        shown["models"].as_object().expect("rows").len() >= 40,
        "{shown}"
    );
    let sight = browser.ask("sight").await;
    for (width, seen) in sight.as_object().expect("widths") {
        assert_eq!(seen["out"], json!([]), "out of sight at {width}");
        let is_wide = ["1920", "2560"].contains(&width.as_str());
        assert_eq!(seen["columns"], if is_wide { 2 } else { 1 }, "{width}");
        if is_wide {
            assert_eq!(seen["below"], json!([]), "below the window at {width}");
        }
    }
    let marks = browser.ask("marks").await;
    let marks = marks.as_object().expect("models");
    assert!(marks.len() >= 40);
    for (model, classes) in marks {
        assert_eq!(
            classes.as_array().map(Vec::len),
            Some(1),
            "{model}: {classes}"
        );
    }
    assert_eq!(browser.ask("violations").await, json!([]));
    gravimeter.stop().await;
}

/// A demo with rules and a budget. It ends, with its agent, when it is dropped.
struct Demo {
    web: SocketAddr,
    program: std::process::Child,
    _home: TempDir,
}

impl Demo {
    fn start() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let web = free_port();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules.toml");
        let program = std::process::Command::new(PROGRAM)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .args(["demo", "--no-redirect", "--speed", "8", "--budget", "1000"])
            .arg("--rules")
            .arg(rules)
            .args(["--web.listen", &web.to_string()])
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self {
            web,
            program,
            _home: home,
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Killed at once, it would leave its agent behind.
        let asked = kill_process(Pid::from_child(&self.program), Signal::INT);
        if asked.is_ok() {
            let _ = self.program.wait();
        }
    }
}

/// Budgets, rules and quotas take height from the lists, but not so much that they show nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_sections_the_lists_still_show_rows() {
    let demo = Demo::start();
    until(async || TcpStream::connect(demo.web).await.ok()).await;
    let Some(mut browser) = Browser::open(demo.web) else {
        return;
    };
    let sight = browser.ask("crowded").await;
    for (width, seen) in sight.as_object().expect("widths") {
        assert_eq!(seen["out"], json!([]), "out of sight at {width}");
        let (is_wide, rows) = match width.as_str() {
            "1920" => (true, 3),
            "2560" => (true, 6),
            _ => (false, 8),
        };
        for list in ["cascades", "calls"] {
            let shown = seen["rows"][list].as_u64().expect("a number");
            assert!(shown >= rows, "{list} at {width}: {seen}");
        }
        if is_wide {
            assert_eq!(seen["below"], json!([]), "below the window at {width}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_says_its_values_to_a_mouse_and_to_a_keyboard() {
    let gravimeter = gravimeter(crate::whole::any_port()).await;
    let Some(mut browser) = Browser::open(gravimeter.exporter()) else {
        return gravimeter.stop().await;
    };
    some_calls(&gravimeter, 5).await;
    let said = browser.ask("moments").await;
    let [hint, mouse, first, second] =
        ["hint", "mouse", "first", "second"].map(|name| said[name].as_str().expect("text"));
    assert!(hint.starts_with("Point at the chart"), "{said}");
    let names = said["legend"].as_array().expect("names");
    assert!(!names.is_empty());
    for reading in [mouse, first, second] {
        assert!(
            reading.contains(" CET: ") && reading.contains(" tokens per second ("),
            "{said}"
        );
        for name in names.iter().filter_map(Value::as_str) {
            assert!(reading.contains(name), "{said}");
        }
    }
    assert_eq!(said["spoken"], second, "{said}");
    let titles = browser.ask("titles").await;
    assert!(titles.to_string().contains("Ended (CET)"), "{titles}");
    gravimeter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_lead_to_pages_for_people() {
    let gravimeter = gravimeter(crate::whole::any_port()).await;
    let Some(mut browser) = Browser::open(gravimeter.exporter()) else {
        return gravimeter.stop().await;
    };
    some_calls(&gravimeter, 6).await;
    browser.ask("figures").await;
    let pages = browser.ask("pages").await;
    for (kind, api) in [("call", "/v1/calls/"), ("conversation", "/v1/cascades/")] {
        let page = &pages[kind];
        let [name, title, path] =
            ["name", "title", "json"].map(|field| page[field].as_str().expect("text"));
        assert!(title.starts_with(name), "{page}");
        assert!(path.starts_with(api), "{page}");
        let answer: Value = serde_json::from_str(&gravimeter.get(path).await).expect("JSON");
        assert!(answer["id"].is_string(), "{answer}");
        assert_eq!(
            (&page["out"], &page["wrong"]),
            (&json!([]), &json!([])),
            "{page}"
        );
    }
    gravimeter.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_is_gone_to_the_page_until_it_goes_on() {
    let program = Binary::start(&[]).await;
    let Some(mut browser) = Browser::open(program.web) else {
        return program.stop().await;
    };
    assert_eq!(browser.ask("violations").await, json!([]), "an empty page");
    browser.ask("figures").await;
    // Its connections stay open.
    program.signal(Signal::STOP);
    looks_dead(&browser.ask("lost").await);
    assert_eq!(
        browser.ask("violations").await,
        json!([]),
        "a page of what is gone"
    );
    program.signal(Signal::CONT);
    browser.ask("figures").await;
    program.stop().await;
}
