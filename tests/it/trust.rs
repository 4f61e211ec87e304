//! A provider whose certificate is not right gets no byte of the agent, and the agent is told.

use gravimeter::record::{Disposition, Fact, HandshakeFailure, RefuseReason, Side};
use rustls::{AlertDescription, Error};

use crate::kit::{HOST, House, HouseOptions, OTHER_HOST, read_all};

async fn distrusted(options: HouseOptions, reason: HandshakeFailure, alert: AlertDescription) {
    let house = House::with(options).await;
    let tcp = house.knock(HOST).await;
    let (agent, provider) = tokio::join!(house.agent.handshake(tcp, HOST), house.provider.accept());
    if let Ok(mut provider) = provider {
        // TLS 1.3: the provider may have finished before Gravimeter refused it.
        assert_eq!(read_all(&mut provider).await.0, b"", "no byte of the agent");
    }
    let error = agent.expect_err("no session for the agent");
    let told = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    assert_eq!(told, Some(&Error::AlertReceived(alert)));
    house
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::UpstreamHandshake))
        .await;
    assert_eq!(
        house.facts.count(&Fact::HandshakeFailed {
            side: Side::Upstream,
            reason
        }),
        1
    );
    assert_eq!(
        house
            .facts
            .count(&Fact::ConnectionOpened(Disposition::Intercepted)),
        0
    );
    house.close().await;
}

#[tokio::test]
async fn an_unknown_ca_is_refused() {
    let options = HouseOptions {
        trusted: false,
        ..HouseOptions::default()
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
    let options = HouseOptions {
        certified: OTHER_HOST,
        ..HouseOptions::default()
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
    let house = House::start().await;
    let stranger = crate::kit::agent::Agent::new("", &["http/1.1"]);
    let tcp = house.knock(HOST).await;
    let (agent, provider) = tokio::join!(stranger.handshake(tcp, HOST), house.provider.accept());
    assert!(agent.is_err());
    assert_eq!(read_all(&mut provider.unwrap()).await.0, b"");
    let failed = Fact::HandshakeFailed {
        side: Side::Agent,
        reason: HandshakeFailure::UnknownCa,
    };
    house.facts.wait_for(failed).await;
    house
        .facts
        .wait_for(Fact::ConnectionRefused(RefuseReason::AgentHandshake))
        .await;
    house.close().await;
}
