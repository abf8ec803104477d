//! Changes where `docs/protocol/2.0.md` says that something stands: what arbitrary bytes at arbitrary places seldom hit.
#![allow(dead_code)] // Each target uses some of it.

use zerobuffer::BufferConfig;

/// Small segments have regions of one page each: OIEB, registry, metadata, payload.
pub const PAGE: usize = 4096;

/// Fields of the OIEB, in order.
const OIEB: [usize; 46] = [
    0x000, 0x004, 0x008, 0x010, 0x018, 0x020, 0x028, 0x030, 0x038, 0x03c, 0x040, 0x048, 0x04c,
    0x050, 0x058, 0x060, 0x068, 0x070, 0x078, 0x080, 0x090, 0x098, 0x0a0, 0x0a8, 0x100, 0x108,
    0x110, 0x118, 0x180, 0x200, 0x280, 0x284, 0x288, 0x290, 0x298, 0x2a0, 0x2a8, 0x300, 0x308,
    0x310, 0x318, 0x320, 0x328, 0x330, 0x380, 0x400,
];
/// Fields of the registry's header.
const REGISTRY: [usize; 4] = [0x000, 0x080, 0x088, 0x100];
/// Fields of a reader slot.
const SLOT: [usize; 19] = [
    0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38, 0x40, 0x80, 0x84, 0x88, 0x8c, 0x90, 0x98, 0x9c,
    0xa0, 0xb8, 0xc0,
];
const SLOTS: usize = 4;
/// Fields of the one group's table: its heads, and its first entries and last.
const GROUP: [usize; 6] = [0x00, 0x08, 0x10, 0x80, 0x88, 0x80 + 8 * (GROUP_WINDOW - 1)];
const GROUP_WINDOW: usize = 64;
/// Heads of the two copies of the metadata, of 64 bytes each, and words of the ring.
const METADATA: [usize; 4] = [0, 8, 80, 88];
const RING: [usize; 6] = [0, 16, 32, 512, 2048, PAGE - 8];

/// What the segments are like: with a work group, in regions of a page.
pub fn config() -> BufferConfig {
    let config = BufferConfig::new().payload_bytes(PAGE).metadata_bytes(64);
    config.reader_slots(SLOTS as u32).work_groups(1).group_window(GROUP_WINDOW as u32)
}

/// The field that a byte stands for.
fn field(byte: u8) -> usize {
    let slots = (0..SLOTS).flat_map(|slot| SLOT.map(|at| PAGE + 0x200 + slot * 0x100 + at));
    let groups = GROUP.map(|at| PAGE + 0x200 + SLOTS * 0x100 + at);
    let slots = slots.chain(groups);
    let places = OIEB.into_iter().chain(REGISTRY.map(|at| PAGE + at)).chain(slots);
    let places = places.chain(METADATA.map(|at| 2 * PAGE + at)).chain(RING.map(|at| 3 * PAGE + at));
    let places: Vec<usize> = places.collect();
    places[usize::from(byte) % places.len()]
}

/// Changes fields as `input` says: pieces of a field, what to do, and its eight bytes or fewer.
pub fn change(bytes: &mut [u8], mut input: &[u8]) {
    while let [place, what, rest @ ..] = input {
        let at = field(*place);
        let len = [8, 4, 2, 1][usize::from(what >> 2) % 4].min(rest.len());
        let (value, rest) = rest.split_at(len);
        input = rest;
        let Some(there) = bytes.get_mut(at..at + 8) else { continue };
        let mut word = [0; 8];
        word[..len].copy_from_slice(value);
        let (was, by) = (u64::from_le_bytes(there.try_into().unwrap()), u64::from_le_bytes(word));
        match what % 4 {
            // As it is said, and nothing else.
            0 => there[..len].copy_from_slice(value),
            1 => there.copy_from_slice(&was.wrapping_add(by).to_le_bytes()),
            2 => there.copy_from_slice(&was.wrapping_sub(by).to_le_bytes()),
            // What another field says.
            _ => {
                let from = field(word[0]);
                if let Some(other) = bytes.get(from..from + 8) {
                    let other: [u8; 8] = other.try_into().unwrap();
                    bytes[at..at + 8].copy_from_slice(&other);
                }
            }
        }
    }
}

const HEAD: usize = 0x100;
const SEQUENCE: usize = 0x108;
/// `head`, `sequence`, `newest`, `reserve`, `floor`, `skipped_bytes`; cursor and read position of the first slot.
const POSITIONS: [usize; 8] =
    [HEAD, SEQUENCE, 0x110, 0x180, 0x200, 0x328, PAGE + 0x200, PAGE + 0x208];
const SKIP: u64 = 1 << 32;

/// A chain of commit words from the head on, each where the one before leads and with the next number, or nearly: as a
/// writer leaves them that dies before it tells. `input`: a position to move and by how much, then three bytes a word.
///
/// Returns what changed, as offsets and words, and what of the input was not used.
pub fn chain<'a>(segment: &[u8], input: &'a [u8]) -> (Vec<(usize, u64)>, &'a [u8]) {
    let get = |at: usize| u64::from_le_bytes(segment[at..at + 8].try_into().unwrap());
    let mut changes = Vec::new();
    let [count, which, low, high, words @ ..] = input else { return (changes, &[]) };
    let mut rest = words;
    let by = i64::from(i16::from_le_bytes([*low, *high]));
    if let Some(&place) = POSITIONS.get(usize::from(which % 16)) {
        changes.push((place, get(place).wrapping_add_signed(by)));
    }
    let mut sequence = get(SEQUENCE).wrapping_add(1);
    let mut position = get(HEAD) as usize & !7;
    for _ in 0..count % 64 {
        let [kind, a, b, behind @ ..] = rest else { break };
        rest = behind;
        let number = sequence << 36;
        let (word, step) = match kind % 8 {
            0..=3 => {
                let len = u64::from(*a) * [1, 1, 1, 20][usize::from(b % 4)];
                sequence = sequence.wrapping_add(1);
                (len | number, (8 + len as usize).next_multiple_of(8))
            }
            4 | 5 => ((u64::from(*a) * 8) | SKIP | number, usize::from(*a) * 8),
            6 => (0, 8),
            // A number that is not the next one, flags that nobody knows.
            _ => {
                let strange = sequence.wrapping_add_signed(i64::from(*b as i8)) << 36;
                (u64::from(*a) | strange | (u64::from(kind >> 3) << 32), 8 + usize::from(*a))
            }
        };
        changes.push((3 * PAGE + position % PAGE, word));
        position = position.wrapping_add(step) & !7;
    }
    (changes, rest)
}
