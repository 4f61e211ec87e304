//! The units, by systemd's own tools, and what in them repeats something of the program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use gravimeter::capture::redirect::SCRIPT;
use gravimeter::tls::bundle::{Bundle, environment};
use tempfile::TempDir;

use super::{path, read, run};
use crate::skip;

const SERVICES: [&str; 3] = [
    "gravimeter.service",
    "gravimeter-redirect.service",
    "gravimeter-agent.service",
];

const SOCKETS: [&str; 2] = ["gravimeter.socket", "gravimeter-door.socket"];

/// A machine's root with the units where systemd looks for them.
fn machine() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let put = |from: &Path, to: &str| {
        let to = root.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a writable folder");
        fs::copy(from, to).expect("a file");
    };
    for unit in SERVICES.into_iter().chain(SOCKETS) {
        put(
            &path(&format!("deploy/systemd/{unit}")),
            &format!("etc/systemd/system/{unit}"),
        );
    }
    for kind in ["sysusers.d", "tmpfiles.d"] {
        put(
            &path(&format!("deploy/systemd/{kind}/gravimeter.conf")),
            &format!("usr/lib/{kind}/gravimeter.conf"),
        );
    }
    for program in [
        "usr/bin/gravimeter",
        "usr/share/antigravity/resources/bin/language_server",
    ] {
        put(Path::new("/bin/true"), program);
    }
    // The targets that ours refer to.
    run({
        let mut copy = Command::new("cp");
        copy.arg("-r")
            .arg("/usr/lib/systemd")
            .arg(root.path().join("usr/lib/systemd"));
        copy
    });
    std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).expect("a link");
    root
}

