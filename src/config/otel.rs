//! The variables of the OpenTelemetry specification, as settings of our own keys.
//!
//! They are meant for every program of a machine, so they win over the defaults only, and what is
//! wrong with one of them, or meant for other programs, is told as a warning and passed over. Where
//! a request goes and whom it trusts is not guessed: a bad endpoint or file is a mistake as
//! everywhere else, since what it names is not replaced by another one. Source:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::ffi::{OsStr, OsString};

use percent_encoding::percent_decode_str;

use super::given::shape;
use super::keys::{Key, Kind, keys};
use super::source::{Mistake, Setting, Source};
use super::value::{Part, Value};

/// What the variables say.
#[derive(Default)]
pub(super) struct Read {
    pub(super) settings: Vec<Setting>,
    /// What is wrong with variables that are passed over.
    pub(super) warnings: Vec<Mistake>,
    /// What is wrong with those that are not.
    pub(super) mistakes: Vec<Mistake>,
}

/// Reads the settings among `variables`. `is_given` knows the keys that file, variables of our own
/// or flags have set: they win as a whole over the same option for both signals and for one.
pub(super) fn from_variables(
    variables: &[(OsString, OsString)],
    is_given: impl Fn(&str) -> bool,
) -> Read {
    let mut read = Read::default();
    let is_disabled =
        given(variables, DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let switches = ["otlp.enabled", "otlp.metrics"];
    if is_disabled && !switches.into_iter().any(&is_given) {
        // Nothing is exported: the other variables are of no concern, and not looked at.
        switches
            .into_iter()
            .for_each(|key| read.take(DISABLED, key, OsString::from("true").as_os_str(), disabled));
        return read;
    }
    for option in OF_SIGNALS {
        for (signal, prefix) in SIGNALS {
            let (name, OfSignal { leaf, reads, .. }) = (option.name(signal), option);
            if let Some(text) =
                given(variables, &name).filter(|_| !is_given(&format!("otlp.{leaf}")))
            {
                let key = format!("otlp.{prefix}{leaf}");
                let complete = with_scheme(variables, signal, text).filter(|_| *leaf == "endpoint");
                read.take(&name, &key, complete.as_ref().unwrap_or(text), *reads);
            }
        }
    }
    for (signal, prefix) in SIGNALS {
        let name = format!("OTEL_EXPORTER_OTLP_{signal}{INSECURE}");
        if let Some(text) = given(variables, &name) {
            read.take(&name, &format!("otlp.{prefix}endpoint"), text, switch);
        }
    }
    for (name, key, reads) in OTHERS {
        if let Some(text) = given(variables, name) {
            read.take(name, key, text, *reads);
        }
    }
    read
}

/// An endpoint of gRPC with the scheme that it lacks: TLS unless a variable says otherwise. `None`
/// where it has one, and for HTTP, whose endpoints need one.
fn with_scheme(
    variables: &[(OsString, OsString)],
    signal: &str,
    endpoint: &OsStr,
) -> Option<OsString> {
    let authority = endpoint.to_str().filter(|text| !text.contains("://"))?;
    let of_signal = |option: &str| {
        let name = |signal: &str| format!("OTEL_EXPORTER_OTLP_{signal}{option}");
        given(variables, &name(signal)).or_else(|| given(variables, &name("")))
    };
    let is_grpc = of_signal("PROTOCOL").map_or(authority.ends_with(":4317"), |protocol| {
        protocol.eq_ignore_ascii_case("grpc")
    });
    let is_insecure = of_signal(INSECURE).is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let scheme = if is_insecure { "http" } else { "https" };
    is_grpc.then(|| format!("{scheme}://{authority}").into())
}

/// The name of every variable that is read.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = String> {
    let of_signals = OF_SIGNALS
        .iter()
        .flat_map(|option| SIGNALS.map(|(signal, _)| option.name(signal)));
    let insecure = SIGNALS.map(|(signal, _)| format!("OTEL_EXPORTER_OTLP_{signal}{INSECURE}"));
    of_signals
        .chain(insecure)
        .chain(OTHERS.iter().map(|(name, _, _)| (*name).to_owned()))
}

/// Whether what is wrong with a value is a warning: see above.
pub(super) fn is_passed_over(key: &Key, source: &Source) -> bool {
    is_of_opentelemetry(source) && !matches!(key.kind, Kind::Path | Kind::Url)
}

