//! A provider whose certificate is not right gets no byte of the agent, and the agent is told.

use gravimeter::record::{
    Disposition, Fact, HandshakeFailure, Host, RefuseReason, Side, TunnelReason,
};
use gravimeter::relay::Untrusting;
use rustls::{AlertDescription, Error};

use crate::kit::{Gravimeter, GravimeterOptions, HOST, OTHER_HOST, read_all, write_pieces};

async fn distrusted(options: GravimeterOptions, reason: HandshakeFailure, alert: AlertDescription) {
    let gravimeter = Gravimeter::with(options).await;
    let tcp = gravimeter.knock(HOST).await;
    let (agent, provider) = tokio::join!(
        gravimeter.agent.handshake(tcp, HOST),
        gravimeter.provider.accept()
    );
    if let Ok(mut provider) = provider {
        // TLS 1.3: the provider may have finished before Gravimeter refused it.
        assert_eq!(read_all(&mut provider).await.0, b"", "no byte of the agent");
    }
    let error = agent.expect_err("no session for the agent");
    let told = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(told, Some(&Error::AlertReceived(alert)));
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::UpstreamHandshake))
        .await;
    assert_eq!(
        gravimeter.facts.count(&Fact::HandshakeFailed {
            side: Side::Upstream,
            reason
        }),
        1
    );
    assert_eq!(
        gravimeter
            .facts
            .count(&Fact::ConnectionOpened(Disposition::Intercepted)),
        0
    );
    gravimeter.close().await;
}

#[tokio::test]
async fn an_unknown_ca_is_refused() {
    let options = GravimeterOptions {
        trusted: false,
        ..GravimeterOptions::default()
    };
    distrusted(
        options,
        HandshakeFailure::Untrusted,
        AlertDescription::UnknownCA,
    )
    .await;
}

#[tokio::test]
async fn another_name_is_refused() {
    let options = GravimeterOptions {
        certified: OTHER_HOST,
        ..GravimeterOptions::default()
    };
    distrusted(
        options,
        HandshakeFailure::WrongHost,
        AlertDescription::CertificateUnknown,
    )
    .await;
}

#[tokio::test]
async fn an_agent_that_does_not_trust_the_ca_is_named_in_the_facts() {
    let gravimeter = Gravimeter::start().await;
    let stranger = crate::kit::agent::Agent::new("", &["http/1.1"]);
    let tcp = gravimeter.knock(HOST).await;
    let (agent, provider) =
        tokio::join!(stranger.handshake(tcp, HOST), gravimeter.provider.accept());
    assert!(agent.is_err());
    assert_eq!(read_all(&mut provider.unwrap()).await.0, b"");
    let failed = Fact::HandshakeFailed {
        side: Side::Agent,
        reason: HandshakeFailure::UnknownCa,
    };
    gravimeter.facts.wait_for(failed).await;
    gravimeter
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::AgentHandshake))
        .await;
    gravimeter.close().await;
}

/// A client that rejects the certificate loses that one connection. Where that is asked for, its
/// next ones are passed on as they are, and counted.
#[tokio::test]
async fn an_agent_that_rejects_the_certificate_is_tunnelled_from_then_on() {
    let gravimeter = Gravimeter::with(GravimeterOptions {
        untrusting: Untrusting::Tunnel,
        ..GravimeterOptions::default()
    })
    .await;
    let stranger = crate::kit::agent::Agent::new(&gravimeter.provider_root, &["http/1.1"]);
    let tcp = gravimeter.knock(HOST).await;
    let (agent, provider) =
        tokio::join!(stranger.handshake(tcp, HOST), gravimeter.provider.accept());
    assert!(agent.is_err());
    assert_eq!(read_all(&mut provider.unwrap()).await.0, b"");
    let host = Host::parse(HOST).unwrap();
    gravimeter
        .facts
        .wait_for(Fact::CertificateRejected(host.clone()))
        .await;

    let tcp = gravimeter.knock(HOST).await;
    let (agent, provider) =
        tokio::join!(stranger.handshake(tcp, HOST), gravimeter.provider.accept());
    let (mut agent, mut provider) = (agent.unwrap(), provider.unwrap());
    write_pieces(&mut agent, b"unread", &[6], true).await;
    assert_eq!(read_all(&mut provider).await, (b"unread".to_vec(), true));
    let tunnelled = Fact::ConnectionTunnelled {
        reason: TunnelReason::Untrusting,
        host: Some(host),
    };
    assert_eq!(gravimeter.facts.count(&tunnelled), 1);
    let intercepted = Fact::ConnectionOpened(Disposition::Intercepted);
    assert_eq!(gravimeter.facts.count(&intercepted), 0);
    drop((agent, provider));
    gravimeter.close().await;
}

/// Without being asked for, no connection to an intercepted host ever passes unread.
#[tokio::test]
async fn an_agent_that_rejects_the_certificate_stays_refused_by_default() {
    let gravimeter = Gravimeter::start().await;
    let stranger = crate::kit::agent::Agent::new(&gravimeter.provider_root, &["http/1.1"]);
    let refused = Fact::ConnectionRefused(RefuseReason::AgentHandshake);
    for attempt in 1..=3 {
        let tcp = gravimeter.knock(HOST).await;
        let (agent, provider) =
            tokio::join!(stranger.handshake(tcp, HOST), gravimeter.provider.accept());
        assert!(agent.is_err());
        assert_eq!(read_all(&mut provider.unwrap()).await.0, b"");
        gravimeter.facts.wait_until(&refused, attempt).await;
    }
    let tunnelled = Fact::ConnectionOpened(Disposition::Tunnelled);
    assert_eq!(gravimeter.facts.count(&tunnelled), 0);
    gravimeter.close().await;
}
