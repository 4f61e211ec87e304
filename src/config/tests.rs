use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use super::given::FILE_VARIABLE;
use super::*;

/// Inputs that see nothing of the machine.
fn inputs() -> Inputs {
    let places = Places {
        config_file: "/nonexistent/gravimeter.toml".into(),
        state_dir: "/nonexistent/state".into(),
    };
    Inputs {
        file: None,
        flags: Vec::new(),
        places,
        variables: variables(&[("HOME", "/home/ann")]),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        .collect()
}

fn key(name: &str) -> &'static Key {
    keys()
        .find(|key| key.name == name)
        .expect("a key of the table")
}

fn with_variables(pairs: &[(&str, &str)]) -> Result<Loaded, Mistakes> {
    let mut inputs = inputs();
    inputs.variables.extend(variables(pairs));
    load(&inputs)
}

fn with_flags(flags: &[(&str, &[&str])]) -> Result<Loaded, Mistakes> {
    let flags = flags
        .iter()
        .map(|(name, texts)| {
            (
                key(name),
                texts.iter().map(|&text| text.to_owned()).collect(),
            )
        })
        .collect();
    load(&Inputs { flags, ..inputs() })
}

/// The mistakes of a file's text, without the path before the line.
fn with_file(text: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("test.toml");
    fs::write(&path, text).expect("written");
    // What the example names must exist.
    fs::write(folder.path().join("prices.toml"), "").expect("written");
    fs::create_dir(folder.path().join("rules.d")).expect("created");
    let loaded = load(&Inputs {
        file: Some(path),
        ..inputs()
    });
    loaded.map_err(|mistakes| {
        mistakes
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    })
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn every_bad_file_gets_its_exact_message() {
    let folder = repository("tests/fixtures/config");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let mistakes = load(&Inputs {
            file: Some(path.clone()),
            ..inputs()
        })
        .map(|_| ())
        .expect_err(&path.to_string_lossy());
        let told = format!("{mistakes}\n").replace(&format!("{}/", folder.display()), "");
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 40, "the walk finds the fixtures");
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_rooms() {
    load(&inputs()).expect("no configuration is a configuration");
    let rooms = Raw::new(None);
    let mut table = rooms.clone();
    for key in keys() {
        if let Some(text) = key.default.toml() {
            let value =
                file::parse_value(text).unwrap_or_else(|| panic!("{}: {text} is TOML", key.name));
            (key.set)(&mut table, &value).unwrap_or_else(|wrong| panic!("{}: {wrong:?}", key.name));
            assert_eq!(table, rooms, "{}", key.name);
        }
    }
}

#[test]
fn the_example_file_is_valid_and_changes_nothing() {
    let text = fs::read_to_string(repository("gravimeter.example.toml")).expect("the example");
    let plain = load(&inputs()).expect("defaults").config;
    let read = with_file(&text).expect("valid").config;
    let rule_files = plain.rule_files.clone();
    assert_eq!(Config { rule_files, ..read }, plain);

    let all: String = text
        .lines()
        .map(|line| {
            if is_assignment(line) {
                &line[1..]
            } else {
                line
            }
        })
        .map(|l| l.to_owned() + "\n")
        .collect();
    let loaded = with_file(&all).expect("every key, uncommented");
    assert!(
        loaded
            .origins
            .iter()
            .all(|origin| matches!(origin.source, Source::File { .. })),
        "{:?}",
        loaded.origins
    );
}

/// In the example a key stands directly behind its `#`, prose behind a space.
fn is_assignment(line: &str) -> bool {
    line.starts_with('#') && !line.starts_with("# ") && line != "#" || line.starts_with("#    ")
}

#[test]
fn the_generated_texts_are_those_of_the_repository() {
    let kept = |path| fs::read_to_string(repository(path)).unwrap_or_default();
    assert_eq!(
        kept("gravimeter.example.toml"),
        example(),
        "run: gravimeter config example > gravimeter.example.toml"
    );
    assert_eq!(
        kept("docs/configuration.md"),
        reference(),
        "run: gravimeter config reference > docs/configuration.md"
    );
}

/// A value that differs from the default, as TOML and as the text of a variable or flag.
fn other_value(key: &Key) -> (String, String) {
    let plain = |text: &str| (format!("{text:?}"), text.to_owned());
    match (key.name, key.kind) {
        ("capture.listen", _) => (r#"["[::1]:9742"]"#.into(), "[::1]:9742".into()),
        ("web.socket_mode", _) => plain("0600"),
        ("log.level", _) => plain("warn,gravimeter::relay=debug"),
        ("agent.cloud_code_endpoint", _) => plain("https://example.com"),
        ("capture.redirect", _) => plain("off"),
        ("agent.antigravity_version", _) => plain("1.20"),
        ("ledger.enabled" | "metrics.genai" | "otlp.enabled", _) => {
            ("false".into(), "false".into())
        }
        ("otlp.sampler", _) => plain("traceidratio"),
        (_, Kind::Choice(words)) => plain(words.last().expect("a word")),
        (_, Kind::Address | Kind::AddressAutoOrOff | Kind::AddressOrOff) => plain("127.0.0.1:9999"),
        (_, Kind::Duration) => plain("59s"),
        (_, Kind::Environment) => (r#"{ A = "1", B = "x=y" }"#.into(), "A=1,B=x=y".into()),
        (_, Kind::Fraction) => ("0.25".into(), "0.25".into()),
        (_, Kind::List("path")) => (r#"["/a.pem", "/b.pem"]"#.into(), "/a.pem,/b.pem".into()),
        (_, Kind::List(_)) => (
            r#"["a.example.com", "b.example.com"]"#.into(),
            "a.example.com, b.example.com".into(),
        ),
        (_, Kind::Number) => ("7".into(), "7".into()),
        ("pricing.defaults", _) => ("false".into(), "false".into()),
        (_, Kind::Path | Kind::PathBeside) => plain("/somewhere/else"),
        (_, Kind::Resolve) => (
            r#"{ "a.example.com:443" = "[::1]:8443" }"#.into(),
            "a.example.com:443=[::1]:8443".into(),
        ),
        ("notify.webhook", _) => plain("https://alerts.example.com/t0ken"),
        (_, Kind::Tables) => {
            let budget = r#"[{ name = "a", calls = 5, per = "day" }]"#;
            (budget.into(), budget.into())
        }
        (_, Kind::Secret) => plain("T0ken"),
        (_, Kind::SecretTable | Kind::Table) => {
            (r#"{ a = "1", b = "x=y" }"#.into(), "a=1,b=x=y".into())
        }
        (_, Kind::Url) => plain("https://collector.example.com:4317"),
        (_, Kind::Switch) => ("true".into(), "true".into()),
        (_, Kind::Text) => plain("somebody"),
    }
}

/// A file that sets a key.
fn document(key: &Key, toml: &str) -> String {
    match key.section() {
        "" => format!("{} = {toml}\n", key.leaf()),
        section => format!("[{section}]\n{} = {toml}\n", key.leaf()),
    }
}

#[test]
fn every_key_can_be_set_in_all_three_ways() {
    let plain = Raw::new(None);
    for key in keys() {
        let (toml, text) = other_value(key);
        let document = document(key, &toml);
        let (from_file, mistakes) = file::parse(Path::new("test.toml"), &document);
        assert_eq!(mistakes, []);
        let (from_variable, mistakes) =
            given::from_variables(&variables(&[(&key.variable(), &text)]));
        assert_eq!(mistakes, []);
        let from_flag = given::from_flags(&[(key, vec![text])]);
        let apply = |settings: Vec<source::Setting>| {
            let [setting] = &settings[..] else {
                panic!("{}: {settings:?}", key.name)
            };
            let mut config = plain.clone();
            (setting.key.set)(&mut config, &setting.value)
                .unwrap_or_else(|wrong| panic!("{}: {wrong:?}", key.name));
            assert_ne!(config, plain, "{} has an effect", key.name);
            config
        };
        let config = apply(from_file);
        assert_eq!(config, apply(from_variable), "{}", key.name);
        assert_eq!(config, apply(from_flag), "{}", key.name);
    }
}

#[test]
fn names_are_unique_in_every_form() {
    let names: BTreeSet<_> = keys().map(|key| key.name).collect();
    let variables: BTreeSet<_> = keys().map(Key::variable).collect();
    assert_eq!(
        (names.len(), variables.len()),
        (keys().count(), keys().count())
    );
    assert!(!variables.contains(FILE_VARIABLE));
}

#[test]
fn flags_win_over_variables_over_the_file_over_the_defaults() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gravimeter.toml");
    let file = "[timeouts]\nidle = \"2m\"\ndrain = \"2m\"\nclient_hello = \"2m\"\n";
    fs::write(&path, file).expect("written");
    let mut inputs = Inputs {
        file: Some(path.clone()),
        ..inputs()
    };
    inputs.variables.extend(variables(&[
        ("GRAVIMETER_TIMEOUTS_IDLE", "3m"),
        ("GRAVIMETER_TIMEOUTS_DRAIN", "3m"),
    ]));
    inputs.flags = vec![(key("timeouts.idle"), vec!["4m".to_owned()])];

    let Loaded {
        config, origins, ..
    } = load(&inputs).expect("valid");
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    assert_eq!(config.relay.timeouts.idle, minutes(4));
    assert_eq!(config.drain, minutes(3));
    assert_eq!(config.relay.timeouts.client_hello, minutes(2));
    assert_eq!(
        config.relay.timeouts.agent_handshake,
        Duration::from_secs(10)
    );

    let source = |name: &str| {
        origins
            .iter()
            .find(|origin| origin.key == name)
            .expect("an origin")
            .source
            .to_string()
    };
    assert_eq!(source("timeouts.idle"), "--timeouts.idle");
    assert_eq!(source("timeouts.drain"), "GRAVIMETER_TIMEOUTS_DRAIN");
    assert_eq!(
        source("timeouts.client_hello"),
        format!("{}:4", path.display())
    );
    assert_eq!(source("timeouts.agent_handshake"), "default");
    let state = origins
        .iter()
        .find(|origin| origin.key == "state.dir")
        .expect("an origin");
    assert_eq!(state.value, r#""/home/ann/.local/state/gravimeter""#);
}

#[test]
fn unknown_variables_are_refused_and_those_of_others_are_not() {
    let mistakes = with_variables(&[
        ("GRAVIMETER_WEB_LISTN", "x"),
        ("GRAVIMETER_QUUX", "x"),
        ("WEB_LISTEN", "x"),
    ]);
    let expected = "GRAVIMETER_QUUX: there is no such key: unset it, or look into `gravimeter config reference`\n\
                    GRAVIMETER_WEB_LISTN: there is no such key: did you mean GRAVIMETER_WEB_LISTEN?";
    assert_eq!(mistakes.expect_err("unknown").to_string(), expected);
    let kubernetes = [
        ("GRAVIMETER_SERVICE_HOST", "10.0.0.1"),
        ("GRAVIMETER_SERVICE_PORT_METRICS", "8741"),
        ("GRAVIMETER_PORT", "tcp://10.0.0.1:8741"),
        ("GRAVIMETER_PORT_8741_TCP_ADDR", "10.0.0.1"),
    ];
    with_variables(&kubernetes).expect("a service of the same name does no harm");
}

#[test]
fn variables_and_flags_are_checked_like_the_file() {
    let mistakes = with_variables(&[("GRAVIMETER_TIMEOUTS_IDLE", "5")]).expect_err("no unit");
    let told =
        r#"GRAVIMETER_TIMEOUTS_IDLE: timeouts.idle: 5 has no unit: write it as "5s" for seconds"#;
    assert_eq!(mistakes.to_string(), told);
    let mistakes =
        with_flags(&[("upstream.resolve", &["api.example.com:443"])]).expect_err("no pair");
    assert!(
        mistakes
            .to_string()
            .starts_with("--upstream.resolve: upstream.resolve: \"\" is not a table"),
        "{mistakes}"
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_no_text_is_refused_unseen() {
    use std::os::unix::ffi::OsStringExt;
    let mut inputs = inputs();
    inputs.variables.push((
        "GRAVIMETER_WEB_LISTEN".into(),
        OsString::from_vec(b"\xff\xfe".to_vec()),
    ));
    let told = load(&inputs).map(|_| ()).expect_err("no UTF-8").to_string();
    assert_eq!(
        told,
        "GRAVIMETER_WEB_LISTEN: the value is not UTF-8: write it in UTF-8"
    );
}

#[test]
fn repeated_flags_add_up_and_toml_protects_commas() {
    let loaded = with_flags(&[
        ("agent.preset", &["antigravity"]),
        ("agent.user", &["antigravity-ls"]),
        ("agent.args", &["-v,-x", r#"["--mode=a,b"]"#]),
        ("agent.env", &["A=1", "B=x=y,C=", r#"{ D = "a,b" }"#]),
        ("capture.listen", &["[::1]:9742,127.0.0.1:9742"]),
    ]);
    let config = loaded.expect("valid").config;
    assert_eq!(config.launch.args, ["-v", "-x", "--mode=a,b"]);
    let env: Vec<_> = config
        .launch
        .env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(env, [("A", "1"), ("B", "x=y"), ("C", ""), ("D", "a,b")]);
    assert_eq!(config.capture.redirect_listen.len(), 2);
    assert_eq!(
        with_flags(&[("intercept.hosts", &["[]"])])
            .expect("valid")
            .config
            .relay
            .intercept,
        []
    );
}

#[test]
fn values_of_the_agents_environment_are_never_shown() {
    let loaded = with_flags(&[
        ("agent.command", &["/usr/bin/agent"]),
        ("capture.redirect", &["off"]),
        ("agent.env", &["API_KEY=hunter2"]),
    ]);
    let origins = format!("{:?}", loaded.expect("valid").origins);
    assert!(
        origins.contains("API_KEY") && !origins.contains("hunter2"),
        "{origins}"
    );
}

#[test]
fn a_named_file_must_exist_and_be_a_configuration() {
    let named = |path: &Path| {
        load(&Inputs {
            file: Some(path.into()),
            ..inputs()
        })
        .map(|_| ())
        .expect_err("bad")
        .to_string()
    };
    assert!(
        named(Path::new("/nonexistent.toml"))
            .starts_with("/nonexistent.toml: the file cannot be read (No such file")
    );
    assert!(
        named(Path::new("/")).contains("cannot be read"),
        "{}",
        named(Path::new("/"))
    );
    let folder = tempfile::tempdir().expect("a folder");
    let large = folder.path().join("large.toml");
    fs::write(&large, "#".repeat(2 << 20)).expect("written");
    assert!(
        named(&large).contains("is it another file?"),
        "{}",
        named(&large)
    );
    let told = with_variables(&[(FILE_VARIABLE, "/nonexistent.toml")])
        .expect_err("missing")
        .to_string();
    assert!(
        told.starts_with("/nonexistent.toml: the file cannot be read"),
        "{told}"
    );
}

#[test]
fn the_usual_places_are_searched_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let machine = folder.path().join("machine.toml");
    let user = folder.path().join("config/gravimeter/gravimeter.toml");
    fs::create_dir_all(user.parent().expect("a parent")).expect("made");
    fs::write(&user, "[log]\nlevel = \"debug\"\n").expect("written");
    let config_home = folder.path().join("config").into_os_string();
    let mut inputs = inputs();
    inputs.places.config_file = machine.clone();
    inputs
        .variables
        .push(("XDG_CONFIG_HOME".into(), config_home));
    assert_eq!(load(&inputs).expect("the user's").config.log.level, "debug");
    fs::write(&machine, "[log]\nlevel = \"trace\"\n").expect("written");
    assert_eq!(load(&inputs).expect("the machine's").file, Some(machine));
}

#[test]
fn the_state_lies_with_the_service_or_with_the_user() {
    let state = |inputs: &Inputs| load(inputs).expect("valid").config.state_dir;
    let mut inputs = inputs();
    assert_eq!(
        state(&inputs),
        Path::new("/home/ann/.local/state/gravimeter")
    );
    inputs
        .variables
        .extend(variables(&[("XDG_STATE_HOME", "/srv/state")]));
    assert_eq!(state(&inputs), Path::new("/srv/state/gravimeter"));
    let folder = tempfile::tempdir().expect("a folder");
    inputs.places.state_dir = folder.path().into();
    assert_eq!(state(&inputs), folder.path());
    inputs.places.state_dir = "/nonexistent".into();
    inputs.variables.clear();
    let told = load(&inputs).map(|_| ()).expect_err("no place").to_string();
    assert_eq!(
        told,
        "state.dir: there is no home folder to keep the state in: set state.dir"
    );
}

#[test]
fn the_redirect_follows_the_doors() {
    let loaded = with_flags(&[
        ("capture.listen", &["127.0.0.1:9742"]),
        ("web.listen", &["127.0.0.1:9741"]),
    ]);
    let config = loaded.expect("valid").config;
    assert_eq!(
        (config.redirect.port, config.redirect.keep_away),
        (9742, vec![9741, 9742, 8743])
    );
}

#[test]
fn beside_a_redirect_the_connect_proxy_is_off_unless_asked_for() {
    let listens = |flags: &[(&str, &[&str])]| {
        with_flags(flags)
            .expect("valid")
            .config
            .capture
            .connect_listen
    };
    let proxy = "127.0.0.1:8743".parse().ok();
    assert_eq!(listens(&[]), proxy, "nothing could arrive otherwise");
    assert_eq!(listens(&[("capture.redirect", &["off"])]), proxy);
    for redirected in [
        ("capture.redirect", &["require"][..]),
        ("capture.redirect", &["external"]),
        ("agent.user", &["ls"]),
    ] {
        let redirected = match redirected {
            ("agent.user", user) => vec![("agent.user", user), ("capture.user", user)],
            rules => vec![rules],
        };
        assert_eq!(listens(&redirected), None, "{redirected:?}");
        let asked = [
            &redirected[..],
            &[("capture.connect_listen", &["127.0.0.1:9743"])],
        ]
        .concat();
        assert_eq!(
            listens(&asked),
            "127.0.0.1:9743".parse().ok(),
            "{redirected:?}"
        );
    }
}

#[test]
fn the_port_of_the_redirect_is_free_where_none_is_expected() {
    let connect = ("GRAVIMETER_CAPTURE_CONNECT_LISTEN", "127.0.0.1:8742");
    with_variables(&[connect]).expect("nobody listens at capture.listen");
    let mistakes = with_variables(&[connect, ("GRAVIMETER_CAPTURE_REDIRECT", "require")]);
    let mistakes = mistakes.expect_err("taken").to_string();
    let expected = "port 8742 is that of capture.listen, too: choose another one";
    assert!(mistakes.contains(expected), "{mistakes}");
}

#[test]
fn the_redirect_is_needed_when_the_agent_has_a_user_of_its_own() {
    let expected =
        |flags: &[(&str, &[&str])]| with_flags(flags).expect("valid").config.launch.redirected;
    assert!(!expected(&[]));
    assert!(!expected(&[("agent.preset", &["antigravity"])]));
    assert!(expected(&[
        ("agent.preset", &["antigravity"]),
        ("agent.user", &["antigravity-ls"])
    ]));
    assert!(expected(&[("capture.redirect", &["require"])]));
    assert!(!expected(&[
        ("agent.user", &["antigravity-ls"]),
        ("capture.redirect", &["off"])
    ]));
    assert!(expected(&[("capture.redirect", &["external"])]));
}

#[test]
fn rules_of_somebody_else_are_not_looked_at() {
    let watched = |word| {
        with_flags(&[("capture.redirect", &[word])])
            .expect("valid")
            .config
            .redirect
            .rules
            .are_watched()
    };
    assert_eq!(
        ["require", "external", "off"].map(watched),
        [true, false, false]
    );
}

#[test]
fn no_text_makes_the_reader_panic() {
    proptest::proptest!(crate::seeds::usual(), |(text in "\\PC{0,60}|[\\[\\]a-z.=\"'\n{}, 0-9]{0,60}")| {
        let _ = file::parse(Path::new("test.toml"), &text);
        let _ = given::from_flags(&[(key("agent.env"), vec![text.clone()]), (key("capture.listen"), vec![text])]);
    });
}

#[test]
fn the_variables_of_opentelemetry_are_settings() {
    let loaded = with_variables(&[
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://otel.example.com/base/",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "api-key=hunter2%2C, x-team = a%20b",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/us.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/us.key"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", ""),
        ("OTEL_BSP_EXPORT_TIMEOUT", "20000"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "10"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "5"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_SERVICE_NAME", "agent-host"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test,a=b%3Dc",
        ),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "prometheus,otlp"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://b:9090/api/v1/otlp/v1/metrics",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "b=hunter2"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
            "LowMemory",
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "Explicit_Bucket_Histogram",
        ),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_SDK_DISABLED", "no"),
    ]);
    let loaded = loaded.expect("valid");
    let mut headers = otlp::Headers::default();
    headers.add("api-key", "hunter2,").expect("a field");
    headers.add("x-team", "a b").expect("a field");
    let mut of_metrics = otlp::Headers::default();
    of_metrics.add("b", "hunter2").expect("a field");
    let resource = [("a", "b=c"), ("deployment.environment.name", "test")];
    let expected = otlp::Config {
        enabled: true,
        endpoint: otlp::Endpoint::parse("https://otel.example.com/base/v1/traces"),
        protocol: otlp::Protocol::Grpc,
        headers,
        compression: otlp::Compression::Gzip,
        timeout: Duration::from_millis(1500),
        give_up_after: Duration::from_secs(20),
        ca_file: Some("/etc/ca.pem".into()),
        client_certificate: Some("/etc/us.pem".into()),
        client_key: Some("/etc/us.key".into()),
        queue: 10,
        batch: 5,
        flush_interval: Duration::from_millis(100),
        service_name: Some("agent-host".to_owned()),
        resource: resource
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        sampling: crate::record::Sampling {
            ratio: 0.25,
            follows_parent: true,
        },
        traces: otlp::Overrides {
            protocol: Some(otlp::Protocol::HttpProtobuf),
            ..otlp::Overrides::default()
        },
        metrics: otlp::Push {
            enabled: true,
            own: otlp::Overrides {
                endpoint: otlp::Endpoint::parse("http://b:9090/api/v1/otlp/v1/metrics"),
                protocol: Some(otlp::Protocol::Grpc),
                headers: Some(of_metrics),
                ..otlp::Overrides::default()
            },
            temporality: otlp::Temporality::Delta,
            histograms: otlp::HistogramAggregation::Explicit,
            interval: Duration::from_secs(15),
        },
        diagnostics: false,
    };
    assert_eq!(loaded.config.otlp, expected);
    let shown = format!("{loaded:?}");
    assert!(
        shown.contains("api-key") && !shown.contains("hunter2"),
        "{shown}"
    );
    let source = |key: &str| {
        let origin = loaded.origins.iter().find(|origin| origin.key == key);
        origin.expect("an origin").source.to_string()
    };
    assert_eq!(source("otlp.protocol"), "OTEL_EXPORTER_OTLP_PROTOCOL");
    assert_eq!(
        source("otlp.traces_protocol"),
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
    );
    let warnings: Vec<_> = loaded
        .warnings
        .iter()
        .map(|warning| warning.source.to_string())
        .collect();
    assert_eq!(
        warnings,
        ["OTEL_SDK_DISABLED", "OTEL_SDK_DISABLED"],
        "`no` is neither true nor false"
    );
}

#[test]
fn the_endpoint_for_spans_alone_is_taken_as_it_stands() {
    let endpoint = |pairs: &[(&str, &str)]| {
        with_variables(pairs)
            .expect("valid")
            .config
            .otlp
            .spans()
            .map(|to| to.endpoint)
    };
    let expected = |text| Some(otlp::Endpoint::parse(text).expect("an endpoint"));
    let (all, spans) = (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    );
    assert_eq!(
        endpoint(&[(all, "http://a:4318")]),
        expected("http://a:4318")
    );
    assert_eq!(
        endpoint(&[(all, "http://a:4318/")]),
        expected("http://a:4318")
    );
    assert_eq!(
        endpoint(&[(all, "http://a:4318"), (spans, "http://b:4318")]),
        expected("http://b:4318/")
    );
    assert_eq!(
        endpoint(&[(spans, "http://b:4318/own")]),
        expected("http://b:4318/own")
    );
    assert_eq!(endpoint(&[]), None);
}

#[test]
fn an_endpoint_of_grpc_may_lack_its_scheme() {
    let load = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), *value))
            .collect();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        with_variables(&pairs)
    };
    let spans = |pairs: &[(&str, &str)]| {
        let otlp = load(pairs).expect("valid").config.otlp;
        otlp.spans().expect("an endpoint").endpoint.to_string()
    };
    let endpoint = ("ENDPOINT", "collector:4317");
    assert_eq!(spans(&[endpoint]), "https://collector:4317/");
    assert_eq!(
        spans(&[endpoint, ("INSECURE", "True")]),
        "http://collector:4317/"
    );
    assert_eq!(
        spans(&[endpoint, ("INSECURE", "false")]),
        "https://collector:4317/"
    );
    let traces = ("TRACES_ENDPOINT", "other:14317");
    let grpc = ("PROTOCOL", "grpc");
    assert_eq!(
        spans(&[endpoint, traces, grpc, ("INSECURE", "true")]),
        "http://other:14317/"
    );
    assert_eq!(
        spans(&[
            traces,
            grpc,
            ("INSECURE", "true"),
            ("TRACES_INSECURE", "false")
        ]),
        "https://other:14317/",
        "the variable of the signal replaces the one for both"
    );
    assert_eq!(
        spans(&[("ENDPOINT", "http://collector:4317"), ("INSECURE", "false")]),
        "http://collector:4317/",
        "a scheme decides"
    );
    let loaded = load(&[endpoint, ("INSECURE", "yes")]).expect("valid");
    assert!(loaded.config.otlp.endpoint.is_some_and(|to| to.is_tls()));
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
    for http in [
        &[("ENDPOINT", "collector:4318")][..],
        &[endpoint, ("PROTOCOL", "http/protobuf")],
    ] {
        assert!(load(http).is_err(), "HTTP needs a scheme: {http:?}");
    }
}

#[test]
fn opentelemetry_s_variables_win_over_the_defaults_only() {
    let on = |pairs: &[(&str, &str)]| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318");
        let pairs: Vec<_> = std::iter::once(endpoint)
            .chain(pairs.iter().copied())
            .collect();
        with_variables(&pairs)
            .expect("valid")
            .config
            .otlp
            .spans()
            .map(|to| to.endpoint.to_string())
    };
    assert_eq!(on(&[]).as_deref(), Some("http://a:4318/"));
    assert_eq!(on(&[("OTEL_TRACES_EXPORTER", "none")]), None);
    assert_eq!(on(&[("OTEL_SDK_DISABLED", "True")]), None);
    assert_eq!(
        on(&[
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_TRACES_EXPORTER", "otlp")
        ]),
        None
    );
    assert!(
        on(&[
            ("OTEL_SDK_DISABLED", "true"),
            ("GRAVIMETER_OTLP_ENABLED", "true")
        ])
        .is_some()
    );
    assert_eq!(
        on(&[("GRAVIMETER_OTLP_ENDPOINT", "http://b:1")]).as_deref(),
        Some("http://b:1/")
    );

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("gravimeter.toml");
    fs::write(&path, "[otlp]\nservice_name = \"of the file\"\n").expect("written");
    let mut inputs = Inputs {
        file: Some(path),
        ..inputs()
    };
    inputs
        .variables
        .extend(variables(&[("OTEL_SERVICE_NAME", "of all")]));
    assert_eq!(
        load(&inputs)
            .expect("valid")
            .config
            .otlp
            .service_name
            .as_deref(),
        Some("of the file")
    );
}

#[test]
fn metrics_are_pushed_where_that_is_asked_for() {
    let pushed = |pairs: &[(&str, &str)]| {
        let config = with_variables(pairs).expect("valid").config;
        config
            .otlp
            .pushed_metrics()
            .map(|to| to.endpoint.to_string())
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:4318/base");
    let asked = ("OTEL_METRICS_EXPORTER", "otlp");
    assert_eq!(pushed(&[endpoint]), None);
    assert_eq!(pushed(&[asked]), None);
    assert_eq!(
        pushed(&[endpoint, asked]).as_deref(),
        Some("http://a:4318/base/v1/metrics")
    );
    assert!(pushed(&[endpoint, asked, ("OTEL_TRACES_EXPORTER", "none")]).is_some());
    assert_eq!(
        pushed(&[endpoint, asked, ("OTEL_SDK_DISABLED", "true")]),
        None
    );
    let told = |pairs: &[(&str, &str)]| {
        with_variables(pairs)
            .expect_err("a contradiction")
            .to_string()
    };
    let asked = ("GRAVIMETER_OTLP_METRICS", "true");
    assert!(told(&[asked]).contains("set otlp.endpoint or otlp.metrics_endpoint"));
    assert!(
        told(&[asked, ("GRAVIMETER_OTLP_ENDPOINT", "http://a:1/own")])
            .contains("set otlp.metrics_endpoint")
    );
}

/// Where each signal goes, with which fields, how, and for how long at most.
fn sent(config: &Config) -> [String; 2] {
    let told = |to: Option<otlp::Destination>| {
        let to = to.map(|to| {
            let identity = to.client_certificate.zip(to.client_key);
            format!(
                "{} {:?} {:?} {:?} {:?} {:?} {:?}",
                to.endpoint,
                to.protocol,
                to.headers,
                to.compression,
                to.timeout,
                to.ca_file,
                identity
            )
        });
        to.unwrap_or_else(|| "nowhere".to_owned())
    };
    [
        told(config.otlp.spans()),
        told(config.otlp.pushed_metrics()),
    ]
}

/// The order of the specification, option by option: that of the signal, or else that of both.
#[test]
fn each_signal_is_resolved_by_itself() {
    const PLAIN: &str = "Auto [] None 10s None None";
    let both = ("ENDPOINT", "http://a:1");
    for (given, spans, metrics) in [
        (
            &[both][..],
            format!("http://a:1/ {PLAIN}"),
            format!("http://a:1/ {PLAIN}"),
        ),
        (
            &[("ENDPOINT", "http://a:1/x/")],
            format!("http://a:1/x/v1/traces {PLAIN}"),
            format!("http://a:1/x/v1/metrics {PLAIN}"),
        ),
        (
            &[("TRACES_ENDPOINT", "http://a:1/t")],
            format!("http://a:1/t {PLAIN}"),
            "nowhere".to_owned(),
        ),
        (
            &[("METRICS_ENDPOINT", "http://a:1/m")],
            "nowhere".to_owned(),
            format!("http://a:1/m {PLAIN}"),
        ),
        (
            &[
                both,
                ("TRACES_ENDPOINT", "http://t:4317"),
                ("TRACES_PROTOCOL", "GRPC"),
            ],
            "http://t:4317/ Grpc [] None 10s None None".to_owned(),
            format!("http://a:1/ {PLAIN}"),
        ),
        (
            &[
                both,
                ("TRACES_HEADERS", "t=1"),
                ("HEADERS", "b=1"),
                ("METRICS_ENDPOINT", "http://m:1/"),
            ],
            r#"http://a:1/ Auto ["t"] None 10s None None"#.to_owned(),
            r#"http://m:1/ Auto ["b"] None 10s None None"#.to_owned(),
        ),
        (
            &[
                both,
                ("TRACES_HEADERS", "t=1"),
                ("METRICS_ENDPOINT", "http://m:1/"),
            ],
            r#"http://a:1/ Auto ["t"] None 10s None None"#.to_owned(),
            format!("http://m:1/ {PLAIN}"),
        ),
        (
            &[
                both,
                ("COMPRESSION", "GZip"),
                ("METRICS_COMPRESSION", "none"),
                ("TIMEOUT", "5"),
                ("TRACES_TIMEOUT", "7"),
            ],
            "http://a:1/ Auto [] Gzip 7ms None None".to_owned(),
            "http://a:1/ Auto [] None 5ms None None".to_owned(),
        ),
        (
            &[
                both,
                ("CERTIFICATE", "/ca"),
                ("METRICS_CERTIFICATE", "/m/ca"),
                ("TRACES_CLIENT_CERTIFICATE", "/t/pem"),
                ("CLIENT_KEY", "/key"),
                ("METRICS_CLIENT_CERTIFICATE", "/m/pem"),
                ("METRICS_CLIENT_KEY", "/m/key"),
            ],
            r#"http://a:1/ Auto [] None 10s Some("/ca") Some(("/t/pem", "/key"))"#.to_owned(),
            r#"http://a:1/ Auto [] None 10s Some("/m/ca") Some(("/m/pem", "/m/key"))"#.to_owned(),
        ),
    ] {
        let names: Vec<_> = given
            .iter()
            .map(|(name, _)| format!("OTEL_EXPORTER_OTLP_{name}"))
            .collect();
        let mut pairs: Vec<_> = names
            .iter()
            .zip(given)
            .map(|(name, (_, value))| (name.as_str(), *value))
            .collect();
        pairs.push(("OTEL_METRICS_EXPORTER", "otlp"));
        let loaded = with_variables(&pairs).expect("valid");
        assert_eq!(loaded.warnings, [], "{given:?}");
        assert_eq!(sent(&loaded.config), [spans, metrics], "{given:?}");
    }
}

/// Fields are secrets of one collector, whoever names another one.
#[test]
fn headers_of_our_own_keys_stay_with_their_endpoint() {
    let headers = |pairs: &[(&str, &str)]| {
        let always = [
            ("GRAVIMETER_OTLP_ENDPOINT", "https://home:1"),
            ("GRAVIMETER_OTLP_HEADERS", "secret=1"),
            ("GRAVIMETER_OTLP_METRICS", "true"),
        ];
        let config = with_variables(&[&always[..], pairs].concat())
            .expect("valid")
            .config
            .otlp;
        let [spans, metrics] =
            [config.spans(), config.pushed_metrics()].map(|to| to.expect("a collector"));
        [spans, metrics].map(|to| format!("{} {:?}", to.endpoint, to.headers))
    };
    let secret = |endpoint: &str| format!("{endpoint} [\"secret\"]");
    assert_eq!(
        headers(&[]),
        [secret("https://home:1/"), secret("https://home:1/")]
    );
    let own = ("GRAVIMETER_OTLP_METRICS_ENDPOINT", "https://home:1/m");
    assert_eq!(
        headers(&[own]),
        [secret("https://home:1/"), secret("https://home:1/m")]
    );
    for elsewhere in ["https://away:1/", "http://home:1/", "https://home:2/"] {
        let metrics = ("GRAVIMETER_OTLP_METRICS_ENDPOINT", elsewhere);
        assert_eq!(
            headers(&[metrics]),
            [secret("https://home:1/"), format!("{elsewhere} []")]
        );
        let spans = ("GRAVIMETER_OTLP_TRACES_ENDPOINT", elsewhere);
        assert_eq!(
            headers(&[spans]),
            [format!("{elsewhere} []"), secret("https://home:1/")]
        );
        // What is said for every program does not lead this one elsewhere.
        let standard = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", elsewhere);
        assert_eq!(
            headers(&[standard]),
            [secret("https://home:1/"), secret("https://home:1/")]
        );
    }
}

#[test]
fn what_is_meant_for_other_programs_is_passed_over_with_a_warning() {
    for (name, value, message) in [
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            r#"otlp.protocol: "http/json" is not one of its words: write "auto" or "grpc" or "http/protobuf""#,
        ),
        (
            "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
            "10s",
            "otlp.metrics_timeout: it is not a number of milliseconds: write it without a unit, such as 10000",
        ),
        (
            "OTEL_TRACES_EXPORTER",
            "console",
            "otlp.enabled: an exporter of others is named: here there is otlp, or none",
        ),
        (
            "OTEL_METRICS_EXPORTER",
            "Otlp,console",
            "otlp.metrics: an exporter of others is named: here there is otlp, or none",
        ),
        (
            "OTEL_SDK_DISABLED",
            "1",
            "otlp.enabled: it is neither true nor false",
        ),
        (
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "-1",
            "otlp.queue: \"-1\" is not a whole number from 1 to 1000000: write it without quotes, such as 100",
        ),
        (
            "OTEL_TRACES_SAMPLER_ARG",
            "endpoint=http://localhost:2000",
            "otlp.sampler_ratio: it is not a number from 0 to 1: write it without quotes, such as 0.25",
        ),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "a=b,c",
            "otlp.resource: it is not a list of names and values: write name=value with commas, and %2C for a comma in a value",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "hunter2",
            "otlp.headers: it is not a list of names and values: write name=value with commas, and %2C for a comma in a value",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
            "a=hunter2%0d",
            "otlp.traces_headers: the value of a is not one of a header: write it in printable ASCII",
        ),
    ] {
        let loaded = with_variables(&[(name, value)]).expect(name);
        let told: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(told.first(), Some(&format!("{name}: {message}")));
        assert!(!told.join(" ").contains("hunter2"));
    }
    let sampling = |word| with_variables(&[("OTEL_TRACES_SAMPLER", word)]).expect("valid");
    assert_eq!(
        sampling("ALWAYS_OFF").config.otlp.sampling,
        crate::record::Sampling {
            ratio: 0.0,
            follows_parent: false
        }
    );
    assert_eq!(
        sampling("xray").config.otlp.sampling,
        otlp::Config::default().sampling
    );
    assert_eq!(
        (
            sampling("ALWAYS_OFF").warnings.len(),
            sampling("xray").warnings.len()
        ),
        (0, 1)
    );
}

/// A bad endpoint is not replaced by that of both signals, nor a file by the system's roots.
#[test]
fn where_a_request_goes_and_whom_it_trusts_is_not_guessed() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1");
    for (name, value, message) in [
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            "/etc/us.key",
            "otlp.client_key: its certificate is missing: set otlp.client_certificate, too",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
            "/etc/us.pem",
            "otlp.client_certificate: its key is missing: set otlp.client_key, too",
        ),
        (
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            "ca.pem",
            r#"otlp.ca_file: "ca.pem" is not a whole path: write it from the root, as "/path/to/ca.pem""#,
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://u:hunter2@a:1",
            "otlp.traces_endpoint: this is not a collector's URL: write it as \"http://127.0.0.1:4317\", without user and query; what it must know of us stands in otlp.headers",
        ),
    ] {
        let told = with_variables(&[endpoint, (name, value)])
            .expect_err(name)
            .to_string();
        assert_eq!(told, format!("{name}: {message}"));
        let disabled = with_variables(&[endpoint, (name, value), ("OTEL_SDK_DISABLED", "TRUE")]);
        assert_eq!(
            sent(&disabled.expect("nothing is checked").config),
            ["nowhere", "nowhere"]
        );
    }
    let foreign = [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_SAMPLER", "xray"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s"),
    ];
    assert_eq!(with_variables(&foreign).expect("valid").warnings, []);
}

