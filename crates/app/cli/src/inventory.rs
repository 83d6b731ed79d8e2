//! `tidewatch inventory`: who is there and what each view says about it; one container in full.
//!
//! Not here: any judgement of its own; all comes from the running Tidewatch.

pub(crate) mod find;

use std::mem;

use anyhow::bail;
use engine::control::{Answer, Request, ask};
use model::identity::Kind;
use model::inventory::InventoryView;
use model::untrusted::Untrusted;
use report::container_text::container_text;
use report::inventory_json::{inventory_json, shown_json};
use report::inventory_text::{Marks, inventory_text};
use report::style::Style;

use crate::Outcome;
use crate::args::DataDir;
use crate::args::provenance::{InventoryAction, InventoryArgs};
use crate::inventory::find::{Found, find, listed};
use crate::output::{complain, is_terminal, say, say_json, style};

/// Where there is no terminal, a sentence stands on one line.
const FILE_COLUMNS: usize = 4_096;

pub(crate) fn run(args: &InventoryArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        None => list(args),
        Some(InventoryAction::Show { name, data, json }) => show(data, name, *json),
    }
}

/// What the Tidewatch that runs on a data directory knows of all containers.
pub(crate) fn asked(data: &DataDir) -> anyhow::Result<InventoryView> {
    match ask(&data.data_dir, &Request::Inventory)? {
        Answer::Inventory(view) => Ok(*view),
        _ => bail!("an unexpected answer"),
    }
}

fn list(args: &InventoryArgs) -> anyhow::Result<Outcome> {
    let mut view = asked(&args.data)?;
    let kinds: Vec<Kind> = args.kind.iter().map(|kind| (*kind).into()).collect();
    keep(&mut view, &kinds, args.all);
    if args.json {
        say_json(&inventory_json(&view));
    } else if is_terminal() {
        say(inventory_text(&view, style(), Marks::Signs).trim_end());
    } else {
        // A file or another program has room for whole names.
        let style = Style { width: FILE_COLUMNS, ..Style::PLAIN };
        say(inventory_text(&view, style, Marks::Words).trim_end());
    }
    // The process ends next; giving back 128,000 labels one by one first took 9 ms of 100.
    mem::forget(view);
    Ok(Outcome::Fine)
}

/// Keeps what is of a kind that is wanted, all kinds when none is named; what has ended only when that is wanted.
fn keep(view: &mut InventoryView, kinds: &[Kind], is_ended_wanted: bool) {
    view.containers.retain(|one| {
        let is_of_kind = kinds.is_empty() || kinds.contains(&one.container.kind);
        is_of_kind && (is_ended_wanted || one.container.ended.is_none())
    });
}

fn show(data: &DataDir, name: &str, json: bool) -> anyhow::Result<Outcome> {
    let view = asked(data)?;
    match find(&view, name) {
        Found::One(one) if json => say_json(&shown_json(&view, one)),
        Found::One(one) => say(container_text(&view, one, style()).trim_end()),
        Found::Nobody => {
            complain(&format!(
                "no container here has the name, id, pid, cgroup or root directory {}",
                Untrusted::new(name)
            ));
            return Ok(Outcome::BadNews);
        }
        Found::Several(all) => bail!("{}", listed(name, &all)),
    }
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use testkit::inventory::sample;

    use super::*;

    #[test]
    fn only_kinds_that_are_wanted_are_kept_and_the_ended_only_when_asked_for() {
        let kept = |kinds: &[Kind], is_ended_wanted| {
            let mut view = sample();
            keep(&mut view, kinds, is_ended_wanted);
            let names = view.containers.iter().map(|one| one.container.name().to_string());
            names.map(|name| name.chars().take(8).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&[], false), ["shop_web", "/srv/min", "db", "systemd-"]);
        assert_eq!(kept(&[], true).len(), 5);
        assert_eq!(kept(&[Kind::Managed], true), ["shop_web", "db", "web"]);
        assert_eq!(kept(&[Kind::Ghost, Kind::Service], false), ["/srv/min", "systemd-"]);
        assert!(kept(&[Kind::Own], true).is_empty());
    }
}
