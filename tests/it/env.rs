//! Promise: the programs of a shell that takes the variables of `gravimeter env` use the CONNECT
//! proxy, trust its CA and are counted; where they would not, nothing is printed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};

use tempfile::TempDir;

use crate::kit::binary::{Binary, PROGRAM, resolve};
use crate::run::{HOST, start_provider};

/// A provider as a process of its own, and a Gravimeter that leads to it.
struct Stage {
    provider: Child,
    binary: Binary,
    folder: TempDir,
}

impl Stage {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (provider, address) = start_provider(folder.path());
        let root = folder.path().join("root.pem");
        let mut flags = vec![
            "--upstream.extra_roots".to_owned(),
            root.to_str().expect("UTF-8").to_owned(),
        ];
        flags.extend(resolve(HOST, address.parse().expect("an address")));
        let binary = Binary::start(&flags).await;
        Self {
            provider,
            binary,
            folder,
        }
    }

    /// The words of `gravimeter env` for a shell.
    fn words(&self) -> String {
        format!(
            "{PROGRAM} env --capture.connect_listen {} --state.dir {}",
            self.binary.connect,
            self.binary.state().display()
        )
    }

    /// Runs a script of sh that has what every user has in the environment.
    fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path())
            .args(["-euc", script]);
        command.output().expect("sh")
    }

    /// The same, which must succeed.
    fn run(&self, script: &str) -> String {
        let output = self.shell(script);
        assert!(output.status.success(), "{script}\n{}", err(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.provider.kill();
        let _ = self.provider.wait();
    }
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const PATH: &str = "/v1internal:streamGenerateContent?alt=sse";
const BODY: &str = r#"{"model":"gemini-3-pro","request":{"contents":[{"role":"user","parts":[{"text":"demo: prompt=16 output=3"}]}]}}"#;

/// Node has read proxy variables only since its version 24: this one asks the proxy by itself, and
/// leaves it to Node whom to trust.
const NODE: &str = r#"
const http = require("http"), tls = require("tls");
const proxy = new URL(process.env.HTTPS_PROXY);
const [host, path, body] = process.argv.slice(2);
const connect = http.request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path: host + ":443" });
connect.on("connect", (_, socket) => {
  const secure = tls.connect({ socket, servername: host }, () => {
    secure.write("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nContent-Type: application/json\r\n");
    secure.write("Content-Length: " + Buffer.byteLength(body) + "\r\n\r\n" + body);
  });
  secure.pipe(process.stdout);
});
connect.on("error", (error) => { throw error; });
connect.end();
"#;

const PYTHON: &str = r#"
import sys, urllib.request
host, path, body = sys.argv[1:]
request = urllib.request.Request("https://" + host + path, body.encode(), {"Content-Type": "application/json"})
print(urllib.request.urlopen(request, timeout=60).read().decode())
"#;

#[tokio::test]
async fn curl_node_and_python_are_counted() {
    let stage = Stage::start().await;
    let file = |name: &str, text: &str| {
        let path = stage.folder.path().join(name);
        fs::write(&path, text).expect("a folder");
        path.display().to_string()
    };
    let (node, python) = (file("call.js", NODE), file("call.py", PYTHON));
    let programs = [
        format!(
            "curl --silent --show-error --fail --max-time 60 --data '{BODY}' 'https://{HOST}{PATH}'"
        ),
        format!("node {node} {HOST} '{PATH}' '{BODY}'"),
        format!("python3 {python} {HOST} '{PATH}' '{BODY}'"),
    ];
    for (number, program) in (1..).zip(programs) {
        let shown = stage.run(&format!("eval \"$({})\"; {program}", stage.words()));
        assert!(shown.contains("usageMetadata"), "{program}: {shown}");
        let counted = ["outcome=\"ok\""];
        stage
            .binary
            .wait_for("gravimeter_calls_total", &counted, number)
            .await;
    }
}

#[tokio::test]
async fn what_the_shell_has_is_kept_and_nothing_is_added_twice() {
    let stage = Stage::start().await;
    let corporate = stage.folder.path().join("corp'orate.pem");
    fs::write(&corporate, "CORPORATE\n").expect("a folder");
    let words = stage.words();
    let script = format!(
        "export GIT_SSL_CAINFO=\"{}\" NO_PROXY=corp.example\n\
         eval \"$({words})\"; first=$(env | sort)\n\
         eval \"$({words})\"; test \"$(env | sort)\" = \"$first\"\n\
         cat \"$GIT_SSL_CAINFO\"; echo \"$NO_PROXY\"",
        corporate.display()
    );
    let shown = stage.run(&script);
    assert!(
        shown.starts_with("CORPORATE\n-----BEGIN CERTIFICATE-----")
            && shown.ends_with("corp.example,localhost,127.0.0.1,::1\n"),
        "{shown}"
    );
    assert_eq!(
        fs::read_to_string(&corporate).expect("a file"),
        "CORPORATE\n"
    );
    let fish = stage.run(&format!(
        "fish --no-config -c '{words} --shell fish | source; echo $HTTPS_PROXY; cat $SSL_CERT_FILE'"
    ));
    let expected = format!("http://{}\n", stage.binary.connect);
    assert!(
        fish.starts_with(&expected) && fish.contains("-----BEGIN CERTIFICATE-----"),
        "{fish}"
    );
}

#[tokio::test]
async fn where_the_variables_would_lead_nowhere_none_is_printed() {
    let stage = Stage::start().await;
    let state = stage.binary.state().display().to_string();
    let connect = stage.binary.connect;
    let off = format!("{PROGRAM} env --capture.redirect external --state.dir {state}");
    let nobody = format!("{PROGRAM} env --capture.connect_listen 127.0.0.1:1 --state.dir {state}");
    let elsewhere = format!(
        "{PROGRAM} env --capture.connect_listen {connect} --state.dir {}",
        Path::new(&state).join("other").display()
    );
    let other_proxy = format!("https_proxy=http://proxy.example:3128 {}", stage.words());
    for (script, told) in [
        (off, "set capture.connect_listen = \"127.0.0.1:8743\""),
        (nobody, "start `gravimeter serve`"),
        (elsewhere, "run it with the same configuration"),
        (other_proxy, "unset https_proxy"),
    ] {
        let output = stage.shell(&script);
        assert_eq!(output.status.code(), Some(1), "{script}");
        assert!(
            output.stdout.is_empty() && err(&output).contains(told),
            "{}",
            err(&output)
        );
    }
}
