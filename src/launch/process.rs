//! Processes by pid and start time, so that a pid that the kernel has given to somebody else is never signalled.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use super::wire::{Action, Presence, Request};

/// One process, for as long as the machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) pid: u32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks between the boot and its start.
    pub(super) start_time: u64,
}

impl Identity {
    /// The calling process.
    pub(super) fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let stat = Stat::read(pid).ok_or_else(|| io::Error::other("/proc is not mounted"))?;
        Ok(Self { pid, start_time: stat.start_time })
    }

    /// Whether the process itself is still there, as far as the caller may see.
    pub(super) fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.is_dead)
    }
}

/// Signals every process of an agent that belongs to `uid`, then waits for them to be gone. Blocks.
pub(super) fn apply(request: Request, uid: u32) -> io::Result<Presence> {
    let signal = match request.action {
        Action::Check => None,
        Action::Kill => Some(Signal::KILL),
        Action::Term => Some(Signal::TERM),
    };
    let deadline = Instant::now() + Duration::from_millis(request.wait_ms);
    let mut signalled: Vec<Identity> = Vec::new();
    loop {
        let left = members(request.identity, uid)?;
        if left.is_empty() {
            return Ok(Presence::Gone);
        }
        // At each look: a process that was forked while the others were signalled has had none yet.
        for member in left {
            if let Some(signal) = signal
                && !signalled.contains(&member)
            {
                send(member, signal)?;
                signalled.push(member);
            }
        }
        if Instant::now() >= deadline {
            return Ok(Presence::Alive);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// The agent leads a session or at least a group: its processes are those in it that are not older than itself.
fn members(leader: Identity, uid: u32) -> io::Result<Vec<Identity>> {
    // Another process has the pid now, which the kernel does not hand out while a group or session bears it.
    if Stat::read(leader.pid).is_some_and(|stat| stat.start_time != leader.start_time) {
        return Ok(Vec::new());
    }
    let belongs = |identity: &Identity, stat: &Stat| {
        let is_in = identity.pid == leader.pid || stat.group == leader.pid || stat.session == leader.pid;
        is_in && !stat.is_dead && stat.start_time >= leader.start_time && uid_of(identity.pid) == Some(uid)
    };
    let names = fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names
        .filter_map(|pid| {
            let stat = Stat::read(pid)?;
            let identity = Identity { pid, start_time: stat.start_time };
            belongs(&identity, &stat).then_some(identity)
        })
        .collect())
}

/// Through a pidfd that is opened before the process is checked, so that the signal cannot reach a successor.
fn send(process: Identity, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Ok(()) };
    let sent = pidfd_open(pid, PidfdFlags::empty()).and_then(|fd| match process.is_alive() {
        true => pidfd_send_signal(&fd, signal),
        false => Ok(()),
    });
    match sent {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

struct Stat {
    group: u32,
    session: u32,
    start_time: u64,
    /// A zombie does nothing more; only its parent can make it go.
    is_dead: bool,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The second field is the command in parentheses and may itself hold spaces and parentheses.
    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.rsplit_once(") ")?.1.split(' ');
        let is_dead = matches!(fields.next()?, "Z" | "X");
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self { group, session, start_time, is_dead })
    }
}

/// The real uid. The owner of `/proc/<pid>` would not do: it is root for programs that their user cannot read.
fn uid_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())
}

/// Short against a stop timeout of seconds, long against the microseconds that a look at /proc takes.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command};

    use super::*;

    const LONG_WAIT: u64 = 20_000;

    /// A shell that leads its own group and has a child.
    fn group() -> (Child, Identity) {
        group_of("sleep 1000 & trap '' TERM; wait; sleep 1000")
    }

    fn group_of(script: &str) -> (Child, Identity) {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).process_group(0);
        let child = shell.spawn().expect("a shell");
        let start_time = Stat::read(child.id()).expect("its stat").start_time;
        let identity = Identity { pid: child.id(), start_time };
        while members(identity, own_uid()).expect("members").len() < 2 {
            std::thread::yield_now();
        }
        (child, identity)
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn ask(identity: Identity, action: Action, wait_ms: u64) -> Presence {
        apply(Request { identity, action, wait_ms }, own_uid()).expect("an answer")
    }

    #[test]
    fn the_whole_group_is_ended() {
        let (mut child, identity) = group();
        assert_eq!(ask(identity, Action::Check, 0), Presence::Alive);
        assert_eq!(ask(identity, Action::Term, 0), Presence::Alive, "the shell ignores SIGTERM");
        assert_eq!(ask(identity, Action::Kill, LONG_WAIT), Presence::Gone);
        assert!(!child.wait().expect("its status").success());
    }

    #[test]
    fn what_a_dead_leader_left_is_found() {
        let (mut child, identity) = group();
        child.kill().expect("a signal");
        child.wait().expect("its status");
        assert_eq!(ask(identity, Action::Check, 0), Presence::Alive, "the child is still there");
        assert_eq!(ask(identity, Action::Term, LONG_WAIT), Presence::Gone);
    }

    #[test]
    fn what_is_forked_during_the_end_is_ended_too() {
        let (mut child, identity) = group_of("trap 'sleep 1000 & exit' TERM; sleep 1000 & wait");
        assert_eq!(ask(identity, Action::Term, LONG_WAIT), Presence::Gone, "its last child has had no signal yet");
        child.wait().expect("its status");
    }

    #[test]
    fn strangers_are_not_touched() {
        let (mut child, identity) = group();
        let successor = Identity { start_time: identity.start_time - 1, ..identity };
        assert_eq!(ask(successor, Action::Kill, 0), Presence::Gone, "the same pid, another process");
        let request = Request { identity, action: Action::Kill, wait_ms: 0 };
        assert_eq!(apply(request, own_uid() + 1).expect("an answer"), Presence::Gone, "another user's");
        assert!(identity.is_alive());
        ask(identity, Action::Kill, LONG_WAIT);
        child.wait().expect("its status");
    }

    #[test]
    fn hostile_command_names_do_not_confuse() {
        let stat = "7 (a) S 1 (b)) Z 1 22 33 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4455 1 2";
        let stat = Stat::parse(stat).expect("a stat");
        assert_eq!((stat.group, stat.session, stat.start_time, stat.is_dead), (22, 33, 4455, true));
    }
}
