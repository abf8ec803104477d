//! Opens the page in a browser and looks at it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::html;
use crate::floors::Placement;
use crate::result::{
    Better, Case, Comparison, FORMAT, Machine, Missing, PeerEntry, Percentile, Pinning, Work,
};

fn case(work: Work, name: &str, size: usize, peer: &str, value: f64) -> Case {
    let samples = [(value, Some(Placement::Mid)); 4];
    let percentile = |p| Percentile { p, value: value * (1.0 + p / 100.0) };
    let (unit, better) = match work {
        Work::Latency => ("ns", Better::Lower),
        _ => ("frames/s", Better::Higher),
    };
    Case {
        work,
        name: name.into(),
        size_bytes: Some(size),
        unit: unit.into(),
        better,
        percentiles: if work == Work::Latency {
            [50.0, 90.0, 99.0, 99.9].map(percentile).into()
        } else {
            Vec::new()
        },
        ..crate::result::tests::case(peer, &samples)
    }
}

fn comparison() -> Comparison {
    let mut cases = Vec::new();
    for (peer, slower) in [("zerobuffer 2.0", 1.0), ("iceoryx2", 4.0), ("pipe", 0.5)] {
        let latency = "one-way 64 B copied, both spinning";
        cases.push(case(Work::Latency, latency, 64, peer, 100.0 * slower));
        for (size, name) in [(64, "64 B"), (65_536, "64 KiB")] {
            let name = format!("streaming {name} copied, both spinning");
            cases.push(case(Work::Throughput, &name, size, peer, 1e6 / slower));
        }
        for readers in [1, 16] {
            let plural = if readers == 1 { "" } else { "s" };
            let name = format!("every 1 KiB frame to {readers} reader{plural}");
            cases.push(case(Work::Fanout, &name, 1024, peer, 1e5 / slower));
        }
    }
    Comparison {
        format: FORMAT.into(),
        taken: "2026-11-23T14:00:00Z".into(),
        commit: "abc1234".into(),
        duration_s: 12.0,
        machine: Machine {
            cpu: "a <processor> & more".into(),
            cores: 2,
            memory_bytes: 8 << 30,
            kernel: "6.1".into(),
            governor: None,
        },
        pinning: Pinning { first: 0, second: 1 },
        rules: vec!["Nothing ends early: </script><b id=\"leak\">".into()],
        peers: vec![PeerEntry {
            name: "iceoryx2".into(),
            version: "0.10".into(),
            ours: false,
            how: "as it is".into(),
        }],
        missing: vec![Missing { peer: "Aeron".into(), why: "not here".into() }],
        cases,
    }
}

/// The browser, with a profile of its own; it is part of what the tests need.
fn browser(home: &Path) -> Command {
    let name = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".into());
    let mut browser = Command::new(name);
    browser.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    browser.args(["--window-size=1200,1400", "--virtual-time-budget=5000", "--hide-scrollbars"]);
    browser.arg(format!("--user-data-dir={}", home.join("profile").display()));
    browser.env("HOME", home);
    browser
}

fn write_page(dir: &Path) -> PathBuf {
    let path = dir.join("report.html");
    std::fs::write(&path, html(&comparison()).unwrap()).unwrap();
    path
}

/// The page's elements after it has drawn itself.
fn drawn(dir: &Path, page: &Path) -> String {
    let output = browser(dir)
        .arg("--dump-dom")
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("start chromium (Debian: apt-get install chromium)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn the_page_draws_everything_without_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let page = write_page(dir.path());
    let dom = drawn(dir.path(), &page);
    assert!(dom.contains("data-drawn=\"all\""), "the page stopped drawing: {dom}");
    let body = dom.split("<script").next().unwrap();

    // Ours is 4 times better than iceoryx2 everywhere, whichever way the unit goes; iceoryx2 is shown first.
    assert_eq!(count(body, "class=\"bar\""), 5, "a bar for each group");
    assert_eq!(count(body, "data-ratio=\"4.0000\""), 5);
    // A line for each of the three in each of: throughput, latency, fan-out.
    for title in [
        "one-way streaming, bytes a second",
        "one-way 64 B copied, both spinning",
        "frames a second from one writer, over readers",
    ] {
        assert!(body.contains(&format!("data-title=\"{title}\"")), "{title} is missing");
    }
    for peer in ["zerobuffer 2.0", "iceoryx2", "pipe"] {
        assert_eq!(count(body, &format!("data-peer=\"{peer}\"")), 3, "{peer}");
    }
    assert_eq!(count(body, "<details"), 5, "a table for each group");
    for broken in ["NaN", "undefined", "Infinity"] {
        assert!(!body.contains(broken), "{broken} is on the page");
    }
    // What it says is text, not elements.
    assert!(body.contains("&lt;/script&gt;") && !body.contains("<b id=\"leak\""));
    assert!(body.contains("a &lt;processor&gt; &amp; more"));
    assert!(body.contains("Aeron: not here"));

    let source = std::fs::read_to_string(&page).unwrap();
    for outside in ["src=", "href=", "@import", "url(", "fetch(", "https://"] {
        assert!(!source.contains(outside), "{outside} asks for something outside the file");
    }
}

/// Mean brightness of what is seen, from 0 to 255, and how many different colours there are.
fn seen(dir: &Path, page: &Path, theme: &str) -> (f64, usize) {
    let shot = dir.join(format!("{theme}.png"));
    let output = browser(dir)
        .arg(format!("--screenshot={}", shot.display()))
        .arg(format!("file://{}#{theme}", page.display()))
        .output()
        .expect("start chromium (Debian: apt-get install chromium)");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::io::BufReader::new(std::fs::File::open(&shot).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let channels = info.color_type.samples();
    let pixels = pixels[..info.buffer_size()].chunks_exact(channels);
    let colours: std::collections::HashSet<_> = pixels.clone().map(|pixel| &pixel[..3]).collect();
    let total: u64 =
        pixels.clone().map(|pixel| pixel[..3].iter().copied().map(u64::from).sum::<u64>()).sum();
    (total as f64 / (3 * pixels.len()) as f64, colours.len())
}

#[test]
fn it_is_dark_in_the_dark_and_light_in_the_light() {
    let dir = tempfile::tempdir().unwrap();
    let page = write_page(dir.path());
    let (dark, dark_colours) = seen(dir.path(), &page, "dark");
    let (light, light_colours) = seen(dir.path(), &page, "light");
    assert!(dark < 80.0 && light > 200.0, "dark {dark:.0}, light {light:.0}");
    // Lines, bars and smooth letters: far more than a background.
    assert!(dark_colours > 100 && light_colours > 100, "{dark_colours}, {light_colours}");
}
