//! The rules that change requests, while the program runs: read again when their files change, tried
//! on finished calls where they are dry runs, and logged where they cannot be applied.

mod dry_runs;
mod log;
mod reload;

pub(super) use dry_runs::DryRuns;
pub(super) use log::RuleLog;
pub(super) use reload::Reload;
