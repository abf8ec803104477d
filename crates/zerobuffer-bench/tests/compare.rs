//! `zerobuffer bench compare` on small files of every kind; those lie in `tests/compare`.

#[path = "../../zerobuffer-cli/tests/common/mod.rs"]
mod common;

use common::{Ended, Place};
use serde_json::Value;

/// Code of `--fail-on-worse`.
const WORSE: i32 = 3;

fn sample(name: &str) -> String {
    format!("{}/tests/compare/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Compares two of the samples; `words` come behind them.
fn compare(base: &str, other: &str, words: &[&str]) -> Ended {
    let (base, other) = (sample(base), sample(other));
    let all: Vec<&str> =
        ["compare", &base, &other].into_iter().chain(words.iter().copied()).collect();
    Place::new().run(&all)
}

fn json(base: &str, other: &str) -> Value {
    let document = compare(base, other, &["--json"]).expect_code(0).json();
    assert_eq!(document["format"], "zerobuffer-bench-compare/1");
    document["comparisons"][0].clone()
}

#[track_caller]
fn case<'a>(comparison: &'a Value, name: &str) -> &'a Value {
    let cases = comparison["cases"].as_array().expect("cases");
    cases
        .iter()
        .find(|case| case["name"] == name)
        .unwrap_or_else(|| panic!("no `{name}` in {comparison}"))
}

#[track_caller]
fn assert_near(value: &Value, expected: f64) {
    let value = value.as_f64().expect("a number");
    assert!((value - expected).abs() < 1e-6 * expected, "{value} instead of {expected}");
}

#[test]
fn reports_of_bench_are_compared_metric_by_metric_within_a_placement() {
    let comparison = json("bench-before.json", "bench-after.json");
    let copied = case(&comparison, "latency copied 64 B, spin: one_way");
    assert_eq!(copied["verdict"], "worse");
    assert_eq!(copied["cores"], serde_json::json!(["mid", "mid"]));
    // The sample whose class changed and the one that lay near are not among them.
    assert_eq!((&copied["base"]["high"], &copied["base"]["samples"]), (&104.0.into(), &5.into()));
    assert_eq!((&copied["other"]["low"], &copied["other"]["samples"]), (&120.0.into(), &5.into()));
    assert_near(&copied["ratio"], 122.0 / 102.0);
    case(&comparison, "latency copied 64 B, spin: p50");
    let loaned = case(&comparison, "latency loaned 64 B, park: one_way");
    assert_eq!((&loaned["cores"][0], &loaned["base"]["samples"]), (&"".into(), &6.into()));
    assert_eq!((&loaned["verdict"], &loaned["why"]), (&"no verdict".into(), &"overlap".into()));
    assert_eq!(comparison["cases"].as_array().unwrap().len(), 4, "nothing derived: {comparison}");
}

/// Both sides of a measurement share the core where there is but one.
fn only_core() -> &'static [&'static str] {
    let is_alone = std::thread::available_parallelism().is_ok_and(|cores| cores.get() == 1);
    if is_alone { &["--cores", "0,0"] } else { &[] }
}

#[test]
fn loans_can_have_a_ring_of_their_own_for_each_size() {
    let place = Place::new();
    let file = place.path().join("loans.json");
    let file = file.to_str().unwrap();
    let mut words = vec!["loan", "--frames", "40", "--sizes", "64,4096"];
    words.extend(["--repeat", "1", "--millis", "1", "--output", file]);
    words.extend(only_core());
    let run = place.run(&words).expect_code(0);
    let said = "a ring of its own for each size, the smallest with room for 40";
    assert!(run.stdout.contains(said), "{}", run.stdout);

    let too_many = ["loan", "--frames", "100", "--sizes", "100000000"];
    let refused = place.run(&too_many).expect_code(1);
    let why = "room for 100 frames of 100000000 bytes";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
}

#[test]
fn what_bench_prints_today_can_be_read() {
    let place = Place::new();
    let file = place.path().join("bench.json");
    let file = file.to_str().unwrap();
    let mut words =
        vec!["loan", "--sizes", "64", "--repeat", "2", "--millis", "1", "--output", file];
    words.extend(only_core());
    place.run(&words).expect_code(0);
    let document = place.run(&["compare", file, file, "--json"]).expect_code(0).json();
    let comparison = &document["comparisons"][0];
    assert_eq!(
        comparison["no_verdict"],
        comparison["cases"].as_array().unwrap().len(),
        "{document}"
    );
    assert_eq!(comparison["cases"][0]["why"], "too-few", "{document}");
    assert_eq!(comparison["cases"][0]["ratio"], 1.0);
}

