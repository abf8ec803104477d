//! What a buffer is made of, where a command creates one.

use clap::Args;
use zerobuffer::BufferConfig;

use crate::sizes;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "When the buffer is created")]
pub(crate) struct CreateArgs {
    /// Protocol of the buffer: 2, or 1 for deployed C++, C# and Python peers (made by the reader, in /dev/shm)
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    protocol: u8,
    /// Size of the ring, such as 64M [default: 32M; started as zerobuffer-test-…: 256M]
    #[arg(long, value_name = "BYTES", value_parser = sizes::parse)]
    pub(crate) buffer_size: Option<usize>,
    /// Room for metadata
    #[arg(long, value_name = "BYTES", value_parser = sizes::parse, default_value = "4096")]
    metadata_size: usize,
    /// Permission bits of the buffer's file, in octal [default: 600]
    #[arg(long, value_name = "OCTAL", value_parser = octal)]
    mode: Option<u32>,
    /// Group of the buffer's file, by name or number
    #[arg(long, value_name = "GROUP", value_parser = group_id)]
    group: Option<u32>,
    /// Let `relay --zero-copy` pass this buffer's frames on, or pass frames on to it, without copying them
    #[arg(long)]
    share: bool,
    /// Note in every frame when it was committed, so that readers can tell its latency (always on with
    /// --stdin and --stdout)
    #[arg(long)]
    timestamps: bool,
}

impl CreateArgs {
    /// Refuses what cannot be created by a reader.
    pub(crate) fn check(&self) -> Result<(), String> {
        let foreign = [
            (self.mode.is_some(), "--mode"),
            (self.group.is_some(), "--group"),
            (self.timestamps, "--timestamps"),
            (self.share, "--share"),
        ];
        match foreign.iter().find(|(given, _)| *given && self.is_v1()) {
            Some((_, option)) => {
                Err(format!("protocol 1 knows no {option}: leave it out, or use --protocol 2"))
            }
            None => Ok(()),
        }
    }

    /// Refuses what cannot be created by a writer, which `option` tells to create.
    pub(crate) fn check_writers(&self, option: &str) -> Result<(), String> {
        if self.is_v1() {
            return Err(format!(
                "{option}: in protocol 1 the reader makes the buffer: start it first (`zerobuffer read NAME \
                 --protocol 1`), and leave {option} out"
            ));
        }
        Ok(())
    }

    /// The same, for one that takes part in payload sharing.
    pub(crate) fn shared(mut self) -> Self {
        self.share = true;
        self
    }

    /// Whether a buffer of protocol 1.0 is wanted.
    pub(crate) fn is_v1(&self) -> bool {
        self.protocol == 1
    }

    /// The configuration asked for, except for the size of the ring.
    pub(crate) fn config(&self) -> BufferConfig {
        let config = if self.is_v1() { BufferConfig::v1() } else { BufferConfig::new() };
        let mut config = config
            .metadata_bytes(self.metadata_size)
            .timestamps(self.timestamps)
            .payload_sharing(self.share);
        if let Some(mode) = self.mode {
            config = config.mode(mode);
        }
        if let Some(group) = self.group {
            config = config.group(group);
        }
        config
    }
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if mode & !0o777 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        Ok(_) => Err("the owner needs to read and write; use 600, 660 or 666".to_owned()),
        Err(_) => Err("not an octal number such as 660".to_owned()),
    }
}

fn group_id(text: &str) -> Result<u32, String> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let groups = std::fs::read("/etc/group").map_err(|error| format!("/etc/group: {error}"))?;
    String::from_utf8_lossy(&groups)
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == text).then(|| fields.nth(1)?.parse().ok()).flatten()
        })
        .ok_or_else(|| format!("no group `{text}` in /etc/group; its number works too"))
}

#[cfg(test)]
mod tests {
    use super::octal;

    #[test]
    fn modes_are_octal_and_leave_the_owner_in() {
        assert_eq!(octal("600"), Ok(0o600));
        assert_eq!(octal("0660"), Ok(0o660));
        for text in ["0", "60", "1777", "rw", "689"] {
            assert!(octal(text).is_err(), "{text}");
        }
    }
}