/// Whether a setting comes from a variable that is meant for every program.
pub(super) fn is_of_opentelemetry(source: &Source) -> bool {
    matches!(source, Source::Variable(name) if name.starts_with("OTEL_"))
}

impl Read {
    fn take(&mut self, name: &str, key: &str, text: &OsStr, reads: Reads) {
        let Some(key) = keys().find(|known| known.name == key) else {
            return;
        };
        let source = Source::Variable(name.to_owned());
        let message = match text.to_str().map(|text| reads(key, text)) {
            Some(Ok(words)) => {
                if let Some(value) = words.value {
                    self.settings.push(Setting {
                        key,
                        value,
                        source: source.clone(),
                    });
                }
                words.unknown
            }
            Some(Err(message)) => Some(message),
            None => Some("the value is not UTF-8: write it in UTF-8"),
        };
        let Some(message) = message else { return };
        let is_passed_over = is_passed_over(key, &source) || name.ends_with(INSECURE);
        let told = if is_passed_over {
            &mut self.warnings
        } else {
            &mut self.mistakes
        };
        told.push(Mistake::new(source, key.name, message));
    }
}

/// The specification has an empty variable mean the same as none.
fn given<'a>(variables: &'a [(OsString, OsString)], name: &str) -> Option<&'a OsString> {
    variables
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

/// What a variable's text says.
struct Words {
    /// `None` when it says nothing.
    value: Option<Value>,
    /// What is to be told of a part that is passed over.
    unknown: Option<&'static str>,
}

impl From<Value> for Words {
    fn from(value: Value) -> Self {
        Self {
            value: Some(value),
            unknown: None,
        }
    }
}

/// Makes a value of a variable's text, knowing the key.
type Reads = fn(&Key, &str) -> Result<Words, &'static str>;

/// An option that there is for both signals and for each alone.
struct OfSignal {
    /// The end of its variables' names.
    variable: &'static str,
    /// The end of its keys' names.
    leaf: &'static str,
    reads: Reads,
}

impl OfSignal {
    /// The variable's name for `signal`, one of [`SIGNALS`].
    fn name(&self, signal: &str) -> String {
        format!("OTEL_EXPORTER_OTLP_{signal}{}", self.variable)
    }
}

/// Both signals together and each alone: as their variables say it, and as their keys do.
const SIGNALS: [(&str, &str); 3] = [("", ""), ("TRACES_", "traces_"), ("METRICS_", "metrics_")];

const OF_SIGNALS: &[OfSignal] = &[
    OfSignal {
        variable: "ENDPOINT",
        leaf: "endpoint",
        reads: endpoint,
    },
    OfSignal {
        variable: "PROTOCOL",
        leaf: "protocol",
        reads: word,
    },
    OfSignal {
        variable: "HEADERS",
        leaf: "headers",
        reads: decoded,
    },
    OfSignal {
        variable: "COMPRESSION",
        leaf: "compression",
        reads: word,
    },
    OfSignal {
        variable: "CERTIFICATE",
        leaf: "ca_file",
        reads: plain,
    },
    OfSignal {
        variable: "CLIENT_CERTIFICATE",
        leaf: "client_certificate",
        reads: plain,
    },
    OfSignal {
        variable: "CLIENT_KEY",
        leaf: "client_key",
        reads: plain,
    },
    OfSignal {
        variable: "TIMEOUT",
        leaf: "timeout",
        reads: milliseconds,
    },
];

/// Variable, key and reader of all other options. The last ones win: they turn everything off.
const OTHERS: &[(&str, &str, Reads)] = &[
    (
        "OTEL_BSP_EXPORT_TIMEOUT",
        "otlp.give_up_after",
        milliseconds,
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY",
        "otlp.flush_interval",
        milliseconds,
    ),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "otlp.queue", plain),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "otlp.batch", plain),
    ("OTEL_TRACES_SAMPLER", "otlp.sampler", word),
    ("OTEL_TRACES_SAMPLER_ARG", "otlp.sampler_ratio", plain),
    ("OTEL_SERVICE_NAME", "otlp.service_name", plain),
    ("OTEL_RESOURCE_ATTRIBUTES", "otlp.resource", decoded),
    ("OTEL_TRACES_EXPORTER", "otlp.enabled", exporters),
    ("OTEL_METRICS_EXPORTER", "otlp.metrics", exporters),
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "otlp.metrics_temporality",
        word,
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "otlp.metrics_histograms",
        word,
    ),
    (
        "OTEL_METRIC_EXPORT_INTERVAL",
        "otlp.metrics_interval",
        milliseconds,
    ),
    (DISABLED, "otlp.enabled", disabled),
    (DISABLED, "otlp.metrics", disabled),
];

