use std::time::Duration;

use proptest::prelude::*;

use super::block::{block_bytes, fill};
use super::*;

fn block_of(attributes: &Attributes, on_a_line: bool) -> Vec<u8> {
    let mut block = vec![0xaa; block_bytes(attributes.view(), on_a_line)];
    fill(&mut block, attributes.view());
    block
}

fn read(frame: &[u8]) -> Result<(AttributesRef<'_>, &[u8]), AttributesError> {
    let mut head = [0; 8];
    let len = frame.len().min(8);
    head[..len].copy_from_slice(&frame[..len]);
    let (block, records) = split(head, frame.len())?;
    Ok((AttributesRef::from_records(&frame[records])?, &frame[block..]))
}

#[test]
fn everything_that_is_set_is_read() {
    let mut all = Attributes::new();
    let captured = Timestamp { nanos: u64::MAX, clock: Clock::Other(77) };
    let trace = TraceContext { trace_id: [1; 16], parent_id: [2; 8], flags: 1 };
    let planes = [Plane { offset: 0, stride: 640 }, Plane { offset: 307_200, stride: 320 }];
    let codec = Codec { name: "zstd", original_bytes: 3_110_400 };
    let origin = Origin { host: "camera-7", realtime_ns: 5, sequence: 6 };
    let flags = FrameFlags::KEY_FRAME | FrameFlags::LAST;
    all.set_presentation_time(Duration::from_nanos(40)).set_duration(Duration::from_nanos(41));
    all.set_capture_time(captured).set_flags(flags).set_trace_context(trace);
    all.set_source_sequence(9).set_exposure(Duration::from_micros(800));
    all.set_planes(&planes).unwrap().set_codec(codec).unwrap().set_origin(origin).unwrap();
    all.set(128, b"mine").unwrap();

    let mut frame = block_of(&all, false);
    frame.extend_from_slice(b"payload");
    let (view, payload) = read(&frame).unwrap();
    assert_eq!(payload, b"payload");
    let presented = Timestamp { nanos: 40, clock: Clock::Stream };
    assert_eq!(view.presentation_time(), Some(presented));
    assert_eq!(view.duration(), Some(Duration::from_nanos(41)));
    assert_eq!(view.capture_time(), Some(captured));
    assert_eq!(view.flags(), flags);
    assert!(
        view.flags().contains(FrameFlags::LAST) && !view.flags().contains(FrameFlags::CORRUPTED)
    );
    assert_eq!(view.trace_context(), Some(trace));
    assert_eq!(view.planes().collect::<Vec<_>>(), planes);
    assert_eq!(view.codec(), Some(codec));
    assert_eq!(view.origin(), Some(origin));
    assert_eq!(view.source_sequence(), Some(9));
    assert_eq!(view.exposure(), Some(Duration::from_micros(800)));
    assert_eq!(view.get(128), Some(&b"mine"[..]));
    assert_eq!(view.into_iter().count(), 11);
    assert_eq!(Attributes::from(view), all);
}

#[test]
fn a_kind_that_is_set_again_is_replaced() {
    let mut attributes = Attributes::new();
    attributes.set(200, b"first").unwrap();
    attributes.set_source_sequence(1).set_source_sequence(2);
    attributes.set(200, b"second").unwrap();
    assert_eq!(attributes.view().into_iter().count(), 2);
    assert_eq!(attributes.view().get(200), Some(&b"second"[..]));
    attributes.remove(200);
    attributes.remove(201);
    assert_eq!(attributes.view().get(200), None);
    assert_eq!(attributes.view().source_sequence(), Some(2));
    attributes.clear();
    assert!(attributes.is_empty() && attributes.view().is_empty());
    assert_eq!(attributes.view().flags(), FrameFlags::NONE);
}

#[test]
fn a_block_is_as_long_as_the_payload_behind_it_asks_for() {
    let mut attributes = Attributes::new();
    assert_eq!(block_bytes(attributes.view(), false), 8);
    assert_eq!(block_bytes(attributes.view(), true), 64);
    attributes.set_presentation_time(Duration::from_nanos(1));
    assert_eq!(block_bytes(attributes.view(), false), 16);
    attributes.set(128, &[7; 255]).unwrap();
    assert_eq!(block_bytes(attributes.view(), true) % 64, 0);
    assert_eq!(block_of(&attributes, true).last(), Some(&0));
}

#[test]
fn all_kinds_at_their_longest_have_room_in_a_block() {
    let mut attributes = Attributes::new();
    for kind in 1..=254 {
        // Typed values have to be what they are: text is text everywhere, and 248 is a multiple of 8.
        let len = if kind == 5 { 248 } else { 255 };
        attributes.set(kind, &vec![b'x'; len]).unwrap();
    }
    let block = block_of(&attributes, true);
    assert!(block.len() <= usize::from(u16::MAX));
    assert_eq!(read(&block).unwrap().0.into_iter().count(), 254);
}

