use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_key_is_a_flag_of_serve() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").expect("serve");
    for key in crate::config::keys() {
        assert!(
            serve
                .get_arguments()
                .any(|argument| argument.get_long() == Some(key.name)),
            "{}",
            key.name
        );
    }
}

#[test]
fn people_are_not_shown_what_is_not_for_them() {
    let help = Cli::command().render_help().to_string();
    for hidden in [
        "agent-exec",
        "agent-signal",
        "demo-agent",
        "demo-app",
        "demo-provider",
        "run-stage",
    ] {
        assert!(!help.contains(hidden), "{hidden}");
        assert!(Cli::command().find_subcommand(hidden).is_some(), "{hidden}");
    }
}

#[test]
fn a_reader_that_went_away_is_no_failure() {
    let gone = anyhow::Error::from(io::Error::from(ErrorKind::BrokenPipe)).context("the table");
    assert_eq!(
        format!("{:?}", told(&gone)),
        format!("{:?}", ExitCode::SUCCESS)
    );
    let failed = anyhow::anyhow!("something");
    assert_eq!(
        format!("{:?}", told(&failed)),
        format!("{:?}", ExitCode::FAILURE)
    );
}

#[test]
fn an_argument_of_the_agent_may_look_like_a_flag() {
    let line = [
        "gravimeter",
        "serve",
        "--agent.args",
        "--standalone",
        "--agent.args=-v=2,--x",
    ];
    let matches = Cli::command()
        .try_get_matches_from(line)
        .expect("a valid line");
    let serve = matches.subcommand_matches("serve").expect("serve");
    let given: Vec<_> = serve
        .get_many::<String>("agent.args")
        .expect("arguments")
        .collect();
    assert_eq!(given, ["--standalone", "-v=2,--x"]);
    assert!(!serve.get_flag("standalone"), "it is the agent's");
}

#[test]
fn what_follows_the_program_is_its_own() {
    let command = |line: &[&str]| {
        let line = [&["gravimeter", "run"], line].concat();
        let matches = Cli::command().try_get_matches_from(line).ok()?;
        let run = matches.subcommand_matches("run")?;
        let words = run.get_many::<OsString>("command")?;
        let quiet = run.get_flag("quiet");
        Some((words.cloned().collect::<Vec<_>>(), quiet))
    };
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    for (line, expected, quiet) in [
        (&["--", "claude"][..], &["claude"][..], false),
        (&["claude", "-p", "hi"], &["claude", "-p", "hi"], false),
        (&["--quiet", "--", "x", "--quiet"], &["x", "--quiet"], true),
        (
            &["x", "--quiet", "--", "--json"],
            &["x", "--quiet", "--", "--json"],
            false,
        ),
        (&["--", "--help"], &["--help"], false),
    ] {
        assert_eq!(command(line), Some((words(expected), quiet)), "{line:?}");
    }
    for wrong in [
        &[][..],
        &["--"],
        &["--quite", "x"],
        &["--scope", "x", "--", "x"],
    ] {
        assert_eq!(command(wrong), None, "{wrong:?}");
    }
}

#[test]
fn each_cause_of_an_error_is_named_once() {
    let cause = || io::Error::other("no such device");
    let repeated = app::Error::Start(cause());
    assert_eq!(
        with_causes(&repeated.into()),
        "the program cannot be started: no such device"
    );
    let added = anyhow::Error::new(cause()).context("the log of the run");
    assert_eq!(with_causes(&added), "the log of the run: no such device");
}