#[test]
fn comparisons_with_others_are_compared_peer_by_peer() {
    let comparison = json("comparison-before.json", "comparison-after.json");
    let ours = case(&comparison, "streaming 64 B copied, both spinning: zerobuffer 2.0");
    assert_eq!((&ours["verdict"], &ours["better"]), (&"better".into(), &"higher".into()));
    let pipe = case(&comparison, "from nothing to the first frame back: pipe");
    assert_eq!(pipe["verdict"], "same");
}

#[test]
fn google_benchmarks_are_compared_across_units() {
    let comparison = json("google-ns.json", "google-us.json");
    let publish = case(&comparison, "BM_publish/64");
    assert_eq!(publish["verdict"], "worse");
    assert_near(&publish["other"]["median"], 2010.0);
    assert_eq!(publish["base"]["samples"], 5, "repetitions, not aggregates");
    assert_eq!(case(&comparison, "BM_receive/64")["why"], "overlap");
    assert_eq!(comparison["cases"].as_array().unwrap().len(), 2, "no aggregates, no fits");
    assert_eq!(comparison["other"]["notes"][0], "BM_broken failed: no memory.");
}

#[test]
fn aggregates_stand_for_repetitions_that_are_not_there() {
    let comparison = json("google-ns.json", "google-aggregates.json");
    let publish = case(&comparison, "BM_publish/64");
    assert_eq!(publish["other"]["samples"], Value::Null);
    assert_near(&publish["other"]["median"], 1012.0);
    assert_eq!(publish["verdict"], "same");
    assert_eq!(comparison["only_in_base"], serde_json::json!(["BM_receive/64"]));
}

#[test]
fn criterion_is_compared_run_by_run() {
    let comparison = json("criterion@before", "criterion");
    let publish = case(&comparison, "ring/publish");
    assert_eq!(publish["verdict"], "better");
    assert_eq!(publish["base"]["samples"], 10);
    assert_near(&publish["base"]["median"], 40.0);
    assert_near(&publish["other"]["median"], 30.0);
    // No samples were kept of this one: its estimates stand for them.
    let poll = case(&comparison, "poll: empty?");
    assert_eq!((&poll["verdict"], &poll["base"]["samples"]), (&"same".into(), &Value::Null));
    // One benchmark, by its file and by its folder.
    let one = json("criterion/ring/publish/base/estimates.json", "criterion/ring/publish/new");
    assert_eq!(case(&one, "ring/publish")["verdict"], "better");
}

#[test]
fn the_table_is_for_people() {
    let text = compare("bench-before.json", "bench-after.json", &[]).expect_code(0).stdout;
    let wide = |line: &&str| line.starts_with(['┌', '│', '╞', '└']) && line.chars().count() > 100;
    assert_eq!(text.lines().find(wide), None, "{text}");
    let line = text.lines().find(|line| line.contains("WORSE")).expect(&text);
    assert!(line.contains("102 (100–104) ns") && line.contains("1.196"), "{text}");
    assert!(text.contains("2 worse") && text.contains("overlap: the spreads"), "{text}");
    assert!(text.contains("Not the same machine: A CPU, Linux 6.1; Another CPU"), "{text}");
    assert!(
        text.contains("bench-before.json: samples left out because the cores moved meanwhile: 1."),
        "{text}"
    );
}

#[test]
fn several_files_are_each_compared_with_the_first() {
    let [base, better, same] = ["criterion@base", "criterion", "criterion@base"].map(sample);
    let words = ["compare", &base, &better, &same, "--json", "--only", "publish"];
    let document = Place::new().run(&words).expect_code(0).json();
    let verdicts: Vec<&Value> =
        (0..2).map(|side| &document["comparisons"][side]["cases"][0]["verdict"]).collect();
    assert_eq!(verdicts, ["better", "same"]);
}

#[test]
fn worse_is_an_exit_code_only_if_asked_for() {
    compare("bench-before.json", "bench-after.json", &[]).expect_code(0);
    compare("bench-before.json", "bench-after.json", &["--fail-on-worse"]).expect_code(WORSE);
    compare("bench-after.json", "bench-before.json", &["--fail-on-worse"]).expect_code(0);
    // Only what was chosen counts.
    let loaned = ["--fail-on-worse", "--only", "loaned"];
    let ended = compare("bench-before.json", "bench-after.json", &loaned).expect_code(0);
    assert!(!ended.stdout.contains("copied"), "{}", ended.stdout);
}

#[test]
fn what_two_runs_of_the_base_differ_by_counts_as_noise() {
    let again = sample("google-us.json");
    let words = ["--again", &again, "--json"];
    let document = compare("google-ns.json", "google-us.json", &words).expect_code(0).json();
    let publish = case(&document["comparisons"][0], "BM_publish/64");
    assert_eq!((&publish["verdict"], &publish["why"]), (&"no verdict".into(), &"overlap".into()));
    assert_eq!(publish["base"]["samples"], 10);
    let words = ["--again", &again, "--fail-on-worse"];
    compare("google-ns.json", "google-us.json", &words).expect_code(0);
}

