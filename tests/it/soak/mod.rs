//! What takes minutes: the same promises in full. Ignored unless asked for: `scripts/test.sh
//! --soak`.
//!
//! Each test tells its figures on stderr; `docs/reliability.md` keeps those of a run.

mod idle;
mod leak;
mod long;
mod runs;
mod starved;

use std::io::Write as _;

fn tell(figures: &str) {
    writeln!(std::io::stderr(), "soak: {figures}").expect("stderr");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
