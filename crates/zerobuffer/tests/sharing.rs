//! Payload sharing: frames passed on by reference, whoever reads, leaves or dies; nothing is reused under a reader.

mod common;

use std::time::Duration;

use common::*;
use zerobuffer::{
    BufferConfig, Elastic, FullPolicy, OpenError, ReadError, Reader, ReaderKind, WaitStrategy,
    WhyCopied, Writer, inspect,
};

const LEN: usize = 10_000;

/// Six frames fit.
fn origin() -> BufferConfig {
    BufferConfig::new().payload_bytes(64 << 10).payload_sharing(true)
}

/// References only.
fn target() -> BufferConfig {
    BufferConfig::new().payload_bytes(16 << 10).payload_sharing(true)
}

/// A camera, a relay's two ends, and a viewer behind it.
struct Chain {
    dir: tempfile::TempDir,
    camera: Writer,
    input: Reader,
    output: Writer,
    viewer: Reader,
    written: u64,
}

impl Chain {
    fn new() -> Self {
        let dir = shm_dir();
        let camera = writer_in(dir.path())
            .full_policy(FullPolicy::Fail)
            .create("camera", &origin())
            .unwrap();
        let input = reader_in(dir.path()).join("camera").unwrap();
        let output = writer_in(dir.path()).create("checked", &target()).unwrap();
        let viewer = reader_in(dir.path()).join("checked").unwrap();
        Self { dir, camera, input, output, viewer, written: 0 }
    }

    /// The camera's next frame, passed on.
    fn pass_on(&mut self) {
        self.written += 1;
        self.camera.write(&frame(self.written, LEN)).unwrap();
        let got = self.input.read().unwrap().unwrap();
        let forwarded = self.output.forward(&got).unwrap();
        assert_eq!(forwarded.copied, None);
        assert!(forwarded.sequence.is_some());
    }

    /// Frames that the camera can write until it meets a full ring.
    fn room(&mut self) -> u64 {
        let mut room = 0;
        while self.camera.try_write(&frame(self.written + 1, LEN)).is_ok() {
            self.written += 1;
            room += 1;
        }
        room
    }
}

fn expect(reader: &mut Reader, number: u64) {
    let got = reader.read_timeout(PATIENCE).unwrap().unwrap();
    assert!(is_frame(number, &got), "not frame {number}");
    assert_eq!(got.len(), LEN);
}

#[test]
fn a_frame_is_read_where_it_lies() {
    let mut chain = Chain::new();
    for number in 1..=1000 {
        chain.pass_on();
        expect(&mut chain.viewer, number);
    }
    assert_eq!(chain.viewer.stats().bytes, 1000 * LEN as u64);
    assert_eq!(chain.camera.undelivered().bytes, 0);
}

#[test]
fn the_camera_waits_for_the_viewer_and_not_for_the_relay() {
    let mut chain = Chain::new();
    for _ in 0..5 {
        chain.pass_on();
    }
    assert_eq!(chain.room(), 1, "five of six places are the viewer's");
    let full = chain.camera.try_write(&frame(0, LEN)).unwrap_err();
    assert!(full.to_string().contains("buffer `checked`"), "{full}");
    expect(&mut chain.viewer, 1);
    expect(&mut chain.viewer, 2);
    assert_eq!(chain.room(), 2);
    for number in 3..=5 {
        expect(&mut chain.viewer, number);
    }
    assert_eq!(chain.room(), 3);
}

#[test]
fn frames_kept_and_released_in_any_order_stay_until_then() {
    let mut chain = Chain::new();
    let mut kept = Vec::new();
    for number in 1..=5 {
        chain.pass_on();
        let got = chain.viewer.read().unwrap().unwrap();
        assert_eq!(got.sequence(), number);
        kept.push(Some(got.into_owned()));
    }
    assert_eq!(chain.room(), 1);
    for index in [4, 2, 1, 3] {
        kept[index] = None;
        assert_eq!(chain.room(), 0, "the first is still kept");
    }
    assert!(is_frame(1, kept[0].as_ref().unwrap()));
    kept[0] = None;
    assert_eq!(chain.room(), 5);
}

