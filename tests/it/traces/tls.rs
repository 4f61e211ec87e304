//! A collector behind TLS is verified, by the operator's roots alone where there are some.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use gravimeter::export::otlp::{Config, Endpoint, Protocol};
use gravimeter::tls::authority::Authority;
use gravimeter::tls::collector::{Files, client};

use super::facts::calls;
use super::{PROTOCOLS, Way, config, fate};
use crate::kit::collector::{Collector, Reply};
use crate::kit::pki::Pki;

#[tokio::test]
async fn only_a_verified_collector_gets_spans() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, _) =
        Authority::load_or_create(&folder.path().join("ca"), &[], SystemTime::now()).expect("a CA");
    let (pki, stranger) = (Pki::new(), Pki::new());
    let roots = pki.write_root(folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for protocol in PROTOCOLS {
        let alpn = if protocol == Protocol::Grpc {
            "h2"
        } else {
            "http/1.1"
        };
        for (issuer, name, expected) in [
            (&pki, "localhost", fate(3, &[])),
            (&pki, "other.example.com", fate(0, &[("unreachable", 3)])),
            (&stranger, "localhost", fate(0, &[("unreachable", 3)])),
        ] {
            let collector =
                Collector::at(any, &[Reply::Take], Some(issuer.server(name, &[alpn]))).await;
            let endpoint = Endpoint::parse(&format!("https://localhost:{}", collector.addr.port()));
            let give_up_after = Duration::from_millis(200);
            let mut way = Way::new(&Config {
                endpoint,
                give_up_after,
                ..config(collector.addr, protocol)
            });
            way.state(calls(1, 3));
            way.start(
                client(
                    Files {
                        roots: Some(&roots),
                        identity: None,
                    },
                    &own,
                )
                .expect("roots"),
            );
            assert_eq!(way.end().await, expected, "{protocol:?} {name}");
        }
    }
    let missing = folder.path().join("none.pem");
    let none = client(
        Files {
            roots: Some(&missing),
            identity: None,
        },
        &own,
    )
    .map(|_| ())
    .expect_err("no file")
    .to_string();
    assert!(none.contains("none.pem"), "{none}");
}

#[tokio::test]
async fn a_collector_may_ask_who_we_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let (own, _) =
        Authority::load_or_create(&folder.path().join("ca"), &[], SystemTime::now()).expect("a CA");
    let pki = Pki::new();
    let roots = pki.write_root(folder.path());
    let (certificate, key) = pki.write_identity("gravimeter.example.com", folder.path());
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for (identity, expected) in [
        (Some((&*certificate, &*key)), fate(3, &[])),
        (None, fate(0, &[("unreachable", 3)])),
    ] {
        let collector = Collector::at(
            any,
            &[Reply::Take],
            Some(pki.asking_server("localhost", &["h2"])),
        )
        .await;
        let endpoint = Endpoint::parse(&format!("https://localhost:{}", collector.addr.port()));
        let give_up_after = Duration::from_millis(200);
        let mut way = Way::new(&Config {
            endpoint,
            give_up_after,
            ..config(collector.addr, Protocol::Grpc)
        });
        way.state(calls(1, 3));
        way.start(
            client(
                Files {
                    roots: Some(&roots),
                    identity,
                },
                &own,
            )
            .expect("roots"),
        );
        assert_eq!(way.end().await, expected, "{identity:?}");
    }
    let swapped = Files {
        roots: Some(&roots),
        identity: Some((&key, &certificate)),
    };
    let told = client(swapped, &own)
        .map(|_| ())
        .expect_err("no pair")
        .to_string();
    assert!(
        told.contains("are no usable certificate with its key") && !told.contains("PRIVATE"),
        "{told}"
    );
}