/// A configuration file and a price table beside it.
fn with_prices(config: &str, prices: &str) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("prices.toml"), prices).expect("written");
    fs::write(folder.path().join("test.toml"), config).expect("written");
    let loaded = load(&Inputs {
        file: Some(folder.path().join("test.toml")),
        ..inputs()
    });
    loaded.map_err(|mistakes| {
        mistakes
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "")
    })
}

#[test]
fn a_price_table_lies_beside_the_file_that_names_it() {
    let table = "[[price]]\nmodels = [\"m\"]\ninput = 1\nsource = \"https://example.com\"\nas_of = 2026-11-24\n";
    let lines = |config: &str, table| {
        with_prices(config, table)
            .expect("valid")
            .config
            .prices
            .lines()
            .count()
    };
    let shipped = lines("", "");
    assert!(shipped > 1);
    assert_eq!(
        lines("[pricing]\nfile = \"prices.toml\"\n", table),
        shipped + 1
    );
    assert_eq!(
        lines(
            "[pricing]\nfile = \"prices.toml\"\ndefaults = false\n",
            table
        ),
        1
    );
    assert_eq!(lines("[pricing]\ndefaults = false\n", table), 0);
}

#[test]
fn what_is_wrong_with_a_price_table_is_told_like_the_rest() {
    let told = with_prices(
        "[pricing]\nfile = \"prices.toml\"\n[web]\nlissten = 1\n",
        "\n[[price]]\ninput = -1\n",
    );
    let expected = "test.toml:4: web.lissten: there is no such key: did you mean web.listen?\n\
        prices.toml:2: models: is missing: write the names on the wire, such as models = [\"gemini-3.1-pro-low\"]\n\
        prices.toml:2: source: is missing: write the address of who says so, such as source = \"https://example.com/pricing\"\n\
        prices.toml:2: as_of: is missing: write the day on which the source was read, such as as_of = 2026-11-24\n\
        prices.toml:3: input: this is not a price: write US dollars for a million tokens without quotes, \
        such as input = 2.00, with at most six digits after the point";
    assert_eq!(told.expect_err("wrong"), expected);
    let missing = with_prices("[pricing]\nfile = \"price.toml\"\n", "").expect_err("no file");
    assert!(
        missing.starts_with("test.toml:2: pricing.file: price.toml: the file cannot be read ("),
        "{missing}"
    );
    let relative = with_flags(&[("pricing.file", &["prices.toml"])])
        .expect_err("relative to what?")
        .to_string();
    let expected = "--pricing.file: pricing.file: \"prices.toml\" depends on where the program is started: \
        write it from the root, as \"/etc/gravimeter/prices.toml\"";
    assert_eq!(relative, expected);
}

