//! `gravimeter doctor run`: which ways to capture a program work on this machine, and what stands in
//! the way of the others.

use std::ffi::OsStr;
use std::path::Path;

use super::{Finding, block_on};
use crate::app;
use crate::capture::Obstacle;
use crate::capture::cgroup::Cgroup;
use crate::capture::namespace::{Carrier, Namespace, obstacles};
use crate::config::{Config, process_environment};
use crate::launch::find::running_application;
use crate::launch::foreground::{Executable, proxy_in_use};

/// At least one finding for each way, the best first. Namespaces and cgroups are really tried, and
/// given up at once.
pub(super) fn ways(config: &Config) -> Vec<Finding> {
    let environment = process_environment();
    let path = environment.iter().find(|(name, _)| name == "PATH");
    let path = path.map_or(OsStr::new(""), |(_, value)| value);
    let mut findings = match std::env::current_exe() {
        Ok(own) => {
            let mut findings = namespace(config, &own, path);
            findings.push(cgroup(&own, path));
            findings.push(user(config, &own));
            findings
        }
        Err(error) => vec![Finding::warn(
            "scope namespace",
            format!("the path of the running program is not known: {error}"),
            "start gravimeter by its path",
        )],
    };
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
                format!(
                    "{} runs already (process {pid}), unobserved",
                    executable.title()
                ),
                "quit it, then start it by `gravimeter run`",
            ),
        },
    }
}

/// With pasta, or else why not, and whether it works without.
fn namespace(config: &Config, own: &Path, path: &OsStr) -> Vec<Finding> {
    const WHAT: &str = "scope namespace";
    let open = |carrier| Namespace::open(carrier, own, &config.capture.redirect_listen, path);
    let Err(first) = open(Carrier::Pasta) else {
        return vec![Finding::ok(WHAT, "works: all connections to port 443")];
    };
    let mut all = with_others(first, Carrier::Pasta, path);
    match open(Carrier::Own) {
        Ok(_) => {
            let mut findings = warnings(WHAT, all);
            findings.push(Finding::ok(
                WHAT,
                "works without pasta where it is asked for (--scope namespace): TCP and names pass, \
                 loopback services and other UDP do not",
            ));
            findings
        }
        Err(first) => {
            for other in with_others(first, Carrier::Own, path) {
                if !all.contains(&other) {
                    all.push(other);
                }
            }
            warnings(WHAT, all)
        }
    }
}

fn cgroup(own: &Path, path: &OsStr) -> Finding {
    const WHAT: &str = "scope cgroup";
    match Cgroup::open(own, path) {
        Ok(_) => Finding::ok(WHAT, "works: all connections to port 443"),
        Err(Obstacle { what, remedy }) => Finding::warn(WHAT, what, remedy),
    }
}

fn user(config: &Config, own: &Path) -> Finding {
    const WHAT: &str = "scope user";
    let tried = block_on(async { Ok(app::try_other_user(own, config).await?) });
    match tried {
        Ok(()) => Finding::ok(
            WHAT,
            format!("works: programs run as {}", config.redirect.user),
        ),
        Err(error) => {
            let (what, remedy) = match error.downcast() {
                Ok(app::Error::User(Obstacle { what, remedy })) => (what, remedy),
                Ok(error @ app::Error::Bind { .. }) => (
                    error.to_string(),
                    "stop `gravimeter serve` first".to_owned(),
                ),
                Ok(error) => (error.to_string(), INSTALL.to_owned()),
                Err(error) => (error.to_string(), INSTALL.to_owned()),
            };
            Finding::warn(WHAT, what, remedy)
        }
    }
}

const INSTALL: &str = "sudo gravimeter redirect install";

fn with_others(first: Obstacle, carrier: Carrier, path: &OsStr) -> Vec<Obstacle> {
    let others = obstacles(carrier, path).into_iter();
    let others: Vec<_> = others.filter(|other| *other != first).collect();
    std::iter::once(first).chain(others).collect()
}

fn warnings(what: &'static str, obstacles: Vec<Obstacle>) -> Vec<Finding> {
    let obstacles = obstacles.into_iter();
    obstacles
        .map(
            |Obstacle {
                 what: found,
                 remedy,
             }| Finding::warn(what, found, remedy),
        )
        .collect()
}
