//! The configuration of the export: where spans and metrics go, how, and which; and the resource
//! attributes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::endpoint::{Endpoint, Protocol};
use crate::record::Sampling;

/// The operator's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether spans are exported, where there is an endpoint.
    pub enabled: bool,
    /// The collector of both signals; without one nothing is traced.
    pub endpoint: Option<Endpoint>,
    /// The protocol of the collector.
    pub protocol: Protocol,
    /// Fields that each request carries, such as those that say who we are.
    pub headers: Headers,
    /// How requests are packed.
    pub compression: Compression,
    /// How long one request may take, connection and answer included.
    pub timeout: Duration,
    /// How long a batch is tried again before it is dropped.
    pub give_up_after: Duration,
    /// PEM file of the only roots that vouch for the collector; the system's where there is none.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the certificate, and the chain behind it, by which the collector knows us.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub client_key: Option<PathBuf>,
    /// How many spans wait for their batch; more are dropped.
    pub queue: usize,
    /// How many spans one request has at most.
    pub batch: usize,
    /// How long a span waits for others at most.
    pub flush_interval: Duration,
    /// `service.name`.
    pub service_name: Option<String>,
    /// Further attributes of the resource.
    pub resource: BTreeMap<String, String>,
    /// Which traces are recorded.
    pub sampling: Sampling,
    /// Settings for spans that override the above.
    pub traces: Overrides,
    /// The push of metrics.
    pub metrics: Push,
    /// Whether Gravimeter's own work is traced as well.
    pub diagnostics: bool,
}

/// The push of Gravimeter's metrics to a collector, for where nothing can scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// Whether they are pushed, where there is an endpoint.
    pub enabled: bool,
    /// Settings for metrics that override those for both signals.
    pub own: Overrides,
    /// The start of the sums.
    pub temporality: Temporality,
    /// The buckets of histograms.
    pub histograms: HistogramAggregation,
    /// From one push to the next.
    pub interval: Duration,
}

/// Settings for one signal alone. Each replaces the common one as a whole; `None` keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// [`Config::endpoint`].
    pub endpoint: Option<Endpoint>,
    /// [`Config::protocol`].
    pub protocol: Option<Protocol>,
    /// [`Config::headers`]: the two are never mixed, since they may be secrets for different
    /// collectors.
    pub headers: Option<Headers>,
    /// [`Config::compression`].
    pub compression: Option<Compression>,
    /// [`Config::timeout`].
    pub timeout: Option<Duration>,
    /// [`Config::ca_file`].
    pub ca_file: Option<PathBuf>,
    /// [`Config::client_certificate`].
    pub client_certificate: Option<PathBuf>,
    /// [`Config::client_key`].
    pub client_key: Option<PathBuf>,
}

/// The start of a pushed sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Temporality {
    /// The start of the program.
    Cumulative,
    /// The previous push that the collector accepted.
    Delta,
}

/// The buckets of a pushed histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistogramAggregation {
    /// The classic buckets, each with the boundary that a scrape as text shows.
    Explicit,
    /// The native buckets, which grow exponentially.
    Exponential,
}

/// The collector of one signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The protocol of the collector.
    pub protocol: Protocol,
    /// Fields that each request carries.
    pub headers: Headers,
    /// How requests are packed.
    pub compression: Compression,
    /// How long one request may take.
    pub timeout: Duration,
    /// The only roots that vouch for it; the system's where there are none.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which it knows us.
    pub client_certificate: Option<PathBuf>,
    /// Its key.
    pub client_key: Option<PathBuf>,
}

impl Destination {
    pub(super) fn is_grpc(&self) -> bool {
        self.protocol.is_grpc(&self.endpoint)
    }
}

impl Default for Config {
    /// Nothing is exported; all else as the OpenTelemetry specification has it.
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: None,
            protocol: Protocol::Auto,
            headers: Headers::default(),
            compression: Compression::None,
            timeout: Duration::from_secs(10),
            give_up_after: Duration::from_secs(30),
            ca_file: None,
            client_certificate: None,
            client_key: None,
            queue: 2048,
            batch: 512,
            flush_interval: Duration::from_secs(5),
            service_name: None,
            resource: BTreeMap::new(),
            sampling: Sampler::default().sampling(1.0),
            traces: Overrides::default(),
            metrics: Push {
                enabled: false,
                own: Overrides::default(),
                temporality: Temporality::Cumulative,
                histograms: HistogramAggregation::Exponential,
                interval: Duration::from_secs(60),
            },
            diagnostics: false,
        }
    }
}