/// The values that a message tells to write, as TOML, each with its key: that of the message, or
/// one that it names.
fn suggestions(key: &'static Key, message: &str) -> Vec<(&'static Key, String)> {
    let told = ["write ", "set it to ", "listen on ", "or set "]
        .iter()
        .filter_map(|word| message.find(&format!(": {word}")))
        .min();
    let Some(told) = told else { return Vec::new() };
    let (mut rest, mut found) = (&message[told..], Vec::new());
    let mut before = String::new();
    while let Some(start) = rest.chars().next() {
        let end = match start {
            '"' => rest[1..].find('"').map(|end| end + 2),
            // A list is of texts, which may hold a bracket.
            '[' => rest.find("\"]").map(|end| end + 2),
            '{' => rest.find('}').map(|end| end + 1),
            '1'..='9' | '0' if before.ends_with(' ') => Some(
                rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c))
                    .unwrap_or(rest.len()),
            ),
            't' | 'f' if before.ends_with(' ') => ["true", "false"]
                .iter()
                .find(|word| rest.starts_with(**word))
                .map(|word| word.len()),
            _ => None,
        };
        let Some(end) = end else {
            before.push(start);
            rest = &rest[start.len_utf8()..];
            continue;
        };
        let text = rest[..end].trim_end_matches([':', '.']);
        let named = keys().find(|key| before.ends_with(&format!("{} to ", key.name)));
        let toml = if text.contains(':') && start.is_ascii_digit() {
            format!("{text:?}")
        } else {
            text.to_owned()
        };
        found.push((named.unwrap_or(key), toml));
        before.push_str(text);
        rest = &rest[end..];
    }
    found
}

