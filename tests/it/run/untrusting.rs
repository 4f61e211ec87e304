//! A client that does not trust our CA works on, and the summary says what was not seen.

use super::{Stage, borrowed, call, err};

/// curl with the provider's own root alone: the first attempt fails, the next ones pass unread.
#[test]
fn a_client_that_does_not_trust_us_is_let_through_and_told_of() {
    let stage = Stage::new();
    let root = stage.path("root.pem");
    let mut words = call("prompt=1 output=1");
    words.splice(1..1, ["--cacert".to_owned(), root.display().to_string()]);
    let attempts = format!("{} || {}", quoted(&words), quoted(&words));
    let output = stage
        .run(&["sh", "-c", &attempts])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", err(&output));
    let json = stage.json();
    assert_eq!(json["calls"], 0, "{json}");
    assert_eq!(
        json["unseen"]["untrusted"][0]["host"],
        super::HOST,
        "{json}"
    );
    let tunnelled = &json["unseen"]["tunnelled"][0];
    assert_eq!(
        (&tunnelled["reason"], &tunnelled["connections"]),
        (&"untrusting".into(), &1.into())
    );
    assert!(
        err(&output).contains("does not trust Gravimeter's CA"),
        "{}",
        err(&output)
    );
}

#[test]
fn where_it_is_asked_for_it_stays_refused() {
    let stage = Stage::new();
    let root = stage.path("root.pem");
    let mut words = call("prompt=1 output=1");
    words.splice(1..1, ["--cacert".to_owned(), root.display().to_string()]);
    let attempts = format!("{} || {}", quoted(&words), quoted(&words));
    let mut command = stage.as_user();
    command.args(stage.words("proxy"));
    command.args([
        "--intercept.untrusting",
        "refuse",
        "--",
        "sh",
        "-c",
        &attempts,
    ]);
    let output = command.output().expect("it runs");
    assert!(!output.status.success());
    assert_eq!(stage.json()["unseen"]["tunnelled"], serde_json::json!([]));
}

/// A command line for a shell.
fn quoted(words: &[String]) -> String {
    let quoted = borrowed(words);
    let quoted = quoted.into_iter().map(|word| format!("'{word}'"));
    quoted.collect::<Vec<_>>().join(" ")
}
