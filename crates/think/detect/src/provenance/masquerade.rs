//! Flags a container that claims to be what another view denies: by its cgroup, its labels, its namespace in an engine, its
//! rights, or an image's name that is nearly an approved one.
//!
//! T1036.005. The contradictions are found by the tally (`enrich/src/tally.rs`), and only while every view answers. Not
//! here: an approved name with another content (`swapped_tag.rs`).

use model::finding::{Aspect, Finding};
use model::identity::Container;
use model::novelty::Provenance;
use model::untrusted::Untrusted;

use crate::Case;
use crate::provenance::{ALONE_BITS, claim, settled, tallied};

pub(crate) const ID: &str = "masquerade";

/// Nobody gets a cgroup, a label or a namespace of another's by accident.
const BITS: f64 = ALONE_BITS;
/// An image that nobody approved, one letter away from one that is: together with that, enough.
const NEAR_BITS: f64 = 9.0;
/// More labels than any orchestrator or image sets.
const CROWDED_BITS: f64 = 4.0;
/// Shorter names lie near each other by chance.
const NEAR_NAME_MIN: usize = 5;

/// Judges contradictions when views were compared, and names of images when facts are settled.
pub(crate) fn judge(case: &Case, out: &mut Vec<Finding>) {
    for container in tallied(case).filter(|container| !container.tally.is_whole()) {
        let found = &container.tally.contradictions;
        let sentences: Vec<&str> = found.iter().map(|it| it.sentence.as_str()).collect();
        let about: Vec<&str> = found.iter().map(|it| it.about.name()).collect();
        out.push(
            claim(case, container, ID, BITS, Aspect::Standing)
                .claiming(sentences.join("; "))
                .with("contradictions", about.join(" ").as_str()),
        );
    }
    for container in settled(case) {
        let Some(facts) = container.facts.known() else { continue };
        judge_labels(case, container, out);
        if case.state.provenance(container) != Provenance::Unapproved {
            continue;
        }
        let Some(near) = case.state.approved_names().find(|name| is_near(&facts.image, name)) else {
            continue;
        };
        out.push(
            claim(case, container, ID, NEAR_BITS, Aspect::Standing)
                .claiming(format!(
                    "the name of its image, {}, is nearly that of {near}, which is approved",
                    facts.image
                ))
                .with("approved_image", near),
        );
    }
}

/// More labels than are kept: who has so many may hide others among them.
fn judge_labels(case: &Case, container: &Container, out: &mut Vec<Finding>) {
    let dropped = container.claims().map(|facts| facts.labels_dropped).max().unwrap_or(0);
    if dropped > 0 {
        out.push(
            claim(case, container, ID, CROWDED_BITS, Aspect::Standing)
                .claiming(format!("{dropped} of its labels do not fit into what is kept of them"))
                .with("labels_dropped", u64::from(dropped)),
        );
    }
}

/// Whether two images' names, without tags, are one edit apart.
fn is_near(image: &Untrusted, approved: &Untrusted) -> bool {
    let bare = |name: &'_ str| -> String {
        let slash = name.rfind('/').map_or(0, |at| at + 1);
        name[slash..].find([':', '@']).map_or(name, |end| &name[..slash + end]).to_owned()
    };
    let (a, b) = (bare(image.raw()), bare(approved.raw()));
    a != b && a.len().min(b.len()) >= NEAR_NAME_MIN && is_one_edit(a.as_bytes(), b.as_bytes())
}

/// One byte replaced, added, left out, or two neighbours exchanged.
fn is_one_edit(a: &[u8], b: &[u8]) -> bool {
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    matches!((a.len(), b.len()), (0 | 1, 1) | (1, 0))
        || (a.len() == 2 && b.len() == 2 && a[0] == b[1] && a[1] == b[0])
}

#[cfg(test)]
mod tests {
    use super::is_near;

    #[test]
    fn names_one_edit_apart_are_near_and_versions_are_not() {
        let near = |a: &str, b: &str| is_near(&a.into(), &b.into());
        for (a, b) in [
            ("ngimx", "nginx"),
            ("shop/nignx:2", "shop/nginx:1"),
            ("postgress", "postgres:16"),
            ("busybx", "busybox"),
        ] {
            assert!(near(a, b), "{a} {b}");
        }
        for (a, b) in [("nginx:2", "nginx:1"), ("redis", "nginx"), ("app1", "app2"), ("shop/nginx", "nginx")]
        {
            assert!(!near(a, b), "{a} {b}");
        }
    }
}