impl Config {
    /// Where spans are exported to; `None` when nothing is traced.
    #[must_use]
    pub fn spans(&self) -> Option<Destination> {
        let endpoint = self
            .traces
            .endpoint
            .as_ref()
            .or(self.endpoint.as_ref())
            .filter(|_| self.enabled)?;
        Some(self.destination(endpoint.clone(), &self.traces))
    }

    /// Where metrics are pushed to; `None` when they are not, or when the endpoint of both signals
    /// has a path of its own and so says nothing of metrics. An endpoint for spans alone says
    /// nothing of them either.
    #[must_use]
    pub fn pushed_metrics(&self) -> Option<Destination> {
        let Push {
            enabled: true, own, ..
        } = &self.metrics
        else {
            return None;
        };
        let endpoint = own
            .endpoint
            .clone()
            .or_else(|| self.endpoint.as_ref()?.for_metrics())?;
        Some(self.destination(endpoint, own))
    }

    /// Part by part what the signal has of its own, or else what both have: the order of the
    /// OpenTelemetry specification.
    fn destination(&self, endpoint: Endpoint, own: &Overrides) -> Destination {
        Destination {
            endpoint,
            protocol: own.protocol.unwrap_or(self.protocol),
            headers: own.headers.as_ref().unwrap_or(&self.headers).clone(),
            compression: own.compression.unwrap_or(self.compression),
            timeout: own.timeout.unwrap_or(self.timeout),
            ca_file: own.ca_file.as_ref().or(self.ca_file.as_ref()).cloned(),
            client_certificate: self.client_certificate_of(own).cloned(),
            client_key: self.client_key_of(own).cloned(),
        }
    }

    /// Whether a signal has a client certificate and a key for it: both or neither is right,
    /// whether or not it is exported.
    #[must_use]
    pub fn client_identities(&self) -> [(bool, bool); 2] {
        [&self.traces, &self.metrics.own].map(|own| {
            (
                self.client_certificate_of(own).is_some(),
                self.client_key_of(own).is_some(),
            )
        })
    }

    fn client_certificate_of<'a>(&'a self, own: &'a Overrides) -> Option<&'a PathBuf> {
        own.client_certificate
            .as_ref()
            .or(self.client_certificate.as_ref())
    }

    fn client_key_of<'a>(&'a self, own: &'a Overrides) -> Option<&'a PathBuf> {
        own.client_key.as_ref().or(self.client_key.as_ref())
    }
}

/// How requests are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// With gzip.
    Gzip,
    /// Not at all.
    None,
}

/// Fields for each request. Their values are secrets and never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Adds a field. What was wrong with it is said without its value.
    ///
    /// # Errors
    /// The part that is wrong: `"name"` or `"value"`.
    pub fn add(&mut self, name: &str, value: &str) -> Result<(), &'static str> {
        let name: HeaderName = name.to_ascii_lowercase().parse().map_err(|_| "name")?;
        let is_text = value
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let mut value = HeaderValue::from_str(value)
            .ok()
            .filter(|_| is_text)
            .ok_or("value")?;
        value.set_sensitive(true);
        self.0.insert(name, value);
        Ok(())
    }

    pub(super) fn fields(&self) -> &HeaderMap {
        &self.0
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// Who decides which traces are recorded, by the words of `OTEL_TRACES_SAMPLER`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sampler {
    /// None.
    AlwaysOff,
    /// All.
    AlwaysOn,
    /// None but those that the agent records.
    ParentBasedAlwaysOff,
    /// All but those that the agent does not record.
    #[default]
    ParentBasedAlwaysOn,
    /// A share; of those that began with the agent, those that it records.
    ParentBasedTraceIdRatio,
    /// A share.
    TraceIdRatio,
}

impl Sampler {
    /// Every one, with its word.
    pub const WORDS: [(&str, Self); 6] = [
        ("always_on", Self::AlwaysOn),
        ("always_off", Self::AlwaysOff),
        ("traceidratio", Self::TraceIdRatio),
        ("parentbased_always_on", Self::ParentBasedAlwaysOn),
        ("parentbased_always_off", Self::ParentBasedAlwaysOff),
        ("parentbased_traceidratio", Self::ParentBasedTraceIdRatio),
    ];

