//! Runs a program that reads its orders from standard input.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Runs `program` with `orders` on its standard input.
///
/// # Errors
/// What it has said, or why it could not be started.
pub(super) fn feed(program: &str, arguments: &[&str], orders: &str) -> Result<(), String> {
    let fed = || -> io::Result<_> {
        let mut child = Command::new(program)
            .args(arguments)
            // The older iptables takes a lock in /run, where only root may write; nobody else is in
            // this namespace.
            .env("XTABLES_LOCKFILE", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that ends early says why.
            let _ = stdin.write_all(orders.as_bytes());
        }
        child.wait_with_output()
    };
    match fed() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("{program}: {error}")),
    }
}
