//! What is better, worse, the same, and what cannot be told.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::model::{Id, Measured};
use super::*;

const OVERLAP: Verdict = Verdict::None(Why::Overlap);

fn of(values: &[f64]) -> Spread {
    Measured::Samples(values.to_vec()).spread()
}

fn verdict(base: &[f64], other: &[f64]) -> Verdict {
    judge(Better::Lower, &of(base), &of(other))
}

#[test]
fn what_lies_apart_is_better_or_worse_by_the_units_direction() {
    let (small, large) = (of(&[10.0, 11.0, 12.0, 11.0, 10.5]), of(&[13.0, 14.0, 13.5, 15.0, 13.0]));
    assert_eq!(judge(Better::Lower, &small, &large), Verdict::Worse);
    assert_eq!(judge(Better::Lower, &large, &small), Verdict::Better);
    assert_eq!(judge(Better::Higher, &small, &large), Verdict::Better);
    assert_eq!(judge(Better::Higher, &large, &small), Verdict::Worse);
}

#[test]
fn what_overlaps_has_no_verdict_however_far_the_medians_are_apart() {
    let base = [10.0, 10.0, 10.0, 10.0, 31.0];
    let other = [30.0, 30.0, 30.0, 30.0, 30.0];
    assert_eq!(verdict(&base, &other), OVERLAP);
    // A common end is an overlap.
    assert_eq!(verdict(&[1.0, 1.0, 1.0, 1.0, 2.0], &[2.0, 3.0, 3.0, 3.0, 3.0]), OVERLAP);
}

#[test]
fn medians_within_two_percent_are_the_same() {
    let base = [100.0, 100.1, 100.2, 99.9, 99.8];
    assert_eq!(verdict(&base, &base.map(|value| value * 1.015)), Verdict::Same, "though apart");
    assert_eq!(verdict(&base, &base.map(|value| value * 1.03)), Verdict::Worse);
    assert_eq!(verdict(&base, &base.map(|value| value * 0.97)), Verdict::Better);
}

#[test]
fn wide_spreads_with_one_median_are_not_called_the_same() {
    let wide = [60.0, 80.0, 100.0, 120.0, 140.0];
    assert_eq!(verdict(&wide, &wide), OVERLAP);
    assert_eq!(verdict(&[0.0; 5], &[0.0; 5]), Verdict::Same);
}

#[test]
fn few_samples_may_lie_apart_by_chance() {
    let few = Verdict::None(Why::TooFew);
    assert_eq!(verdict(&[1.0], &[9.0]), few);
    assert_eq!(verdict(&[1.0; 3], &[9.0; 3]), few, "one time in 20");
    assert_eq!(verdict(&[1.0; 4], &[9.0; 4]), few, "one time in 70");
    assert_eq!(verdict(&[1.0; 4], &[9.0; 5]), Verdict::Worse, "one time in 126");
    assert_eq!(verdict(&[1.0; 1], &[9.0; 1000]), Verdict::Worse, "one time in 1001");
    assert_eq!(orders(4, 4), 70.0);
    assert!(orders(5, 5) >= CHANCES);
    assert_eq!(orders(0, 5), 1.0);
}

#[test]
fn a_summary_is_as_good_as_the_other_side() {
    let summary = Spread::around(100.0, 2.0);
    let few = of(&[150.0; 4]);
    assert_eq!(judge(Better::Lower, &summary, &few), Verdict::None(Why::TooFew));
    assert_eq!(judge(Better::Lower, &summary, &of(&[150.0; 5])), Verdict::Worse);
    let (base, other) = (Spread::around(100.0, 2.0), Spread::around(120.0, 2.0));
    assert_eq!(judge(Better::Lower, &base, &other), Verdict::Worse);
    assert_eq!(judge(Better::Lower, &base, &Spread::around(104.0, 2.0)), OVERLAP);
}

fn results(cases: &[(&str, &str, &[f64])]) -> Results {
    let mut results = Results::new("test", None);
    for (name, class, values) in cases {
        for value in *values {
            results.sample(&Id::ns(name), class, *value);
        }
    }
    results
}

