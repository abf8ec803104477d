//! How an endpoint waits.

use std::time::Duration;

use clap::{Args, ValueEnum};
use zerobuffer::WaitStrategy;

use super::Personality;

#[derive(Debug, Clone, Args)]
pub(crate) struct WaitArgs {
    /// How long to wait for the other side to come: for the buffer to appear, for the first frame.
    /// [default: without limit; started as zerobuffer-test-…: what the contract says]
    #[arg(long, value_name = "MS")]
    wait_ms: Option<u64>,
    /// What waiting costs: `spin` one core, `park` a wake-up per frame
    #[arg(long, value_enum, default_value_t = Strategy::SpinThenPark)]
    wait_strategy: Strategy,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Strategy {
    Spin,
    SpinThenPark,
    Park,
}

impl WaitArgs {
    pub(crate) fn strategy(&self) -> WaitStrategy {
        match self.wait_strategy {
            Strategy::Spin => WaitStrategy::Spin,
            Strategy::SpinThenPark => WaitStrategy::SpinThenPark,
            Strategy::Park => WaitStrategy::Park,
        }
    }

    /// Patience for the other side; `contract` is what the older names have. `None`: no limit.
    pub(crate) fn patience(
        &self,
        who: Personality,
        contract: Option<Duration>,
    ) -> Option<Duration> {
        match (self.wait_ms, who) {
            (Some(ms), _) => Some(Duration::from_millis(ms)),
            (None, Personality::Command) => None,
            (None, Personality::Contract) => contract,
        }
    }
}
