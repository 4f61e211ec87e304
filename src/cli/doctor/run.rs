//! `gravimeter doctor run`: which ways to capture a program work on this machine, and what stands in
//! the way of the others.

use std::ffi::OsStr;

use super::Finding;
use crate::capture::namespace::{Namespace, obstacles};
use crate::config::{Config, process_environment};
use crate::launch::find::running_application;
use crate::launch::foreground::{Executable, proxy_in_use};

/// One finding for each way, the best first. A namespace is really made, and given up at once.
pub(super) fn ways(config: &Config) -> Vec<Finding> {
    let environment = process_environment();
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(OsStr::new(""), |(_, value)| value);
    let mut findings = namespace(config, path);
    findings.push(match proxy_in_use(&environment) {
        Some(variable) => Finding::warn(
            "scope proxy",
            format!("{variable} leads to another proxy, and gravimeter cannot go through it"),
            format!("unset {variable}"),
        ),
        None => Finding::ok(
            "scope proxy",
            "works for programs that use HTTPS_PROXY".to_owned(),
        ),
    });
    findings
}

/// Whether the program that is to run is found, and can be observed.
pub(super) fn program(command: &OsStr) -> Finding {
    let environment = process_environment();
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(OsStr::new(""), |(_, value)| value);
    let what = "program";
    match Executable::find(command, path) {
        Err(error) => Finding::fail(what, error.to_string(), "install it, or correct PATH"),
        Ok(executable) => match running_application(&executable.title()) {
            None => Finding::ok(what, executable.path.display().to_string()),
            Some(pid) => Finding::warn(
                what,
                format!("{} runs already (process {pid}), unobserved", executable.title()),
                "quit it, then start it by `gravimeter run`",
            ),
        },
    }
}

fn namespace(config: &Config, path: &OsStr) -> Vec<Finding> {
    let opened = std::env::current_exe()
        .map_err(|error| error.to_string())
        .map(|own| Namespace::open(&own, &config.capture.redirect_listen, path));
    let what = "scope namespace";
    match opened {
        Ok(Ok(_)) => vec![Finding::ok(what, "works: all connections to port 443")],
        Ok(Err(first)) => {
            let others = obstacles(path).into_iter().filter(|other| *other != first);
            let all = std::iter::once(first.clone()).chain(others);
            all.map(|obstacle| Finding::warn(what, obstacle.what, obstacle.remedy))
                .collect()
        }
        Err(error) => vec![Finding::warn(
            what,
            format!("the path of the running program is not known: {error}"),
            "start gravimeter by its path",
        )],
    }
}
