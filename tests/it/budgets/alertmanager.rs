//! A real Alertmanager takes what the webhook posts, and shows it.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::flags;
use crate::kit::binary::{Binary, until};
use crate::kit::upstream::Upstream;
use crate::skip;
use crate::whole::{any_port, get};

#[tokio::test]
async fn alertmanager_takes_the_alerts() {
    if !skip::has_program("prometheus-alertmanager", "prometheus-alertmanager") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("alertmanager.yml");
    std::fs::write(
        &config,
        "route: {receiver: none}\nreceivers: [{name: none}]\n",
    )
    .expect("ours");
    let free = std::net::TcpListener::bind(any_port()).and_then(|free| free.local_addr());
    let address = free.expect("a port");
    let _alertmanager = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.path().display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    // It may not listen yet when the first alert is posted.
    let upstream = Upstream::start().await;
    let url = format!("http://{address}/api/v2/alerts");
    let budgets =
        r#"[{ name = "one", calls = 2, per = "day", by = "model", warn = 0.5, stop = 1.0 }]"#;
    let mut flags = flags(&upstream, budgets);
    flags.extend(["--notify.webhook".to_owned(), url]);
    let binary = Binary::start(&flags).await;
    for _ in 0..2 {
        upstream.call(&binary).await;
    }
    let sent = ["target=\"webhook\"", "result=\"sent\""];
    binary
        .wait_for("gravimeter_notifications_total", &sent, 2)
        .await;
    let names = until(async || {
        let alerts: Value = serde_json::from_str(&get(address, "/api/v2/alerts").await).ok()?;
        let alerts = alerts.as_array()?.clone();
        (alerts.len() == 2).then(|| {
            for alert in &alerts {
                assert_eq!(alert["status"]["state"], "active", "{alert}");
                assert_eq!(alert["labels"]["budget"], "one", "{alert}");
                assert_eq!(alert["labels"]["group"], "m", "{alert}");
            }
            let mut names: Vec<String> = alerts
                .iter()
                .map(|alert| alert["labels"]["alertname"].to_string())
                .collect();
            names.sort();
            names
        })
    })
    .await;
    assert_eq!(
        names,
        ["\"GravimeterBudgetStopped\"", "\"GravimeterBudgetWarning\""]
    );
    binary.stop().await;
}
