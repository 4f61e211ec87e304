//! Promise: the command line says what is wrong, where, and what to do, and its exit code tells a
//! script.

mod demo;
mod launcher;
mod prices;
mod rules;
mod serve;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in an environment of its own, with `home` for everything it might write.
fn gravimeter(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gravimeter"));
    command
        .env_clear()
        .env("HOME", home)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args(arguments);
    command.output().expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn every_command_has_help() {
    let home = tempfile::tempdir().expect("a folder");
    let commands = [
        "run",
        "launcher",
        "serve",
        "demo",
        "usage",
        "rules",
        "top",
        "statusline",
        "cascades",
        "prices",
        "env",
        "redirect",
        "ca",
        "doctor",
        "config",
        "completions",
    ];
    let all = out(&gravimeter(home.path(), &["--help"]));
    for command in commands {
        assert!(all.contains(command), "--help names {command}");
        let help = gravimeter(home.path(), &[command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{command}");
        let help = out(&help);
        assert!(help.contains("Usage: gravimeter"), "{command}");
        // One screen says what it is for: its own options, and where the keys are listed.
        assert!(!help.contains("--capture.listen"), "{command}: {help}");
        let told = out(&gravimeter(home.path(), &["help", command]));
        if command != "config" {
            assert_eq!(told.trim_end(), help.trim_end(), "{command}");
        }
        if help.contains("--config <PATH>") {
            assert!(help.contains("gravimeter help config"), "{command}: {help}");
        }
    }
    let keys = out(&gravimeter(home.path(), &["help", "config"]));
    for key in gravimeter::config::keys() {
        assert!(
            keys.contains(&format!("--{} ", key.name))
                || keys.contains(&format!("--{}[", key.name)),
            "{}",
            key.name
        );
    }
    let unknown = gravimeter(home.path(), &["help", "usag"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("'usage'"), "{}", err(&unknown));
}

#[test]
fn a_wrong_argument_is_told_with_exit_code_2() {
    let home = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["serv"][..],
        &["serve", "--web.lissten", "127.0.0.1:1"],
        &["demo", "--for", "soon"],
        &[],
    ] {
        let output = gravimeter(home.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            !err(&output).is_empty() && out(&output).is_empty(),
            "{arguments:?}"
        );
    }
}

#[test]
fn config_check_names_file_line_key_and_remedy() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("gravimeter.toml");
    std::fs::write(&file, "[web]\nlisten = \"localhost\"\nlissten = 1\n").expect("written");
    let path = file.to_str().expect("UTF-8");
    for command in [
        &["config", "check", "--config", path][..],
        &["serve", "--config", path],
    ] {
        let output = gravimeter(home.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        let said = err(&output);
        assert!(said.contains("gravimeter.toml:2: web.listen"), "{said}");
        assert!(
            said.contains("gravimeter.toml:3: web.lissten")
                && said.contains("did you mean web.listen?"),
            "{said}"
        );
    }
    std::fs::write(&file, "[web]\nlisten = \"127.0.0.1:9000\"\n").expect("written");
    assert_eq!(
        gravimeter(home.path(), &["config", "check", "--config", path])
            .status
            .code(),
        Some(0)
    );
}

#[test]
fn prices_of_ones_own_are_checked_and_listed_before_the_shipped_ones() {
    let home = tempfile::tempdir().expect("a folder");
    let (file, table) = (
        home.path().join("gravimeter.toml"),
        home.path().join("prices.toml"),
    );
    std::fs::write(&file, "[pricing]\nfile = \"prices.toml\"\n").expect("written");
    let path = file.to_str().expect("UTF-8");
    std::fs::write(&table, "[[price]]\nmodels = [\"m\"]\ninput = 1\n").expect("written");
    for command in [
        &["config", "check", "--config", path][..],
        &["prices", "--config", path],
        &["serve", "--config", path],
    ] {
        let output = gravimeter(home.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(
            err(&output).contains("prices.toml:1: as_of: is missing"),
            "{command:?}: {}",
            err(&output)
        );
    }
    let whole = "[[price]]\nmodels = [\"m\"]\ninput = 1.50\nsource = \"https://example.com\"\nas_of = 2026-11-24\n";
    std::fs::write(&table, whole).expect("written");
    assert_eq!(
        gravimeter(home.path(), &["config", "check", "--config", path])
            .status
            .code(),
        Some(0)
    );
    let shown = out(&gravimeter(home.path(), &["prices", "--config", path]));
    assert!(
        shown.starts_with("MODEL") && shown.contains("gemini-3.1-pro-low"),
        "{shown}"
    );
    let json = out(&gravimeter(
        home.path(),
        &["prices", "--json", "--config", path],
    ));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["prices"][0]["usd_per_million_tokens"]["input"], "1.5");
    assert_eq!(
        (&json["prices"][0]["table"], &json["prices"][1]["table"]),
        (&"file".into(), &"shipped".into())
    );
}

#[test]
fn exposing_the_exporter_needs_the_dangerous_word() {
    let home = tempfile::tempdir().expect("a folder");
    let open = ["config", "check", "--web.listen", "0.0.0.0:8741"];
    let refused = gravimeter(home.path(), &open);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        err(&refused).contains("web.danger_expose_to_network"),
        "{}",
        err(&refused)
    );
    let mut allowed = open.to_vec();
    allowed.push("--web.danger_expose_to_network");
    assert_eq!(gravimeter(home.path(), &allowed).status.code(), Some(0));
}

#[test]
fn the_printed_configuration_is_the_one_of_the_repository() {
    let home = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (command, file) in [
        ("example", "gravimeter.example.toml"),
        ("reference", "docs/configuration.md"),
    ] {
        let kept = std::fs::read_to_string(root.join(file)).expect("a file");
        assert_eq!(
            out(&gravimeter(home.path(), &["config", command])),
            kept,
            "gravimeter config {command} > {file}"
        );
    }
}

#[test]
fn completions_are_scripts_of_their_shell() {
    let home = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let output = gravimeter(home.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(
            out(&output).contains("gravimeter") && out(&output).contains("doctor"),
            "{shell}"
        );
        assert!(
            !out(&output).contains("agent-exec"),
            "{shell}: what is for no person stays hidden"
        );
    }
}

#[test]
fn usage_without_an_exporter_says_what_is_missing() {
    let home = tempfile::tempdir().expect("a folder");
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port");
    let url = format!("http://{free}");
    for command in [
        &["usage"][..],
        &["usage", "--by", "cascade"],
        &["cascades"],
        &["cascades", "179c837c", "--json"],
    ] {
        let output = gravimeter(home.path(), &[command, &["--url", &url]].concat());
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        assert!(
            err(&output).contains("is `gravimeter serve` running?"),
            "{command:?}: {}",
            err(&output)
        );
    }
}

#[test]
fn the_ca_is_made_shown_and_exported_but_its_key_is_not() {
    let home = tempfile::tempdir().expect("a folder");
    let state = home.path().join("state");
    let state = state.to_str().expect("UTF-8");
    let missing = gravimeter(home.path(), &["ca", "show", "--state.dir", state]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(
        err(&missing).contains("gravimeter ca renew"),
        "{}",
        err(&missing)
    );
    assert_eq!(
        gravimeter(home.path(), &["ca", "renew", "--state.dir", state])
            .status
            .code(),
        Some(0)
    );
    let shown = out(&gravimeter(
        home.path(),
        &["ca", "show", "--state.dir", state],
    ));
    assert!(
        shown.contains("permits") && shown.contains("generativelanguage.googleapis.com"),
        "{shown}"
    );
    let exported = out(&gravimeter(
        home.path(),
        &["ca", "export", "--state.dir", state],
    ));
    assert!(
        exported.starts_with("-----BEGIN CERTIFICATE-----") && !exported.contains("PRIVATE KEY")
    );
}

#[test]
fn the_doctor_finds_what_is_missing_and_says_what_helps() {
    let home = tempfile::tempdir().expect("a folder");
    let state = home.path().join("state");
    let flags = [
        "--state.dir",
        state.to_str().expect("UTF-8"),
        "--web.listen",
        "127.0.0.1:0",
    ];
    let healthy = [
        &["doctor"][..],
        &flags,
        &[
            "--capture.listen",
            "127.0.0.1:0",
            "--capture.connect_listen",
            "127.0.0.1:0",
        ],
    ]
    .concat();
    let output = gravimeter(home.path(), &healthy);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    let sick = [
        &healthy[..],
        &[
            "--capture.user",
            "no-such-user",
            "--agent.user",
            "no-such-user",
        ],
    ]
    .concat();
    let output = gravimeter(home.path(), &sick);
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(
        out(&output).contains("FAIL  agent's user") && out(&output).contains("redirect install"),
        "{}",
        out(&output)
    );
}

#[test]
fn a_bracket_that_is_not_closed_is_named_and_nothing_else() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("gravimeter.toml");
    let text = "[intercept]\nhosts = [\n  \"a.example\",\n\n[web]\nlisten = \"127.0.0.1:9\"\n";
    std::fs::write(&file, text).expect("written");
    let path = file.to_str().expect("UTF-8");
    let output = gravimeter(home.path(), &["config", "check", "--config", path]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    assert!(
        said.contains("gravimeter.toml:2: this bracket is not closed"),
        "{said}"
    );
    assert_eq!(said.matches("gravimeter.toml").count(), 1, "{said}");
}

#[test]
fn a_value_behind_a_switch_is_explained() {
    let home = tempfile::tempdir().expect("a folder");
    let output = gravimeter(home.path(), &["serve", "--metrics.genai", "no"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("'--metrics.genai=false'"),
        "{}",
        err(&output)
    );
}

#[test]
fn the_doctor_finds_what_keeps_serve_from_starting() {
    let home = tempfile::tempdir().expect("a folder");
    let nowhere = home.path().join("no-such-agent");
    let agent = nowhere.to_str().expect("UTF-8");
    let cases = [
        (&["--agent.command", agent][..], "cannot be executed"),
        (&["--standalone"], "none of the usual places"),
        (&["--state.dir", "/etc/passwd/state"], "is not in a folder"),
    ];
    for (flags, expected) in cases {
        let output = gravimeter(home.path(), &[&["doctor"], flags].concat());
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {}", out(&output));
        let said = out(&output);
        let failed = said
            .lines()
            .any(|line| line.starts_with("FAIL") && line.contains(expected));
        assert!(failed, "{flags:?}: {said}");
    }
    let collector = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", collector.local_addr().expect("its address"));
    let output = gravimeter(home.path(), &["doctor", "--otlp.endpoint", &url]);
    assert!(
        out(&output).contains(&format!("{url}/ can be reached"))
            || out(&output).contains(&format!("{url} can be reached")),
        "{}",
        out(&output)
    );
    drop(collector);
    let output = gravimeter(home.path(), &["doctor", "--otlp.endpoint", &url]);
    assert!(
        out(&output).contains("cannot be reached"),
        "{}",
        out(&output)
    );
    let output = gravimeter(home.path(), &["doctor", "run", "no-such-program"]);
    assert!(
        out(&output).contains("no-such-program: command not found"),
        "{}",
        out(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}
