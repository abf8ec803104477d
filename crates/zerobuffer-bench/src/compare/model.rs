//! What a result is, whoever measured it: named cases, each with what was measured in each class of placement.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::median;

/// Of so many samples, one is left out at either end: a stray one says nothing about the rest. Of nine that leaves what
/// the true median lies within 19 times out of 20; of more it leaves more than that needs, for a run also drifts.
const STRAY: usize = 8;
/// How far from the middle the seven eighths and the one eighth of normally spread values are, in standard deviations.
const ONE_EIGHTH: f64 = 1.15;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Better {
    Lower,
    Higher,
}

/// What was measured under one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) better: Better,
    /// By where the cores lay (`near`, `mid`, `far`); the empty class where that is unknown or does not matter.
    pub(super) classes: BTreeMap<String, Measured>,
}

/// Values, or what somebody made of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Measured {
    Samples(Vec<f64>),
    Summary(Spread),
}

/// A median, and between what most values lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// How many samples; unknown of a summary that somebody else made.
    pub(super) samples: Option<usize>,
}

impl Spread {
    /// Of a median and a standard deviation (or what stands for one): as wide as the samples would have been.
    pub(super) fn around(median: f64, deviation: f64) -> Self {
        let reach = ONE_EIGHTH * deviation.abs();
        Self { median, low: median - reach, high: median + reach, samples: None }
    }

    /// Two runs of one program taken as one: what they differ by counts as noise.
    fn with(&self, again: &Self) -> Self {
        Self {
            median: f64::midpoint(self.median, again.median),
            low: self.low.min(again.low),
            high: self.high.max(again.high),
            samples: self.samples.zip(again.samples).map(|(first, second)| first + second),
        }
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

impl Measured {
    pub(super) fn spread(&self) -> Spread {
        match self {
            Self::Summary(spread) => *spread,
            Self::Samples(values) => {
                let mut values = values.clone();
                let median = median(&mut values);
                let stray = values.len() / STRAY;
                let kept = &values[stray..values.len() - stray];
                Spread {
                    median,
                    low: kept.first().copied().unwrap_or(median),
                    high: kept.last().copied().unwrap_or(median),
                    samples: Some(values.len()),
                }
            }
        }
    }
}

/// Everything in one file or folder.
#[derive(Debug, Clone, Default)]
pub(super) struct Results {
    /// What kind of file this is, in words.
    pub(super) kind: &'static str,
    /// Where it was measured, if that is known.
    pub(super) machine: Option<String>,
    pub(super) cases: Vec<Case>,
    /// What could not be taken over.
    pub(super) notes: Vec<String>,
}

impl Results {
    pub(super) fn new(kind: &'static str, machine: Option<String>) -> Self {
        Self { kind, machine, ..Self::default() }
    }

    /// Adds a sample to the case of this name and unit, which begins with its first one.
    pub(super) fn sample(&mut self, id: &Id<'_>, class: &str, value: f64) {
        let measured = self.case(id).classes.entry(class.to_owned());
        match measured.or_insert_with(|| Measured::Samples(Vec::new())) {
            Measured::Samples(values) => values.push(value),
            // Samples say more than a summary of them.
            summary => *summary = Measured::Samples(vec![value]),
        }
    }

    /// Adds a case of which only this is known; nothing if there are samples.
    pub(super) fn summary(&mut self, id: &Id<'_>, spread: Spread) {
        self.case(id).classes.entry(String::new()).or_insert(Measured::Summary(spread));
    }

    /// Takes another run of the same program into account, case by case, where the cores lay alike. What only that run
    /// measured is left out. Says how much they had in common.
    pub(super) fn widen(&mut self, again: &Self) -> usize {
        let mut widened = 0;
        for case in &mut self.cases {
            let same = |other: &&Case| other.name == case.name && other.unit == case.unit;
            let Some(other) = again.cases.iter().find(same) else { continue };
            for (class, measured) in &mut case.classes {
                if let Some(theirs) = other.classes.get(class) {
                    *measured = Measured::Summary(measured.spread().with(&theirs.spread()));
                    widened += 1;
                }
            }
        }
        self.notes.extend(again.notes.iter().cloned());
        widened
    }

    fn case(&mut self, id: &Id<'_>) -> &mut Case {
        let same = |case: &Case| case.name == id.name && case.unit == id.unit;
        let index = self.cases.iter().position(same).unwrap_or_else(|| {
            self.cases.push(Case {
                name: id.name.to_owned(),
                unit: id.unit.to_owned(),
                better: id.better,
                classes: BTreeMap::new(),
            });
            self.cases.len() - 1
        });
        &mut self.cases[index]
    }
}

/// What tells a case from the others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Id<'a> {
    pub(super) name: &'a str,
    pub(super) unit: &'a str,
    pub(super) better: Better,
}

impl<'a> Id<'a> {
    /// A time in nanoseconds.
    pub(super) fn ns(name: &'a str) -> Self {
        Self { name, unit: "ns", better: Better::Lower }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_are_all_within_the_spread() {
        let spread = Measured::Samples(vec![3.0, 1.0, 9.0]).spread();
        assert_eq!((spread.median, spread.low, spread.high), (3.0, 1.0, 9.0));
        assert_eq!(spread.samples, Some(3));
    }

    #[test]
    fn of_many_samples_the_strays_are_left_out() {
        let mut values: Vec<f64> = (0..16).map(f64::from).collect();
        values[0] = 1e9;
        let spread = Measured::Samples(values).spread();
        assert_eq!((spread.low, spread.high), (3.0, 14.0), "two at either end");
    }

    #[test]
    fn samples_of_one_name_and_unit_make_one_case() {
        let mut results = Results::new("test", None);
        results.sample(&Id::ns("a"), "near", 1.0);
        results.sample(&Id::ns("a"), "far", 5.0);
        results.sample(&Id::ns("a"), "near", 2.0);
        results.sample(&Id { unit: "frames/s", ..Id::ns("a") }, "near", 2.0);
        results.summary(&Id::ns("b"), Spread::around(10.0, 1.0));
        assert_eq!(results.cases.len(), 3);
        assert_eq!(results.cases[0].classes["near"], Measured::Samples(vec![1.0, 2.0]));
        assert_eq!(results.cases[0].classes["far"], Measured::Samples(vec![5.0]));
    }

    #[test]
    fn two_runs_together_are_as_wide_as_they_lie_apart() {
        let mut base = Results::new("test", None);
        let mut again = base.clone();
        for (near, far) in [(1.0, 50.0), (3.0, 50.0), (2.0, 50.0)] {
            base.sample(&Id::ns("a"), "near", near);
            base.sample(&Id::ns("a"), "far", far);
            base.sample(&Id::ns("b"), "near", near);
            again.sample(&Id::ns("a"), "near", near + 10.0);
            again.sample(&Id::ns("c"), "near", near);
        }
        assert_eq!(base.widen(&again), 1);
        let expected = Spread { median: 7.0, low: 1.0, high: 13.0, samples: Some(6) };
        assert_eq!(base.cases[0].classes["near"].spread(), expected);
        assert_eq!(base.cases[0].classes["far"].spread().samples, Some(3), "as it was");
        assert_eq!(base.cases[1].classes["near"].spread().high, 3.0, "as it was");
        assert_eq!(base.cases.len(), 2);
    }
}
