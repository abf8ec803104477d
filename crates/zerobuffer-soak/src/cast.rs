//! Who takes part: each is a process of its own.

use clap::ValueEnum;

/// A process of the soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// 30 pictures of 1 MB a second, in a buffer that others pass on by reference.
    Camera,
    /// Passes the camera's pictures on, without touching them.
    Relay,
    /// Reads what the relay passes on.
    Screen,
    /// Reads some of the camera's pictures, registered.
    Preview,
    /// Reads some of the camera's pictures, from outside.
    Observer,
    /// A thousand records of 1 KB a second; its ring begins just before position 2^64.
    Telemetry,
    /// A durable reader of them.
    Recorder,
    /// Another one, which holds frames and releases them in any order.
    Analyst,
    /// Two thousand small jobs a second.
    Jobs,
    /// Members of a work group that divide the jobs.
    Worker1,
    /// The second of them.
    Worker2,
    /// The third.
    Worker3,
    /// Writes protocol 1.0.
    OldWriter,
    /// Reads protocol 1.0.
    OldReader,
    /// Attaches to the telemetry and leaves, makes buffers and removes them, all the time.
    Churn,
    /// Fills the directory until it is refused, and empties it again.
    Glutton,
}

impl Part {
    /// All of them, writers and makers of buffers first.
    pub(crate) const ALL: [Self; 16] = [
        Self::Screen,
        Self::Relay,
        Self::Camera,
        Self::Preview,
        Self::Observer,
        Self::Recorder,
        Self::Analyst,
        Self::Telemetry,
        Self::Worker1,
        Self::Worker2,
        Self::Worker3,
        Self::Jobs,
        Self::OldReader,
        Self::OldWriter,
        Self::Churn,
        Self::Glutton,
    ];

    /// What it is called, on the command line too.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Whether it has to end before those who read what it writes.
    pub(crate) fn ends_first(self) -> bool {
        matches!(
            self,
            Self::Camera
                | Self::Telemetry
                | Self::Jobs
                | Self::OldWriter
                | Self::Churn
                | Self::Glutton
        )
    }
}
