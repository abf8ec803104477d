//! No two files of a crate need each other: what both need stands in a third.
//!
//! An arrow leads from a file to each file of the same crate whose items it names, tests left out. A module that only
//! declares others and hands their items on (`pub use`) needs none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::bands::{Names, module_of, sources};

/// Arrows between the files of a crate, by their modules.
type Arrows = BTreeMap<String, BTreeSet<String>>;

/// Fails if files of a crate need each other.
pub(crate) fn check_all(root: &Path) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let crates = std::fs::read_dir(root.join("crates")).context("list the crates")?;
    let mut places: Vec<_> = crates.filter_map(|entry| Some(entry.ok()?.path())).collect();
    places.push(root.join("xtask"));
    for src in places.into_iter().map(|place| place.join("src")).filter(|src| src.is_dir()) {
        found.extend(check(&src).err().map(|error| format!("{error:#}")));
    }
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

fn check(src: &Path) -> anyhow::Result<()> {
    let mut texts = BTreeMap::new();
    for file in sources(src)? {
        let module = module_of(file.strip_prefix(src)?);
        // Programs of their own, and tests that fill files.
        if matches!(module.first().map(String::as_str), Some("main" | "bin"))
            || module
                .last()
                .is_some_and(|last| last.ends_with("tests") || last.ends_with("properties"))
            || module.iter().any(|part| part == "tests")
        {
            continue;
        }
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        texts.insert(module, text);
    }
    let arrows = arrows(&texts)?;
    let circles = circles(&arrows);
    ensure!(circles.is_empty(), "files that need each other, below {}: {circles:?}", src.display());
    Ok(())
}

fn arrows(texts: &BTreeMap<Vec<String>, String>) -> anyhow::Result<Arrows> {
    let mut arrows = Arrows::new();
    for (module, text) in texts {
        let own = module.join("::");
        for path in Names::in_file(module, text).with_context(|| own.clone())?.used {
            let Some(("crate", path)) = path.split_first().map(|(first, rest)| (&first[..], rest))
            else {
                continue;
            };
            // The file that the path leads into: the longest part of the path that is a module.
            let file = (0..=path.len()).rev().map(|len| &path[..len]);
            if let Some(file) = file.into_iter().find(|part| texts.contains_key(*part))
                && file != module
                && !file.is_empty()
            {
                arrows.entry(own.clone()).or_default().insert(file.join("::"));
            }
        }
    }
    Ok(arrows)
}

/// Groups of files each of which needs, by way of others, every other one.
fn circles(arrows: &Arrows) -> Vec<Vec<&str>> {
    let reach = |from: &str| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(file) = next.pop() {
            for to in arrows.get(file).into_iter().flatten() {
                if seen.insert(to.as_str()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, _> = arrows.keys().map(|file| (&file[..], reach(file))).collect();
    let mut found: Vec<Vec<&str>> = Vec::new();
    for (&file, reaches) in &reached {
        if reaches.contains(file) && !found.iter().flatten().any(|other| *other == file) {
            let returns = |other: &&&str| reached.get(**other).is_some_and(|to| to.contains(file));
            found.push(reaches.iter().filter(returns).copied().collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let texts = files.iter().map(|(module, text)| {
            (module.split("::").map(str::to_owned).collect(), (*text).to_owned())
        });
        let arrows = arrows(&texts.collect()).unwrap();
        circles(&arrows).concat().into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn files_that_need_each_other_are_found() {
        let two =
            [("a", "use crate::b::B;"), ("b", "fn f() { crate::a::g() }"), ("c", "use crate::a;")];
        assert_eq!(found(&two), ["a", "b"]);
        let three =
            [("a::b", "use super::c;"), ("a::c", "use crate::d::D;"), ("d", "use crate::a::b;")];
        assert_eq!(found(&three), ["a::b", "a::c", "d"]);
        let parent = [("a", "use self::b::B;"), ("a::b", "use super::A;")];
        assert_eq!(found(&parent), ["a", "a::b"]);
    }

    #[test]
    fn files_above_each_other_are_not() {
        let none = [
            ("a", "pub(crate) use b::B;\nmod b;"),
            ("a::b", "use super::A;\n#[cfg(test)]\nmod tests { use crate::c; }"),
            ("c", "use crate::a::B;"),
        ];
        assert!(found(&none).is_empty());
    }

    #[test]
    fn no_crate_has_circles() {
        check_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    }
}
