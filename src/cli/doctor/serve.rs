//! What `gravimeter serve` needs beside listeners and rules: the agent's executable, and a collector
//! that answers.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Access, access};

use super::Finding;
use crate::config::Config;
use crate::export::otlp::Endpoint;
use crate::launch;

/// Whether the agent that is to be started can be executed; nothing where none is.
pub(super) fn agent(config: &Config) -> Option<Finding> {
    let choice = config.agent.as_ref()?;
    Some(match launch::executable(choice) {
        Ok(path) => match executable(&path) {
            Ok(()) => Finding::ok("agent", path.display().to_string()),
            Err(why) => Finding::fail(
                "agent",
                format!("{} cannot be executed: {why}", path.display()),
                "install it, or correct agent.command",
            ),
        },
        Err(error) => Finding::fail(
            "agent",
            error.to_string(),
            "install it, or name it by agent.command",
        ),
    })
}

fn executable(path: &Path) -> Result<(), String> {
    let metadata = path.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    // Our own right to it: the agent's user may have another one, which shows at the start.
    access(path, Access::EXEC_OK).map_err(|error| error.to_string())
}

/// Whether each collector can be reached.
pub(super) fn collectors(config: &Config) -> Vec<Finding> {
    let otlp = &config.otlp;
    let destinations = [otlp.spans(), otlp.pushed_metrics()];
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for destination in destinations.into_iter().flatten() {
        let endpoint = destination.endpoint;
        if !endpoints.iter().any(|known| known.has_origin_of(&endpoint)) {
            endpoints.push(endpoint);
        }
    }
    endpoints.iter().map(collector).collect()
}

fn collector(endpoint: &Endpoint) -> Finding {
    match reach(endpoint) {
        Ok(()) => Finding::ok("collector", format!("{endpoint} can be reached")),
        Err(why) => Finding::warn(
            "collector",
            format!("{endpoint} cannot be reached: {why}"),
            "start it, or correct otlp.endpoint; meanwhile spans and pushed metrics are lost, and counted",
        ),
    }
}

fn reach(endpoint: &Endpoint) -> std::io::Result<()> {
    let addresses = endpoint.address().to_socket_addrs()?;
    let mut outcome = Err(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        outcome = TcpStream::connect_timeout(&address, CONNECT_LIMIT).map(drop);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// A collector is near; a person waits for the answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
