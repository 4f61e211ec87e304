//! The program in the sandbox of its unit: the same rights, files and system calls, made by other
//! tools than systemd.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use super::{read, run};
use crate::kit::binary::{Binary, PROGRAM};
use crate::kit::upstream::{LAST, Upstream};
use crate::kit::{read_some, write_pieces};
use crate::skip;

/// Nobody: a user with no right to anything.
const UID: u32 = 65534;

/// The values of one setting of the unit, in order.
fn settings(unit: &str, name: &str) -> Vec<String> {
    let lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

/// What a group of system calls holds, groups in it included.
fn calls_of(group: &str) -> BTreeSet<String> {
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["syscall-filter", group])
        .env("SYSTEMD_PAGER", "");
    let said = run(analyze);
    let words = said
        .lines()
        .skip(1)
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.starts_with('#'));
    let parts = words.map(|word| {
        if word.starts_with('@') {
            calls_of(word)
        } else {
            [word.to_owned()].into()
        }
    });
    parts.flatten().collect()
}

/// The system calls that the unit leaves, as systemd reads its lines: the first one allows, one
/// with `~` takes away.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for line in settings(unit, "SystemCallFilter") {
        let groups = line.trim_start_matches('~').split_whitespace();
        let calls: BTreeSet<_> = groups.flat_map(calls_of).collect();
        if line.starts_with('~') {
            // What every process needs stays: systemd never takes @default away.
            let kept = calls_of("@default");
            allowed.retain(|call| !calls.contains(call) || kept.contains(call));
        } else {
            allowed.extend(calls);
        }
    }
    allowed
}

/// Puts the filter in front of the program, which it becomes.
const FILTER: &str = r#"
import errno, os, seccomp, sys
split = sys.argv.index("--")
filter = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
for name in sys.argv[1:split]:
    try: filter.add_rule(seccomp.ALLOW, name)
    except (RuntimeError, ValueError, OSError): pass  # of another architecture
filter.load()
os.execv(sys.argv[split + 1], sys.argv[split + 1:])
"#;

/// Who takes on the rights of a service: a user, no capability, no way to either, and a filter of
/// system calls.
pub struct Confined {
    uid: u32,
    allowed: Option<BTreeSet<String>>,
}

impl Confined {
    /// Skips the test for all but root, who alone can become another user.
    pub fn as_user(uid: u32) -> Option<Self> {
        skip::is_privileged().then_some(Self { uid, allowed: None })
    }

    /// The command that [`bwrap`] began, with the program at its end.
    pub fn run(&self, mut bwrap: Command) -> Command {
        bwrap.args([
            "setpriv",
            "--clear-groups",
            "--no-new-privs",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ]);
        bwrap.args([
            "--ambient-caps=-all",
            &format!("--reuid={}", self.uid),
            &format!("--regid={}", self.uid),
        ]);
        if let Some(allowed) = &self.allowed {
            bwrap
                .args(["/usr/bin/python3", "-c", FILTER])
                .args(allowed)
                .arg("--");
        }
        bwrap.arg("/run/program");
        bwrap
    }
}

/// Files as a service has them: nothing may be written but what is bound afterwards, homes and /tmp
/// are empty, and the program is at hand.
pub fn bwrap(roots: &Path) -> Command {
    let mut bwrap = Command::new("bwrap");
    // Who becomes another user outlives its parent, unless its end is that of a process namespace.
    bwrap.arg("--unshare-pid");
    bwrap.args([
        "--die-with-parent",
        "--cap-add",
        "ALL",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
    ]);
    for place in ["/home", "/root", "/tmp", "/var/tmp", "/var/lib", "/run"] {
        bwrap.args(["--tmpfs", place]);
    }
    bwrap
        .args(["--ro-bind", PROGRAM, "/run/program"])
        .arg("--ro-bind")
        .args([roots, roots]);
    bwrap
}

/// bubblewrap for the files, setpriv for the rights, libseccomp for the system calls.
fn service(unit: &str, confined: &Confined, state: &Path, roots: &Path) -> Command {
    for (setting, value) in [
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("StateDirectory", "gravimeter"),
        ("CapabilityBoundingSet", ""),
        ("NoNewPrivileges", "yes"),
    ] {
        assert_eq!(
            settings(unit, setting),
            [value],
            "{setting}: this sandbox is made for it"
        );
    }
    assert_eq!(
        settings(unit, "ReadWritePaths"),
        [""; 0],
        "nothing but the state may be written"
    );
    let mut bwrap = bwrap(roots);
    bwrap
        .arg("--bind")
        .arg(state)
        .arg("/var/lib/gravimeter")
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    confined.run(bwrap)
}

#[tokio::test]
async fn the_service_works_with_what_its_unit_leaves_it() {
    let Some(confined) = Confined::as_user(UID) else {
        return;
    };
    let unit = read("deploy/systemd/gravimeter.service");
    let confined = Confined {
        allowed: Some(allowed(&unit)),
        ..confined
    };
    let upstream = Upstream::start().await;
    let flags = upstream.flags(&["--state.dir", "/var/lib/gravimeter"]);
    let roots = Path::new(&flags[1]).to_owned();
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let state = folder.path().join("state");
    fs::create_dir(&state).expect("a writable folder");
    chown(&state, Some(UID), Some(UID)).expect("root may");

    let command = service(&unit, &confined, &state, roots.parent().expect("a folder"));
    let binary = Binary::with(command.into(), folder, &flags)
        .await
        .with_state_at(state);
    let rights = rights_of(&binary);
    assert_eq!(
        rights,
        [
            "CapInh: 0",
            "CapPrm: 0",
            "CapEff: 0",
            "CapBnd: 0",
            "CapAmb: 0",
            "NoNewPrivs: 1",
            "Seccomp: 2"
        ]
    );

    let (mut agent, mut provider) = upstream.stream(&binary).await;
    write_pieces(&mut provider, LAST, &[usize::MAX], false).await;
    assert_eq!(read_some(&mut agent, LAST.len()).await, LAST);
    binary
        .wait_for("gravimeter_calls_total", &["outcome=\"ok\""], 1)
        .await;
    let metrics = binary.ask("/metrics", "").await;
    for metric in [
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.contains(metric), "{metric}");
    }
    assert!(
        !binary.log().contains("Operation not permitted"),
        "{}",
        binary.log()
    );
    // bubblewrap passes no signal on; its end is that of everything in it.
    drop(binary);
}

/// What the kernel says of the process that serves, which is bubblewrap's grandchild.
fn rights_of(binary: &Binary) -> Vec<String> {
    let served = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "program")
    };
    let mut pid = binary.child.id().expect("a process");
    while !served(pid) {
        let children =
            fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("a process");
        pid = children
            .split_whitespace()
            .next()
            .and_then(|child| child.parse().ok())
            .expect("a child");
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let rows = status.lines().filter_map(|line| line.split_once(":\t"));
    let rights = rows
        .filter(|(name, _)| name.starts_with("Cap") || ["NoNewPrivs", "Seccomp"].contains(name));
    rights
        .map(|(name, value)| {
            format!(
                "{name}: {:x}",
                u64::from_str_radix(value.trim(), 16).expect("a number")
            )
        })
        .collect()
}
