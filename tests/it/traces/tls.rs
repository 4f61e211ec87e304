//! A collector behind TLS is verified, by the operator's roots alone where there are some.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use gravimeter::export::otlp::{Config, Endpoint, Protocol};
use gravimeter::tls::authority::Authority;
use gravimeter::tls::collector::client;

use super::collector::{Collector, Reply};
use super::facts::calls;
use super::{PROTOCOLS, Way, config, fate};
use crate::kit::pki::Pki;

#[tokio::test]
async fn only_a_verified_collector_gets_spans() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, _) = Authority::load_or_create(&folder.path().join("ca"), &[], SystemTime::now()).expect("a CA");
    let (pki, stranger) = (Pki::new(), Pki::new());
    let roots = pki.write_root(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for protocol in PROTOCOLS {
        let alpn = if protocol == Protocol::Grpc { "h2" } else { "http/1.1" };
        for (issuer, name, expected) in [
            (&pki, "localhost", fate(3, &[])),
            (&pki, "other.example.com", fate(0, &[("unreachable", 3)])),
            (&stranger, "localhost", fate(0, &[("unreachable", 3)])),
        ] {
            let collector = Collector::at(any, &[Reply::Take], Some(issuer.server(name, &[alpn]))).await;
            let endpoint = Endpoint::parse(&format!("https://localhost:{}", collector.addr.port()));
            let give_up_after = Duration::from_millis(200);
            let mut way = Way::new(&Config { endpoint, give_up_after, ..config(collector.addr, protocol) });
            way.state(calls(1, 3));
            way.start(client(Some(&roots), &own).expect("roots"));
            assert_eq!(way.end().await, expected, "{protocol:?} {name}");
        }
    }
    let none = client(Some(&folder.path().join("none.pem")), &own).map(|_| ()).expect_err("no file").to_string();
    assert!(none.contains("none.pem"), "{none}");
}