#[test]
fn only_samples_of_one_placement_are_compared() {
    let base = results(&[("a", "mid", &[10.0; 5]), ("a", "far", &[50.0; 9])]);
    let other = results(&[("a", "near", &[1.0; 9]), ("a", "mid", &[20.0; 6])]);
    let comparison = Comparison::between(&base, &other);
    let pair = &comparison.pairs[0];
    assert_eq!(
        (pair.classes[0].as_str(), pair.base.median, pair.other.median),
        ("mid", 10.0, 20.0)
    );
    assert_eq!(pair.verdict, Verdict::Worse);
    assert_eq!(pair.ratio(), Some(2.0));
}

#[test]
fn cores_that_lay_elsewhere_give_no_verdict() {
    let base = results(&[("a", "near", &[10.0; 9])]);
    let other = results(&[("a", "far", &[50.0; 9])]);
    let pair = Comparison::between(&base, &other).pairs.remove(0);
    assert_eq!(pair.verdict, Verdict::None(Why::Placement));
    assert_eq!(pair.classes, ["near", "far"]);
    assert_eq!((pair.base.median, pair.other.median), (10.0, 50.0), "both are shown all the same");
}

#[test]
fn cases_on_one_side_are_listed() {
    let base = results(&[("a", "", &[1.0; 5]), ("gone", "", &[1.0; 5])]);
    let other = results(&[("new", "", &[1.0; 5]), ("a", "", &[2.0; 5])]);
    let comparison = Comparison::between(&base, &other);
    assert_eq!(comparison.pairs.len(), 1);
    assert_eq!(comparison.only_in_base, ["gone"]);
    assert_eq!(comparison.only_in_other, ["new"]);
    assert!(comparison.is_worse());
}

fn measured() -> impl Strategy<Value = Measured> {
    let samples = proptest::collection::vec(-1e12..1e12_f64, 1..60);
    let small = proptest::collection::vec(0.0..10.0_f64, 1..60);
    let summary = (0.0..1e9_f64, 0.0..1e9_f64);
    prop_oneof![
        samples.prop_map(Measured::Samples),
        small.prop_map(Measured::Samples),
        summary.prop_map(|(median, reach)| Measured::Summary(Spread::around(median, reach))),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let classes = proptest::collection::btree_map("(|near|mid|far)", measured(), 1..4);
    ("[a-c]", prop_oneof![Just(Better::Lower), Just(Better::Higher)], classes).prop_map(
        |(name, better, classes): (String, Better, BTreeMap<String, Measured>)| Case {
            name,
            unit: "ns".into(),
            better,
            classes,
        },
    )
}

proptest! {
    #[test]
    fn nothing_is_better_or_worse_than_itself(case in case()) {
        let results = Results { cases: vec![case], ..Results::default() };
        let comparison = Comparison::between(&results, &results.clone());
        prop_assert_eq!(comparison.pairs.len(), 1);
        let verdict = comparison.pairs[0].verdict;
        prop_assert!(matches!(verdict, Verdict::Same | Verdict::None(Why::Overlap | Why::TooFew)), "{:?}", verdict);
    }

    #[test]
    fn nothing_is_better_or_worse_than_itself_and_another_run(case in case(), again in case()) {
        let mut base = Results { cases: vec![case], ..Results::default() };
        let itself = base.clone();
        base.widen(&Results { cases: vec![again], ..Results::default() });
        let comparison = Comparison::between(&base, &itself);
        let judged = |verdict| matches!(verdict, Verdict::Better | Verdict::Worse);
        prop_assert_eq!(comparison.count(judged), 0);
    }

    #[test]
    fn the_other_way_round_it_is_the_other_verdict(a in measured(), b in measured()) {
        let (a, b) = (a.spread(), b.spread());
        let turned = match judge(Better::Lower, &b, &a) {
            Verdict::Better => Verdict::Worse,
            Verdict::Worse => Verdict::Better,
            rest => rest,
        };
        prop_assert_eq!(judge(Better::Lower, &a, &b), turned);
    }

    #[test]
    fn what_is_far_and_surely_apart_always_has_a_verdict(base in proptest::collection::vec(90.0..110.0_f64, 5..40)) {
        let double: Vec<f64> = base.iter().map(|value| value * 2.0).collect();
        prop_assert_eq!(verdict(&base, &double), Verdict::Worse);
        prop_assert_eq!(verdict(&double, &base), Verdict::Better);
    }
}
