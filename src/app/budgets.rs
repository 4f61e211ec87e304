//! Budgets, put together: what was spent before the start comes from the ledger, the time is kept, and
//! people are notified.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::control;
use super::running::Running;
use super::trust::Collectors;
use crate::budget::{Budget, Budgets, GroupBy, Window};
use crate::config::Config;
use crate::dialect;
use crate::ledger::{Ledger, SpentBy};
use crate::notify;
use crate::record::{Models, Record, SubjectTotals};

/// The budgets of the configuration, with what the ledger knows to be spent; `None` where there are
/// none.
pub(super) fn open(config: &Config, models: &Arc<Models>, ledger: &Ledger) -> Option<Arc<Budgets>> {
    if config.budgets.is_empty() {
        return None;
    }
    let (now, budgets) = (Timestamp::now(), config.budgets.clone());
    let budgets = Budgets::new(budgets, Arc::clone(models), dialect::provider_of, now);
    budgets.seed(now, |budget, since| {
        let is_kept = config.ledger.enabled && ledger.unavailable().is_none();
        let spent = is_kept.then(|| spent(ledger, budget, since)).flatten();
        if spent.is_none() {
            warn!(budget = budget.name.as_str(), %since, "what was spent before this start is not known: the budget counts from now on");
        }
        spent
    });
    Some(Arc::new(budgets))
}

fn spent(ledger: &Ledger, budget: &Budget, since: Timestamp) -> Option<Vec<SubjectTotals>> {
    let by = match (budget.window, budget.by) {
        (Window::Session, _) => SpentBy::OpenSessions,
        (_, GroupBy::All | GroupBy::Model | GroupBy::Provider) => SpentBy::Model,
        (_, GroupBy::Program | GroupBy::Repository) => SpentBy::Caller,
        (_, GroupBy::Session | GroupBy::Subagent) => SpentBy::Session,
    };
    let spent = ledger.spent(since, by);
    spent
        .inspect_err(|error| warn!(%error, "the ledger cannot be read for a budget"))
        .ok()
        .flatten()
}

/// Starts what budgets need while the program runs.
pub(super) fn serve(
    config: &Config,
    budgets: &Arc<Budgets>,
    tls: &Collectors,
    running: &Running,
    record: &Arc<dyn Record>,
) {
    let (exporter, telemetry) = (&running.exporter, &running.telemetry);
    exporter.spawn(keep_time(Arc::clone(budgets), exporter.stopping().clone()));
    // The last calls end before it does.
    telemetry.spawn(notify::run(
        Arc::clone(budgets),
        config.notify.clone(),
        tls.webhook.clone(),
        Arc::clone(record),
        telemetry.stopping().clone(),
    ));
    control::take_commands(&config.control_socket(), Arc::clone(budgets), exporter);
}

/// Begins new windows, and ends the time for which budgets are lifted.
async fn keep_time(budgets: Arc<Budgets>, stopping: CancellationToken) {
    let mut changes = budgets.changes();
    loop {
        let now = Timestamp::now();
        // Before the look at the budgets, so that no change is missed.
        changes.mark_unchanged();
        let next = budgets.refresh(now);
        let left = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
        let pause = left.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        let woken = async {
            tokio::select! {
                () = sleep(pause) => {}
                // Somebody may have lifted a budget.
                _ = changes.changed() => {}
            }
        };
        if stopping.run_until_cancelled(woken).await.is_none() {
            return;
        }
    }
}

/// The clock may be set, and the machine may sleep.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
