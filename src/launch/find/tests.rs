//! Real processes under false names.

use std::fs;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use procfs::process::Process;
use tempfile::TempDir;

use super::*;
use crate::launch::CsrfToken;

/// A shell that waits for its standard input to end, so that it cannot outlive the test, and holds
/// a listening socket.
struct Pretender {
    child: Child,
    port: u16,
}

impl Pretender {
    fn start(program: &Path, called: &str, arguments: &[&str]) -> Self {
        Self::start_with(program, called, arguments, &[])
    }

    fn start_with(
        program: &Path,
        called: &str,
        arguments: &[&str],
        variables: &[(&str, &Path)],
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let socket = OwnedFd::from(listener);
        let mut child = loop {
            let mut command = Command::new(program);
            command
                .arg0(called)
                .args(["-c", WAIT])
                .args(arguments)
                .envs(variables.iter().copied())
                .stdin(Stdio::piped())
                .stderr(Stdio::piped());
            match command
                .stdout(Stdio::from(socket.try_clone().expect("a copy")))
                .spawn()
            {
                // Another test has forked while the program was being written.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    std::thread::yield_now()
                }
                child => break child.expect("a shell"),
            }
        };
        await_shell(&mut child);
        Self { child, port }
    }

    fn shell(called: &str, arguments: &[&str]) -> Self {
        Self::start(Path::new("/bin/sh"), called, arguments)
    }

    fn found_in(&self, folders: &[PathBuf]) -> Option<Candidate> {
        self.found_by(&Search {
            discovery_folders: folders.to_vec(),
            ..Search::default()
        })
    }

    fn found_by(&self, search: &Search) -> Option<Candidate> {
        let found = search.candidates();
        found
            .into_iter()
            .find(|candidate| candidate.pid == self.child.id())
    }
}

impl Drop for Pretender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of a new process is empty for a moment: the shell says when it runs.
const WAIT: &str = "echo ready >&2; read line";

fn await_shell(child: &mut Child) {
    let mut word = [0; 6];
    child
        .stderr
        .as_mut()
        .expect("a pipe")
        .read_exact(&mut word)
        .expect("a word");
    assert_eq!(&word, b"ready\n");
}

fn token(candidate: &Candidate) -> Option<&str> {
    candidate
        .announcement
        .csrf_token
        .as_ref()
        .map(CsrfToken::expose)
}

fn folder_with(pid: u32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        format!(r#"{{"pid":{pid},"httpsPort":49463,"httpPort":49464,"csrfToken":"of-the-file"}}"#);
    fs::write(folder.path().join("ls_0123456789abcdef.json"), text).expect("a file");
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn a_language_server_is_found_with_its_token_and_its_port() {
    let server = Pretender::shell(
        "/usr/share/antigravity/bin/language_server_linux_x64",
        &[
            "--csrf_token",
            "s3cr3t",
            "--https_server_port",
            "0",
            "--lsp_port=7",
        ],
    );
    let found = server.found_in(&[]).expect("a candidate");
    assert_eq!(token(&found), Some("s3cr3t"));
    assert_eq!(found.uid, rustix::process::getuid().as_raw());
    assert_eq!(
        (found.announcement.https_port, found.announcement.lsp_port),
        (None, Some(7))
    );
    assert_eq!(found.unknown_ports, [server.port]);
    assert_eq!(
        server.found_in(&[]).expect("a candidate"),
        found,
        "the same process"
    );
    assert!(!format!("{found:?}").contains("s3cr3t"));
}

#[test]
fn ports_that_it_names_are_not_looked_for() {
    let named = Pretender::shell("agy", &["--https_server_port=1", "--http_server_port=2"]);
    let found = named.found_in(&[]).expect("a candidate");
    assert_eq!(
        (found.announcement.is_complete(), found.unknown_ports),
        (true, vec![])
    );
}

#[test]
fn the_file_that_is_executed_has_a_name_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("language_server");
    fs::copy("/bin/sh", &program).expect("a copy of the shell");
    let server = Pretender::start(&program, "sh", &["--csrf_token=t"]);
    assert_eq!(server.found_in(&[]).as_ref().and_then(token), Some("t"));
    fs::remove_file(&program).expect("a file");
    assert_eq!(
        server.found_in(&[]).as_ref().and_then(token),
        Some("t"),
        "replaced while it runs"
    );
}

#[test]
fn others_are_not_found() {
    let other = Pretender::shell("server", &["--csrf_token", "t"]);
    assert_eq!(other.found_in(&[]), None);
    let sibling = Pretender::shell(
        "language_server_linux_x64",
        &["--csrf_token", "t", "--codeium_dir", "d"],
    );
    assert_eq!(sibling.found_in(&[]), None);
}

#[test]
fn a_discovery_file_speaks_for_a_living_process() {
    let nameless = Pretender::shell("demo", &[]);
    let (_folder, path) = folder_with(nameless.child.id());
    let found = nameless
        .found_in(std::slice::from_ref(&path))
        .expect("a candidate");
    assert_eq!(
        (found.announcement.https_port, found.announcement.http_port),
        (Some(49463), Some(49464))
    );
    assert_eq!(
        (token(&found), found.unknown_ports.as_slice()),
        (Some("of-the-file"), [].as_slice())
    );

    let named = Pretender::shell(
        "language_server",
        &["--csrf_token=own", "--http_server_port=5"],
    );
    let (_folder, path) = folder_with(named.child.id());
    let found = named
        .found_in(&[PathBuf::from("/nowhere"), path])
        .expect("a candidate");
    assert_eq!(
        (found.announcement.https_port, found.announcement.http_port),
        (Some(49463), Some(5))
    );
    assert_eq!(token(&found), Some("own"));
}

#[test]
fn a_discovery_file_of_a_dead_process_is_ignored() {
    let (_folder, nobody) = folder_with(u32::MAX);
    let (_folder, impossible) = folder_with(i32::MAX.unsigned_abs());
    let mut zombie = Command::new("true").spawn().expect("a process");
    let process = Process::new(zombie.id().try_into().expect("a pid")).expect("a process");
    while process.stat().expect("not waited for yet").state != 'Z' {
        std::thread::yield_now();
    }
    let (_folder, dead) = folder_with(zombie.id());
    let search = Search {
        discovery_folders: vec![nobody, impossible, dead],
        ..Search::default()
    };
    let pids: Vec<_> = search
        .candidates()
        .into_iter()
        .map(|candidate| candidate.pid)
        .collect();
    for pid in [u32::MAX, i32::MAX.unsigned_abs(), zombie.id()] {
        assert!(!pids.contains(&pid), "{pid}");
    }
    zombie.wait().expect("its status");
}

#[test]
fn a_discovery_file_does_not_speak_for_another_user() {
    let server = Pretender::shell("language_server", &["--csrf_token=own"]);
    let mut found = BTreeMap::new();
    let (_folder, path) = folder_with(server.child.id());
    let strange = || {
        let mut files = discovered(&path);
        files.iter_mut().for_each(|file| file.owner += 1);
        assert_eq!(files.len(), 1);
        files.into_iter()
    };
    strange().for_each(|file| Search::default().add(&mut found, file));
    assert!(found.is_empty());
    found.insert(
        server.child.id(),
        server.found_in(&[]).expect("a candidate"),
    );
    strange().for_each(|file| Search::default().add(&mut found, file));
    assert_eq!(found[&server.child.id()].announcement.https_port, None);
}

#[test]
fn hostile_command_lines_are_harmless() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let long = "x".repeat(100 << 10);
    let server = Pretender::shell(
        "language_server",
        &["--csrf_token=t", "--http_server_port=-1", "", &long],
    );
    assert_eq!(server.found_in(&[]).as_ref().and_then(token), Some("t"));
    let mut command = Command::new("/bin/sh");
    let bytes = OsStr::from_bytes(b"--csrf_token=\xff\xfe");
    command
        .arg0("agy")
        .args(["-c", WAIT])
        .arg(bytes)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("a shell");
    await_shell(&mut child);
    assert!(
        Search::default()
            .candidates()
            .iter()
            .any(|candidate| candidate.pid == child.id())
    );
    child.kill().expect("a signal");
    child.wait().expect("its status");
}

