//! Taking roles and leaving them. Registration touches locks; `rules::registry` has the rules.

mod export;
mod member;
mod reader;
mod slots;
mod writer;

pub(crate) use export::{attach_export, attach_origin};
pub(crate) use member::{MemberWish, attach_member, detach_member};
pub(crate) use reader::{ReaderRole, ReaderWish, attach_lossy, attach_reader, detach_reader};
pub(super) use slots::take_lock;
pub(crate) use slots::{reserve_slot, slot_name};
pub(crate) use writer::{WriterRole, attach_writer, detach_writer};
