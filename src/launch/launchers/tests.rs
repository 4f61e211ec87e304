use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use tempfile::TempDir;

use super::*;

struct Stage {
    folder: TempDir,
    folders: Folders,
}

impl Stage {
    /// A home, and a machine with two programs, of which one is an application.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let below = |name: &str| folder.path().join(name);
        let folders = Folders {
            data: below("data"),
            config: below("config"),
            system: vec![below("local"), below("system")],
            path: below("bin").into(),
        };
        fs::create_dir_all(below("system/applications")).unwrap();
        fs::write(below("system/applications/antigravity.desktop"), ENTRY).unwrap();
        fs::create_dir(below("bin")).unwrap();
        for program in ["antigravity", "claude"] {
            let path = below("bin").join(program);
            fs::write(&path, "#!/bin/sh\necho the program itself\n").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { folder, folders }
    }

    fn request(&self, program: &str, kind: Option<LauncherKind>) -> LauncherRequest {
        LauncherRequest {
            program: program.to_owned(),
            kind,
            shell: Shell::Bash,
            gravimeter: self.folder.path().join("a 'b\\ $c%d\" gravimeter"),
        }
    }

    fn install(&self, program: &str) -> Result<ProgramLauncher, LauncherError> {
        install(&self.request(program, None), &self.folders)
    }
}

const ENTRY: &str = "\
# A comment
[Desktop Entry]
Name=Antigravity
Name[de]=Schwerelos
Comment=Experience liftoff
Exec=/usr/share/antigravity/antigravity %F
Icon=antigravity
Type=Application
MimeType=application/x-antigravity-workspace;x-scheme-handler/antigravity;
Categories=TextEditor;Development;IDE;
StartupWMClass=Antigravity
Actions=new-empty-window;

[Desktop Action new-empty-window]
Name=New Empty Window
Exec=/usr/share/antigravity/antigravity --new-window %F
";

#[test]
fn an_application_gets_an_entry_of_its_own_beside_its_own() {
    let stage = Stage::new();
    let made = stage.install("antigravity").unwrap();
    assert_eq!(made.kind, LauncherKind::Desktop);
    let file = stage
        .folders
        .data
        .join("applications/gravimeter-antigravity.desktop");
    assert_eq!(made.file, file);
    let text = fs::read_to_string(&file).unwrap();
    for line in [
        "Name=Antigravity (Gravimeter)",
        "Icon=antigravity",
        "StartupWMClass=Antigravity",
        "Categories=TextEditor;Development;IDE;",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}\n{text}");
    }
    let exec = r#"a 'b\\\\ \\$c%%d\\" gravimeter" run -- /usr/share/antigravity/antigravity %F"#;
    assert!(text.contains(exec), "{text}");
    assert!(
        !text.contains("MimeType") && !text.contains("new-window"),
        "{text}"
    );
    let before = stage
        .folder
        .path()
        .join("system/applications/antigravity.desktop");
    assert_eq!(fs::read_to_string(before).unwrap(), ENTRY);
}

#[test]
fn a_program_gets_a_function_of_the_shell() {
    let stage = Stage::new();
    let made = stage.install("claude").unwrap();
    assert_eq!(made.kind, LauncherKind::Shell(Shell::Bash));
    let text = fs::read_to_string(&made.file).unwrap();
    assert!(text.contains("function claude {"), "{text}");
    let kind = Some(LauncherKind::Shell(Shell::Fish));
    let made = install(&stage.request("claude", kind), &stage.folders).unwrap();
    assert_eq!(
        made.file,
        stage.folders.config.join("fish/functions/claude.fish")
    );
    let listed = list(&stage.folders).unwrap();
    let files: Vec<_> = listed
        .iter()
        .map(|launcher| launcher.program.as_str())
        .collect();
    assert_eq!(files, ["claude", "claude"]);
}

/// The function reaches our executable, whatever its path, with the words as they were typed; and
/// an alias of the same name does not get in its way when it is defined.
#[test]
fn bash_calls_us_with_the_words_as_they_were_typed() {
    let stage = Stage::new();
    let made = stage.install("claude").unwrap();
    let gravimeter = stage.request("claude", None).gravimeter;
    fs::write(
        &gravimeter,
        "#!/bin/sh\nfor word; do echo \"<$word>\"; done\n",
    )
    .unwrap();
    fs::set_permissions(&gravimeter, fs::Permissions::from_mode(0o755)).unwrap();
    let (_, setup) = Shell::Bash.setup(&made.file).unwrap();
    let script = format!(
        "shopt -s expand_aliases\nalias claude='echo an alias'\n{setup}\n\
         \\claude 'two words' \"\" '$HOME'\n"
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = "<run>\n<-->\n<claude>\n<two words>\n<>\n<$HOME>\n";
    assert_eq!(
        said,
        expected,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn what_is_not_ours_is_neither_written_nor_removed() {
    let stage = Stage::new();
    let theirs = stage.folders.config.join("fish/functions/claude.fish");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(
        &theirs,
        "function claude; command claude --dangerously $argv; end\n",
    )
    .unwrap();
    let request = stage.request("claude", Some(LauncherKind::Shell(Shell::Fish)));
    let refused = install(&request, &stage.folders);
    assert!(matches!(refused, Err(LauncherError::Foreign(file)) if file == theirs));
    assert!(matches!(
        remove("claude", &stage.folders),
        Err(LauncherError::None(_))
    ));

    let ours = stage.install("claude").unwrap();
    assert_eq!(
        remove("claude", &stage.folders).unwrap(),
        std::slice::from_ref(&ours)
    );
    assert!(!ours.file.exists() && theirs.exists());
    assert_eq!(list(&stage.folders).unwrap(), []);
}

#[test]
fn ours_is_made_anew() {
    let stage = Stage::new();
    let made = stage.install("antigravity").unwrap();
    let text = fs::read_to_string(&made.file).unwrap();
    fs::write(&made.file, format!("{text}X-Own=1\n")).unwrap();
    assert_eq!(stage.install("antigravity").unwrap(), made);
    assert_eq!(fs::read_to_string(&made.file).unwrap(), text);
    let left = fs::read_dir(made.file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1, "no unfinished file is left");
}

#[test]
fn names_that_are_none_are_refused_and_nothing_is_written() {
    let stage = Stage::new();
    for name in [
        "",
        "a b",
        "../claude",
        "-x",
        "a;b",
        "a\nb",
        "ü",
        "if",
        &"x".repeat(65),
    ] {
        let refused = stage.install(name);
        assert!(matches!(refused, Err(LauncherError::Name(_))), "{name:?}");
    }
    let refused = stage.install("no-such-program");
    assert!(matches!(refused, Err(LauncherError::NoProgram(_))));
    assert!(!stage.folders.data.exists() && !stage.folders.config.exists());
}

#[test]
fn an_application_that_is_hidden_or_starts_nothing_is_none() {
    for text in [
        "",
        "[Desktop Entry]\nName=x\n",
        "[Desktop Entry]\nExec=x\nHidden=true\n",
        "[Desktop Action y]\nExec=x\n",
    ] {
        let stage = Stage::new();
        let folder = stage.folders.data.join("applications");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("claude.desktop"), text).unwrap();
        let made = stage.install("claude").unwrap();
        assert_eq!(made.kind, LauncherKind::Shell(Shell::Bash), "{text}");
    }
}