#[test]
fn nothing_is_worse_than_itself() {
    for name in [
        "bench-before.json",
        "bench-after.json",
        "comparison-before.json",
        "google-ns.json",
        "google-aggregates.json",
        "criterion",
        "criterion@before",
    ] {
        compare(name, name, &["--fail-on-worse"]).expect_code(0);
        let comparison = json(name, name);
        assert_eq!((&comparison["better"], &comparison["worse"]), (&0.into(), &0.into()), "{name}");
    }
}

/// What is said about a file that cannot be compared.
#[track_caller]
fn refused(content: &str) -> String {
    let place = Place::new();
    let file = place.path().join("strange.json");
    std::fs::write(&file, content).unwrap();
    let good = sample("bench-before.json");
    let ended = place.run(&["compare", &good, file.to_str().unwrap()]).expect_code(1);
    assert!(ended.stderr.contains("strange.json: "), "names the file: {}", ended.stderr);
    assert_eq!(ended.stdout, "");
    ended.stderr
}

#[test]
fn a_bad_file_is_named_with_what_it_is_and_what_to_do() {
    let text = refused("name,value\n");
    assert!(text.contains("not JSON") && text.contains("Expected: "), "{text}");
    let text = refused(r#"{"runs": [], "tool": "x"}"#);
    assert!(text.contains("an object with the fields runs, tool. Expected: "), "{text}");
    let text = refused("[1, 2]");
    assert!(text.contains("a list of 2"), "{text}");
    let text = refused(r#"{"format": "zerobuffer-compare/9", "cases": []}"#);
    assert!(
        text.contains("zerobuffer-compare/9") && text.contains("reads zerobuffer-compare/1"),
        "{text}"
    );
    let text = refused(r#"{"measurement": "loan", "samples": [], "cases": 3}"#);
    assert!(text.contains("looks like a report of `zerobuffer bench`, but "), "{text}");
    let text = refused(r#"{"context": {}, "benchmarks": []}"#);
    assert!(text.contains("Google Benchmark without any measurement"), "{text}");
    let text = refused(
        r#"{"context": {}, "benchmarks": [{"name": "a", "real_time": 1, "time_unit": "h"}]}"#,
    );
    assert!(text.contains("unknown time unit `h`"), "{text}");
}

#[test]
fn what_is_missing_is_said() {
    let lines = |ended: Ended| ended.expect_code(1).stderr;
    let text = lines(compare("bench-before.json", "nowhere.json", &[]));
    assert!(text.contains("nowhere.json: No such file"), "{text}");
    let text = lines(compare("criterion@old", "criterion", &[]));
    assert!(text.contains("but of the runs base, before, new. Name one, as in"), "{text}");
    let text = lines(compare("bench-before.json", "google-ns.json", &[]));
    assert!(text.contains("no case in common"), "{text}");
    let google = sample("google-ns.json");
    let text = lines(compare("bench-before.json", "bench-after.json", &["--again", &google]));
    assert!(text.contains("google-ns.json has no case in common with"), "{text}");
    let text = lines(compare("bench-before.json", "bench-after.json", &["--only", "relay"]));
    assert!(text.contains("no case has `relay` in its name; there are `latency copied"), "{text}");
    Place::new().run(&["compare", &sample("bench-before.json")]).expect_code(2);
}

#[track_caller]
fn assert_harmless(text: &str) {
    let obeyed = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(obeyed), "{text:?}");
}

#[test]
fn cases_that_another_program_measured_make_no_rows() {
    let place = Place::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compare/google-aggregates.json");
    let text = std::fs::read_to_string(sample).expect("a sample");
    let odd = text.replace("BM_publish/64", r"BM\u001b[2J\nforged\u009b31m");
    let path = place.path().join("odd.json");
    std::fs::write(&path, odd).expect("it is ours");
    let path = path.to_str().expect("it is text");
    let table = place.run(&["compare", path, path]).expect_code(0).stdout;
    assert_harmless(&table);
    assert!(table.contains(r"BM\u{1b}[2J\nforged\u{9b}31m"), "{table}");
    let json = place.run(&["compare", path, path, "--json"]).expect_code(0);
    assert_harmless(&json.stdout);
    assert!(json.json()["comparisons"][0]["cases"].to_string().contains(r"BM\u001b[2J\nforged"));
}

#[test]
fn what_cannot_be_printed_is_an_error() {
    let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
    let program = env!("CARGO_BIN_EXE_zerobuffer-bench");
    let mut running = std::process::Command::new(program);
    let status = running.args(["hot", "--frames", "10"]).stdout(full).status();
    assert_eq!(status.expect("it runs").code(), Some(1));
}
