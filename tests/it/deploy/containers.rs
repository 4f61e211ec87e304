//! Container, Compose and Kubernetes files: accepted by the judges of their formats, and run as far
//! as it goes without containers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use gravimeter::tls::bundle::{Bundle, environment};
use serde_json::Value;

use super::sandbox::{Confined, bwrap};
use super::{path, read, run, run_with};
use crate::kit::binary::Binary;
use crate::kit::upstream::Upstream;
use crate::skip;

const READER: &str = include_str!("containers.py");

/// The uids that the image gives.
const GRAVIMETER: u32 = 8741;
const AGENT: u32 = 8742;

/// A file as JSON, once the judge of its format has accepted it.
fn judged(judge: &str, file: &str) -> Option<Value> {
    let python = skip::tool("kubernetes-validate", "bin/kubernetes-validate", None)?
        .with_file_name("python");
    let mut command = Command::new(python);
    command.args(["-c", READER, judge]);
    Some(serde_json::from_str(&run_with(command, read(file).as_bytes())).expect("JSON"))
}

#[test]
fn the_image_is_built_by_the_book() {
    let Some(hadolint) = skip::tool("hadolint", "bin/hadolint", None) else {
        return;
    };
    let mut lint = Command::new(hadolint);
    lint.args(["--failure-threshold", "info"])
        .arg(path("deploy/container/Containerfile"));
    run(lint);
    let text = read("deploy/container/Containerfile");
    for (user, uid) in [("gravimeter", GRAVIMETER), ("antigravity-ls", AGENT)] {
        assert!(
            text.contains(&format!("--uid {uid} --gid {uid} ")) && text.contains(user),
            "{user} is {uid}"
        );
    }
    assert!(text.contains(&format!("\nUSER {GRAVIMETER}:{GRAVIMETER}\n")));
}

#[test]
fn kubernetes_accepts_the_manifests() {
    let Some(validate) = skip::tool("kubernetes-validate", "bin/kubernetes-validate", None) else {
        return;
    };
    // The first version with sidecars, and the newest that is known.
    for version in ["1.29", "1.37"] {
        let mut command = Command::new(&validate);
        command.args(["--strict", "-k", version]);
        command.args(
            ["pod", "networkpolicy"].map(|name| path(&format!("deploy/kubernetes/{name}.yaml"))),
        );
        run(command);
    }
    judged("podmonitor", "deploy/kubernetes/podmonitor.yaml").expect("the same tools");
    let kustomization =
        judged("plain", "deploy/kubernetes/kustomization.yaml").expect("the same tools");
    for resource in kustomization["resources"].as_array().expect("resources") {
        let file = format!("deploy/kubernetes/{}", resource.as_str().expect("a name"));
        assert!(path(&file).exists(), "{file}");
    }
}

#[test]
fn every_container_has_the_rights_it_needs_and_no_more() {
    let Some(pod) = judged("plain", "deploy/kubernetes/pod.yaml") else {
        return;
    };
    let spec = &pod["spec"]["template"]["spec"];
    let (redirect, sidecar, agent) = (
        &spec["initContainers"][0],
        &spec["initContainers"][1],
        &spec["containers"][0],
    );
    for (container, uid, added) in [
        (redirect, 0, serde_json::json!(["NET_ADMIN", "NET_RAW"])),
        (sidecar, GRAVIMETER, Value::Null),
        (agent, AGENT, Value::Null),
    ] {
        let context = &container["securityContext"];
        assert_eq!(context["runAsUser"], uid);
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["capabilities"]["drop"], serde_json::json!(["ALL"]));
        assert_eq!(context["capabilities"]["add"], added);
    }
    assert_eq!(
        sidecar["restartPolicy"], "Always",
        "a sidecar is up before the agent starts"
    );
    let mounts = agent["volumeMounts"].as_array().expect("mounts");
    assert!(
        mounts
            .iter()
            .all(|mount| mount["name"] == "trust" && mount["readOnly"] == true),
        "the key stays unseen"
    );
    let monitor =
        judged("podmonitor", "deploy/kubernetes/podmonitor.yaml").expect("the same tools");
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    assert_eq!(port, &sidecar["ports"][0]["name"]);
    let labels = &monitor["spec"]["selector"]["matchLabels"];
    assert_eq!(
        labels["gravimeter"],
        pod["spec"]["template"]["metadata"]["labels"]["gravimeter"]
    );
}