#[test]
fn the_processes_of_a_program_are_known_by_its_ca_file_and_its_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bundle.pem");
    let server = Pretender::start_with(
        Path::new("/bin/sh"),
        "language_server_linux_x64",
        &["--csrf_token=t"],
        &[("SSL_CERT_FILE", &file)],
    );
    let search = |ca_folder: &Path, network| Search {
        discovery_folders: Vec::new(),
        started_by: Some(StartedBy {
            ca_folder: ca_folder.to_owned(),
            network,
        }),
        ..Search::default()
    };
    let own = own_network().expect("a namespace");
    let found = server.found_by(&search(folder.path(), own));
    assert_eq!(found.expect("a candidate").unknown_ports, [server.port]);
    let elsewhere = tempfile::tempdir().expect("a folder");
    assert_eq!(server.found_by(&search(elsewhere.path(), own)), None);
    assert_eq!(server.found_by(&search(folder.path(), own + 1)), None);
    // Nor does a discovery file make it one of another program's.
    let (_folder, path) = folder_with(server.child.id());
    let mut other = search(elsewhere.path(), own);
    other.discovery_folders = vec![path];
    assert_eq!(server.found_by(&other), None);
}

#[test]
fn the_server_of_a_session_is_nobody_elses_while_the_session_lasts() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Pretender::start_with(
        Path::new("/bin/sh"),
        "language_server_linux_x64",
        &["--csrf_token=t"],
        &[("SSL_CERT_FILE", &folder.path().join("bundle.pem"))],
    );
    let of_no_session = Pretender::shell("language_server_linux_x64", &["--csrf_token=t"]);
    let search = Search::default();
    let session = search.except.add(folder.path().to_owned());
    assert_eq!(server.found_by(&search), None);
    assert!(of_no_session.found_by(&search).is_some());
    drop(session);
    assert!(server.found_by(&search).is_some());
}

#[test]
fn the_server_of_a_workspace_is_told_from_that_of_all() {
    let of_all = Pretender::shell("language_server", &["--csrf_token=t"]);
    let of_one = Pretender::shell(
        "language_server",
        &["--csrf_token=t", "--workspace_id", "file_home_ann_work"],
    );
    let is_for_workspace =
        |server: &Pretender| server.found_in(&[]).expect("a candidate").is_for_workspace;
    assert!(!is_for_workspace(&of_all) && is_for_workspace(&of_one));
}

#[test]
fn an_application_that_runs_once_is_found_by_its_name() {
    let part = Pretender::shell("antigravity", &["--type=gpu-process"]);
    assert_ne!(running_application("antigravity"), Some(part.child.id()));
    let whole = Pretender::shell("/usr/share/antigravity/antigravity", &["--no-sandbox"]);
    assert_eq!(running_application("antigravity"), Some(whole.child.id()));
    assert_eq!(
        running_application("sh"),
        None,
        "it may run as often as one likes"
    );
}
