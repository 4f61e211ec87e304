//! How the demo's program, its provider and its agent are configured: free ports, stand-ins instead of
//! what is real, and the pace of all.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{DemoOptions, failed};
use crate::app::Error;
use crate::cascade::client::Token;
use crate::config::{Config, Listen, Raw, RedirectRules};
use crate::demo::agent::{AgentOptions, Protocol};
use crate::demo::provider::{Provider, ProviderOptions};
use crate::demo::{ANTHROPIC_HOST, CHATGPT_HOST, CLOUD_CODE_HOST};
use crate::record::Host;

impl DemoOptions {
    /// How the stand-in of all providers answers.
    pub(super) fn script(&self) -> ProviderOptions {
        ProviderOptions {
            pause_ms: self.milliseconds(CHUNK_PAUSE),
            first_chunk_ms: FIRST_CHUNK.map(|wait| self.milliseconds(wait)),
            checks_hashes: self.rules.is_empty(),
            ..ProviderOptions::default()
        }
    }

    /// A time of life in milliseconds of the demo.
    fn milliseconds(&self, time: Duration) -> u64 {
        let scaled = Duration::try_from_secs_f64(time.as_secs_f64() / self.speed);
        scaled.map_or(u64::MAX, |scaled| {
            u64::try_from(scaled.as_millis()).unwrap_or(u64::MAX)
        })
    }
}

/// The demo's program: its ports are free ones, its provider is the stand-in, its agent is this
/// program under another name.
pub(super) fn configure(
    options: &DemoOptions,
    folder: &Path,
    provider: &Provider,
) -> Result<Config, Error> {
    let roots = folder.join("provider-root.pem");
    write(&roots, provider.root_pem().as_bytes())?;

    let token = uuid::Uuid::new_v4().to_string();
    let mut raw = Raw::new(Some(folder.to_owned()));
    let web = options.web.unwrap_or_else(usual_or_free);
    raw.web.admit(web)?;
    raw.web.listen = Some(web);
    raw.upstream.extra_roots = vec![roots];
    for host in [CLOUD_CODE_HOST, ANTHROPIC_HOST, CHATGPT_HOST] {
        let host = Host::parse(host).map_err(failed)?;
        raw.relay.resolve.insert((host, HTTPS), provider.addr);
    }
    let redirect = free_port()?;
    raw.capture.redirect_listen = vec![
        SocketAddr::from((Ipv4Addr::LOCALHOST, redirect)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, redirect)),
    ];
    let connect = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    raw.connect = Listen::At(connect);
    // For programs of the user's own, whose providers are the stand-in here, too.
    raw.capture.base_url_listen = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)));
    raw.redirect_rules = match options.redirect {
        true => RedirectRules::Require,
        false => RedirectRules::Off,
    };

    raw.cascade.token = Token::new(&token);
    raw.cascade.follow.idle_interval = LOOK_INTERVAL;

    raw.budgets = options.budget.clone().into_iter().collect();
    raw.otlp.endpoint = options.otlp.clone();
    raw.otlp.protocol = options.otlp_protocol;
    raw.otlp.flush_interval = FLUSH_INTERVAL;

    let program = program(options, folder)?;
    raw.agent_command = Some(program.clone());
    raw.launch.program = Some(program);
    raw.launch.user = options.redirect.then(|| raw.redirect_user.clone());
    // Who runs the demo may have no home folder; the redirect's user has one.
    raw.launch.working_directory = (!options.redirect).then(|| folder.to_owned());

    let mut config = raw.checked().map_err(failed)?;
    config.redirect.name = "demo".to_owned();
    config.rules = Arc::new(options.rules.clone());
    let agent = AgentOptions {
        bundle: config.bundle.clone(),
        dial: options.redirect.then_some(AGENT_DIALS),
        proxy: (!options.redirect).then_some(connect),
        protocol: Protocol::Mixed,
        conversations: 4,
        rounds: None,
        agents: options.agents.clone(),
        pause_ms: options.milliseconds(USER_PAUSE),
        tool_ms: options.milliseconds(TOOL),
        backoff_ms: options.milliseconds(BACKOFF),
        cascade_rounds: 8,
        csrf_token: token,
        offered_streams: options.offered_streams,
        ..AgentOptions::default()
    };
    config.launch.args = (options.agent_arguments)(serde_json::to_string(&agent).map_err(failed)?);
    Ok(config)
}

/// This program, where the agent's user can execute it: a build below `/root` or a closed home
/// cannot be.
fn program(options: &DemoOptions, folder: &Path) -> Result<PathBuf, Error> {
    let own = std::env::current_exe().map_err(failed)?;
    if !options.redirect {
        return Ok(own);
    }
    let copy = folder.join("gravimeter");
    std::fs::copy(&own, &copy).map_err(|source| Error::StateDir {
        path: copy.clone(),
        source,
    })?;
    Ok(copy)
}

fn write(path: &Path, contents: &[u8]) -> Result<(), Error> {
    std::fs::write(path, contents).map_err(|source| Error::StateDir {
        path: path.to_owned(),
        source,
    })
}

/// The exporter's usual address, or one that the system chooses where that is taken.
fn usual_or_free() -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, EXPORTER));
    match TcpListener::bind(usual) {
        Ok(_) => usual,
        Err(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

/// A port that is free on loopback now. Both families listen on the same one, so the system cannot
/// choose at the bind itself.
fn free_port() -> Result<u16, Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let port = TcpListener::bind(address)
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port());
    port.map_err(|source| Error::Bind {
        address,
        key: "demo",
        source,
    })
}

/// What the redirected agent dials: loopback, so that a machine without a network has a route to
/// it.
const AGENT_DIALS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1)), HTTPS);

const HTTPS: u16 = 443;

/// Where the exporter of `serve` is.
const EXPORTER: u16 = 8741;

/// How long real providers take to the first content: small models answer at once, large ones think
/// for seconds.
const FIRST_CHUNK: [Duration; 2] = [Duration::from_millis(400), Duration::from_secs(8)];

/// Between two chunks of an answer.
const CHUNK_PAUSE: Duration = Duration::from_millis(60);

/// The most that a tool takes.
const TOOL: Duration = Duration::from_secs(3);

/// Between an answer and the next message of the user, who reads fast.
const USER_PAUSE: Duration = Duration::from_millis(1_500);

/// Before a refused call is tried again.
const BACKOFF: Duration = Duration::from_secs(1);

/// The agent of the demo talks faster than a person.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whoever watches the demo wants to see a span while its call is still in the table.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
