//! What `cargo xtask compare` leaves, as `crates/zerobuffer-compare/src/result.rs` writes it.

use serde::Deserialize;

use crate::compare::model::{Better, Id, Results};

pub(super) const FORMAT: &str = "zerobuffer-compare/1";

#[derive(Debug, Deserialize)]
pub(super) struct Comparison {
    machine: Machine,
    cases: Vec<Case>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    cpu: String,
    kernel: String,
}

#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    peer: String,
    unit: String,
    better: Direction,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Lower,
    Higher,
}

#[derive(Debug, Deserialize)]
struct Sample {
    value: f64,
    /// None where it does not matter.
    placement: Option<String>,
}

pub(super) fn read(comparison: Comparison) -> anyhow::Result<Results> {
    let machine = format!("{}, Linux {}", comparison.machine.cpu, comparison.machine.kernel);
    let mut results = Results::new("comparison with others", Some(machine));
    for case in &comparison.cases {
        let name = format!("{}: {}", case.name, case.peer);
        let better = match case.better {
            Direction::Lower => Better::Lower,
            Direction::Higher => Better::Higher,
        };
        let id = Id { name: &name, unit: &case.unit, better };
        for sample in &case.samples {
            results.sample(&id, sample.placement.as_deref().unwrap_or_default(), sample.value);
        }
    }
    Ok(results)
}
