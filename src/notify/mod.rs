//! Notifies people of what changes about budgets: in the log, on the desktop, and by a webhook.
//!
//! Notices enter, requests and desktop notifications leave. Each target has a bounded queue of its
//! own, so that one that does not answer delays no other; what is lost is counted. Names of budgets
//! and of what they are kept by, and figures, are all that is sent.

mod alert;
mod desktop;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::budget::{Budgets, Notice, Notices, State};
use crate::record::{Fact, NotificationResult, NotificationTarget, Record};

pub use webhook::{InvalidUrl, WebhookUrl};

use alert::summary;
use webhook::Webhook;

/// Who is notified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether notifications are shown on the desktop, by the program `notify-send`.
    pub desktop: bool,
    /// Where alerts are posted.
    pub webhook: Option<WebhookUrl>,
}

/// Notifies of every change until `stopping`. `tls` is how a webhook's server is verified.
pub async fn run(
    budgets: Arc<Budgets>,
    config: Config,
    tls: Option<ClientConfig>,
    record: Arc<dyn Record>,
    stopping: CancellationToken,
) {
    let (to_desktop, for_desktop) = mpsc::channel(QUEUE);
    let (to_webhook, for_webhook) = mpsc::channel(QUEUE);
    let webhook = config
        .webhook
        .zip(tls)
        .map(|(url, tls)| Webhook::new(url, tls));
    // A queue that is not used ends at once.
    let targets = [
        (NotificationTarget::Desktop, to_desktop, config.desktop),
        (NotificationTarget::Webhook, to_webhook, webhook.is_some()),
    ];
    let targets = targets.into_iter().filter(|(_, _, is_used)| *is_used);
    let targets = targets.map(|(target, queue, _)| (target, queue)).collect();
    let changes = budgets.changes();
    let deliveries = async {
        tokio::join!(
            desktop::deliver(for_desktop, &*record),
            webhook::deliver(webhook, for_webhook, &*record),
        )
    };
    let end = async {
        stopping.cancelled().await;
        sleep(LAST_DELIVERIES).await;
    };
    let deliveries = async {
        tokio::select! {
            _ = deliveries => {}
            () = end => warn!("notifications that were waiting at the end are given up"),
        }
    };
    tokio::join!(
        dispatch(&budgets, changes, targets, &*record, &stopping),
        deliveries
    );
}

/// Hands each notice to every target.
async fn dispatch(
    budgets: &Budgets,
    mut changes: watch::Receiver<u64>,
    targets: Vec<(NotificationTarget, mpsc::Sender<Notice>)>,
    record: &dyn Record,
    stopping: &CancellationToken,
) {
    // What changed before this began.
    changes.mark_changed();
    let mut is_last = false;
    while !is_last {
        // What the last calls have changed is dispatched, too.
        let changed = stopping.run_until_cancelled(changes.changed()).await;
        is_last = !matches!(changed, Some(Ok(())));
        let Notices { waiting, lost } = budgets.take_notices();
        let drop_one = |target| {
            record.record(Fact::NotificationEnded {
                target,
                result: NotificationResult::Dropped,
            });
        };
        for notice in waiting {
            log(&notice);
            for (target, queue) in &targets {
                if queue.try_send(notice.clone()).is_err() {
                    drop_one(*target);
                }
            }
        }
        for _ in 0..lost {
            targets.iter().for_each(|(target, _)| drop_one(*target));
        }
    }
}

fn log(notice: &Notice) {
    let budget = notice.budget.as_str();
    match notice.state {
        State::Lifted | State::Ok => info!(budget, "{}", summary(notice)),
        State::Stopped | State::Warned => warn!(budget, "{}", summary(notice)),
    }
}

/// How long notices that wait at the end may still be delivered.
const LAST_DELIVERIES: Duration = Duration::from_secs(2);

/// Notices that wait for one target: as many as are kept before they are dispatched.
const QUEUE: usize = 256;

#[cfg(test)]
mod tests;
