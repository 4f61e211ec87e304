//! A webhook over real sockets: what is posted, what is sent again, and what is given up.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use super::*;
use crate::budget::{Amount, Budget, GroupBy, OnError, Unit, Window};
use crate::record::{Call, Models, sample_call};

#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        self.0.lock().expect("no panic").push(fact);
    }
}

/// A receiver that answers one request after another with these statuses; hands back the bodies.
async fn receiver(
    statuses: &[u16],
) -> (
    String,
    impl Future<Output = Vec<(String, serde_json::Value)>>,
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!(
        "http://{}/hook?token=secret",
        listener.local_addr().expect("bound")
    );
    let statuses = statuses.to_vec();
    let received = async move {
        let mut received = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            received.push(request(&mut stream).await);
            let answer = format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.expect("a reader");
        }
        received
    };
    (url, received)
}

/// The head and the body of a request.
async fn request(stream: &mut TcpStream) -> (String, serde_json::Value) {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str(body)
        {
            return (head.to_owned(), body);
        }
        assert_ne!(
            stream.read_buf(&mut bytes).await.expect("a request"),
            0,
            "{text}"
        );
    }
}

fn budgets() -> Arc<Budgets> {
    let budget = Budget {
        name: "daily".parse().expect("a name"),
        limit: Amount {
            unit: Unit::Calls,
            value: 2,
        },
        window: Window::Day,
        by: GroupBy::Model,
        only: Vec::new(),
        warn: 0.5,
        stop: Some(1.0),
        on_error: OnError::Open,
        zone: TimeZone::UTC,
    };
    let models = Arc::new(Models::default());
    Arc::new(Budgets::new(
        vec![budget],
        models,
        |_| None,
        Timestamp::now(),
    ))
}

fn ended(budgets: &Budgets) {
    use crate::record::Sink as _;
    let mut call: Call = sample_call();
    call.timing.started_at = std::time::SystemTime::now();
    call.timing.duration = std::time::Duration::ZERO;
    budgets.receive(&Fact::Call(Box::new(call)));
}

fn posting_to(url: &str) -> Config {
    Config {
        desktop: false,
        webhook: Some(url.parse().expect("a URL")),
    }
}

fn tls() -> ClientConfig {
    ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

#[tokio::test]
async fn what_is_not_taken_is_posted_again() {
    let (url, received) = receiver(&[503, 429, 200, 200]).await;
    let (budgets, facts, stopping) = (budgets(), Arc::<Facts>::default(), CancellationToken::new());
    let config = posting_to(&url);
    let tasks = TaskTracker::new();
    tasks.spawn(run(
        Arc::clone(&budgets),
        config,
        Some(tls()),
        Arc::clone(&facts) as _,
        stopping.clone(),
    ));
    ended(&budgets);
    ended(&budgets);
    let received = received.await;
    let [first, second, third, fourth] = &received[..] else {
        panic!("{received:?}")
    };
    assert!(
        first.0.starts_with("POST /hook?token=secret HTTP/1.1\r\n"),
        "{}",
        first.0
    );
    assert!(
        first
            .0
            .to_lowercase()
            .contains("content-type: application/json")
    );
    assert_eq!(
        (&first.1, &first.1),
        (&second.1, &third.1),
        "the same alert"
    );
    let alert = |body: &serde_json::Value| {
        let [alert] = &body.as_array().expect("alerts")[..] else {
            panic!("{body}")
        };
        assert!(
            alert["startsAt"].is_string() && alert["endsAt"].is_string(),
            "{alert}"
        );
        assert!(alert["annotations"]["summary"].is_string(), "{alert}");
        alert["labels"].clone()
    };
    let model = sample_call().model.to_string();
    let expected = |name: &str, severity: &str| serde_json::json!({"alertname": name, "budget": "daily", "severity": severity, "group": model});
    assert_eq!(
        alert(&third.1),
        expected("GravimeterBudgetWarning", "warning")
    );
    assert_eq!(
        alert(&fourth.1),
        expected("GravimeterBudgetStopped", "critical")
    );
    let sent = Fact::NotificationEnded {
        target: NotificationTarget::Webhook,
        result: NotificationResult::Sent,
    };
    while *facts.0.lock().expect("no panic") != [sent.clone(), sent.clone()] {
        tokio::task::yield_now().await;
    }
    stopping.cancel();
    tasks.close();
    tasks.wait().await;
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_posted_again() {
    let (url, received) = receiver(&[400, 200]).await;
    let (budgets, facts, stopping) = (budgets(), Arc::<Facts>::default(), CancellationToken::new());
    let config = posting_to(&url);
    let running = run(
        Arc::clone(&budgets),
        config,
        Some(tls()),
        Arc::clone(&facts) as _,
        stopping.clone(),
    );
    ended(&budgets);
    ended(&budgets);
    let ((), ()) = tokio::join!(running, async {
        let received = received.await;
        assert_ne!(received[0].1, received[1].1, "the second is the next alert");
        while facts.0.lock().expect("no panic").len() < 2 {
            tokio::task::yield_now().await;
        }
        stopping.cancel();
    });
    let results: Vec<_> = facts.0.lock().expect("no panic").clone();
    let result = |result| Fact::NotificationEnded {
        target: NotificationTarget::Webhook,
        result,
    };
    assert_eq!(
        results,
        [
            result(NotificationResult::Failed),
            result(NotificationResult::Sent)
        ]
    );
}

#[test]
fn a_url_is_shown_nowhere() {
    let url: WebhookUrl = "https://hooks.example.com/t0ken".parse().expect("a URL");
    assert!(!format!("{url:?}").contains("t0ken"));
    for bad in [
        "",
        "ftp://a/b",
        "http://",
        "https://user:secret@a/b",
        "/path",
    ] {
        assert_eq!(bad.parse::<WebhookUrl>(), Err(InvalidUrl), "{bad}");
    }
}
