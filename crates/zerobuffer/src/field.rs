//! The bytes of a file, described once: by structs. `area!` declares one, `field!` names a field of it.
//!
//! A [`Field`] knows its offset and its type, so nobody who reads or writes a file through it can get the offset or the
//! width wrong. An [`At`] says where an area lies in a file. All integers are little-endian.

use std::marker::PhantomData;

use crate::sync::{AtomicU32, AtomicU64};

/// The type of a field, as it lies in a file.
pub(crate) trait Value: Sized {
    /// What a load of it gives.
    type Plain;
    /// Its size in a file.
    const BYTES: usize;

    /// Decodes `bytes`, of which there are [`BYTES`](Self::BYTES).
    fn decode(bytes: &[u8]) -> Self::Plain;

    /// A private copy of the field that holds `plain`.
    fn holding(plain: Self::Plain) -> Self;
}

/// The type of a field that can be stored.
pub(crate) trait Store: Value {
    /// Encodes `plain` into `bytes`, of which there are [`BYTES`](Value::BYTES).
    fn encode(plain: Self::Plain, bytes: &mut [u8]);
}

/// A private copy of the field at the beginning of `bytes`.
pub(crate) fn copy_of<T: Value>(bytes: &[u8]) -> T {
    T::holding(T::decode(&bytes[..T::BYTES]))
}

macro_rules! integers {
    ($($field:ty: $plain:ty = $new:expr),*) => {$(
        impl Value for $field {
            type Plain = $plain;
            const BYTES: usize = size_of::<$plain>();

            fn decode(bytes: &[u8]) -> $plain {
                let mut word = [0; size_of::<$plain>()];
                word.copy_from_slice(bytes);
                <$plain>::from_le_bytes(word)
            }

            fn holding(plain: $plain) -> Self {
                $new(plain)
            }
        }

        impl Store for $field {
            fn encode(plain: $plain, bytes: &mut [u8]) {
                bytes.copy_from_slice(&plain.to_le_bytes());
            }
        }
    )*};
}

integers!(
    u8: u8 = std::convert::identity,
    u32: u32 = std::convert::identity,
    u64: u64 = std::convert::identity,
    AtomicU32: u32 = AtomicU32::new,
    AtomicU64: u64 = AtomicU64::new
);

impl<T: Value, const N: usize> Value for [T; N] {
    type Plain = [T::Plain; N];
    const BYTES: usize = N * T::BYTES;

    fn decode(bytes: &[u8]) -> Self::Plain {
        std::array::from_fn(|index| T::decode(&bytes[index * T::BYTES..][..T::BYTES]))
    }

    fn holding(plain: Self::Plain) -> Self {
        plain.map(T::holding)
    }
}

impl<T: Store, const N: usize> Store for [T; N] {
    fn encode(plain: Self::Plain, bytes: &mut [u8]) {
        for (value, bytes) in plain.into_iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
            T::encode(value, bytes);
        }
    }
}

/// Unused words. They keep fields of different writers, or of different rates, 128 bytes apart.
#[repr(C)]
pub(crate) struct Pad<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Default for Pad<WORDS> {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl<const WORDS: usize> std::fmt::Debug for Pad<WORDS> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl<const WORDS: usize> Value for Pad<WORDS> {
    type Plain = ();
    const BYTES: usize = 8 * WORDS;

    fn decode(_bytes: &[u8]) {}

    fn holding((): ()) -> Self {
        Self::default()
    }
}

/// A field of type `T` in an area `S`.
pub(crate) struct Field<S, T> {
    offset: usize,
    of: PhantomData<fn(&S) -> &T>,
}

impl<S, T> Clone for Field<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, T> Copy for Field<S, T> {}

impl<S, T> Field<S, T> {
    /// Made by `field!`: the offset, and what leads to the field, which tells its type.
    pub(crate) const fn new(offset: usize, _leads_to: fn(&S) -> &T) -> Self {
        Self { offset, of: PhantomData }
    }
}

impl<S, T: Value> Field<S, T> {
    /// Offset in the area.
    pub(crate) const fn offset(self) -> u64 {
        self.offset as u64
    }

