//! Reads the files of rules again when they have changed. An edit with mistakes is logged, and the
//! rules before it go on to hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::{Mistakes, RuleFiles, RuleTexts};
use crate::record::{Fact, Record};
use crate::rules::Rules;

/// The files, and where their rules go.
pub(in crate::app) struct Reload {
    files: RuleFiles,
    /// What the files said when they were last read, or why they could not be read.
    last: Result<RuleTexts, Mistakes>,
    rules: watch::Sender<Arc<Rules>>,
    record: Arc<dyn Record>,
}

impl Reload {
    /// Of files that hold the rules which `rules` has now.
    pub(in crate::app) fn new(
        files: RuleFiles,
        rules: watch::Sender<Arc<Rules>>,
        record: Arc<dyn Record>,
    ) -> Self {
        let reload = Self {
            last: files.texts(),
            files,
            rules,
            record,
        };
        reload.say(false);
        reload
    }

    /// Looks for changes until `stopping`.
    pub(in crate::app) async fn run(mut self, stopping: CancellationToken) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = looks.tick() => {}
            }
            let files = self.files.clone();
            // Files may be on a disk that is slow to answer.
            let Ok(texts) = tokio::task::spawn_blocking(move || files.texts()).await else {
                return;
            };
            if texts != self.last {
                self.last = texts;
                self.take();
            }
        }
    }

    /// Takes over what the files say now, if it is right.
    fn take(&self) {
        let read = self.last.clone().and_then(|texts| self.files.read(&texts));
        let is_broken = read.is_err();
        match read {
            Ok(rules) => {
                info!(
                    rules = rules.len(),
                    "the rules that change requests were read again"
                );
                self.rules.send_replace(Arc::new(rules));
            }
            Err(Mistakes(mistakes)) => {
                for mistake in mistakes {
                    error!(%mistake, "the edited rules have a mistake: the rules before go on to hold");
                }
            }
        }
        self.say(is_broken);
    }

    fn say(&self, is_broken: bool) {
        let active = self.rules.borrow().len();
        self.record.record(Fact::RulesRead { active, is_broken });
    }
}

/// How soon an edit holds. Looking costs as little as reading some small files.
const LOOK: Duration = Duration::from_secs(1);
