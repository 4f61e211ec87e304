//! Real connections, of this process and of others.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::record::ProgramName;

/// As long as a loaded machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn ends(accepted: &TcpStream) -> Ends {
    Ends::new(
        accepted.peer_addr().unwrap(),
        accepted.local_addr().unwrap(),
    )
}

/// What is known at the end of a search.
async fn found(peers: &Arc<Peers>, ends: Ends) -> Caller {
    let mut search = peers.search(ends, &TaskTracker::new());
    search.wait(PATIENCE).await;
    search.caller().now()
}

/// The name of the program that runs the tests.
fn own_name() -> String {
    let path = std::env::current_exe().unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_program_is_found_in_both_families() {
    let peers = Peers::new(Caller::default());
    let any: [SocketAddr; 2] = [
        (Ipv4Addr::LOCALHOST, 0).into(),
        (Ipv6Addr::LOCALHOST, 0).into(),
    ];
    for address in any {
        let Ok(listener) = TcpListener::bind(address).await else {
            assert!(!crate::skip::has_ipv6() && address.is_ipv6());
            continue;
        };
        let to = listener.local_addr().unwrap();
        let (agent, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        let (_agent, (accepted, _)) = (agent.unwrap(), accepted.unwrap());
        let found = found(&peers, ends(&accepted)).await;
        assert_eq!(found.program, ProgramName::new(&own_name()));
    }
}

/// The repository is that of the other process, not of this one.
#[tokio::test]
async fn another_process_is_found_with_the_repository_it_works_in() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("elsewhere");
    std::fs::create_dir_all(root.join(".git")).unwrap();
    std::fs::write(root.join(".git/HEAD"), "ref: refs/heads/side").unwrap();
    let peers = Peers::new(Caller::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut child = Command::new("bash")
        .args(["-c", &format!("exec 3<>/dev/tcp/127.0.0.1/{port}; read")])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let found = found(&peers, ends(&accepted)).await;
    drop(child.stdin.take());
    child.wait().unwrap();
    let expected = [None, Some("bash"), Some("elsewhere"), Some("side")];
    assert_eq!(found.names(), expected);
}

#[tokio::test]
async fn a_connection_that_is_closed_or_was_never_there_has_no_program() {
    let peers = Peers::new(Caller::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (agent, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
    let (accepted, _) = accepted.unwrap();
    drop(agent.unwrap());
    for ends in [ends(&accepted), Ends::new(to, to)] {
        assert!(found(&peers, ends).await.is_unknown());
    }
}

/// The table of another network namespace is that of the process that was named; one that is gone
/// has none.
#[tokio::test]
async fn the_table_of_a_process_is_read_in_its_place() {
    let peers = Peers::new(Caller::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let (agent, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
    let (_agent, (accepted, _)) = (agent.unwrap(), accepted.unwrap());
    peers.look_into_namespace_of(std::process::id());
    let ends = ends(&accepted);
    let own = found(&peers, ends).await;
    assert!(own.program.is_some(), "our own namespace");
    let mut gone = Command::new("true").spawn().unwrap();
    let pid = gone.id();
    gone.wait().unwrap();
    peers.look_into_namespace_of(pid);
    assert!(found(&peers, ends).await.is_unknown());
}

#[tokio::test]
async fn a_crowd_is_found_whole() {
    let (peers, tasks) = (Peers::new(Caller::default()), TaskTracker::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut open = Vec::new();
    let mut searches = Vec::new();
    for _ in 0..64 {
        let (agent, accepted) = tokio::join!(TcpStream::connect(to), listener.accept());
        let (agent, (accepted, _)) = (agent.unwrap(), accepted.unwrap());
        searches.push(peers.search(ends(&accepted), &tasks));
        open.push((agent, accepted));
    }
    for mut search in searches {
        search.wait(PATIENCE).await;
        assert!(search.caller().program().is_some());
    }
    assert!(peers.waiting().searches.is_empty());
}
