//! The arrows between the rooms, held against what `cargo metadata` says the crates depend on.
//!
//! Not here: why they point that way; ARCHITECTURE.md and docs/decisions/0001-layers-and-arrows.md say so.

use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package};

use crate::problem::Problem;

/// What each room may depend on, besides `model`, which every room may.
const ARROWS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("deadline", &[]),
    ("probes", &[]),
    ("hostfs", &["deadline"]),
    ("conntrack", &[]),
    ("hardening", &[]),
    ("containers", &[]),
    ("formats", &[]),
    ("sources", &["deadline", "probes", "hostfs", "conntrack", "containers", "formats"]),
    ("enrich", &[]),
    ("state", &[]),
    ("strategy", &[]),
    ("detect", &["state"]),
    ("triage", &[]),
    ("netpol", &[]),
    ("store", &["deadline"]),
    ("report", &[]),
    (
        "engine",
        &[
            "deadline",
            "hardening",
            "sources",
            "probes",
            "hostfs",
            "enrich",
            "state",
            "strategy",
            "detect",
            "triage",
            "netpol",
            "store",
            "report",
        ],
    ),
    (
        "cli",
        &[
            "engine",
            "deadline",
            "sources",
            "probes",
            "hostfs",
            "hardening",
            "containers",
            "strategy",
            "detect",
            "triage",
            "netpol",
            "store",
            "report",
        ],
    ),
    ("testkit", &[]),
];

/// Packages beside the product: they may depend on any room, and no room on them.
const OUTSIDE: [&str; 4] = ["bench", "live", "load", "xtask"];

/// The pure rooms, and what they may not even link: whatever brings input, output or a clock.
const PURE: [&str; 6] = ["enrich", "state", "strategy", "detect", "triage", "netpol"];
const IMPURE: [&str; 8] =
    ["tokio", "rustix", "libc", "bollard", "rusqlite", "libbpf-rs", "crossbeam-channel", "tracing"];

/// One dependency of a package of the workspace, as written in its manifest.
struct Arrow<'a> {
    from: &'a str,
    to: &'a str,
    ours: bool,
    dev: bool,
}

/// Checks every package of the workspace; gives back what was checked, and the problems.
pub(crate) fn check(root: &Path) -> Result<(String, Vec<Problem>)> {
    let mut command = MetadataCommand::new();
    command.manifest_path(root.join("Cargo.toml")).no_deps();
    let metadata = command.exec().context("cargo metadata")?;
    let mut problems = Vec::new();
    for package in &metadata.packages {
        problems.extend(check_package(root, package)?);
    }
    problems.sort();
    Ok((format!("layers, {} packages", metadata.packages.len()), problems))
}

fn check_package(root: &Path, package: &Package) -> Result<Vec<Problem>> {
    let manifest = package.manifest_path.as_std_path();
    let text = std::fs::read_to_string(manifest).with_context(|| format!("{}", manifest.display()))?;
    let path = manifest.strip_prefix(root).unwrap_or(manifest).to_string_lossy().into_owned();
    let from = package.name.as_str();
    let unknown = (!is_known(from))
        .then(|| (from, format!("{from} is no room: add its arrows to xtask/src/layers.rs")));
    let arrows = package.dependencies.iter().map(|dependency| arrow(from, dependency));
    let wrong = arrows.filter_map(|arrow| Some((arrow.to, judge(&arrow)?)));
    let place =
        |(name, message): (&str, String)| Problem { path: path.clone(), line: line_of(&text, name), message };
    Ok(unknown.into_iter().chain(wrong).map(place).collect())
}

fn arrow<'a>(from: &'a str, dependency: &'a Dependency) -> Arrow<'a> {
    let (ours, dev) = (dependency.path.is_some(), dependency.kind == DependencyKind::Development);
    Arrow { from, to: &dependency.name, ours, dev }
}

fn is_known(room: &str) -> bool {
    OUTSIDE.contains(&room) || ARROWS.iter().any(|(from, _)| *from == room)
}

/// What is wrong with an arrow, if anything.
fn judge(arrow: &Arrow<'_>) -> Option<String> {
    let Arrow { from, to, ours, dev } = *arrow;
    // Tests may put rooms together that the product keeps apart.
    if dev || OUTSIDE.contains(&from) {
        return None;
    }
    if !ours {
        let impure = PURE.contains(&from) && IMPURE.contains(&to);
        return impure.then(|| format!("{from} is pure: it may not depend on {to}"));
    }
    if to == "testkit" {
        return Some(format!("wrong arrow {from} -> testkit: a dev-dependency only"));
    }
    let allowed = ARROWS.iter().find(|(room, _)| *room == from).map_or(&[][..], |(_, to)| to);
    let right = allowed.contains(&to) || (to == "model" && from != "model");
    (!right).then(|| format!("wrong arrow {from} -> {to}"))
}

/// The line of a manifest that names a dependency or the package, from 1; 1 when it cannot be found.
fn line_of(manifest: &str, name: &str) -> usize {
    let names = |line: &str| {
        let key = line.split(['.', '=', ' ']).next();
        key == Some(name) || line == format!("name = \"{name}\"")
    };
    manifest.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(from: &str, to: &str, dev: bool) -> Option<String> {
        let ours = is_known(to);
        judge(&Arrow { from, to, ours, dev })
    }

    #[test]
    fn the_arrows_of_the_house_are_right() {
        for (from, to) in
            [("cli", "engine"), ("engine", "detect"), ("sources", "hostfs"), ("detect", "state")]
        {
            assert_eq!(wrong(from, to, false), None);
        }
        for room in ["report", "triage", "probes", "testkit"] {
            assert_eq!(wrong(room, "model", false), None);
        }
        assert_eq!(wrong("bench", "engine", false), None);
        assert_eq!(wrong("detect", "testkit", true), None);
    }

    #[test]
    fn sense_think_and_act_never_see_one_another() {
        for (from, to) in
            [("detect", "sources"), ("store", "triage"), ("sources", "store"), ("state", "detect")]
        {
            assert_eq!(wrong(from, to, false), Some(format!("wrong arrow {from} -> {to}")));
            assert_eq!(wrong(from, to, true), None, "for tests");
        }
        assert_eq!(wrong("model", "state", false), Some("wrong arrow model -> state".to_owned()));
        assert_eq!(wrong("engine", "bench", false), Some("wrong arrow engine -> bench".to_owned()));
    }

    #[test]
    fn testkit_is_for_tests() {
        let message = "wrong arrow engine -> testkit: a dev-dependency only".to_owned();
        assert_eq!(wrong("engine", "testkit", false), Some(message));
    }

    #[test]
    fn the_pure_rooms_link_nothing_that_has_a_clock() {
        assert_eq!(
            wrong("detect", "tokio", false),
            Some("detect is pure: it may not depend on tokio".to_owned())
        );
        assert_eq!(wrong("sources", "tokio", false), None);
        assert_eq!(wrong("detect", "serde", false), None);
    }

    #[test]
    fn problems_point_at_the_line_of_the_dependency() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nmodel.workspace = true\ntokio = \"1\"\n";
        assert_eq!(["x", "model", "tokio", "none"].map(|name| line_of(manifest, name)), [2, 5, 6, 1]);
    }

    #[test]
    fn no_room_has_two_rows_of_arrows_and_no_arrow_leads_nowhere() {
        for (at, (room, to)) in ARROWS.iter().enumerate() {
            assert!(ARROWS[..at].iter().all(|(other, _)| other != room), "{room}");
            assert!(to.iter().all(|room| is_known(room)), "{room}");
        }
    }
}