#[test]
fn a_viewer_that_keeps_its_last_frames_never_stops_the_camera() {
    for elastic in [Elastic::Auto, Elastic::Always, Elastic::Never] {
        const LEN: usize = 300_000;
        const MOST: usize = 24;
        let dir = shm_dir();
        let (origin, target) = (origin().room_for(MOST + 1, LEN), target());
        let mut camera = writer_in(dir.path()).elastic(elastic).create("camera", &origin).unwrap();
        let mut input = reader_in(dir.path()).join("camera").unwrap();
        let mut output = writer_in(dir.path()).create("checked", &target).unwrap();
        let mut viewer = reader_in(dir.path()).join("checked").unwrap();
        let mut kept = std::collections::VecDeque::new();
        for number in 1..1000 {
            camera
                .try_loan(LEN)
                .unwrap_or_else(|error| panic!("{elastic:?}, frame {number}, {error}"))
                .commit();
            let forwarded = output.forward(&input.read().unwrap().unwrap()).unwrap();
            assert_eq!(forwarded.copied, None);
            kept.push_back(viewer.read().unwrap().unwrap().into_owned());
            while kept.len() > some_len(number / 9, MOST) {
                kept.pop_front();
            }
        }
    }
}

#[test]
fn the_slowest_of_several_viewers_decides() {
    let mut chain = Chain::new();
    let mut second = reader_in(chain.dir.path()).name("second").join("checked").unwrap();
    for _ in 0..5 {
        chain.pass_on();
    }
    for number in 1..=5 {
        expect(&mut chain.viewer, number);
    }
    assert_eq!(chain.room(), 1);
    for number in 1..=5 {
        expect(&mut second, number);
        assert_eq!(chain.room(), 1);
    }
}

#[test]
fn a_viewer_that_leaves_gives_back_what_it_had_not_read() {
    let mut chain = Chain::new();
    let second = reader_in(chain.dir.path()).ephemeral().join("checked").unwrap();
    for _ in 0..5 {
        chain.pass_on();
    }
    for number in 1..=5 {
        expect(&mut chain.viewer, number);
    }
    drop(second);
    // The other viewer gives them back when it next looks around.
    until("there is room", || {
        let _ = chain.viewer.read_timeout(Duration::from_millis(1));
        chain.camera.try_write(&frame(6, LEN)).is_ok() && {
            chain.written += 1;
            chain.written >= 10
        }
    });
}

#[test]
fn when_the_last_viewer_leaves_the_relay_gives_back() {
    let mut chain = Chain::new();
    let passing = reader_in(chain.dir.path()).ephemeral().join("checked").unwrap();
    std::mem::replace(&mut chain.viewer, passing).unsubscribe();
    for _ in 0..5 {
        chain.pass_on();
    }
    let Chain { dir: _dir, mut camera, mut input, output: _output, viewer, mut written } = chain;
    drop(viewer);
    until("there is room", || {
        let _ = input.read_timeout(Duration::from_millis(1));
        written += u64::from(camera.try_write(&frame(written + 1, LEN)).is_ok());
        written >= 12
    });
}

#[test]
fn chains_lead_to_where_the_frame_lies() {
    let mut chain = Chain::new();
    let dir = chain.dir.path().to_owned();
    let mut last_output = writer_in(&dir).create("last", &target()).unwrap();
    let mut last = reader_in(&dir).join("last").unwrap();
    for number in 1..=5 {
        chain.pass_on();
        let got = chain.viewer.read().unwrap().unwrap();
        assert_eq!(last_output.forward(&got).unwrap().copied, None);
        assert_eq!(got.sequence(), number);
    }
    assert_eq!(chain.room(), 1, "the last viewer holds the camera back");
    let seen = inspect::snapshot("camera", &dir).unwrap();
    let exports: Vec<_> =
        seen.readers.iter().filter(|r| r.kind == ReaderKind::Export).map(|r| &r.name[..]).collect();
    assert_eq!(exports, ["checked", "last"]);
    for number in 1..=5 {
        expect(&mut last, number);
    }
    assert_eq!(chain.room(), 5);
}

