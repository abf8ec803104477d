//! Who plays in a round.

use clap::ValueEnum;

/// A round's setup: which ends it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Cast {
    /// Readers that get every frame, and some that look on.
    Readers,
    /// A work group beside a reader of every frame.
    Groups,
    /// A relay that passes frames on by reference, and who reads them there.
    Sharing,
}

impl Cast {
    pub(crate) const ALL: [Self; 3] = [Self::Readers, Self::Groups, Self::Sharing];

    /// What it is called on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Readers => "readers",
            Self::Groups => "groups",
            Self::Sharing => "sharing",
        }
    }

    /// Its ends.
    pub(crate) fn parts(self) -> &'static [Part] {
        match self {
            Self::Readers => {
                &[Part::Writer, Part::A, Part::B, Part::Ephemeral, Part::Lossy, Part::Observer]
            }
            Self::Groups => {
                &[Part::Writer, Part::A, Part::Member0, Part::Member1, Part::Member2, Part::Lossy]
            }
            Self::Sharing => {
                &[Part::Writer, Part::A, Part::Relay, Part::Downstream, Part::DownstreamEphemeral]
            }
        }
    }

    /// What the checker must see move: accounts by name.
    pub(crate) fn accounts(self) -> &'static [&'static str] {
        match self {
            Self::Readers => &["a", "b"],
            Self::Groups => &["a", GROUP],
            Self::Sharing => &["a", "relay", "downstream"],
        }
    }
}

/// Name of the group in its buffer.
pub(crate) const GROUP: &str = "group";

/// Who an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    Writer,
    /// A durable reader.
    A,
    /// Another one.
    B,
    Ephemeral,
    Lossy,
    Observer,
    Member0,
    Member1,
    Member2,
    /// Reads durably, and passes on by reference.
    Relay,
    /// A durable reader of what the relay passes on.
    Downstream,
    /// An ephemeral one.
    DownstreamEphemeral,
}

impl Part {
    /// What it is called, on the command line too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::A => "a",
            Self::B => "b",
            Self::Ephemeral => "ephemeral",
            Self::Lossy => "lossy",
            Self::Observer => "observer",
            Self::Member0 => "member0",
            Self::Member1 => "member1",
            Self::Member2 => "member2",
            Self::Relay => "relay",
            Self::Downstream => "downstream",
            Self::DownstreamEphemeral => "downstream-ephemeral",
        }
    }

    pub(crate) fn is_member(self) -> bool {
        matches!(self, Self::Member0 | Self::Member1 | Self::Member2)
    }

    /// Whether it is there when a round ends: it reads to the end, and leaves nothing to be kept. One member stands
    /// for its group, which would begin anew if another one came after the last had left for good.
    pub(crate) fn is_in_finale(self) -> bool {
        matches!(
            self,
            Self::Writer | Self::A | Self::B | Self::Member0 | Self::Relay | Self::Downstream
        )
    }

    /// Whether it can be the first one: an observer needs a buffer that is there, and so do those behind a relay.
    pub(crate) fn can_be_alone(self) -> bool {
        !matches!(self, Self::Observer | Self::Relay | Self::Downstream | Self::DownstreamEphemeral)
    }

    /// Steps that it comes to, by their beginnings.
    pub(crate) fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Writer => &["join/", "writer/", "claim/", "commit/", "wake/"],
            Self::A | Self::B | Self::Ephemeral | Self::Lossy => {
                &["join/", "reader/", "read/", "release/"]
            }
            Self::Observer => &["join/"],
            Self::Member0 | Self::Member1 | Self::Member2 => &["join/", "reader/", "group/"],
            Self::Relay => {
                &["join/", "reader/", "writer/", "release/", "commit/", "share/protected"]
            }
            Self::Downstream | Self::DownstreamEphemeral => {
                &["reader/", "read/", "release/", "share/intended", "share/given-back"]
            }
        }
    }

    /// The same for one that is alone, comes and goes.
    pub(crate) fn lonely_steps(self) -> &'static [&'static str] {
        match self {
            Self::Writer => &["create/", "writer/", "retire/"],
            part if part.is_member() => &["create/", "reader/", "group/", "retire/"],
            _ => &["create/", "reader/", "retire/"],
        }
    }
}
