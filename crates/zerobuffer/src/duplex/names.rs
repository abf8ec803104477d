//! Names of a channel's buffers.

/// Default size of the buffers of a 1.0 channel.
pub(super) const DEFAULT_RESPONSE_BYTES_V1: usize = 4 << 20;

/// Name of the buffer that carries a channel's requests.
pub fn request_buffer(channel: &str) -> String {
    format!("{channel}_request")
}

/// Name of the buffer that carries a channel's answers.
pub fn response_buffer(channel: &str) -> String {
    format!("{channel}_response")
}

/// Name of the buffer in which clients of many say hello.
pub fn accept_buffer(channel: &str) -> String {
    format!("{channel}_accept")
}
