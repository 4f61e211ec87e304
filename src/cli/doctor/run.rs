//! `gravimeter doctor run`: which ways to capture a program work on this machine, and what stands in
//! the way of the others.

use std::ffi::OsStr;

use super::Finding;
use crate::capture::namespace::{Namespace, obstacles};
use crate::config::{Config, process_environment};
use crate::launch::foreground::proxy_in_use;

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