#[test]
fn what_cannot_be_is_refused() {
    let mut attributes = Attributes::new();
    assert_eq!(attributes.set(0, b""), Err(AttributesError::ReservedKind { kind: 0 }));
    assert_eq!(attributes.set(255, b""), Err(AttributesError::ReservedKind { kind: 255 }));
    assert_eq!(attributes.set(128, &[0; 256]), Err(AttributesError::TooLong { found: 256 }));
    assert!(matches!(attributes.set(1, &[0; 8]), Err(AttributesError::Value { kind: 1, .. })));
    assert!(matches!(attributes.set(7, b"12345678\xff"), Err(AttributesError::Value { .. })));
    let codec = Codec { name: &"n".repeat(248), original_bytes: 0 };
    assert_eq!(attributes.set_codec(codec).unwrap_err(), AttributesError::TooLong { found: 256 });
    let planes = [Plane { offset: 0, stride: 0 }; 32];
    assert_eq!(
        attributes.set_planes(&planes).unwrap_err(),
        AttributesError::TooLong { found: 256 }
    );
    assert!(attributes.is_empty());

    let records = |bytes: &'static [u8]| AttributesRef::from_records(bytes).unwrap_err();
    assert_eq!(records(&[128, 0, 128, 0]), AttributesError::Doubled { kind: 128 });
    assert_eq!(records(&[128]), AttributesError::Truncated { at: 0, missing: 1 });
    assert_eq!(records(&[128, 1, 9, 129, 5, 1]), AttributesError::Truncated { at: 3, missing: 4 });
    assert_eq!(records(&[0, 0]), AttributesError::ReservedKind { kind: 0 });

    let head = |block: u16, records: u16| {
        let mut head = [0; 8];
        head[..2].copy_from_slice(&block.to_le_bytes());
        head[2..4].copy_from_slice(&records.to_le_bytes());
        head
    };
    for block in [0, 7, 9, 72, u16::MAX] {
        let found = usize::from(block);
        assert_eq!(
            split(head(block, 0), 64),
            Err(AttributesError::BlockLength { found, frame: 64 })
        );
    }
    assert_eq!(
        split(head(16, 13), 64),
        Err(AttributesError::RecordsLength { found: 13, room: 12 })
    );
    assert_eq!(split(head(16, 12), 64), Ok((16, 4..16)));
}

#[test]
fn the_deployed_prefix_is_those_three_attributes() {
    let mut prefix = [0xff; PREFIX_BYTES];
    assert!(Attributes::from_prefix(&prefix).is_empty());
    prefix[..8].copy_from_slice(&7_u64.to_le_bytes());
    prefix[8..16].copy_from_slice(&40_000_000_u64.to_le_bytes());
    prefix[16..].copy_from_slice(&800_u64.to_le_bytes());
    let attributes = Attributes::from_prefix(&prefix);
    assert_eq!(attributes.view().source_sequence(), Some(7));
    assert_eq!(attributes.view().exposure(), Some(Duration::from_micros(800)));
    assert_eq!(attributes.view().to_prefix(), prefix);
    assert_eq!(Attributes::new().view().to_prefix(), [0xff; PREFIX_BYTES]);
}

#[test]
fn trace_contexts_are_read_strictly() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    assert!(!good.parse::<TraceContext>().unwrap().is_sampled());
    for bad in [
        "",
        "00",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-00",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-00",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00-1",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-00",
        "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-00",
    ] {
        assert!(bad.parse::<TraceContext>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Ok((view, payload)) = read(&bytes) {
            // The getters have an answer, and nothing is made up.
            let _ = (view.presentation_time(), view.duration(), view.capture_time(), view.flags());
            let _ = (view.trace_context(), view.codec(), view.origin(), view.to_prefix());
            let _ = (view.planes().count(), view.source_sequence(), view.exposure());
            prop_assert!(view.as_records().len() + payload.len() < bytes.len());
            let copied = Attributes::from(view);
            prop_assert_eq!(copied.view(), view);
        }
    }

    #[test]
    fn sets_of_records_survive_the_round_trip(
        records in prop::collection::btree_map(128_u8..=254, prop::collection::vec(any::<u8>(), 0..=255), 0..20),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        on_a_line: bool,
    ) {
        let mut attributes = Attributes::new();
        for (kind, value) in &records {
            attributes.set(*kind, value).unwrap();
        }
        let mut frame = block_of(&attributes, on_a_line);
        frame.extend_from_slice(&payload);
        let (view, found) = read(&frame).unwrap();
        prop_assert_eq!(found, &payload[..]);
        let back: std::collections::BTreeMap<_, _> =
            view.into_iter().map(|(kind, value)| (kind, value.to_vec())).collect();
        prop_assert_eq!(back, records);
    }
}