    /// The decision, for a share from 0 to 1.
    #[must_use]
    pub fn sampling(self, ratio: f64) -> Sampling {
        let ratio = match self {
            Self::AlwaysOff | Self::ParentBasedAlwaysOff => 0.0,
            Self::AlwaysOn | Self::ParentBasedAlwaysOn => 1.0,
            Self::ParentBasedTraceIdRatio | Self::TraceIdRatio => ratio,
        };
        let own = matches!(self, Self::AlwaysOff | Self::AlwaysOn | Self::TraceIdRatio);
        Sampling {
            ratio,
            follows_parent: !own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::otlp::Signal;

    #[test]
    fn metrics_go_beside_the_spans_unless_they_have_an_endpoint_of_their_own() {
        let posted = |endpoint: &str, own: Option<&str>| {
            let parse = |text| Endpoint::parse(text).expect("an endpoint");
            let mut config = Config {
                endpoint: Some(parse(endpoint)),
                ..Config::default()
            };
            config.metrics.enabled = true;
            config.metrics.own.endpoint = own.map(parse);
            config
                .pushed_metrics()
                .map(|to| to.endpoint.of(Signal::Metrics).to_string())
        };
        for (endpoint, own, expected) in [
            ("http://a:4318", None, Some("http://a:4318/v1/metrics")),
            (
                "http://a:4318/base/v1/traces",
                None,
                Some("http://a:4318/base/v1/metrics"),
            ),
            ("http://a:4318/own", None, None),
            (
                "http://a:4318/own",
                Some("http://b:1"),
                Some("http://b:1/v1/metrics"),
            ),
            (
                "http://a:4318",
                Some("http://b:1/api/otlp"),
                Some("http://b:1/api/otlp"),
            ),
        ] {
            assert_eq!(
                posted(endpoint, own).as_deref(),
                expected,
                "{endpoint} {own:?}"
            );
        }
        assert_eq!(
            Config {
                endpoint: Endpoint::parse("http://a:1"),
                ..Config::default()
            }
            .pushed_metrics(),
            None
        );
    }

    #[test]
    fn each_signal_has_its_own_part_or_else_that_of_both() {
        let headers = |value: &str| {
            let mut headers = Headers::default();
            headers.add("key", value).expect("a field");
            headers
        };
        let own = |name: &str| Overrides {
            endpoint: Endpoint::parse(&format!("https://{name}:1/own")),
            protocol: Some(Protocol::Grpc),
            headers: Some(headers(name)),
            compression: Some(Compression::Gzip),
            timeout: Some(Duration::from_secs(1)),
            ca_file: Some(format!("/{name}/ca").into()),
            client_certificate: Some(format!("/{name}/pem").into()),
            client_key: Some(format!("/{name}/key").into()),
        };
        let mut config = Config {
            headers: headers("both"),
            ca_file: Some("/both/ca".into()),
            ..Config::default()
        };
        config.metrics.enabled = true;
        config.traces = own("spans");
        assert_eq!(
            config.pushed_metrics(),
            None,
            "the endpoint of spans is for nothing else"
        );
        config.endpoint = Endpoint::parse("http://both:1");
        let (spans, metrics) = (
            config.spans().expect("spans"),
            config.pushed_metrics().expect("metrics"),
        );
        assert_eq!(format!("{spans:?}").matches("both").count(), 0, "{spans:?}");
        assert_eq!(
            (&spans.headers, spans.timeout),
            (&headers("spans"), Duration::from_secs(1))
        );
        assert_eq!(
            format!("{metrics:?}").matches("spans").count(),
            0,
            "{metrics:?}"
        );
        assert_eq!(
            (metrics.headers, metrics.protocol),
            (headers("both"), Protocol::Auto)
        );
        config.metrics.own = own("metrics");
        let metrics = config.pushed_metrics().expect("metrics");
        assert_eq!(
            (metrics.headers, metrics.ca_file),
            (headers("metrics"), Some("/metrics/ca".into()))
        );
        assert_eq!(metrics.endpoint.to_string(), "https://metrics:1/own");
    }

    #[test]
    fn values_of_headers_are_never_shown() {
        let mut headers = Headers::default();
        headers
            .add("Authorization", "Bearer hunter2")
            .expect("a field");
        assert_eq!(headers.add("a b", "hunter2"), Err("name"));
        assert_eq!(headers.add("a", "hunter2\r\nb: c"), Err("value"));
        let config = Config {
            headers,
            ..Config::default()
        };
        let shown = format!("{config:?}");
        assert!(
            shown.contains("authorization") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn samplers_have_the_words_of_the_specification() {
        let parent = |ratio| Sampling {
            ratio,
            follows_parent: true,
        };
        let own = |ratio| Sampling {
            ratio,
            follows_parent: false,
        };
        let expected = [
            own(1.0),
            own(0.0),
            own(0.25),
            parent(1.0),
            parent(0.0),
            parent(0.25),
        ];
        assert_eq!(
            Sampler::WORDS.map(|(_, sampler)| sampler.sampling(0.25)),
            expected
        );
    }
}
