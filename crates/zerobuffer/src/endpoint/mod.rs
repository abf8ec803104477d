//! The public endpoints: thin.

pub(crate) mod attributed;
pub(crate) mod batch;
pub(crate) mod claimed;
pub(crate) mod forward;
pub(crate) mod frame;
pub(crate) mod lender;
pub(crate) mod loan;
pub(crate) mod looking;
pub(crate) mod metadata;
pub(crate) mod reader;
pub(crate) mod reader_options;
pub(crate) mod shared_writer;
pub(crate) mod write_batch;
pub(crate) mod writer;
pub(crate) mod writer_options;