/// Whether an endpoint of gRPC that names no scheme is spoken to without TLS.
const INSECURE: &str = "INSECURE";

/// Turns everything off that is not turned on by a key of our own.
const DISABLED: &str = "OTEL_SDK_DISABLED";

fn plain(key: &Key, text: &str) -> Result<Words, &'static str> {
    Ok(shape(key, &[text.to_owned()]).into())
}

/// One of a few words, in any case.
fn word(key: &Key, text: &str) -> Result<Words, &'static str> {
    plain(key, &text.trim().to_ascii_lowercase())
}

fn milliseconds(_: &Key, text: &str) -> Result<Words, &'static str> {
    match text.trim().parse::<u32>() {
        Ok(0) => Err(
            "0 leaves no time at all: write a number of milliseconds without a unit, such as 10000",
        ),
        Ok(number) => Ok(Value::Text(format!("{number}ms")).into()),
        Err(_) => Err("it is not a number of milliseconds: write it without a unit, such as 10000"),
    }
}

/// `name=value` with commas; names and values with `%` for what is not allowed in them, as W3C
/// Baggage has it. One that is wrong makes the whole list wrong.
fn decoded(_: &Key, text: &str) -> Result<Words, &'static str> {
    let wrong = "it is not a list of names and values: write name=value with commas, and %2C for a comma in a value";
    let decode = |text: &str| {
        percent_decode_str(text.trim())
            .decode_utf8()
            .map(String::from)
            .map_err(|_| wrong)
    };
    let mut parts = Vec::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(wrong)?;
        parts.push(Part {
            name: decode(name)?,
            value: Value::Text(decode(value)?),
            line: None,
        });
    }
    Ok(Value::Map(parts).into())
}

/// Sets nothing by itself; whatever is not `true` is false, and TLS is spoken.
fn switch(_: &Key, text: &str) -> Result<Words, &'static str> {
    let is_known = ["true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    Ok(Words {
        value: None,
        unknown: (!is_known).then_some("it is neither true nor false"),
    })
}

/// Whatever is not `true` is false to the specification, and leaves everything as it is.
fn disabled(_: &Key, text: &str) -> Result<Words, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(Value::Switch(false).into()),
        "false" => Ok(Words {
            value: None,
            unknown: None,
        }),
        _ => Err("it is neither true nor false"),
    }
}

/// A list of exporters. What others export by is passed over; `prometheus`, which is always there,
/// says nothing.
fn exporters(key: &Key, text: &str) -> Result<Words, &'static str> {
    let words: Vec<_> = text
        .split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .collect();
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let is_known = |word: &String| match word.as_str() {
        "none" | "otlp" => true,
        "prometheus" => key.name == "otlp.metrics",
        _ => false,
    };
    let unknown = (!words.iter().all(is_known))
        .then_some("an exporter of others is named: here there is otlp, or none");
    let value = match () {
        () if has("otlp") => Some(Value::Switch(true)),
        () if has("none") => Some(Value::Switch(false)),
        () => None,
    };
    Ok(Words { value, unknown })
}

/// For both signals, a base to which the usual path is added; for one, the very URL, where nothing
/// behind the port means `/`.
fn endpoint(key: &Key, text: &str) -> Result<Words, &'static str> {
    let url = match (key.name, path(text)) {
        ("otlp.endpoint", Some("")) => text.trim_end_matches('/').to_owned(),
        ("otlp.endpoint", Some(_)) => format!("{}/v1/traces", text.trim_end_matches('/')),
        ("otlp.endpoint", None) => text.to_owned(),
        (_, None) => format!("{text}/"),
        (_, Some(_)) => text.to_owned(),
    };
    Ok(Value::Text(url).into())
}

/// Behind the first slash of a URL; `None` where there is none.
fn path(url: &str) -> Option<&str> {
    url.split_once("://")
        .and_then(|(_, rest)| rest.split_once('/'))
        .map(|(_, path)| path)
}
