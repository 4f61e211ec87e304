//! What the agent inherits, and what becomes of a sudo that refuses.

use std::process::Command;

use crate::role::{Part, Supervised};
use crate::stage::{self, AGENT, OPERATOR, PROGRAM, root, write_program};

/// Everything that a process can tell of itself. Bash would set variables of its own, hence /proc;
/// and it has open what it redirects and substitutes itself, hence the listing of descriptors by a
/// child, before anything else (255 is the script).
const DUMP: &str = r#"#!/bin/bash
ls /proc/$$/fd >"$HOME/fds"
{
    echo "argv: $(tr '\0' ' ' </proc/$$/cmdline)"
    echo "env: $(tr '\0' '\n' </proc/$$/environ | sort | tr '\n' ' ')"
    echo "fds: $(sort -n "$HOME/fds" | tr '\n' ' ')"
    echo "cwd: $(readlink /proc/$$/cwd)"
    echo "stdin: $(cat)"
    echo "user: $(id -un) $(id -gn) $(id -Gn)"
    echo "session: $(($(cut -d' ' -f6 /proc/$$/stat) == $$)) tty: $(cut -d' ' -f7 /proc/$$/stat)"
    grep -E '^(Umask|NoNewPrivs|CapEff):' /proc/$$/status
    grep 'core file' /proc/$$/limits
} >"$HOME/dump"
"#;

const GOLDEN: &str = "\
argv: /bin/bash /usr/local/bin/agent one two \n\
env: EXTRA=yes HOME=/var/lib/antigravity-ls LANG=C.UTF-8 LOGNAME=antigravity-ls PATH=/usr/local/bin:/usr/bin:/bin USER=antigravity-ls \n\
fds: 0 1 2 255 \n\
cwd: /var/lib/antigravity-ls\n\
stdin: \n\
user: antigravity-ls antigravity-ls antigravity-ls\n\
session: 1 tty: 0\n\
Umask:\t0077\n\
CapEff:\t0000000000000000\n\
NoNewPrivs:\t1\n\
Max core file size        0                    0                    bytes     \n";

fn dump(user: &str) -> String {
    write_program("/usr/local/bin/agent", DUMP);
    let part = Part {
        args: vec!["one".into(), "two".into()],
        env: vec![("EXTRA".into(), "yes".into())],
        restarts: 0,
        ..Part::new("/usr/local/bin/agent")
    };
    let said = Supervised::start(user, &part).rest();
    assert!(said.contains(&"AgentUp(true)".to_owned()), "{said:?}");
    root(&format!("cat /var/lib/{AGENT}/dump"))
}

pub(crate) fn through_sudo_the_agent_inherits_nothing() {
    stage::on_stage("child::through_sudo_the_agent_inherits_nothing", || {
        stage::install();
        assert_eq!(dump(OPERATOR), GOLDEN);
    });
}

pub(crate) fn from_root_the_agent_inherits_nothing() {
    stage::on_stage("child::from_root_the_agent_inherits_nothing", || {
        stage::install();
        assert_eq!(dump("root"), GOLDEN);
    });
}

pub(crate) fn sudo_sees_a_fixed_command_line_and_no_secret() {
    stage::on_stage(
        "child::sudo_sees_a_fixed_command_line_and_no_secret",
        || {
            stage::install();
            write_program("/usr/local/bin/agent", "#!/bin/bash\nexec sleep 1000\n");
            let part = Part {
                args: vec!["--token".into(), "canary".into()],
                ..Part::new("/usr/local/bin/agent")
            };
            let mut supervised = Supervised::start(OPERATOR, &part);
            supervised.until("AgentUp(true)");
            let sudo = "pid=$(pgrep -x sudo) && tr '\\0' ' ' </proc/$pid/cmdline && tr '\\0' ' ' </proc/$pid/environ";
            let expected = format!(
                "sudo -n -u {AGENT} -- {PROGRAM} agent-exec PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C "
            );
            let environment_in_any_order = |text: &str| {
                let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
                words.sort();
                words
            };
            assert_eq!(
                environment_in_any_order(&root(sudo)),
                environment_in_any_order(&expected)
            );
            assert_eq!(
                supervised.shut_down().last().map(String::as_str),
                Some("ended")
            );
        },
    );
}

