use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

use super::*;
use crate::relay::lane::LaneObserver as _;

/// The facts but those of single chunks.
#[derive(Default)]
struct Facts(Mutex<Vec<Fact>>);

impl Record for Facts {
    fn record(&self, fact: Fact) {
        if !matches!(fact, Fact::Bytes { .. }) {
            self.0.lock().unwrap().push(fact);
        }
    }
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
    fn read(&mut self, direction: Direction, bytes: &[u8], _: std::time::Instant) -> usize {
        self.note(format!("{direction:?} {}", bytes.len()));
        bytes.len()
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

/// Notes the same, and takes its time over it.
struct Slow {
    notes: Notes,
    /// For each KiB: pieces are as small as it takes, so that a cost of each piece would grow.
    per_kib: Duration,
}

impl Slow {
    fn work(&self, bytes: usize) {
        let start = std::time::Instant::now();
        while start.elapsed() < self.per_kib.mul_f64(bytes as f64 / 1024.0) {
            std::hint::spin_loop();
        }
    }
}

impl Observer for Slow {
    fn read(&mut self, direction: Direction, bytes: &[u8], at: std::time::Instant) -> usize {
        self.work(bytes.len());
        self.notes.read(direction, bytes, at)
    }

    fn half_closed(&mut self, direction: Direction, at: std::time::Instant) {
        self.notes.half_closed(direction, at);
    }

    fn is_between_exchanges(&self) -> bool {
        self.notes.is_between_exchanges()
    }

    fn end(&mut self, end: End, at: std::time::Instant) {
        self.notes.end(end, at);
    }
}

/// A link between two pipes, and the outer ends of them.
struct Rig {
    agent: DuplexStream,
    provider: DuplexStream,
    shutdown: Shutdown,
    notes: Notes,
}

impl Rig {
    /// Runs `play` against a link of pipes of 64 bytes, and answers how the link ended.
    async fn run(play: impl AsyncFnOnce(&mut Self)) -> (End, Vec<String>) {
        let (end, notes, _) = Self::observed(64, |notes| Box::new(notes), play).await;
        (end, notes)
    }

    /// The same with pipes of that many bytes and an observer of one's own, and what was stated.
    async fn observed(
        pipe: usize,
        observer: impl FnOnce(Notes) -> Box<dyn Observer>,
        play: impl AsyncFnOnce(&mut Self),
    ) -> (End, Vec<String>, Vec<Fact>) {
        let ((agent, mut near), (provider, mut far)) = (duplex(pipe), duplex(pipe));
        let mut rig = Self {
            agent,
            provider,
            shutdown: Shutdown::default(),
            notes: Notes::default(),
        };
        let (shutdown, notes, facts) = (rig.shutdown.clone(), rig.notes.clone(), Facts::default());
        let terms = Terms {
            idle: Duration::from_secs(60),
            shutdown: &shutdown,
            record: &facts,
        };
        let link = pass(&mut near, &mut far, Some(observer(notes)), None, &terms);
        let (end, ()) = tokio::join!(link, play(&mut rig));
        (end, rig.notes.all(), facts.0.into_inner().unwrap())
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
    assert_eq!(
        notes,
        [
            "ToProvider 3",
            "ToProvider closed",
            "ToAgent 6",
            "ToAgent closed",
            "Closed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_blocked_direction_does_not_block_the_other_nor_is_it_observed_before_it_is_written() {
    let (end, notes) = Rig::run(async |rig| {
        // The provider reads nothing: 64 bytes lie in each pipe, the rest is in flight.
        let full =
            tokio::time::timeout(Duration::from_secs(1), rig.agent.write_all(&[7; 1024])).await;
        assert!(full.is_err(), "the agent feels the back-pressure");
        rig.provider.write_all(&[9; 48]).await.unwrap();
        assert_eq!(read_exactly(&mut rig.agent, 48).await, [9; 48]);
        let seen = rig.notes.all();
        rig.provider.read_exact(&mut [0; 64]).await.unwrap();
        assert_eq!(
            seen.iter()
                .filter(|note| note.starts_with("ToAgent"))
                .count(),
            1
        );
        let written: usize = seen
            .iter()
            .filter_map(|note| note.strip_prefix("ToProvider ")?.parse::<usize>().ok())
            .sum();
        assert!(written <= 64, "only what the pipe has taken: {written}");
        rig.shutdown.force.cancel();
    })
    .await;
    assert_eq!(
        (end, notes.last().map(String::as_str)),
        (End::Shutdown, Some("Shutdown"))
    );
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
        while rig
            .notes
            .all()
            .last()
            .is_none_or(|last| !last.starts_with("TimedOut"))
        {
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
    assert_eq!(
        (end, notes),
        (
            End::Shutdown,
            vec!["ToAgent 4".into(), "ToAgent 1".into(), "Shutdown".into()]
        )
    );
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

/// How many bytes the notes tell of.
fn noted(notes: &[String]) -> usize {
    notes
        .iter()
        .filter_map(|note| note.split_once(' ')?.1.parse::<usize>().ok())
        .sum()
}

#[tokio::test]
async fn what_takes_long_to_look_at_is_passed_on_at_once_and_looked_at_in_turns() {
    const CHUNK: usize = 8 << 10;
    let slow = |notes| {
        Box::new(Slow {
            notes,
            per_kib: Duration::from_millis(20),
        }) as Box<dyn Observer>
    };
    let (end, notes, facts) = Rig::observed(CHUNK, slow, async |rig| {
        rig.agent.write_all(&[7; CHUNK]).await.unwrap();
        rig.agent.shutdown().await.unwrap();
        assert_eq!(read_exactly(&mut rig.provider, CHUNK).await, [7; CHUNK]);
        let seen = noted(&rig.notes.all());
        assert!(
            seen < CHUNK,
            "the bytes do not wait until all of them have been looked at"
        );
        // Others have their turn after each piece.
        let (mut turns, before) = (0, rig.notes.all().len());
        while noted(&rig.notes.all()) < CHUNK {
            tokio::task::yield_now().await;
            turns += 1;
        }
        let pieces = rig.notes.all().len() - before;
        assert!(
            pieces > 4 && turns >= pieces,
            "{turns} turns for {pieces} pieces"
        );
        assert_eq!(rig.provider.read(&mut [0]).await.unwrap(), 0);
        rig.provider.shutdown().await.unwrap();
        assert_eq!(rig.agent.read(&mut [0]).await.unwrap(), 0);
    })
    .await;
    assert_eq!((end, noted(&notes), facts), (End::Closed, CHUNK, vec![]));
    let told: Vec<_> = notes
        .iter()
        .filter(|note| noted(&[(*note).clone()]) == 0)
        .collect();
    assert_eq!(told, ["ToProvider closed", "ToAgent closed", "Closed"]);
}

/// What an observer was shown, piece by piece.
type Seen = Vec<(Direction, Vec<u8>)>;

/// Reads at most a hundred bytes at once, and nothing every third time, as if it were still busy with
/// those before.
#[derive(Default)]
struct Hesitant {
    seen: Arc<Mutex<Seen>>,
    calls: usize,
}

impl Observer for Hesitant {
    fn read(&mut self, direction: Direction, bytes: &[u8], _: std::time::Instant) -> usize {
        self.calls += 1;
        let count = if self.calls.is_multiple_of(3) { 0 } else { 100 };
        let read = &bytes[..count.min(bytes.len())];
        self.seen.lock().unwrap().push((direction, read.to_vec()));
        read.len()
    }

    fn half_closed(&mut self, direction: Direction, _: std::time::Instant) {
        self.seen
            .lock()
            .unwrap()
            .push((direction, b"closed".into()));
    }

    fn is_between_exchanges(&self) -> bool {
        true
    }

    fn end(&mut self, _: End, _: std::time::Instant) {}
}

#[test]
fn what_an_observer_leaves_unread_comes_again_before_anything_else() {
    let facts = Facts::default();
    let hesitant = Hesitant::default();
    let seen = Arc::clone(&hesitant.seen);
    let mut tap = Tap::new(Some(Box::new(hesitant)), &facts, PassSpan::default());
    let numbers: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    tap.of(Direction::ToAgent).passed(&numbers, Instant::now());
    tap.of(Direction::ToProvider)
        .passed(b"asked", Instant::now());
    tap.of(Direction::ToAgent).ended();
    while !tap.catch_up() {
        tap.begin_turn();
    }
    let mut whole: Vec<(Direction, Vec<u8>)> = Vec::new();
    for (direction, bytes) in seen.lock().unwrap().drain(..) {
        match whole.last_mut() {
            Some((last, all)) if *last == direction && bytes != b"closed" => all.extend(bytes),
            _ => whole.push((direction, bytes)),
        }
    }
    let expected = [
        (Direction::ToAgent, numbers),
        (Direction::ToProvider, b"asked".to_vec()),
        (Direction::ToAgent, b"closed".to_vec()),
    ];
    assert!(whole == expected, "{whole:?}");
}

/// What happens inside one piece cannot be interrupted.
#[test]
fn pieces_are_small_while_looking_at_them_takes_long_and_large_while_it_is_quick() {
    let facts = Facts::default();
    let sizes = |per_kib: Duration, bytes: usize| {
        let notes = Notes::default();
        let slow = Slow {
            notes: notes.clone(),
            per_kib,
        };
        let mut tap = Tap::new(Some(Box::new(slow)), &facts, PassSpan::default());
        tap.of(Direction::ToAgent)
            .passed(&vec![7; bytes], Instant::now());
        while !tap.catch_up() {
            tap.begin_turn();
        }
        let size = |note: &String| note.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        notes.all().iter().map(size).collect::<Vec<_>>()
    };
    // The first piece takes more than half of a turn, whatever else the machine does.
    let slow = sizes(Duration::from_micros(2400), 1 << 10);
    assert_eq!(slow[..3], [256, 64, 64]);
    let quick = sizes(Duration::ZERO, 1 << 20);
    assert_eq!(quick.iter().max(), Some(&(4 << 10)));
}

#[test]
fn a_piece_ends_with_a_line_where_that_makes_it_little_smaller() {
    let facts = Facts::default();
    let sizes = |bytes: &[u8]| {
        let notes = Notes::default();
        let quick = Slow {
            notes: notes.clone(),
            per_kib: Duration::ZERO,
        };
        let mut tap = Tap::new(Some(Box::new(quick)), &facts, PassSpan::default());
        tap.of(Direction::ToAgent).passed(bytes, Instant::now());
        while !tap.catch_up() {
            tap.begin_turn();
        }
        let size = |note: &String| note.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
        notes.all().iter().map(size).collect::<Vec<_>>()
    };
    let line = [&[7; 299], &b"\n"[..]].concat();
    let (mut seen, mut long) = (0, 0);
    for size in sizes(&line.repeat(200)) {
        seen += size;
        // Half of such a piece has the end of a line for certain.
        if size > 2 * line.len() {
            long += 1;
            assert_eq!(seen % line.len(), 0, "{size} bytes up to {seen}");
        }
    }
    assert!(seen == 200 * line.len() && long > 0, "{seen}, {long}");
    let early = sizes(&[b"\n", &[7; 999][..]].concat());
    assert_eq!(
        early[0], 256,
        "a line end in its first half does not shorten a piece"
    );
}

#[tokio::test]
async fn what_waits_to_be_looked_at_is_limited_and_seen_before_the_end() {
    const ALL: usize = 96 << 10;
    let slow = |notes| {
        Box::new(Slow {
            notes,
            per_kib: Duration::from_micros(300),
        }) as Box<dyn Observer>
    };
    let (end, notes, _) = Rig::observed(ALL, slow, async |rig| {
        rig.agent.write_all(&[7; ALL]).await.unwrap();
        let mut passed = 0;
        while passed < ALL {
            let mut some = [0; 4096];
            passed += rig.provider.read(&mut some).await.unwrap();
            let unseen = passed.saturating_sub(noted(&rig.notes.all()));
            // Two more chunks may be under way when the limit is reached.
            assert!(
                unseen <= (32 + 2 * 16) << 10,
                "{unseen} bytes were not looked at yet"
            );
        }
        let (gone, _) = duplex(1);
        drop(std::mem::replace(&mut rig.agent, gone));
        rig.provider.shutdown().await.unwrap();
    })
    .await;
    assert_eq!((end, noted(&notes)), (End::Closed, ALL));
    assert_eq!(notes.last().map(String::as_str), Some("Closed"));
}

#[tokio::test]
async fn an_observer_that_takes_too_long_is_let_go_and_the_bytes_pass_on() {
    const ALL: usize = 16 << 10;
    let slow = |notes| {
        Box::new(Slow {
            notes,
            per_kib: Duration::from_millis(400),
        }) as Box<dyn Observer>
    };
    let (end, notes, facts) = Rig::observed(64, slow, async |rig| {
        let (sent, came) = tokio::join!(rig.agent.write_all(&[7; ALL]), async {
            let mut all = vec![0; ALL];
            rig.provider.read_exact(&mut all).await.map(|_| all)
        });
        sent.unwrap();
        assert_eq!(came.unwrap(), [7; ALL]);
        rig.shutdown.drain.cancel();
        rig.provider.write_all(b"!").await.unwrap();
        assert_eq!(read_exactly(&mut rig.agent, 1).await, b"!");
        rig.shutdown.force.cancel();
    })
    .await;
    assert_eq!(end, End::Shutdown);
    assert!(noted(&notes) < ALL, "it has not seen all of it");
    assert!(
        !notes.contains(&"Shutdown".to_owned()),
        "and is not told of the end"
    );
    let failures: Vec<_> = facts
        .iter()
        .filter(|fact| matches!(fact, Fact::ObserverFailed(_)))
        .collect();
    assert_eq!(
        failures,
        [&Fact::ObserverFailed(
            crate::record::ObserverFailure::TimeBudget
        )]
    );
}
