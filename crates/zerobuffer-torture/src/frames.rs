//! What stands in the frames: enough to tell who wrote them, and that nothing of them has changed.

/// Length of a frame: mostly small, sometimes large enough to be aligned to a cache line.
fn len(sequence: u64) -> usize {
    let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
    16 + if mixed.is_multiple_of(16) { mixed % 3000 } else { mixed % 200 } as usize
}

/// Makes `bytes` the frame of that number.
pub(crate) fn fill(bytes: &mut Vec<u8>, sequence: u64, incarnation: u64) {
    bytes.clear();
    bytes.extend(sequence.to_le_bytes());
    bytes.extend(incarnation.to_le_bytes());
    bytes.resize(len(sequence), (sequence ^ incarnation) as u8);
}

/// The number and the incarnation that a frame was written with; `None` if it is not as it was written.
pub(crate) fn check(frame: &[u8]) -> Option<(u64, u64)> {
    let (head, rest) = frame.split_at_checked(16)?;
    let (words, _) = head.as_chunks::<8>();
    let (sequence, incarnation) = (u64::from_le_bytes(words[0]), u64::from_le_bytes(words[1]));
    let body = (sequence ^ incarnation) as u8;
    let is_whole = frame.len() == len(sequence) && rest.iter().all(|byte| *byte == body);
    is_whole.then_some((sequence, incarnation))
}