#[test]
fn fan_out_shares_one_frame_among_many() {
    let dir = shm_dir();
    let mut camera = writer_in(dir.path()).create("camera", &origin()).unwrap();
    let mut input = reader_in(dir.path()).join("camera").unwrap();
    let names: Vec<_> = (0..4).map(|i| format!("out-{i}")).collect();
    let mut outputs: Vec<_> =
        names.iter().map(|n| writer_in(dir.path()).create(n, &target()).unwrap()).collect();
    let mut viewers: Vec<_> =
        names.iter().map(|n| reader_in(dir.path()).join(n).unwrap()).collect();
    for number in 1..=200 {
        camera.write(&frame(number, LEN)).unwrap();
        let got = input.read().unwrap().unwrap();
        for output in &mut outputs {
            assert_eq!(output.forward(&got).unwrap().copied, None);
        }
        drop(got);
        for viewer in &mut viewers {
            expect(viewer, number);
        }
    }
}

#[test]
fn what_cannot_be_shared_is_copied_and_says_why() {
    let dir = shm_dir();
    let plain = BufferConfig::new().payload_bytes(64 << 10);
    let why = |from: &BufferConfig, to: &BufferConfig, lossy: bool| {
        let mut camera = writer_in(dir.path()).create("camera", from).unwrap();
        let options = reader_in(dir.path());
        let mut input = if lossy { options.lossy() } else { options }.join("camera").unwrap();
        let mut output = writer_in(dir.path()).create("checked", to).unwrap();
        let mut viewer = reader_in(dir.path()).join("checked").unwrap();
        camera.write(&frame(1, LEN)).unwrap();
        let forwarded = output.forward(&input.read().unwrap().unwrap()).unwrap();
        expect(&mut viewer, 1);
        camera.discard_undelivered();
        forwarded.copied
    };
    assert_eq!(why(&origin(), &plain, false), Some(WhyCopied::NotAllowedHere));
    assert_eq!(why(&plain, &origin(), false), Some(WhyCopied::NotAllowedThere));
    assert_eq!(why(&origin(), &origin(), true), Some(WhyCopied::NotInARing));
    assert_eq!(why(&origin().reader_slots(1), &origin(), false), Some(WhyCopied::NoReaderSlot));
    assert_eq!(why(&origin(), &origin(), false), None);
    assert!(WhyCopied::Circle.to_string().contains("come back"));
}

#[test]
fn a_frame_is_not_sent_in_a_circle() {
    let dir = shm_dir();
    let mut one = writer_in(dir.path()).create("one", &origin()).unwrap();
    let mut other = writer_in(dir.path()).create("other", &origin()).unwrap();
    let mut from_one = reader_in(dir.path()).join("one").unwrap();
    let mut from_other = reader_in(dir.path()).join("other").unwrap();
    one.write(&frame(1, LEN)).unwrap();
    let got = from_one.read().unwrap().unwrap();
    assert_eq!(other.forward(&got).unwrap().copied, None);
    drop(got);
    let back = from_other.read().unwrap().unwrap();
    assert_eq!(one.forward(&back).unwrap().copied, Some(WhyCopied::Circle));
    drop(back);
    expect(&mut from_one, 1);
    other.write(&frame(2, LEN)).unwrap();
    let got = from_other.read().unwrap().unwrap();
    assert_eq!(
        one.forward(&got).unwrap().copied,
        Some(WhyCopied::Circle),
        "one's frames are there"
    );
}