/// Whether a key takes a value, or takes it as a part of what it takes.
fn takes(key: &Key, toml: &str) -> bool {
    let whole = [toml.to_owned(), format!("[{toml}]")];
    let parts = [
        format!("{{ {toml} = \"127.0.0.1:8443\" }}"),
        format!("{{ \"api.example.com:443\" = {toml} }}"),
    ];
    let forms = whole
        .into_iter()
        .chain(parts.into_iter().filter(|_| key.kind == Kind::Resolve));
    let mut values = forms.filter_map(|form| file::parse_value(&form));
    values.any(|value| (key.set)(&mut Raw::new(None), &value).is_ok())
}

/// Values of every type and at every edge, as TOML.
const WRONG: [&str; 38] = [
    "\"\"",
    "\"x\"",
    "\"x y\"",
    "\"\\u0001\"",
    "\"a,b\"",
    "\"~/x\"",
    "\"x/\"",
    "\"1001\"",
    "\"-5s\"",
    "\"0s\"",
    "\"0\"",
    "\"007\"",
    "\"50000h\"",
    "\"31622401s\"",
    "\"99999999999\"",
    "\"localhost\"",
    "\"localhost:8743\"",
    "\"localhost:+80\"",
    "\"localhost:00080\"",
    "\"localhost:0\"",
    "\"10.0.0.1\"",
    "\"http://a b\"",
    "\"[::1]\"",
    "0",
    "-5",
    "5",
    "5000000000",
    "99999999999999",
    "1.5",
    "nan",
    "true",
    "2026-11-24",
    "[3]",
    "[\"\"]",
    "[\"x y\", \"localhost:+80\"]",
    "{}",
    "{ a = 1 }",
    "{ \"a b\" = \"x\", \"\" = \"\" }",
];

