//! The client against real sockets: a small language server that says what each test wants to hear.

mod kit;
mod probe;
mod reactive;
mod stream;
mod unary;

/// Whatever follows the language server runs as a task, so every wait must be one that can move
/// between threads.
#[tokio::test]
async fn every_wait_may_move_between_threads() {
    fn movable<T: Send>(_: &T) {}
    let server = kit::serve(None, |_| async { kit::json(404, "") }).await;
    let (client, request) = (kit::client(Some(&server), None), serde_json::json!({}));
    let mut on = |_: &[u8]| {};
    movable(&client.unary(super::Method::Heartbeat, &request, &mut on));
    movable(&client.stream(super::Method::StreamAgentStateUpdates, &request));
    movable(&super::probe(
        1,
        None,
        None,
        &tokio_util::task::TaskTracker::new(),
    ));
    let id = crate::record::Id::from_wire("c").expect("an id");
    movable(&client.reactive(&id, "s"));
    movable(&async {
        client
            .reactive(&id, "s")
            .await
            .expect("never run")
            .next()
            .await
            .expect("never run");
        let mut on = |_: &[u8]| {};
        let mut stream = client
            .stream(super::Method::StreamAgentStateUpdates, &request)
            .await
            .expect("never run");
        stream.next(&mut on).await.expect("never run");
    });
}
