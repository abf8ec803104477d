//! What is written to `compare.json`, and what may be concluded from it.

use serde::{Deserialize, Serialize};

use crate::floors::Placement;
use crate::work::median;

pub(crate) const FORMAT: &str = "zerobuffer-compare/1";
/// A median of fewer is none.
const ENOUGH: usize = 3;

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) format: String,
    /// UTC, RFC 3339.
    pub(crate) taken: String,
    pub(crate) commit: String,
    pub(crate) duration_s: f64,
    pub(crate) machine: Machine,
    pub(crate) pinning: Pinning,
    pub(crate) rules: Vec<String>,
    pub(crate) peers: Vec<PeerEntry>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) kernel: String,
    pub(crate) governor: Option<String>,
}

/// The two cores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pinning {
    pub(crate) first: usize,
    pub(crate) second: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PeerEntry {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) ours: bool,
    pub(crate) how: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) peer: String,
    pub(crate) why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    Latency,
    Throughput,
    Relay,
    Wake,
    Cpu,
    Memory,
    Start,
    Floor,
    Micro,
    Fanout,
    Request,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// One peer at one work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) work: Work,
    /// The same for all who are compared in it.
    pub(crate) name: String,
    pub(crate) peer: String,
    pub(crate) size_bytes: Option<usize>,
    pub(crate) wait: Option<String>,
    pub(crate) mode: String,
    pub(crate) unit: String,
    pub(crate) better: Better,
    pub(crate) copies: String,
    pub(crate) touched: String,
    pub(crate) lossless: bool,
    pub(crate) samples: Vec<Sample>,
    pub(crate) percentiles: Vec<Percentile>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) repetition: u32,
    pub(crate) value: f64,
    pub(crate) line_ns: Option<f64>,
    pub(crate) placement: Option<Placement>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Percentile {
    pub(crate) p: f64,
    pub(crate) value: f64,
}

/// A median, with the least and the most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Nothing of fewer than three.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        let median = median(&mut values);
        (values.len() >= ENOUGH).then(|| Self {
            median,
            least: values[0],
            most: values[values.len() - 1],
        })
    }
}

impl Case {
    /// The class that most samples were taken in, and the spread within it.
    pub(crate) fn spread(&self) -> Option<(Option<Placement>, Spread)> {
        let classes = [None, Some(Placement::Near), Some(Placement::Mid), Some(Placement::Far)];
        let within = |class| {
            let samples = self.samples.iter().filter(move |sample| sample.placement == class);
            samples.map(|sample| sample.value).collect::<Vec<_>>()
        };
        let most = classes.into_iter().max_by_key(|&class| within(class).len())?;
        Some((most, Spread::of(within(most))?))
    }

    /// This one's value over the other's, between samples of one repetition and one class.
    pub(crate) fn ratio_to(&self, other: &Self) -> Option<Spread> {
        let mut ratios = Vec::new();
        for mine in &self.samples {
            let theirs = other.samples.iter().find(|theirs| {
                (theirs.repetition, theirs.placement) == (mine.repetition, mine.placement)
            });
            if let Some(theirs) = theirs.filter(|theirs| theirs.value > 0.0) {
                ratios.push(mine.value / theirs.value);
            }
        }
        Spread::of(ratios)
    }
}

impl Comparison {
    /// The cases that are compared with each other, in order.
    pub(crate) fn groups(&self) -> Vec<(&str, Vec<&Case>)> {
        let mut groups: Vec<(&str, Vec<&Case>)> = Vec::new();
        for case in &self.cases {
            match groups.iter_mut().find(|(name, _)| *name == case.name) {
                Some((_, cases)) => cases.push(case),
                None => groups.push((&case.name, vec![case])),
            }
        }
        groups
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A case with one sample a repetition.
    pub(crate) fn case(peer: &str, values: &[(f64, Option<Placement>)]) -> Case {
        let samples = values.iter().enumerate().map(|(index, &(value, placement))| Sample {
            repetition: index as u32,
            value,
            line_ns: placement.map(|_| 60.0),
            placement,
        });
        Case {
            work: Work::Latency,
            name: "one-way 64 B copied, both spinning".into(),
            peer: peer.into(),
            size_bytes: Some(64),
            wait: Some("spin".into()),
            mode: "copied".into(),
            unit: "ns".into(),
            better: Better::Lower,
            copies: "writer in".into(),
            touched: "every byte".into(),
            lossless: true,
            samples: samples.collect(),
            percentiles: vec![Percentile { p: 50.0, value: 91.0 }],
        }
    }

    const MID: Option<Placement> = Some(Placement::Mid);
    const FAR: Option<Placement> = Some(Placement::Far);

    #[test]
    fn a_ratio_is_taken_within_a_repetition_and_a_class() {
        let ours = case("ours", &[(10.0, MID), (20.0, MID), (300.0, FAR), (10.0, MID)]);
        let peer = case("peer", &[(20.0, MID), (40.0, MID), (40.0, MID), (40.0, MID)]);
        let ratio = ours.ratio_to(&peer).unwrap();
        assert_eq!((ratio.least, ratio.median, ratio.most), (0.25, 0.5, 0.5));
    }

    #[test]
    fn two_samples_are_too_few() {
        let ours = case("ours", &[(10.0, MID), (20.0, MID), (300.0, FAR)]);
        let peer = case("peer", &[(20.0, MID), (40.0, MID), (40.0, MID)]);
        assert_eq!(ours.ratio_to(&peer), None);
        assert_eq!(ours.spread(), None);
        assert_eq!(peer.spread().unwrap().1.median, 40.0);
    }
}
