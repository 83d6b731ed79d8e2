//! Finds the container that a person means.
//!
//! Not here: who is there.

use model::inventory::{ContainerView, InventoryView};
use model::untrusted::Untrusted;

/// Least characters of an id that stand for it: fewer would be found in pids and names.
const ID_PREFIX_MIN: usize = 4;
/// Most containers named when several fit.
const LISTED_MAX: usize = 20;

/// Who is meant.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// This one.
    One(&'a ContainerView),
    /// Nobody.
    Nobody,
    /// One of these.
    Several(Vec<&'a ContainerView>),
}

/// The container with that name, id, pid, cgroup or root directory; else one whose id begins so. One that runs is meant
/// before one that has ended.
pub(crate) fn find<'a>(view: &'a InventoryView, name: &str) -> Found<'a> {
    let exactly = candidates(view, |one| is_called(one, name));
    let all = if exactly.is_empty() { candidates(view, |one| has_id_prefix(one, name)) } else { exactly };
    let running: Vec<_> = all.iter().copied().filter(|one| one.container.ended.is_none()).collect();
    let all = if running.is_empty() { all } else { running };
    match all[..] {
        [] => Found::Nobody,
        [one] => Found::One(one),
        _ => Found::Several(all),
    }
}

/// Says between whom a person has to choose, one line each.
pub(crate) fn listed(name: &str, all: &[&ContainerView]) -> String {
    let line = |one: &&ContainerView| {
        let id = one.facts().map(|facts| facts.id.to_string()).filter(|id| !id.is_empty());
        let pid = one.pid().map(|pid| format!("pid {pid}"));
        let id = id.or(pid).unwrap_or_else(|| format!("cgroup {}", one.container.cgroup_path));
        format!("\n  {id}  {}  {}", one.container.kind.name(), one.container.name())
    };
    let lines: String = all.iter().take(LISTED_MAX).map(line).collect();
    let more = all.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    format!("{} may be any of these; give an id or a pid:{lines}{more}", Untrusted::new(name))
}

fn candidates(view: &InventoryView, fits: impl Fn(&ContainerView) -> bool) -> Vec<&ContainerView> {
    view.containers.iter().filter(|one| fits(one)).collect()
}

fn is_called(one: &ContainerView, name: &str) -> bool {
    // People copy what they are shown, which is escaped.
    let is = |text: &Untrusted| !text.is_empty() && (text.raw() == name || text.to_string() == name);
    let is_path = |text: &Untrusted| {
        let name = name.trim_end_matches('/');
        let name = if name.is_empty() { "/" } else { name };
        !text.is_empty() && (text.raw() == name || text.to_string() == name)
    };
    let container = &one.container;
    is(container.name())
        || is(&container.program)
        || one.claims().any(|facts| is(&facts.name) || is(&facts.id))
        || one.pid().is_some_and(|pid| pid.to_string() == name)
        || is_path(&container.cgroup_path)
        || one.root().is_some_and(is_path)
}

fn has_id_prefix(one: &ContainerView, prefix: &str) -> bool {
    prefix.len() >= ID_PREFIX_MIN && one.claims().any(|facts| facts.id.raw().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;
    use model::time::Time;
    use testkit::incidents::HOSTILE;
    use testkit::inventory::{claimed, facts, hostile, sample};

    use super::*;

    fn found(view: &InventoryView, name: &str) -> String {
        match find(view, name) {
            Found::One(one) => one.container.name().to_string(),
            Found::Nobody => "nobody".to_owned(),
            Found::Several(all) => format!("{} of them", all.len()),
        }
    }

    #[test]
    fn a_container_is_found_by_every_name_that_any_view_has() {
        let view = sample();
        for (name, who) in [
            ("db", "db"),
            (&"d".repeat(64), "db"),
            ("dddd", "db"),
            ("ddd", "nobody"),
            ("903", "db"),
            ("90", "nobody"),
            ("/run/bundles/db/rootfs", "db"),
            ("/run/bundles/db/rootfs/", "db"),
            ("/srv/rootfs", "/srv/miner --pool 203.0.113.9"),
            ("/user.slice/user-0.slice/x.scope", "/srv/miner --pool 203.0.113.9"),
            ("/srv/miner --pool 203.0.113.9", "/srv/miner --pool 203.0.113.9"),
            ("902", "/srv/miner --pool 203.0.113.9"),
            ("systemd-resolved", "systemd-resolved"),
            ("web", "web"),
            ("", "nobody"),
            ("/", "nobody"),
        ] {
            assert_eq!(found(&view, name), who, "{name}");
        }
    }

    #[test]
    fn a_hostile_name_is_found_as_it_is_and_as_it_is_shown() {
        let view = hostile();
        let shown = Untrusted::new(HOSTILE).to_string();
        assert_eq!(found(&view, HOSTILE), shown);
        assert_eq!(found(&view, &shown), shown);
    }

    #[test]
    fn who_runs_is_meant_before_who_has_ended_and_of_several_one_has_to_choose() {
        let mut view = sample();
        view.containers.push(claimed(9, facts("web", "nginx:1.26", 'f')));
        assert_eq!(found(&view, "web"), "web");
        let Found::One(one) = find(&view, "web") else { panic!("one runs") };
        assert!(one.container.ended.is_none());
        view.containers.push(claimed(10, facts("web", "nginx:1.26", '0')));
        let Found::Several(all) = find(&view, "web") else { panic!("two run") };
        expect![[r#"
            web may be any of these; give an id or a pid:
              ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff  managed  web
              0000000000000000000000000000000000000000000000000000000000000000  managed  web"#]]
        .assert_eq(&listed("web", &all));
        for one in &mut view.containers {
            Arc::make_mut(&mut one.container).ended = Some(Time::from_secs(1));
        }
        assert_eq!(found(&view, "web"), "3 of them");
    }
}
