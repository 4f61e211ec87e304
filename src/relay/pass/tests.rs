use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::*;

#[derive(Default)]
struct Nowhere;

impl Record for Nowhere {
    fn record(&self, _: Fact) {}
}

/// Notes everything; is between exchanges when `open` is false.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>, Arc<Mutex<bool>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Notes {
    fn bytes(&mut self, direction: Direction, bytes: &[u8], _: std::time::Instant) {
        self.note(format!("{direction:?} {}", bytes.len()));
    }

    fn half_closed(&mut self, direction: Direction, _: std::time::Instant) {
        self.note(format!("{direction:?} closed"));
    }

    fn is_between_exchanges(&self) -> bool {
        !*self.1.lock().unwrap()
    }

    fn end(&mut self, end: End, _: std::time::Instant) {
        self.note(format!("{end:?}"));
    }
}

/// A link between two pipes of 64 bytes each, and the outer ends of them.
struct Rig {
    agent: DuplexStream,
    provider: DuplexStream,
    shutdown: Shutdown,
    notes: Notes,
}

impl Rig {
    /// Runs `play` against the link, and answers how the link ended.
    async fn run(play: impl AsyncFnOnce(&mut Self)) -> (End, Vec<String>) {
        let ((agent, mut near), (provider, mut far)) = (duplex(64), duplex(64));
        let mut rig = Self { agent, provider, shutdown: Shutdown::default(), notes: Notes::default() };
        let (shutdown, notes) = (rig.shutdown.clone(), rig.notes.clone());
        let terms = Terms { idle: Duration::from_secs(60), shutdown: &shutdown, record: &Nowhere };
        let link = pass(&mut near, &mut far, Box::new(notes), &terms);
        let (end, ()) = tokio::join!(link, play(&mut rig));
        (end, rig.notes.all())
    }
}

async fn read_exactly(stream: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_half_close_leaves_the_other_direction_open() {
    let (end, notes) = Rig::run(async |rig| {
        rig.agent.write_all(b"ask").await.unwrap();
        rig.agent.shutdown().await.unwrap();
        let mut asked = Vec::new();
        rig.provider.read_to_end(&mut asked).await.unwrap();
        rig.provider.write_all(b"answer").await.unwrap();
        rig.provider.shutdown().await.unwrap();
        let mut answered = Vec::new();
        rig.agent.read_to_end(&mut answered).await.unwrap();
        assert_eq!((&*asked, &*answered), (&b"ask"[..], &b"answer"[..]));
    })
    .await;
    assert_eq!(end, End::Closed);
    assert_eq!(notes, ["ToProvider 3", "ToProvider closed", "ToAgent 6", "ToAgent closed", "Closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_blocked_direction_does_not_block_the_other_nor_is_it_observed_before_it_is_written() {
    let (end, notes) = Rig::run(async |rig| {
        // The provider reads nothing: 64 bytes lie in each pipe, the rest is in flight.
        let full = tokio::time::timeout(Duration::from_secs(1), rig.agent.write_all(&[7; 1024])).await;
        assert!(full.is_err(), "the agent feels the back-pressure");
        rig.provider.write_all(&[9; 48]).await.unwrap();
        assert_eq!(read_exactly(&mut rig.agent, 48).await, [9; 48]);
        let seen = rig.notes.all();
        rig.provider.read_exact(&mut [0; 64]).await.unwrap();
        assert_eq!(seen.iter().filter(|note| note.starts_with("ToAgent")).count(), 1);
        let written: usize =
            seen.iter().filter_map(|note| note.strip_prefix("ToProvider ")?.parse::<usize>().ok()).sum();
        assert!(written <= 64, "only what the pipe has taken: {written}");
        rig.shutdown.force.cancel();
    })
    .await;
    assert_eq!((end, notes.last().map(String::as_str)), (End::Shutdown, Some("Shutdown")));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection_and_any_byte_prolongs_it() {
    let (end, notes) = Rig::run(async |rig| {
        let start = Instant::now();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(59)).await;
            rig.provider.write_all(b".").await.unwrap();
        }
        // The link's streams live as long as the rig: what ends the wait is the link.
        while rig.notes.all().last().is_none_or(|last| !last.starts_with("TimedOut")) {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(start.elapsed().as_secs(), 3 * 59 + 60);
    })
    .await;
    assert_eq!(end, End::TimedOut(TimeoutStep::Idle));
    assert_eq!(notes.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn draining_waits_for_the_exchange_and_then_says_goodbye() {
    let (end, notes) = Rig::run(async |rig| {
        *rig.notes.1.lock().unwrap() = true;
        rig.shutdown.drain.cancel();
        rig.provider.write_all(b"rest").await.unwrap();
        assert_eq!(read_exactly(&mut rig.agent, 4).await, b"rest");
        *rig.notes.1.lock().unwrap() = false;
        rig.provider.write_all(b"!").await.unwrap();
        let mut last = Vec::new();
        rig.agent.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"!");
    })
    .await;
    assert_eq!((end, notes), (End::Shutdown, vec!["ToAgent 4".into(), "ToAgent 1".into(), "Shutdown".into()]));
}

#[tokio::test]
async fn a_provider_that_stops_reading_may_still_answer() {
    let (end, _) = Rig::run(async |rig| {
        rig.provider.write_all(b"413").await.unwrap();
        let (gone, _) = duplex(1);
        drop(std::mem::replace(&mut rig.provider, gone));
        // Nobody takes it any more.
        let _ = rig.agent.write_all(&[7; 128]).await;
        let mut answered = Vec::new();
        rig.agent.read_to_end(&mut answered).await.unwrap();
        assert_eq!(answered, b"413");
    })
    .await;
    assert_eq!(end, End::ProviderGone);
}
