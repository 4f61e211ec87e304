//! `gravimeter rules`: each mistake is named with its place and its remedy, and a request can be tried
//! without sending it.

use std::fs;
use std::path::Path;

use super::{err, gravimeter, out};

/// A folder with a file of rules and the body of a request.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(rules: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        fs::write(folder.0.path().join("rules.toml"), rules).expect("written");
        let request =
            r#"{"model":"claude-opus-4-6","max_tokens":32000,"system":"Be kind.","messages":[]}"#;
        fs::write(folder.0.path().join("request.json"), request).expect("written");
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Exit code, what it prints, and what it complains about.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let done = gravimeter(self.0.path(), &[&["rules"][..], arguments].concat());
        (done.status.code(), out(&done), err(&done))
    }
}

#[test]
fn the_shipped_example_is_valid_and_does_what_the_page_says() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/rules.toml");
    let folder = Folder::new(&fs::read_to_string(example).expect("the example"));
    let (code, shown, wrong) = folder.run(&["check", &folder.path("rules.toml")]);
    assert_eq!(code, Some(0), "{wrong}");
    assert_eq!(
        shown,
        "The 3 rules are valid, in this order: short-answers, cheaper, long-answers.\n"
    );
    let (code, shown, wrong) = folder.run(&[
        "try",
        &folder.path("rules.toml"),
        &folder.path("request.json"),
    ]);
    assert_eq!(code, Some(0), "{wrong}");
    let expected = r#"POST https://api.anthropic.com/v1/messages
rule short-answers: applied
rule cheaper: applied
rule long-answers: applied
  /max_tokens: 32000 -> 4096
  /model: "claude-opus-4-6" -> "claude-haiku-4-5"
  /system: "Be kind." -> "Be kind.\n\nAnswer in at most three sentences."
"#;
    assert_eq!(shown, expected);
}

#[test]
fn mistakes_are_named_and_the_exit_code_says_so() {
    let folder = Folder::new(
        "[[rule]]\nname = \"a\"\nmodel = \"misspelt-model\"\n\n[[rule]]\nname = \"b\"\ncolour = 1\n",
    );
    let file = folder.path("rules.toml");
    let (code, shown, wrong) = folder.run(&["check", &file]);
    assert_eq!((code, shown.as_str()), (Some(2), ""));
    assert!(
        wrong.contains("rules.toml:7: colour: there is no such key: write name"),
        "{wrong}"
    );
    let folder = Folder::new("[[rule]]\nname = \"a\"\nmodel = \"misspelt-model\"\n");
    let (code, _, wrong) = folder.run(&["check", &folder.path("rules.toml")]);
    assert_eq!(code, Some(2));
    assert!(
        wrong.contains("rules.toml:1: model: rule a: no price is known for misspelt-model"),
        "{wrong}"
    );
    let (code, _, wrong) = folder.run(&["check", &folder.path("none.toml")]);
    assert_eq!(code, Some(2));
    assert!(
        wrong.contains("none.toml: the file cannot be read"),
        "{wrong}"
    );
}

#[test]
fn rules_stand_in_the_configuration_and_in_a_folder() {
    let folder = Folder::new("");
    let write = |name: &str, text: &str| {
        fs::write(folder.0.path().join(name), text).expect("written");
    };
    write(
        "gravimeter.toml",
        "rule = [{ name = \"one\", append_system = \"x\", continue = true }]\n[rules]\nfolder = \"rules.d\"\n",
    );
    let config = folder.path("gravimeter.toml");
    let (code, _, wrong) = folder.run(&["check", "--config", &config]);
    assert_eq!(code, Some(2));
    assert!(
        wrong.contains("gravimeter.toml:3: rules.folder:") && wrong.contains("is not a folder"),
        "{wrong}"
    );
    fs::create_dir(folder.0.path().join("rules.d")).expect("created");
    write(
        "rules.d/b.toml",
        "[[rule]]\nname = \"three\"\ndeny = \"no\"\n",
    );
    write(
        "rules.d/a.toml",
        "[[rule]]\nname = \"two\"\nmatch = { operation = \"chat\" }\nset = { \"/a\" = 1 }\n",
    );
    write("rules.d/notes.txt", "not TOML");
    let (code, shown, wrong) = folder.run(&["check", "--config", &config]);
    assert_eq!(code, Some(0), "{wrong}");
    assert!(shown.contains("one, two, three"), "{shown}");
    write(
        "rules.d/c.toml",
        "[[rule]]\nname = \"one\"\ndeny = \"no\"\n",
    );
    let (code, _, wrong) = folder.run(&["check", "--config", &config]);
    assert_eq!(code, Some(2));
    assert!(
        wrong.contains("c.toml:1: name: rule one: there is another rule of this name"),
        "{wrong}"
    );
}

#[test]
fn a_request_that_a_rule_cannot_change_is_said_to_be_so() {
    let folder = Folder::new("[[rule]]\nname = \"a\"\nreplace = { \"/top_p\" = 1 }\n");
    let (rules, request) = (folder.path("rules.toml"), folder.path("request.json"));
    let (code, shown, _) = folder.run(&["try", &rules, &request]);
    assert_eq!(code, Some(1));
    assert!(
        shown.contains("rule a: failed: /top_p: the request has nothing there")
            && shown.contains("The request goes as it is."),
        "{shown}"
    );
    let (code, shown, _) = folder.run(&[
        "try",
        &rules,
        &request,
        "--url",
        "https://api.anthropic.com/v1/models",
    ]);
    assert_eq!(code, Some(0));
    assert!(shown.starts_with("No rule matches"), "{shown}");
    fs::write(folder.0.path().join("request.json"), "{}").expect("written");
    let (code, _, wrong) = folder.run(&["try", &rules, &request]);
    assert_eq!(code, Some(1));
    assert!(wrong.contains("--url"), "{wrong}");
}