#[test]
fn an_older_frame_is_copied() {
    let mut chain = Chain::new();
    chain.camera.write(&frame(1, LEN)).unwrap();
    chain.camera.write(&frame(2, LEN)).unwrap();
    let first = chain.input.read().unwrap().unwrap().into_owned();
    let second = chain.input.read().unwrap().unwrap();
    assert_eq!(chain.output.forward(&second).unwrap().copied, None);
    drop(second);
    assert_eq!(chain.output.forward_owned(&first).unwrap().copied, Some(WhyCopied::OutOfOrder));
    expect(&mut chain.viewer, 2);
    expect(&mut chain.viewer, 1);
}

#[test]
fn references_and_copies_go_in_one_stream_and_in_batches() {
    let mut chain = Chain::new();
    chain.pass_on();
    chain.output.write(&frame(2, 100)).unwrap();
    chain.written = 2;
    chain.pass_on();
    let mut batch = chain.viewer.read_batch(10).unwrap().unwrap();
    for (number, len) in [(1, LEN), (2, 100), (3, LEN)] {
        let got = batch.next().unwrap();
        assert!(got.payload.len() == len && is_frame(number, got.payload), "frame {number}");
    }
    assert!(batch.next().is_none());
    drop(batch);
    assert_eq!(chain.room(), 6);
}

#[test]
fn groups_do_not_read_shared_buffers() {
    let dir = shm_dir();
    let _writer = writer_in(dir.path()).create("b", &origin()).unwrap();
    let error = reader_in(dir.path()).group("g").join("b").unwrap_err();
    assert!(matches!(error, OpenError::InvalidConfig { .. }), "{error}");
    assert!(error.to_string().contains("payload sharing"), "{error}");
}

#[test]
fn a_viewer_that_comes_late_does_not_get_what_was_given_back() {
    let mut chain = Chain::new();
    for number in 1..=4 {
        chain.pass_on();
        expect(&mut chain.viewer, number);
    }
    chain.pass_on();
    // At the oldest frame of the ring of references; the payloads of four of them are the camera's again.
    let mut late = reader_in(chain.dir.path()).name("late").join("checked").unwrap();
    let got = late.read_timeout(PATIENCE).unwrap().unwrap();
    assert!(is_frame(5, &got), "without a word about what nobody had kept for it");
}

#[test]
fn child_role() {
    common::child(role);
}

