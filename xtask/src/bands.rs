//! The library's bands: a lower one never names a higher one.
//!
//! Reads every path that begins with `crate`, `super` or `self` in `crates/zerobuffer/src`, tests left out, and
//! compares the band that it leads to with the band of the file that it stands in. ARCHITECTURE.md shows the table.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use syn::visit::{self, Visit};

/// Bands and their modules, the lowest first.
const BANDS: [(&str, &[&str]); 13] = [
    ("base", &["sync", "fault", "mortal", "field"]),
    ("values", &["values"]),
    ("sys", &["sys"]),
    ("protocol", &["v2::protocol", "v1::protocol"]),
    ("rules", &["v2::rules", "v1::rules"]),
    ("placing", &["v2::placing"]),
    ("ground", &["v2::ground", "v1::ground"]),
    ("wait", &["wait"]),
    ("engines", &["v2::engine", "v1::engine"]),
    ("engine", &["engine"]),
    ("endpoint", &["endpoint"]),
    ("inspect", &["inspect", "surroundings"]),
    ("duplex", &["duplex"]),
];

/// Bands that are built and tested with no operating system beneath them, and what they never name.
const PURE: [&str; 3] = ["protocol", "rules", "placing"];
const IMPURE: [&str; 6] =
    ["crate::sys", "rustix", "libc", "std::time::Instant", "std::time::SystemTime", "std::fs"];

/// Fails if a file of the library names what is above it.
pub(crate) fn check(src: &Path) -> anyhow::Result<()> {
    let mut found = String::new();
    let mut files = 0;
    for file in sources(src)? {
        let text = std::fs::read_to_string(&file)?;
        let module = module_of(file.strip_prefix(src)?);
        let name = file.display();
        for path in upward(&module, &text).with_context(|| format!("read {name}"))? {
            writeln!(found, "{name}: {path}")?;
        }
        files += 1;
    }
    ensure!(files > 0, "no source below {}", src.display());
    ensure!(found.is_empty(), "what is above, or outside:\n{found}");
    Ok(())
}

pub(crate) fn sources(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// `v2/rules/ring/mod.rs` and `v2/rules/ring.rs` are both `v2::rules::ring`.
pub(crate) fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> =
        file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib")) {
        module.pop();
    }
    module
}

/// Index and name of a module's band.
fn band(path: &[String]) -> Option<(usize, &'static str)> {
    let is_in = |prefix: &&str| {
        let prefix: Vec<_> = prefix.split("::").collect();
        path.len() >= prefix.len() && prefix.iter().zip(path).all(|(a, b)| a == b)
    };
    let found = BANDS.iter().position(|(_, modules)| modules.iter().any(is_in))?;
    Some((found, BANDS[found].0))
}

/// What a file of that module names and must not.
fn upward(module: &[String], text: &str) -> anyhow::Result<Vec<String>> {
    let Some((own, name)) = band(module) else { return Ok(Vec::new()) };
    let names = Names::in_file(module, text)?;
    let is_outside = |path: &[String]| {
        let path = path.join("::");
        let is_below = |of: &&str| path == **of || path.starts_with(&format!("{of}::"));
        PURE.contains(&name) && IMPURE.iter().any(is_below)
    };
    let is_above = |path: &[String]| {
        path[0] == "crate" && band(&path[1..]).is_some_and(|(other, _)| other > own)
    };
    let mut wrong: Vec<_> = names
        .paths
        .into_iter()
        .filter(|path| is_above(path) || is_outside(path))
        .map(|path| {
            format!(
                "{} ({name} names {})",
                path.join("::"),
                band(&path[1..]).map_or("the system", |(_, of)| of)
            )
        })
        .collect();
    wrong.sort();
    wrong.dedup();
    Ok(wrong)
}

/// Collects paths, from the root.
pub(crate) struct Names {
    /// Where the visitor is.
    module: Vec<String>,
    /// Every path.
    paths: Vec<Vec<String>>,
    /// Those of them that the file uses itself, and does not only hand on (`pub use`).
    pub(crate) used: Vec<Vec<String>>,
    is_handed_on: bool,
}