#[test]
fn what_a_message_tells_to_write_is_accepted() {
    let mut seen = BTreeSet::new();
    for key in keys() {
        for wrong in WRONG {
            let text = document(key, wrong);
            let Err(message) = with_file(&text).map(|_| ()) else {
                continue;
            };
            for line in message.lines() {
                for (key, toml) in suggestions(key, line) {
                    assert!(
                        takes(key, &toml),
                        "{} does not take {toml}, though it is told:\n{text}{line}",
                        key.name
                    );
                    // An address must not be that of another key's default, either; "off" depends
                    // on what else is set.
                    if matches!(key.kind, Kind::Address | Kind::AddressOrOff)
                        && toml != "\"off\""
                        && !wrong.contains("8743")
                    {
                        let told = format!("[{}]\n{} = {toml}\n", key.section(), key.leaf());
                        assert_eq!(with_file(&told).err(), None, "{text}{line}");
                    }
                    seen.insert(key.name);
                }
            }
        }
    }
    let without = |key: &&Key| !seen.contains(key.name);
    let without: Vec<_> = keys().filter(without).map(|key| key.name).collect();
    assert_eq!(
        without,
        ["cascade.csrf_token", "otlp.service_name", "budget"],
        "keys whose messages name no value"
    );
}

#[test]
fn what_is_told_about_contradictions_is_accepted_in_their_place() {
    let mut count = 0;
    for entry in fs::read_dir(repository("tests/fixtures/config")).expect("the fixtures") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let Err(Mistakes(mistakes)) = load(&Inputs {
            file: Some(path.clone()),
            ..inputs()
        }) else {
            panic!("{path:?}")
        };
        for mistake in mistakes {
            let Some(key) = keys().find(|key| Some(key.name) == mistake.key.as_deref()) else {
                continue;
            };
            if key.kind == Kind::Tables {
                continue; // What is told is for one of its own keys.
            }
            for (key, toml) in suggestions(key, &mistake.message) {
                assert!(
                    takes(key, &toml),
                    "{} does not take {toml}: {mistake}",
                    key.name
                );
                let value = file::parse_value(&toml).expect("TOML");
                if (key.set)(&mut Raw::new(None), &value).is_err() {
                    continue; // It is for a part of what the key takes.
                }
                let flags = vec![(key, vec![toml.trim_matches('"').to_owned()])];
                if let Err(mistakes) = load(&Inputs {
                    file: Some(path.clone()),
                    flags,
                    ..inputs()
                }) {
                    let of_flag = |mistake: &Mistake| matches!(mistake.source, Source::Flag(_));
                    assert!(
                        !mistakes.0.iter().any(of_flag),
                        "{mistake}\n--{} {toml}: {mistakes}",
                        key.name
                    );
                }
                count += 1;
            }
        }
    }
    assert!(count >= 30, "{count} suggestions are found");
}

#[test]
fn what_is_told_about_a_variable_of_opentelemetry_is_accepted_there() {
    for name in otel::names() {
        let name = name.as_str();
        for wrong in [
            "x",
            "0",
            "-1",
            "1.5",
            "10s",
            "99999999999",
            "=",
            "http://",
            " ",
        ] {
            let Err(Mistakes(mistakes)) = with_variables(&[(name, wrong)]) else {
                continue;
            };
            for mistake in mistakes {
                let Some(key) = keys().find(|key| Some(key.name) == mistake.key.as_deref()) else {
                    continue;
                };
                for (_, toml) in suggestions(key, &mistake.message) {
                    let again = with_variables(&[(name, toml.trim_matches('"'))]);
                    // One of a pair is not wrong for lack of the other.
                    let is_wrong = |mistake: &Mistake| {
                        mistake.source == Source::Variable(name.to_owned())
                            && !mistake.message.contains(" is missing: ")
                    };
                    let is_refused = again.is_err_and(|mistakes| mistakes.0.iter().any(is_wrong));
                    assert!(
                        !is_refused,
                        "{name}={toml} is refused, though it is told:\n{mistake}"
                    );
                }
            }
        }
    }
}