fn role(call: &Call) {
    match call.role.as_str() {
        // Passes frames on, then is there.
        "relay" => {
            let mut input = call.reader().join("camera").unwrap();
            let mut output = call.writer().create("checked", &target()).unwrap();
            for _ in 0..call.numbers[0] {
                let got = input.read().unwrap().unwrap();
                output.forward(&got).unwrap();
            }
            call.signal("relayed");
            call.linger();
        }
        "relay for ever" => {
            let mut input = call.reader().join("camera").unwrap();
            let mut output = call.writer().create("checked", &target()).unwrap();
            while let Some(got) = input.read().unwrap() {
                output.forward(&got).unwrap();
            }
            output.wait_drained(Some(PATIENCE));
        }
        // Keeps what comes first.
        "view" => {
            let config = target().keep_for_first_reader(false);
            let mut viewer = call.reader().ephemeral().create("checked", &config).unwrap();
            call.signal("has viewed");
            let _kept = viewer.read().unwrap().unwrap().into_owned();
            call.linger();
        }
        // Keeps so many frames.
        "keep" => {
            let mut viewer = call.reader().name("keeper").join("checked").unwrap();
            let take = |_| viewer.read().unwrap().unwrap().into_owned();
            let _kept: Vec<_> = (0..call.numbers[0]).map(take).collect();
            call.signal("keeps");
            call.linger();
        }
        "view for ever" => {
            let mut viewer = call.reader().ephemeral().join("checked").unwrap();
            call.signal("views");
            loop {
                match viewer.read() {
                    Ok(Some(got)) => {
                        let number = got[0..8].try_into().map(u64::from_le_bytes).unwrap();
                        assert!(is_marked(number, &got), "frame {number} was reused");
                        std::thread::yield_now();
                        assert!(is_marked(number, &got), "frame {number} was reused");
                    }
                    Ok(None) => break,
                    Err(error) => assert!(
                        error.is_peer_gone() || matches!(error, ReadError::PayloadLost { .. }),
                        "{error}"
                    ),
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

/// A frame whose every eighth byte tells its number.
fn marked(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(LEN / 8)
}

fn is_marked(number: u64, bytes: &[u8]) -> bool {
    bytes.chunks_exact(8).all(|word| word == number.to_le_bytes())
}

fn stage() -> (Stage, Writer) {
    let stage = Stage::new(Placement::Processes, WaitStrategy::SpinThenPark, role);
    let camera = stage.writer().full_policy(FullPolicy::Fail).create("camera", &origin()).unwrap();
    (stage, camera)
}

#[test]
fn the_relay_dies_and_what_it_passed_on_stays() {
    let (stage, mut camera) = stage();
    for number in 1..=4 {
        camera.write(&frame(number, LEN)).unwrap();
    }
    let relay = stage.start("relay", &[4]);
    stage.await_signal("relayed");
    let mut viewer = stage.reader().join("checked").unwrap();
    let kept = viewer.read().unwrap().unwrap().into_owned();
    relay.kill();
    while camera.try_write(&frame(9, LEN)).is_ok() {}
    assert!(is_frame(1, &kept));
    for number in 2..=4 {
        let got = viewer.read().unwrap().unwrap();
        assert!(is_frame(number, &got), "frame {number} was reused");
    }
    drop(kept);
    assert!(viewer.read_timeout(NOTICE).unwrap_err().is_peer_gone());
    viewer.unsubscribe();
    camera.discard_undelivered();
}

#[test]
fn a_viewer_dies_and_what_it_held_is_given_back() {
    let (stage, mut camera) = stage();
    for number in 1..=4 {
        camera.write(&frame(number, LEN)).unwrap();
    }
    let relay = stage.start("relay for ever", &[]);
    let keeper = stage.start("keep", &[4]);
    stage.await_signal("keeps");
    while camera.try_write(&frame(9, LEN)).is_ok() {}
    keeper.kill();
    assert!(camera.try_write(&frame(9, LEN)).is_err(), "it is durable: kept for its successor");
    let mut successor = stage.reader().name("keeper").join("checked").unwrap();
    for number in 1..=4 {
        let got = successor.read().unwrap().unwrap();
        assert!(got.is_redelivered() && is_frame(number, &got));
    }
    until("there is room", || camera.try_write(&frame(9, LEN)).is_ok());
    successor.unsubscribe();
    drop(camera);
    relay.finish();
}

#[test]
fn what_a_durable_viewer_has_not_released_outlives_relay_and_viewer() {
    let (stage, mut camera) = stage();
    for number in 1..=4 {
        camera.write(&frame(number, LEN)).unwrap();
    }
    let relay = stage.start("relay", &[4]);
    stage.await_signal("relayed");
    let keeper = stage.start("keep", &[2]);
    stage.await_signal("keeps");
    let mut filled = 4;
    while camera.try_write(&frame(filled + 1, LEN)).is_ok() {
        filled += 1;
    }
    keeper.kill();
    relay.kill();
    let refused = camera.write_timeout(&frame(9, LEN), NOTICE).unwrap_err();
    assert!(refused.is_peer_gone(), "{refused}");
    let again = camera.write_timeout(&frame(9, LEN), Duration::from_millis(300)).unwrap_err();
    assert!(again.is_timeout(), "told once: {again}");
    // The last end is gone; the frames are not.
    drop(camera);
    let mut successor = stage.reader().name("keeper").join("checked").unwrap();
    for number in 1..=4 {
        let got = successor.read().unwrap().unwrap();
        assert_eq!(got.is_redelivered(), number <= 2);
        assert!(is_frame(number, &got), "frame {number} was reused");
    }
    successor.unsubscribe();
    let mut input = stage.reader().join("camera").unwrap();
    for number in 5..=filled {
        assert!(is_frame(number, &input.read().unwrap().unwrap()));
    }
    input.unsubscribe();
    assert_eq!(left_behind(&stage.dir()), [""; 0]);
}

#[test]
fn when_relay_and_ephemeral_viewers_are_dead_the_camera_goes_on() {
    let (stage, mut camera) = stage();
    for number in 1..=4 {
        camera.write(&frame(number, LEN)).unwrap();
    }
    let viewer = stage.start("view", &[]);
    stage.await_signal("has viewed");
    let relay = stage.start("relay", &[4]);
    stage.await_signal("relayed");
    while camera.try_write(&frame(9, LEN)).is_ok() {}
    viewer.kill();
    relay.kill();
    // The relay was a durable reader of the camera, so its place stays; it had released what it passed on.
    let mut more = 0;
    until("the export is reaped", || {
        more += u64::from(camera.write_timeout(&frame(9, LEN), Duration::from_millis(1)).is_ok());
        more >= 3
    });
    camera.discard_undelivered();
    // Nobody is there to remove it, and nothing waits in it: the next user of the name does.
    inspect::remove("checked", &stage.dir(), false).unwrap();
}

#[test]
fn onlookers_copy_what_references_lead_to_and_miss_what_is_gone() {
    let mut chain = Chain::new();
    let dir = chain.dir.path().to_owned();
    let mut observer = reader_in(&dir).observe().join("checked").unwrap();
    let mut lossy = reader_in(&dir).lossy().join("checked").unwrap();
    for number in 1..=3 {
        chain.pass_on();
        expect(&mut chain.viewer, number);
        for onlooker in [&mut observer, &mut lossy] {
            expect(onlooker, number);
        }
    }
    // The camera goes round its ring, which holds six, before they look.
    for number in 4..=40 {
        chain.pass_on();
        expect(&mut chain.viewer, number);
    }
    for onlooker in [&mut observer, &mut lossy] {
        let got = onlooker.read_timeout(PATIENCE).unwrap().unwrap();
        let first = got.sequence();
        assert!((34..=40).contains(&first), "frame {first} is not among the last six");
        assert!(is_frame(first, &got));
        drop(got);
        assert_eq!(onlooker.stats().missed, first - 4);
        assert!(is_frame(40, &onlooker.latest().unwrap().unwrap()) || first == 40);
    }
    // A buffer that is gone is no damage either.
    inspect::remove("camera", &dir, true).unwrap();
    let mut late = reader_in(&dir).observe().join("checked").unwrap();
    assert!(late.read_timeout(Duration::from_millis(20)).unwrap_err().is_timeout());
}

/// Relay and viewers are killed at random; whatever a viewer sees is what was written, as long as it holds it.
#[test]
fn relays_and_viewers_killed_at_random_expose_nothing() {
    let (stage, mut camera) = stage();
    let mut relay = stage.start("relay for ever", &[]);
    let mut viewers: Vec<_> = (0..2).map(|_| stage.start("view for ever", &[])).collect();
    let mut random = 99u64;
    let mut number = 0;
    let deadline = std::time::Instant::now() + Duration::from_secs(8);
    while std::time::Instant::now() < deadline {
        number += 1;
        let _ = camera.write_timeout(&marked(number), Duration::from_millis(200));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        match random >> 54 {
            0..4 => {
                relay.kill();
                relay = stage.start("relay for ever", &[]);
            }
            4..10 => {
                viewers.remove(0).kill();
                viewers.push(stage.start("view for ever", &[]));
            }
            _ => {}
        }
    }
    assert!(number > 100, "the camera went on: {number}");
    drop(viewers);
    relay.kill();
    camera.discard_undelivered();
    let _ = zerobuffer::inspect::remove("checked", &stage.dir(), true);
    let _ = zerobuffer::inspect::remove("camera", &stage.dir(), true);
}