impl Names {
    /// What a file of that module names.
    pub(crate) fn in_file(module: &[String], text: &str) -> anyhow::Result<Self> {
        let (paths, used) = (Vec::new(), Vec::new());
        let mut names = Self { module: module.to_vec(), paths, used, is_handed_on: false };
        names.visit_file(&syn::parse_file(text)?);
        Ok(names)
    }

    fn note(&mut self, segments: &[String]) {
        let mut at = self.module.clone();
        let mut rest = segments;
        let mut is_relative = false;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => _ = at.pop(),
                "self" => {}
                _ => break,
            }
            (is_relative, rest) = (true, others);
        }
        let mut path = Vec::new();
        if is_relative {
            path.push("crate".to_owned());
            path.extend(at);
        }
        path.extend(rest.iter().cloned());
        if !path.is_empty() {
            if !self.is_handed_on {
                self.used.push(path.clone());
            }
            self.paths.push(path);
        }
    }

    fn note_tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| {
            let mut path = before.to_vec();
            // `{self, …}` is the path itself.
            if path.is_empty() || ident != "self" {
                path.push(ident.to_string());
            }
            path
        };
        match tree {
            syn::UseTree::Path(path) => self.note_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.note(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.note(before),
            syn::UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.note_tree(tree, before));
            }
        }
    }
}

/// `#[cfg(test)]`, alone or with more.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        is_cfg
            && attribute.meta.require_list().is_ok_and(|list| {
                let text = list.tokens.to_string();
                text == "test" || text.starts_with("all (test")
            })
    })
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_test(&item.attrs) {
            return;
        }
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !is_test(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if !is_test(&item.attrs) {
            self.is_handed_on = !matches!(item.vis, syn::Visibility::Inherited);
            self.note_tree(&item.tree, &[]);
            self.is_handed_on = false;
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments);
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(module: &str, text: &str) -> Vec<String> {
        let module: Vec<_> = module.split("::").map(str::to_owned).collect();
        upward(&module, text).unwrap()
    }

    #[test]
    fn the_library_keeps_to_its_bands() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/zerobuffer/src");
        check(&src).unwrap();
    }

    #[test]
    fn a_line_that_names_what_is_above_is_found() {
        for text in [
            "use crate::v2::ground::segment::Segment;",
            "use crate::v2::{protocol::word, ground::{self, segment}};",
            "use super::super::ground::segment;",
            "pub(crate) use crate::engine::Writing as Other;",
            "fn f(of: &crate::wait::Patience) {}",
            "fn f() { super::super::engine::writer::open(); }",
            "mod inner { use super::super::super::ground; }",
            "use crate::sys::process;",
            "use std::time::{Duration, Instant};",
            "fn f() -> u64 { std::time::Instant::now(); 0 }",
            "use rustix::fs;",
        ] {
            assert!(!named("v2::rules::ring", text).is_empty(), "{text}");
        }
        assert!(!named("values::error", "use crate::duplex::CallError;").is_empty());
    }

    #[test]
    fn what_is_below_beside_or_in_tests_may_be_named() {
        for text in [
            "use crate::v2::protocol::word;",
            "use super::registry::{self, Lag};",
            "use crate::sync::Ordering;\nuse std::time::Duration;",
            "#[cfg(test)]\nmod tests { use crate::v2::ground::segment; }",
            "#[cfg(all(test, not(loom)))]\nmod tests { use crate::engine; }",
            "// use crate::engine;\nfn f() {}",
        ] {
            assert_eq!(named("v2::rules::ring", text), Vec::<String>::new(), "{text}");
        }
        assert!(named("v2::ground::segment", "use crate::sys::lock;").is_empty());
        assert!(named("lib", "use crate::duplex;").is_empty(), "it belongs to no band");
    }
}
