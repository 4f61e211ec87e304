//! Processes by pid and start time, so that a pid that the kernel has given to another process is
//! never signalled; and which of them are an agent's.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitpid,
};
use serde::{Deserialize, Serialize};

use super::start::wire::{Action, Presence, Request};

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
        let stat = Stat::read(pid).ok_or_else(no_proc)?;
        Ok(Self {
            pid,
            start_time: stat.start_time,
        })
    }

    /// Whether the process itself is still there, as far as the caller may see.
    pub(super) fn is_alive(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.start_time == self.start_time && !stat.is_dead)
    }
}

/// A process that the kernel makes the parent of whatever its descendants leave behind
/// (`PR_SET_CHILD_SUBREAPER`). So a daemon that an agent has detached stays below it, also in a
/// session of its own and after its own parent's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Adopter {
    pid: u32,
    /// The session that it shares with every process that it has started itself, except for the
    /// agent, which leads its own.
    session: u32,
}

impl Adopter {
    /// Makes the calling process an adopter, for as long as it lives. It must call [`reap`] from
    /// then on.
    pub(super) fn become_one() -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        let pid = std::process::id();
        // getsid(2) would do, but rustix takes no 0, which is the session of another pid namespace.
        let Stat { session, .. } = Stat::read(pid).ok_or_else(no_proc)?;
        Ok(Self { pid, session })
    }

    /// Nothing that leaves a session can come back into it: what an agent has left behind is in
    /// another one than ours.
    fn has_adopted(self, process: &Stat) -> bool {
        process.parent == self.pid && process.session != self.session
    }
}

/// How the processes of an agent are distinguished from all others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    /// The agent's first process.
    pub(super) leader: Identity,
    /// The user of all of them: none can become another one (`PR_SET_NO_NEW_PRIVS`).
    pub(super) uid: u32,
    /// Who adopts what they leave behind, while it lives.
    pub(super) adopter: Option<Adopter>,
}