pub(crate) fn a_sudo_that_refuses_is_asked_once() {
    stage::on_stage("child::a_sudo_that_refuses_is_asked_once", || {
        stage::install();
        let refused = |detail: &str| {
            let said = Supervised::start(OPERATOR, &Part::new("/bin/true")).rest();
            let errors: Vec<_> = said
                .iter()
                .filter(|line| line.starts_with("error: "))
                .collect();
            let [error] = errors[..] else {
                panic!("one error: {said:?}")
            };
            assert!(error.contains(detail) && error.contains(AGENT), "{error}");
            assert!(
                error.contains("`gravimeter redirect install`") || error.contains("install sudo"),
                "{error}"
            );
            assert!(
                !said.iter().any(|line| line.starts_with("Agent")),
                "no start, no restart: {said:?}"
            );
        };
        root("rm /etc/sudoers.d/gravimeter");
        refused("a password is required");
        root(&format!(
            "echo '{OPERATOR} ALL=({AGENT}) {PROGRAM} agent-exec' >/etc/sudoers.d/gravimeter"
        ));
        refused("a password is required");
        root(&format!(
            "echo '{OPERATOR} ALL=(root) NOPASSWD: {PROGRAM} agent-exec' >/etc/sudoers.d/gravimeter"
        ));
        refused("");
        root("rm /usr/bin/sudo");
        refused("sudo is not installed");
    });
}

pub(crate) fn what_cannot_be_executed_is_told_once() {
    stage::on_stage("child::what_cannot_be_executed_is_told_once", || {
        stage::install();
        let said = Supervised::start(OPERATOR, &Part::new("/no/such/agent")).rest();
        let expected = "error: the agent could not be started: /no/such/agent: No such file or directory (os error 2); \
                        check that its user can reach it";
        assert_eq!(said.last().map(String::as_str), Some(expected), "{said:?}");
        assert!(
            !said.iter().any(|line| line.starts_with("AgentUp")),
            "nothing was up: {said:?}"
        );
        root(&format!("[[ ! -e {}/agent.json ]]", stage::STATE));
    });
}

/// What an agent prints is its own word only: it can neither end Gravimeter nor reach the terminal
/// as it stands.
pub(crate) fn an_agent_cannot_speak_for_the_launcher() {
    stage::on_stage("child::an_agent_cannot_speak_for_the_launcher", || {
        stage::install();
        let liar = r#"#!/bin/bash
            for words in 'gravimeter-agent failed: \033[31mno' 'error: \033[31mno' 'gravimeter-agent pid=1 start_time=1'; do
                printf "$words\n"; printf "$words\n" >&2
            done
            exit 7
        "#;
        write_program("/usr/local/bin/agent", liar);
        for user in [OPERATOR, "root"] {
            let said = Supervised::start(
                user,
                &Part {
                    restarts: 1,
                    ..Part::new("/usr/local/bin/agent")
                },
            )
            .rest();
            let expected = "error: the agent did not stay up (starts after the first: 1; the last end: failed): --agent.log_output true shows what it prints";
            assert_eq!(said.last().map(String::as_str), Some(expected), "{said:?}");
            assert!(
                said.contains(&"AgentRestarted(Failed)".to_owned()),
                "{said:?}"
            );
        }
    });
}

/// sudo's own record of what passes would hold the agent's tokens, and what it passes on is no
/// socket any more.
pub(crate) fn a_sudo_that_records_input_is_told_apart_from_one_that_refuses() {
    stage::on_stage(
        "child::a_sudo_that_records_input_is_told_apart_from_one_that_refuses",
        || {
            stage::install();
            root("echo 'Defaults log_input' >/etc/sudoers.d/00-record");
            let said = Supervised::start(OPERATOR, &Part::new("/bin/true")).rest();
            let error = said.last().expect("an error");
            assert!(
                error.starts_with(&format!("error: {PROGRAM} agent-exec did not take over: ")),
                "{said:?}"
            );
            assert!(error.contains("log_input"), "{error}");
            assert!(
                !said.iter().any(|line| line.starts_with("Agent")),
                "{said:?}"
            );
        },
    );
}

pub(crate) fn our_own_uid_is_refused_when_the_redirect_goes_by_uid() {
    stage::on_stage(
        "child::our_own_uid_is_refused_when_the_redirect_goes_by_uid",
        || {
            let part = Part {
                as_ourselves: true,
                redirected: true,
                ..Part::new("/bin/true")
            };
            let said = Supervised::start(OPERATOR, &part).rest();
            let uid = root(&format!("id -u {OPERATOR}"));
            let expected = format!(
                "error: the agent's user {OPERATOR} has uid {}, which is our own",
                uid.trim()
            );
            assert!(
                said.last()
                    .is_some_and(|error| error.starts_with(&expected)),
                "{said:?}"
            );
        },
    );
}

pub(crate) fn the_entry_points_refuse_people() {
    for entry_point in ["agent-exec", "agent-signal"] {
        let output = Command::new(env!("CARGO_BIN_EXE_gravimeter"))
            .arg(entry_point)
            .output()
            .expect("the program");
        assert!(
            !output.status.success() && output.stdout.is_empty(),
            "{entry_point}: {}",
            stage::text(&output)
        );
    }
}
