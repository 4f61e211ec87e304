//! A stage: private network, mounts and processes, in which a test is root and may break
//! everything.
//!
//! `lo` also has [`PROVIDER_V4`] and [`PROVIDER_V6`], so that a provider can listen on port 443 of
//! an address that is not loopback. `/etc`, `/run`, `/usr/bin`, `/usr/sbin`, `/usr/local` and
//! `/var/lib` are overlays that vanish with the stage.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

/// Where a provider may listen.
pub(crate) const PROVIDER_V4: &str = "203.0.113.7";
/// The same for IPv6.
pub(crate) const PROVIDER_V6: &str = "2001:db8::7";
/// Runs Gravimeter; exists on every stage.
pub(crate) const OPERATOR: &str = "ann";
/// The agent's user; made by the install script.
pub(crate) const AGENT: &str = "antigravity-ls";
/// The program under test.
pub(crate) const PROGRAM: &str = "/usr/local/bin/gravimeter";
/// This test binary, where every user of the stage can run it.
pub(crate) const SELF: &str = "/usr/local/bin/gravimeter-netns";
/// The script under test.
pub(crate) const SCRIPT: &str = "/usr/local/bin/mitm-redirect";
/// The operator's state folder.
pub(crate) const STATE: &str = "/var/lib/gravimeter";

/// Runs `body` as root on a new stage. `name` is the test's own path (`rules::...`): the test runs
/// a second time there.
pub(crate) fn on_stage(name: &str, body: impl FnOnce()) {
    on_stage_for(name, USUAL_LIMIT_SECONDS, body);
}

/// The same for a test that may take longer than usual.
pub(crate) fn on_stage_for(name: &str, limit_seconds: u32, body: impl FnOnce()) {
    if is_set() {
        return body();
    }
    let own = std::env::current_exe().expect("the path of the test binary");
    let mut command = Command::new("timeout");
    command
        .args(["--kill-after=5", &limit_seconds.to_string(), "unshare"])
        .args(UNSHARE)
        .args(["bash", "-c", BUILD, "stage"]);
    command.args([env!("CARGO_BIN_EXE_gravimeter").as_ref(), own.as_os_str()]);
    command.arg(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/scripts/mitm-redirect.sh"
    ));
    command
        .args([SELF, "--exact", name, "--nocapture", "--include-ignored"])
        .env(ON_STAGE, "1");
    let output = command.output().expect("timeout and unshare");
    let said = text(&output);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{}\n{said}",
        output.status
    );
    for figures in said.lines().filter(|line| line.starts_with("soak: ")) {
        writeln!(std::io::stdout(), "{figures}").expect("stdout");
    }
}

/// Why no stage can be built here; nothing stands in the way of a test that is on one already.
pub(crate) fn obstacle() -> Option<String> {
    if is_set() { None } else { can_build().err() }
}

/// Whether this process is on a stage.
pub(crate) fn is_set() -> bool {
    std::env::var_os(ON_STAGE).is_some()
}

/// Runs a shell line as a user, with a clean environment.
pub(crate) fn shell_as(user: &str, line: &str) -> Output {
    let mut command = as_user(user);
    command
        .args(["bash", "-c", line])
        .output()
        .expect("setpriv")
}

/// A command that is still to be named, run as a user.
pub(crate) fn as_user(user: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", user, "--init-groups", "--"]);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .current_dir("/");
    command
}

/// Runs a shell line as root and expects success.
pub(crate) fn root(line: &str) -> String {
    let output = Command::new("bash")
        .args(["-c", line])
        .output()
        .expect("bash");
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output)
}

/// Installs the rules and the sudoers file for the operator.
pub(crate) fn install() -> String {
    root(&format!(
        "{SCRIPT} install --operator {OPERATOR} --program {PROGRAM}"
    ))
}

/// All rules of both families without counters and comments.
pub(crate) fn all_rules() -> String {
    root("{ iptables-save; ip6tables-save; } | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'")
}

/// Writes an executable file.
pub(crate) fn write_program(path: impl AsRef<Path>, content: &str) {
    let path = path.as_ref();
    fs::write(path, content).expect("a file on the stage");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
}

/// Standard output, then standard error.
pub(crate) fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .concat()
}

const ON_STAGE: &str = "NETNS_TEST_STAGE";

/// Far more than any test needs on a busy machine.
pub(crate) const USUAL_LIMIT_SECONDS: u32 = 180;

const UNSHARE: &[&str] = &[
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
    "--",
];

/// The first process of the stage: builds it, then stays to reap what others leave behind.
const BUILD: &str = r#"
set -e
program=$1 self=$2 script=$3
shift 3
ip link set lo up
ip address add 203.0.113.7/32 dev lo
ip address add 2001:db8::7/128 dev lo nodad
mount -t tmpfs -o mode=755 tmpfs /mnt
for folder in etc run usr/bin usr/sbin usr/local var/lib; do
    mkdir -p "/mnt/$folder/upper" "/mnt/$folder/work"
    mount -t overlay -o "lowerdir=/$folder,upperdir=/mnt/$folder/upper,workdir=/mnt/$folder/work" overlay "/$folder"
done
# What an installation on the host may have left is out of a test's way.
! id antigravity-ls &>/dev/null || userdel antigravity-ls
rm -rf /etc/sudoers.d/gravimeter /usr/local/libexec/gravimeter /var/lib/{antigravity-ls,gravimeter}*
cp "$script" /usr/local/bin/mitm-redirect
for pair in "$program:gravimeter" "$self:gravimeter-netns"; do
    touch "/usr/local/bin/${pair##*:}"
    mount --bind "${pair%:*}" "/usr/local/bin/${pair##*:}"
done
useradd --user-group --create-home --home-dir /var/lib/ann ann
install -d -m 700 -o ann -g ann /var/lib/gravimeter
"$@"
exit $?
"#;

fn can_build() -> Result<(), String> {
    let trial = "[ $EUID = 0 ] || { echo not root; exit 1; }
        for tool in ip iptables-restore ip6tables-restore setpriv sudo useradd visudo; do
            type -P $tool >/dev/null || { echo $tool is missing; exit 1; }
        done
        ip link set lo up && mount -t tmpfs tmpfs /mnt && mkdir /mnt/u /mnt/w &&
        mount -t overlay -o lowerdir=/etc,upperdir=/mnt/u,workdir=/mnt/w overlay /etc && iptables -t nat -S";
    let output = Command::new("unshare")
        .args(UNSHARE)
        .args(["bash", "-c", trial])
        .output();
    let output = output.map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(text(&output).trim().to_owned())
    }
}
