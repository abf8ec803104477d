//! Which engine stands behind an endpoint.
//!
//! What each frame costs is kept flat: claims and found frames have one form for both protocols, and the everyday
//! engines, the 2.0 Writer and the 2.0 reader of every frame, come first, inlined. All others stand behind one trait for
//! each end; what leads to them is never inlined.

mod open;
pub(crate) mod reading;
pub(crate) mod seat;
pub(crate) mod writing;

pub(crate) use open::Attendance;
pub(crate) use reading::Reading;
pub(crate) use seat::{OwnedSeat, SeatRef};
pub(crate) use writing::Writing;