fn with_root(tool: &str, root: &TempDir, arguments: &[&str]) -> String {
    let mut command = Command::new(tool);
    command
        .arg(format!("--root={}", root.path().display()))
        .args(arguments)
        .env("SYSTEMD_PAGER", "");
    run(command)
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let root = machine();
    let units = SERVICES
        .into_iter()
        .chain(SOCKETS)
        .map(|unit| root.path().join("etc/systemd/system").join(unit));
    let mut verify = Command::new("systemd-analyze");
    verify
        .arg("verify")
        .arg(format!("--root={}", root.path().display()))
        .args(units);
    let output = verify
        .output()
        .expect("systemd-analyze: scripts/test.sh installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn what_the_manual_enables_can_be_enabled() {
    let root = machine();
    let manual = read("docs/operate/systemd.md");
    for unit in SERVICES.into_iter().chain(SOCKETS) {
        let mut enabling = manual.lines().filter(|line| line.contains("enable --now"));
        assert!(
            enabling.any(|line| line.contains(unit)),
            "the manual enables {unit}"
        );
        with_root("systemctl", &root, &["enable", unit]);
        assert_eq!(
            with_root("systemctl", &root, &["is-enabled", unit]),
            "enabled\n",
            "{unit}"
        );
    }
}

/// The scores that `docs/operate/systemd.md` states.
#[test]
fn the_units_are_as_closed_as_the_manual_says() {
    let root = machine();
    let manual = read("docs/operate/systemd.md");
    for (unit, limit) in SERVICES.iter().zip([1.5, 3.0, 5.5]) {
        let said = with_root(
            "systemd-analyze",
            &root,
            &["security", "--offline=true", "--no-pager", unit],
        );
        let score = said
            .split("exposure level for ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().nth(1));
        let score = score.unwrap_or_else(|| panic!("a score: {said}"));
        assert!(
            score.parse::<f64>().expect("a number") <= limit,
            "{unit}: {score}\n{said}"
        );
        let row = format!("| `{unit}` | {score} |");
        assert!(manual.contains(&row), "the manual says {row}");
    }
}

#[test]
fn users_and_folders_are_made() {
    let root = machine();
    with_root("systemd-sysusers", &root, &["gravimeter.conf"]);
    let users = fs::read_to_string(root.path().join("etc/passwd")).expect("users");
    for user in ["gravimeter", "antigravity-ls"] {
        let entry = users
            .lines()
            .find(|line| line.starts_with(&format!("{user}:")))
            .expect("a user");
        assert!(
            entry.ends_with(&format!(":/var/lib/{user}:/usr/sbin/nologin")),
            "{entry}"
        );
    }
    if !skip::is_privileged() {
        return; // Only root gives folders away.
    }
    with_root("systemd-tmpfiles", &root, &["--create", "gravimeter.conf"]);
    for (folder, mode) in [("gravimeter", 0o755), ("antigravity-ls", 0o700)] {
        let metadata = fs::metadata(root.path().join("var/lib").join(folder)).expect("a folder");
        assert_eq!(metadata.permissions().mode() & 0o7777, mode, "{folder}");
    }
}

#[test]
fn the_agents_unit_trusts_what_the_program_writes() {
    let unit = read("deploy/systemd/gravimeter-agent.service");
    let folder = Path::new("/var/lib/gravimeter/trust");
    let bundle = Bundle {
        all: folder.join("bundle.pem"),
        ca_only: folder.join("bundle.ca.pem"),
        roots: 0,
    };
    let mut wanted: Vec<_> = environment(&bundle)
        .into_iter()
        .map(|(name, value)| format!("Environment={name}={value}"))
        .collect();
    let mut told: Vec<_> = unit
        .lines()
        .filter(|line| line.starts_with("Environment="))
        .map(str::to_owned)
        .collect();
    wanted.sort();
    told.sort();
    assert_eq!(told, wanted);
}

#[test]
fn the_sudoers_file_is_the_one_that_the_script_writes() {
    run({
        let mut visudo = Command::new("visudo");
        visudo.args(["-cqf"]).arg(path("deploy/systemd/sudoers"));
        visudo
    });
    let shipped = read("deploy/systemd/sudoers");
    let written = SCRIPT
        .split("<<SUDOERS\n")
        .nth(1)
        .and_then(|rest| rest.split("\nSUDOERS").next())
        .expect("a text");
    let written = [
        ("$program", "/usr/bin/gravimeter"),
        ("$operator", "gravimeter"),
        ("$user", "antigravity-ls"),
        ("$COPY", "/usr/local/libexec/gravimeter/mitm-redirect"),
        ("$name", "gravimeter"),
    ]
    .iter()
    .fold(written.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    });
    let rules = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules(&shipped), rules(&written));
}

#[test]
fn the_configuration_of_the_units_is_valid() {
    let mut check = Command::new(crate::kit::binary::PROGRAM);
    check
        .args(["config", "check", "--config"])
        .arg(path("deploy/systemd/gravimeter.toml"))
        .env_clear();
    run(check);
}

/// sudo cannot work where a setting takes its privileges away behind our back (systemd.exec(5),
/// NoNewPrivileges=).
#[test]
fn nothing_stands_in_the_way_of_sudo_where_it_is_wanted() {
    let unit = read("deploy/systemd/gravimeter.service");
    let drop_in = read("deploy/systemd/gravimeter.service.d/agent-by-sudo.conf");
    let implying = [
        "SystemCallFilter",
        "SystemCallArchitectures",
        "RestrictAddressFamilies",
        "RestrictNamespaces",
        "PrivateDevices",
        "ProtectKernelTunables",
        "ProtectKernelModules",
        "ProtectKernelLogs",
        "ProtectClock",
        "ProtectHostname",
        "MemoryDenyWriteExecute",
        "RestrictRealtime",
        "RestrictSUIDSGID",
        "LockPersonality",
        "NoNewPrivileges",
    ];
    for setting in implying {
        let set = |text: &str, value: &str| {
            text.lines()
                .any(|line| line == format!("{setting}={value}"))
        };
        assert!(
            unit.contains(&format!("\n{setting}=")),
            "the unit sets {setting}"
        );
        assert!(
            set(&drop_in, "no") || set(&drop_in, ""),
            "the drop-in takes {setting} back"
        );
    }
}