impl Tree {
    /// The agent leads a session or at least a group: its processes are those in it, those that
    /// have been adopted, and all of their descendants. None is older than the agent.
    fn members(&self) -> io::Result<Vec<Identity>> {
        let mut others: Vec<_> = processes()?.collect();
        // Another process has the pid now, which the kernel does not hand out while a group or
        // session bears it.
        let is_replaced = others
            .iter()
            .any(|(it, _)| it.pid == self.leader.pid && *it != self.leader);
        others.retain(|(_, stat)| !stat.is_dead);
        let mut members: Vec<Identity> = Vec::new();
        loop {
            let belongs = |(identity, stat): &(Identity, Stat)| {
                let is_led = !is_replaced && self.leads(*identity, stat);
                let is_child = members.iter().any(|member| member.pid == stat.parent);
                (is_led || is_child || self.has_adopted(stat)) && self.may_own(*identity)
            };
            let (found, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(belongs);
            if found.is_empty() {
                return Ok(members);
            }
            members.extend(found.into_iter().map(|(identity, _)| identity));
            others = rest;
        }
    }

    fn leads(&self, identity: Identity, stat: &Stat) -> bool {
        [identity.pid, stat.group, stat.session].contains(&self.leader.pid)
    }

    fn has_adopted(&self, stat: &Stat) -> bool {
        self.adopter
            .is_some_and(|adopter| adopter.has_adopted(stat))
    }

    fn may_own(&self, identity: Identity) -> bool {
        identity.start_time >= self.leader.start_time && uid_of(identity.pid) == Some(self.uid)
    }
}

/// Signals every process of an agent that belongs to `uid`, then waits for them to be gone. Blocks.
pub(super) fn apply(request: Request, uid: u32) -> io::Result<Presence> {
    let tree = Tree {
        leader: request.identity,
        uid,
        adopter: request.adopter,
    };
    let signal = match request.action {
        Action::Check => None,
        Action::Kill => Some(Signal::KILL),
        Action::Term => Some(Signal::TERM),
    };
    let deadline = Instant::now() + Duration::from_millis(request.wait_ms);
    let mut signalled: Vec<Identity> = Vec::new();
    loop {
        let mut left = tree.members()?;
        if left.is_empty() {
            // A process whose parent ended during the scan has no parent in it, and its adopter in
            // the next one.
            left = tree.members()?;
        }
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

/// Takes note of the end of every adopted process, which else stays in the kernel's table. `own` is
/// the child that another task waits for. Blocks.
pub(super) fn reap(tree: &Tree, own: Option<u32>) -> io::Result<()> {
    let adopted = processes()?.filter(|(identity, stat)| {
        stat.is_dead
            && Some(identity.pid) != own
            && tree.has_adopted(stat)
            && tree.may_own(*identity)
    });
    for (identity, _) in adopted {
        // A child keeps its pid until it is waited for, and nothing else waits for this one.
        if let Some(pid) = raw(identity) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
    Ok(())
}

/// Every process that can be seen.
fn processes() -> io::Result<impl Iterator<Item = (Identity, Stat)>> {
    let pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(pids.filter_map(|pid| {
        let stat = Stat::read(pid)?;
        Some((
            Identity {
                pid,
                start_time: stat.start_time,
            },
            stat,
        ))
    }))
}

fn no_proc() -> io::Error {
    io::Error::other("/proc is not mounted")
}

fn raw(process: Identity) -> Option<Pid> {
    i32::try_from(process.pid).ok().and_then(Pid::from_raw)
}

/// Through a pidfd that is opened before the process is checked, so that the signal cannot reach a
/// successor.
fn send(process: Identity, signal: Signal) -> io::Result<()> {
    let Some(pid) = raw(process) else {
        return Ok(());
    };
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
    parent: u32,
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
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start_time = fields.nth(15)?.parse().ok()?;
        Some(Self {
            parent,
            group,
            session,
            start_time,
            is_dead,
        })
    }
}

/// The real uid. The owner of `/proc/<pid>` would not do: it is root for programs that their user
/// cannot read.
fn uid_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| {
        line.strip_prefix("Uid:")?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    })
}

/// Short against a stop timeout of seconds, long against the microseconds that a look at /proc
/// takes.
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
        let identity = Identity {
            pid: child.id(),
            start_time,
        };
        while tree(identity).members().expect("members").len() < 2 {
            std::thread::yield_now();
        }
        (child, identity)
    }

    fn tree(leader: Identity) -> Tree {
        Tree {
            leader,
            uid: own_uid(),
            adopter: None,
        }
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn ask(identity: Identity, action: Action, wait_ms: u64) -> Presence {
        apply(
            Request {
                identity,
                adopter: None,
                action,
                wait_ms,
            },
            own_uid(),
        )
        .expect("an answer")
    }

    #[test]
    fn the_whole_group_is_ended() {
        let (mut child, identity) = group();
        assert_eq!(ask(identity, Action::Check, 0), Presence::Alive);
        assert_eq!(
            ask(identity, Action::Term, 0),
            Presence::Alive,
            "the shell ignores SIGTERM"
        );
        assert_eq!(ask(identity, Action::Kill, LONG_WAIT), Presence::Gone);
        assert!(!child.wait().expect("its status").success());
    }

    #[test]
    fn what_a_dead_leader_left_is_found() {
        let (mut child, identity) = group();
        child.kill().expect("a signal");
        child.wait().expect("its status");
        assert_eq!(
            ask(identity, Action::Check, 0),
            Presence::Alive,
            "the child is still there"
        );
        assert_eq!(ask(identity, Action::Term, LONG_WAIT), Presence::Gone);
    }

    #[test]
    fn a_child_in_a_session_of_its_own_is_ended_too() {
        let (mut child, identity) = group_of("setsid sleep 1000 & wait");
        let detached = loop {
            let found = processes().expect("processes").find(|(_, stat)| {
                stat.parent == identity.pid
                    && stat.session != identity.pid
                    && stat.session == stat.group
            });
            if let Some((detached, _)) = found.filter(|(it, stat)| it.pid == stat.session) {
                break detached;
            }
        };
        assert_eq!(ask(identity, Action::Term, LONG_WAIT), Presence::Gone);
        assert!(!detached.is_alive());
        child.wait().expect("its status");
    }

    #[test]
    fn what_is_forked_during_the_end_is_ended_too() {
        let (mut child, identity) = group_of("trap 'sleep 1000 & exit' TERM; sleep 1000 & wait");
        assert_eq!(
            ask(identity, Action::Term, LONG_WAIT),
            Presence::Gone,
            "its last child has had no signal yet"
        );
        child.wait().expect("its status");
    }

    #[test]
    fn strangers_are_not_touched() {
        let (mut child, identity) = group();
        let successor = Identity {
            start_time: identity.start_time - 1,
            ..identity
        };
        assert_eq!(
            ask(successor, Action::Kill, 0),
            Presence::Gone,
            "the same pid, another process"
        );
        let request = Request {
            identity,
            adopter: None,
            action: Action::Kill,
            wait_ms: 0,
        };
        assert_eq!(
            apply(request, own_uid() + 1).expect("an answer"),
            Presence::Gone,
            "another user's"
        );
        assert!(identity.is_alive());
        ask(identity, Action::Kill, LONG_WAIT);
        child.wait().expect("its status");
    }

    #[test]
    fn hostile_command_names_do_not_confuse() {
        let stat = "7 (a) S 1 (b)) Z 1 22 33 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4455 1 2";
        let stat = Stat::parse(stat).expect("a stat");
        assert_eq!((stat.parent, stat.group, stat.session), (1, 22, 33));
        assert_eq!((stat.start_time, stat.is_dead), (4455, true));
    }
}
