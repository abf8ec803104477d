//! Links between the documents lead somewhere: to files that exist, and to headings that stand in them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Fails if a link of a document in the repository leads nowhere.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(root).output();
    let listed = listed.context("ask git for the documents")?;
    let mut found = String::new();
    let mut links = 0;
    for document in String::from_utf8_lossy(&listed.stdout).lines() {
        let path = root.join(document);
        // Deleted and not yet committed.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for link in links_in(&text) {
            links += 1;
            if let Some(problem) = problem(&path, &text, link) {
                writeln!(found, "{document}: ({link}): {problem}")?;
            }
        }
    }
    ensure!(links > 0, "no links: are there no documents?");
    ensure!(found.is_empty(), "links that lead nowhere:\n{found}");
    Ok(())
}

/// What stands in the brackets behind `]`, outside blocks of code.
fn links_in(text: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, behind)) = rest.split_once("](") {
            let Some((link, behind)) = behind.split_once(')') else { break };
            links.push(link);
            rest = behind;
        }
    }
    links
}

/// Why a link of a document leads nowhere.
fn problem(document: &Path, text: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, at)| (file, Some(at)));
    let target: PathBuf = document.parent()?.join(file);
    if !file.is_empty() && !target.exists() {
        return Some("there is no such file".into());
    }
    let anchor = anchor?;
    let elsewhere;
    let text = if file.is_empty() {
        text
    } else {
        elsewhere = std::fs::read_to_string(&target).ok()?;
        &elsewhere
    };
    let is_heading = |line: &&str| line.starts_with('#');
    let mut headings =
        text.lines().filter(is_heading).map(|line| slug(line.trim_start_matches('#')));
    (!headings.any(|heading| heading == anchor)).then(|| "there is no such heading".into())
}

/// The anchor of a heading, as it is made where repositories are shown.
fn slug(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept = heading.trim().chars().filter(kept);
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_repository_lead_somewhere() {
        check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let text =
            "# One `two`: three\n[a](#one-two-three) [b](#two) [c](none.md)\n```\n[d](e)\n```\n";
        let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let problems: Vec<_> =
            links_in(text).into_iter().filter_map(|link| problem(&document, text, link)).collect();
        assert_eq!(problems, ["there is no such heading", "there is no such file"]);
    }
}
