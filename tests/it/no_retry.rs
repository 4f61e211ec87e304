//! A request is never sent twice, however the provider treats it.

use gravimeter::observe::End;
use tokio::io::AsyncWriteExt as _;

use crate::kit::{Gravimeter, read_all, read_some, reset_on_close, write_pieces};

const REQUEST: &[u8] = b"POST /v1internal:generateContent HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
const TIMES: usize = 100;

#[tokio::test]
async fn a_provider_that_leaves_without_an_answer_is_not_asked_again() {
    let gravimeter = Gravimeter::start().await;
    for time in 0..TIMES {
        let (mut agent, mut provider) = gravimeter.pair().await;
        write_pieces(&mut agent, REQUEST, &[usize::MAX], false).await;
        assert_eq!(read_some(&mut provider, REQUEST.len()).await, REQUEST);
        match time % 3 {
            0 => provider.shutdown().await.unwrap(),
            1 => reset_on_close(provider.get_ref().0),
            _ => {}
        }
        drop(provider);
        assert_eq!(read_all(&mut agent).await.0, b"");
        drop(agent);
        let seen = gravimeter.seen().await;
        assert!(
            seen.sent == REQUEST && seen.end != Some(End::Closed),
            "{seen:?}"
        );
    }
    gravimeter.close().await;
    let dialled = gravimeter
        .facts
        .all()
        .iter()
        .filter(|f| matches!(f, gravimeter::record::Fact::UpstreamConnected(_)))
        .count();
    assert_eq!(dialled, TIMES);
}
