//! What a contestant takes: processor time and memory of its process and all that descend from it.

use std::time::Duration;

use procfs::process::{Process, all_processes};

/// User and system time so far, with that of children that have ended (proc_pid_stat(5)).
pub fn cpu(root: u32) -> Duration {
    let ticks: u64 = tree(root).iter().filter_map(ticks).sum();
    Duration::from_millis(ticks * 1000 / procfs::ticks_per_second())
}

fn ticks(process: &Process) -> Option<u64> {
    let stat = process.stat().ok()?;
    let of_children = u64::try_from(stat.cutime + stat.cstime).unwrap_or(0);
    Some(stat.utime + stat.stime + of_children)
}

/// Proportional set size in KiB: what several share counts once.
pub fn memory(root: u32) -> u64 {
    tree(root).iter().filter_map(pss).sum()
}

fn pss(process: &Process) -> Option<u64> {
    let rollup = process.smaps_rollup().ok()?;
    let bytes: u64 = rollup
        .memory_map_rollup
        .0
        .iter()
        .filter_map(|map| map.extension.map.get("Pss"))
        .sum();
    Some(bytes / 1024)
}

fn tree(root: u32) -> Vec<Process> {
    let mut rest: Vec<_> = all_processes().expect("/proc").flatten().collect();
    let mut tree: Vec<Process> = Vec::new();
    loop {
        let belongs = |process: &Process| {
            let parent = process.stat().map(|stat| stat.ppid).unwrap_or(0);
            process.pid.unsigned_abs() == root || tree.iter().any(|member| member.pid == parent)
        };
        let (found, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(belongs);
        if found.is_empty() {
            return tree;
        }
        tree.extend(found);
        rest = others;
    }
}
