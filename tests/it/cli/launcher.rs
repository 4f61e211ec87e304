//! `gravimeter launcher`: what it makes is what a desktop and the shells take, and starts the program
//! observed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::{err, out};
use crate::skip;

/// A home with a program and an application.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let applications = home.path().join("system/applications");
        fs::create_dir_all(&applications).expect("a folder");
        fs::write(applications.join("antigravity.desktop"), ENTRY).expect("written");
        fs::create_dir(home.path().join("bin")).expect("a folder");
        for program in ["antigravity", "claude"] {
            let path = home.path().join("bin").join(program);
            fs::write(&path, "#!/bin/sh\necho \"$# words for the program\"\n").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        Self(home)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        command
            .env_clear()
            .env("HOME", self.0.path())
            .env("PATH", path)
            .env("SHELL", "/bin/bash")
            .env("XDG_DATA_DIRS", self.path("system"))
            .current_dir(self.0.path());
        command
    }

    fn launcher(&self, words: &[&str]) -> Output {
        let mut command = self.command(env!("CARGO_BIN_EXE_gravimeter"));
        command
            .arg("launcher")
            .args(words)
            .output()
            .expect("it runs")
    }

    /// What a shell with the launcher's file says when the program is called by its name.
    fn say(&self, shell: &str, file: &Path) -> String {
        let setup = match shell {
            "fish" => format!("source {}", file.display()),
            _ => format!(". {}", file.display()),
        };
        let script = format!("{setup}\nclaude one 'two words'\n");
        let output = self.command(shell).args(["-c", &script]).output();
        let output = output.expect("the shell runs");
        assert!(output.status.success(), "{shell}: {}", err(&output));
        format!("{}{}", out(&output), err(&output))
    }
}

const ENTRY: &str = "\
[Desktop Entry]
Type=Application
Name=Antigravity
Comment=Experience liftoff
Exec=/usr/share/antigravity/antigravity %F
Icon=antigravity
Categories=Development;IDE;
StartupWMClass=Antigravity
";

#[test]
fn a_desktop_takes_the_entry_as_valid() {
    if !skip::has_program("desktop-file-validate", "desktop-file-utils") {
        return;
    }
    let home = Home::new();
    let made = home.launcher(&["install", "antigravity"]);
    assert!(made.status.success(), "{}", err(&made));
    let file = home.path(".local/share/applications/gravimeter-antigravity.desktop");
    assert!(
        out(&made).contains(file.to_str().expect("UTF-8")),
        "{}",
        out(&made)
    );
    let output = home.command("desktop-file-validate").arg(&file).output();
    let output = output.expect("it runs");
    let said = format!("{}{}", out(&output), err(&output));
    assert!(output.status.success() && said.is_empty(), "{said}");
    let text = fs::read_to_string(&file).expect("a file");
    let own = format!(
        "Exec=\"{}\" run -- /usr/share/",
        env!("CARGO_BIN_EXE_gravimeter")
    );
    assert!(text.contains(&own), "{text}");
}

#[test]
fn in_each_shell_the_name_of_the_program_starts_it_observed() {
    let home = Home::new();
    for (shell, file) in [
        ("bash", ".local/share/gravimeter/launchers/claude.sh"),
        ("zsh", ".local/share/gravimeter/launchers/claude.sh"),
        ("fish", ".config/fish/functions/claude.fish"),
    ] {
        if !skip::has_program(shell, shell) {
            continue;
        }
        let made = home.launcher(&["install", "claude", "--as", shell]);
        assert!(made.status.success(), "{}", err(&made));
        let file = home.path(file);
        assert!(file.exists(), "{}", out(&made));
        let said = home.say(shell, &file);
        assert!(
            said.contains("2 words for the program\n"),
            "{shell}: {said}"
        );
        assert!(
            said.contains("gravimeter: no call of a model"),
            "{shell}: {said}"
        );
    }
    let removed = home.launcher(&["remove", "claude"]);
    assert!(removed.status.success(), "{}", err(&removed));
    let listed = home.launcher(&["list"]);
    assert_eq!(out(&listed), "");
}

#[test]
fn files_of_others_are_left_alone_and_mistakes_are_explained() {
    let home = Home::new();
    let theirs = home.path(".config/fish/functions/claude.fish");
    fs::create_dir_all(theirs.parent().expect("a folder")).expect("a folder");
    fs::write(&theirs, "function claude; end\n").expect("written");
    for (words, expected) in [
        (
            &["install", "claude", "--as", "fish"][..],
            "is not a launcher of gravimeter",
        ),
        (&["install", "no-such-program"], "neither a program in PATH"),
        (&["install", "a b"], "no name of a program"),
        (&["remove", "claude"], "there is no launcher of claude"),
    ] {
        let output = home.launcher(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(
            err(&output).contains(expected),
            "{words:?}: {}",
            err(&output)
        );
    }
    assert_eq!(
        fs::read_to_string(&theirs).expect("a file"),
        "function claude; end\n"
    );
    assert!(!home.path(".local/share/gravimeter/launchers").exists());
}
