//! Whether one result is better than another, as far as the noise lets one say.

use serde::Serialize;

use super::model::{Better, Case, Results, Spread};

/// Medians that are no further apart than this are the same, if their spreads allow to say so.
const SAME: f64 = 0.02;
/// A spread that reaches further than this from its median says nothing about differences of [`SAME`].
const NARROW: f64 = 0.1;
/// What chance alone may do: equal programs would seem different in one case of so many.
const CHANCES: f64 = 100.0;

/// What may be concluded about one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Better,
    Worse,
    Same,
    None(Why),
}

/// Why nothing may be concluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Why {
    /// What was measured on one side was also measured on the other.
    Overlap,
    /// So few samples may lie apart by chance.
    TooFew,
    /// The cores lay elsewhere.
    Placement,
}

/// One case in the base and in the other file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) unit: String,
    pub(super) better: Better,
    /// Where the cores lay for the two that are shown.
    pub(super) classes: [String; 2],
    pub(super) base: Spread,
    pub(super) other: Spread,
    pub(super) verdict: Verdict,
}

impl Pair {
    /// The other's median over the base's.
    pub(super) fn ratio(&self) -> Option<f64> {
        (self.base.median > 0.0).then(|| self.other.median / self.base.median)
    }
}

/// Two results, case by case.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Comparison {
    pub(super) pairs: Vec<Pair>,
    pub(super) only_in_base: Vec<String>,
    pub(super) only_in_other: Vec<String>,
}

impl Comparison {
    pub(super) fn between(base: &Results, other: &Results) -> Self {
        let same = |a: &Case, b: &Case| (&a.name, &a.unit) == (&b.name, &b.unit);
        let mut comparison = Self::default();
        for case in &base.cases {
            match other.cases.iter().find(|theirs| same(case, theirs)) {
                Some(theirs) => comparison.pairs.extend(compare(case, theirs)),
                None => comparison.only_in_base.push(case.name.clone()),
            }
        }
        let unknown = |case: &&Case| !base.cases.iter().any(|ours| same(ours, case));
        comparison.only_in_other =
            other.cases.iter().filter(unknown).map(|case| case.name.clone()).collect();
        comparison
    }

    pub(super) fn count(&self, is: impl Fn(Verdict) -> bool) -> usize {
        self.pairs.iter().filter(|pair| is(pair.verdict)).count()
    }

    pub(super) fn is_worse(&self) -> bool {
        self.count(|verdict| verdict == Verdict::Worse) > 0
    }
}

/// How much of a spread there is to go by: a summary stands for enough samples.
fn weight(spread: &Spread) -> usize {
    spread.samples.unwrap_or(usize::MAX)
}

/// Two sides of one case, where the cores lay alike if they ever did. Nothing if a side was never measured.
fn compare(base: &Case, other: &Case) -> Option<Pair> {
    let common = base.classes.iter().filter_map(|(class, ours)| {
        let theirs = other.classes.get(class)?;
        Some((class, ours.spread(), theirs.spread()))
    });
    let common = common.max_by_key(|(_, ours, theirs)| weight(ours).min(weight(theirs)));
    let (classes, ours, theirs, verdict) = match common {
        Some((class, ours, theirs)) => {
            ([class.clone(), class.clone()], ours, theirs, judge(base.better, &ours, &theirs))
        }
        None => {
            let most = |case: &Case| {
                let spreads = case.classes.iter().map(|(class, it)| (class.clone(), it.spread()));
                spreads.max_by_key(|(_, spread)| weight(spread))
            };
            let ((here, ours), (there, theirs)) = (most(base)?, most(other)?);
            ([here, there], ours, theirs, Verdict::None(Why::Placement))
        }
    };
    Some(Pair {
        name: base.name.clone(),
        unit: base.unit.clone(),
        better: base.better,
        classes,
        base: ours,
        other: theirs,
        verdict,
    })
}

/// What two spreads of one class say.
pub(super) fn judge(better: Better, base: &Spread, other: &Spread) -> Verdict {
    // A summary does not say of how many; it is taken for as good as the other side, two of them for good.
    if let Some(counted) = base.samples.or(other.samples)
        && orders(base.samples.unwrap_or(counted), other.samples.unwrap_or(counted)) < CHANCES
    {
        return Verdict::None(Why::TooFew);
    }
    let apart = !base.overlaps(other);
    let larger = base.median.abs().max(other.median.abs());
    let close = (base.median - other.median).abs() <= SAME * larger;
    if close && (apart || (is_narrow(base) && is_narrow(other))) {
        return Verdict::Same;
    }
    match (apart, better, other.median > base.median) {
        (false, ..) => Verdict::None(Why::Overlap),
        (true, Better::Lower, true) | (true, Better::Higher, false) => Verdict::Worse,
        (true, Better::Lower, false) | (true, Better::Higher, true) => Verdict::Better,
    }
}

fn is_narrow(spread: &Spread) -> bool {
    let reach = (spread.high - spread.median).max(spread.median - spread.low);
    reach <= NARROW * spread.median.abs()
}

/// In how many ways samples of two equal sides may be shared out between them. In one of these all of the first
/// lie below all of the second, so this is how seldom chance alone sets the two sides apart that way.
fn orders(ours: usize, theirs: usize) -> f64 {
    let (few, all) = (ours.min(theirs), ours.saturating_add(theirs));
    let mut ways = 1.0;
    for index in 0..few {
        ways *= (all - index) as f64 / (index + 1) as f64;
        if ways >= CHANCES {
            break;
        }
    }
    ways
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
