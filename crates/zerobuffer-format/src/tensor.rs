//! Tensors: arrays of numbers.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::error::FormatError;
use crate::named::named;
use crate::text::Grouped;

/// More dimensions than anybody has: NumPy allows 64.
const MAX_DIMENSIONS: usize = 64;

named! {
    /// Type of the elements, little-endian. Names are NumPy's, and `bfloat16`.
    DType {
        /// A byte that is 0 or 1.
        Bool "bool",
        /// 8 bits, unsigned.
        U8 "uint8",
        /// 16 bits, unsigned.
        U16 "uint16",
        /// 32 bits, unsigned.
        U32 "uint32",
        /// 64 bits, unsigned.
        U64 "uint64",
        /// 8 bits, signed.
        I8 "int8",
        /// 16 bits, signed.
        I16 "int16",
        /// 32 bits, signed.
        I32 "int32",
        /// 64 bits, signed.
        I64 "int64",
        /// 16 bits, floating.
        F16 "float16",
        /// The upper 16 bits of `float32`.
        Bf16 "bfloat16",
        /// 32 bits, floating.
        F32 "float32",
        /// 64 bits, floating.
        F64 "float64",
        /// Two `float32`: real and imaginary part.
        C64 "complex64",
        /// Two `float64`: real and imaginary part.
        C128 "complex128",
    }
}

impl DType {
    /// Bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::C64 => 8,
            Self::C128 => 16,
        }
    }
}

/// Each frame is one array, elements one behind the other, the last index first to change (row-major).
///
/// In metadata it is a member of a JSON object:
///
/// ```
/// use zerobuffer_format::StreamInfo;
///
/// let info = StreamInfo::parse(br#"{"tensor":{"dtype":"float32","shape":[1,3,224,224]}}"#);
/// assert_eq!(info.to_string(), "tensor float32 1×3×224×224, 602,112 bytes a frame");
/// assert_eq!(info.frame_bytes(), Some(602112));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<u64>,
    frame_bytes: u64,
}

impl Tensor {
    /// An array of this shape; an empty `shape` is a single element.
    ///
    /// # Errors
    ///
    /// More than 64 dimensions, or the size of a frame has more than 64 bits.
    pub fn new(dtype: DType, shape: &[u64]) -> Result<Self, FormatError> {
        if shape.len() > MAX_DIMENSIONS {
            let found = format!("{} dimensions", shape.len());
            return Err(FormatError::invalid("shape", found, "at most 64 dimensions"));
        }
        // Without those of 0: they would hide that the rest does not fit.
        let sizes = shape.iter().filter(|&&size| size != 0);
        let bytes = sizes.copied().try_fold(dtype.bytes(), u64::checked_mul);
        let bytes = bytes.ok_or(FormatError::TooLarge)?;
        let frame_bytes = if shape.contains(&0) { 0 } else { bytes };
        Ok(Self { dtype, shape: shape.to_vec(), frame_bytes })
    }

    /// The value of the member `tensor`.
    pub(crate) fn from_json(value: &Value) -> Result<Self, FormatError> {
        let member = |name| value.get(name).ok_or_else(|| FormatError::missing("tensor", name));
        let dtype = member("dtype")?;
        let name = dtype.as_str().ok_or_else(|| {
            FormatError::invalid("dtype", dtype.to_string(), "a text such as \"float32\"")
        })?;
        let unknown = || FormatError::Unsupported { field: "dtype", found: name.to_owned() };
        let dtype = DType::named(name).ok_or_else(unknown)?;
        let shape = member("shape")?;
        let sizes = shape.as_array().and_then(|sizes| sizes.iter().map(Value::as_u64).collect());
        let sizes: Vec<u64> = sizes.ok_or_else(|| {
            FormatError::invalid("shape", shape.to_string(), "an array of numbers from 0")
        })?;
        Self::new(dtype, &sizes)
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "dtype": self.dtype.name(), "shape": self.shape })
    }

    /// Type of the elements.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// Elements in each dimension.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// Bytes that each frame has.
    pub const fn frame_bytes(&self) -> u64 {
        self.frame_bytes
    }
}

/// `tensor float32 1×3×224×224, 602,112 bytes a frame`.
impl Display for Tensor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "tensor {}", self.dtype)?;
        for (index, size) in self.shape.iter().enumerate() {
            write!(f, "{}{size}", if index == 0 { " " } else { "×" })?;
        }
        write!(f, ", {} bytes a frame", Grouped(self.frame_bytes))
    }
}