#[test]
fn agents_in_containers_trust_what_the_program_writes() {
    let Some(pod) = judged("plain", "deploy/kubernetes/pod.yaml") else {
        return;
    };
    let folder = Path::new("/run/gravimeter/trust");
    let bundle = Bundle {
        all: folder.join("bundle.pem"),
        ca_only: folder.join("bundle.ca.pem"),
        roots: 0,
    };
    let mut wanted = environment(&bundle);
    wanted.sort();
    let variables = pod["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .expect("variables");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut told: Vec<_> = variables
        .iter()
        .map(|one| (text(&one["name"]), text(&one["value"])))
        .collect();
    told.sort();
    assert_eq!(told, wanted, "in the pod");
    let compose = judged("compose", "deploy/compose/compose.yaml").expect("the same tools");
    let variables = compose["services"]["agent"]["environment"]
        .as_object()
        .expect("variables");
    let mut told: Vec<_> = variables
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    told.sort();
    assert_eq!(told, wanted, "in Compose");
}

#[test]
fn compose_mounts_what_is_there() {
    let Some(compose) = judged("compose", "deploy/compose/compose.yaml") else {
        return;
    };
    judged("compose", "deploy/compose/compose.demo.yaml").expect("the same tools");
    let mut seen = 0;
    for service in compose["services"].as_object().expect("services").values() {
        let volumes = service["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        for volume in volumes.filter(|volume| volume.starts_with('.')) {
            let from = volume.split(':').next().expect("a path");
            let file = from.strip_prefix("../../").map(str::to_owned);
            let file = file.or_else(|| {
                from.strip_prefix("../")
                    .map(|rest| format!("deploy/{rest}"))
            });
            let file =
                file.unwrap_or_else(|| format!("deploy/compose/{}", from.trim_start_matches("./")));
            assert!(path(&file).exists(), "{file}");
            seen += 1;
        }
    }
    assert!(seen >= 5, "the walk finds the mounts: {seen}");
}

#[tokio::test]
async fn the_sidecar_runs_with_what_its_pod_gives_it() {
    let Some(pod) = judged("plain", "deploy/kubernetes/pod.yaml") else {
        return;
    };
    let Some(confined) = Confined::as_user(GRAVIMETER) else {
        return;
    };
    let sidecar = &pod["spec"]["template"]["spec"]["initContainers"][1];
    let upstream = Upstream::start().await;
    let flags = upstream.flags(&["--state.dir", "/var/lib/gravimeter"]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut sandbox = bwrap(Path::new(&flags[1]).parent().expect("a folder"));
    sandbox.env_clear().env("PATH", "/usr/bin:/bin");
    // An emptyDir is root's, and everybody may write.
    for mount in sidecar["volumeMounts"].as_array().expect("mounts") {
        let place = folder.path().join(mount["name"].as_str().expect("a name"));
        fs::create_dir(&place).expect("a writable folder");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).expect("ours");
        let inside = mount["mountPath"].as_str().expect("a path");
        sandbox
            .args(["--dir", inside])
            .arg("--bind")
            .arg(place)
            .arg(inside);
    }
    for variable in sidecar["env"].as_array().expect("variables") {
        let value = variable["value"].as_str().unwrap_or("192.0.2.7");
        sandbox.env(variable["name"].as_str().expect("a name"), value);
    }
    let trust = folder.path().join("trust/trust/bundle.pem");
    let binary = Binary::with(confined.run(sandbox).into(), folder, &flags).await;

    assert!(
        fs::metadata(&trust).expect("a bundle").permissions().mode() & 0o004 != 0,
        "the agent may read it"
    );
    let ask = |host: &str| {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &format!("Host: {host}"),
        ]);
        curl.arg(format!("http://{}/readyz", binary.web));
        run(curl)
    };
    assert_eq!(
        ask("192.0.2.7:8741"),
        "200",
        "the kubelet asks by the pod's address"
    );
    assert_eq!(ask("192.0.2.8:8741"), "403", "and nobody by any other");
}
