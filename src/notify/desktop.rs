//! Notifications on the desktop, by the program `notify-send` (Debian: `libnotify-bin`).

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::warn;

use super::alert::summary;
use crate::budget::{Notice, State};
use crate::record::{Fact, NotificationResult, NotificationTarget, Record};

/// Shows each notice, until the queue ends.
pub(super) async fn deliver(mut queue: mpsc::Receiver<Notice>, record: &dyn Record) {
    while let Some(notice) = queue.recv().await {
        let result = match show(&notice).await {
            Ok(status) if status.success() => NotificationResult::Sent,
            Ok(status) => {
                warn!(%status, "notify-send failed: is there a desktop of this user?");
                NotificationResult::Failed
            }
            Err(error) => {
                warn!(%error, "notify-send cannot be run: install it (Debian: libnotify-bin), or set notify.desktop to false");
                NotificationResult::Failed
            }
        };
        record.record(Fact::NotificationEnded {
            target: NotificationTarget::Desktop,
            result,
        });
    }
}

async fn show(notice: &Notice) -> io::Result<ExitStatus> {
    let urgency = match notice.state {
        State::Stopped => "critical",
        State::Lifted | State::Ok | State::Warned => "normal",
    };
    let ended = Command::new(PROGRAM)
        .arg("--app-name=Gravimeter")
        .arg(format!("--urgency={urgency}"))
        .arg("--")
        .arg("Gravimeter")
        .arg(summary(notice))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    timeout(LIMIT, ended)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

const PROGRAM: &str = "notify-send";

/// It hands the text to the desktop and ends.
const LIMIT: Duration = Duration::from_secs(5);