    /// The value in the bytes of an area.
    ///
    /// # Panics
    /// If `area` ends before the field does.
    pub(crate) fn get(self, area: &[u8]) -> T::Plain {
        T::decode(&area[self.offset..][..T::BYTES])
    }
}

impl<S, T: Store> Field<S, T> {
    /// Stores a value in the bytes of an area.
    ///
    /// # Panics
    /// If `area` ends before the field does.
    pub(crate) fn put(self, area: &mut [u8], value: T::Plain) {
        T::encode(value, &mut area[self.offset..][..T::BYTES]);
    }
}

/// Where an area `S` lies in a file.
pub(crate) struct At<S> {
    offset: u64,
    of: PhantomData<fn() -> S>,
}

impl<S> Clone for At<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for At<S> {}

impl<S> std::fmt::Debug for At<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "At({:#x})", self.offset)
    }
}

impl<S> At<S> {
    /// At an offset that the layout gives.
    pub(crate) const fn new(offset: u64) -> Self {
        Self { offset, of: PhantomData }
    }

    /// Offset of the area in the file.
    pub(crate) const fn offset(self) -> u64 {
        self.offset
    }

    /// Offset in the file of a field of the area.
    pub(crate) const fn field<T: Value>(self, field: Field<S, T>) -> u64 {
        self.offset + field.offset()
    }
}

/// Declares an area: a `#[repr(C)]` struct whose fields stand behind their offsets, which the compiler checks.
///
/// `struct Name at BASE, BYTES`: offsets are counted from `BASE` bytes before the area (as `docs/protocol/2.0.md` counts them), and the
/// area itself has `BYTES` bytes.
macro_rules! area {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident at $base:literal, $bytes:literal {
            $($(#[$note:meta])* $offset:literal $shown:vis $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$attribute])*
        #[repr(C)]
        $visibility struct $name {
            $($(#[$note])* $shown $field: $type,)*
        }

        // `loom`'s atomics are larger.
        #[cfg(not(loom))]
        const _: () = {
            $(assert!($base + std::mem::offset_of!($name, $field) == $offset);)*
            assert!(size_of::<$name>() == $bytes);
        };

        impl $crate::field::Value for $name {
            type Plain = Self;
            const BYTES: usize = $bytes;

            fn decode(bytes: &[u8]) -> Self {
                Self { $($field: $crate::field::copy_of(&bytes[$offset - $base..]),)* }
            }

            fn holding(plain: Self) -> Self {
                plain
            }
        }
    };
}
pub(crate) use area;

/// A [`Field`] by its name: `field!(Oieb.writer.head)`.
// Not for models: `loom`'s atomics lie elsewhere.
#[cfg(not(loom))]
macro_rules! field {
    ($area:ident.$($field:tt)+) => {
        $crate::field::Field::new(
            std::mem::offset_of!($area, $($field)+),
            |area: &$area| &area.$($field)+,
        )
    };
}
#[cfg(not(loom))]
pub(crate) use field;

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    area! {
        #[derive(Debug)]
        struct Inner at 0x10, 0x18 {
            0x10 long: AtomicU64,
            0x18 short: AtomicU32,
            0x1c _pad: u32,
            0x20 bytes: [u8; 8],
        }
    }

    area! {
        #[derive(Debug)]
        struct Outer at 0x00, 0x28 {
            0x00 first: [u32; 2],
            0x08 _pad: Pad<1>,
            0x10 inner: Inner,
        }
    }

    #[test]
    fn a_field_is_read_and_written_where_it_lies_in_its_own_width() {
        let mut bytes = vec![0; size_of::<Outer>()];
        field!(Outer.first).put(&mut bytes, [1, 2]);
        field!(Outer.inner.short).put(&mut bytes, 0x0403_0201);
        field!(Outer.inner.bytes).put(&mut bytes, *b"12345678");
        assert_eq!(bytes[..8], [1, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[0x18..0x1c], [1, 2, 3, 4]);
        assert_eq!(bytes[0x20..], *b"12345678");
        assert_eq!(field!(Outer.inner.short).get(&bytes), 0x0403_0201);
        assert_eq!(At::<Outer>::new(0x1000).field(field!(Outer.inner.short)), 0x1018);
    }

    #[test]
    fn an_area_is_copied_out_of_bytes() {
        let mut bytes = vec![0; size_of::<Outer>()];
        field!(Outer.first).put(&mut bytes, [7, 8]);
        field!(Outer.inner.long).put(&mut bytes, u64::MAX - 1);
        let outer = Outer::decode(&bytes);
        assert_eq!(outer.first, [7, 8]);
        assert_eq!(outer.inner.long.load(Ordering::Relaxed), u64::MAX - 1);
        assert_eq!(outer.inner.bytes, [0; 8]);
    }
}
