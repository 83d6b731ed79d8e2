//! One container of the inventory on one page: what each view says, how the kernel shows it, what it may do, who approved it.
//!
//! Not here: the table of all containers (`inventory_text.rs`).

use std::collections::BTreeSet;

use model::approval::Scope;
use model::fact::Fact;
use model::identity::Kind;
use model::inventory::{ContainerView, InventoryView};
use model::novelty::Provenance;
use model::privilege::{Capabilities, NamespaceKind, Privileges};
use model::runtime::ContainerFacts;
use model::setup::Setup;
use model::untrusted::Untrusted;
use model::view::{Row, Standing, Witness};

use crate::approval_text::scope_text;
use crate::inventory_text::suspect;
use crate::style::{Style, columns, cut, padded, shown};
use crate::text::{Page, is_shell_word, when};

/// Most columns of a right in the list of rights; most are short, mounts may be long.
const RIGHT_COLUMNS_MAX: usize = 48;

/// The explanation of one container. Ends with a newline; holds no control character but newlines, and colours when the style
/// has them.
pub fn container_text(view: &InventoryView, one: &ContainerView, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    page.container_headline(one);
    page.container_names(view, one);
    page.views(one);
    page.setup(one);
    page.rights(one);
    page.image(one);
    page.approvals(one);
    page.incidents(one);
    page.container_next(one);
    page.out
}

impl Page {
    fn container_headline(&mut self, one: &ContainerView) {
        let container = &one.container;
        let kind = container.kind.name().to_uppercase();
        let is_suspect = container.kind == Kind::Ghost || !container.tally.is_whole();
        let kind = if is_suspect { suspect(self.style, &kind) } else { kind };
        let state = match container.ended {
            Some(at) => format!("ended {} UTC", when(at)),
            None => format!("since {} UTC", when(container.key.started)),
        };
        let name = self.style.bold(&container.name().to_string());
        self.paragraph(&format!("{kind}  {name}  "), &state);
        let what = match container.kind {
            Kind::Managed => "a container engine claims it",
            Kind::Ghost => "no container engine claims it, though it lives in namespaces of its own",
            Kind::Service => "a unit of systemd with namespaces of its own",
            Kind::Unwatched => "its cgroup is named as an engine names them whose view is not watched",
            Kind::Unanswered => "the engine that could claim it does not answer",
            Kind::Unsettled => "an engine may still claim it",
            Kind::Sandbox => "namespaces of its own and the host's files",
            Kind::Own => "Tidewatch's own",
        };
        self.paragraph("", what);
        for contradiction in &container.tally.contradictions {
            let word = suspect(self.style, &format!("! {}: ", contradiction.about.name()));
            self.paragraph(&word, &shown(&contradiction.sentence));
        }
    }

    fn container_names(&mut self, view: &InventoryView, one: &ContainerView) {
        self.title("Who");
        let container = &one.container;
        let facts = one.facts();
        let mut rows = vec![("node", Untrusted::new(view.node.as_str()).to_string())];
        rows.push(("workload", one.workload.to_string()));
        rows.push(("id", told(facts.map(|facts| &facts.id))));
        rows.push(("pid", one.pid().map_or("unknown".to_owned(), |pid| pid.to_string())));
        rows.push(("cgroup", told(Some(&container.cgroup_path))));
        rows.push(("root", told(one.root())));
        rows.push(("program", told(Some(&container.program))));
        if let Some(facts) = facts {
            rows.push(("command", told(Some(&facts.command))));
        }
        if let Fact::Failed { reason } = &container.facts
            && !reason.is_empty()
        {
            rows.push(("not known", reason.to_string()));
        }
        self.rows(2, &rows);
    }

    fn views(&mut self, one: &ContainerView) {
        self.title("What each view says");
        let rows = one.rows.iter().map(|row| (witness(&row.witness), said(row)));
        self.rows(2, &rows.collect::<Vec<_>>());
    }

    fn setup(&mut self, one: &ContainerView) {
        self.title("How the kernel shows it");
        match &one.container.setup {
            Fact::Known(setup) => {
                let mut rows = setup_rows(setup);
                let makers = setup.makers.iter().map(|maker| {
                    let args = if maker.args.is_empty() { &maker.name } else { &maker.args };
                    ("made by", format!("{} (pid {}): {args}", maker.name, maker.pid))
                });
                rows.extend(makers);
                self.rows(2, &rows);
            }
            Fact::Pending { .. } => self.paragraph("  ", "its first process was not looked at yet"),
            Fact::Failed { reason } => {
                self.paragraph("  ", &format!("its first process could not be looked at: {reason}"));
            }
        }
    }

    /// Every right with who tells of it; what only one tells is marked.
    fn rights(&mut self, one: &ContainerView) {
        self.title("Rights over the host");
        let kernel = one.container.setup.known().map(|setup| &setup.privileges);
        let engine = one.claims().find_map(|facts| Some((facts, facts.privileges.as_deref()?)));
        let kernels = rights(kernel);
        let engines = rights(engine.map(|(_, privileges)| privileges));
        let approved = approved_rights(one);
        let all: BTreeSet<&Untrusted> = kernels.union(&engines).collect();
        if all.is_empty() {
            let nobody = kernel.is_none() && engine.is_none();
            return self.paragraph("  ", if nobody { "nobody tells them" } else { "none" });
        }
        let name = engine.map_or("engine", |(facts, _)| facts.view.engine.name());
        let width = all.iter().map(|right| columns(&right.to_string())).max().unwrap_or(0);
        let width = width.min(RIGHT_COLUMNS_MAX);
        let head = format!("  {}  kernel  {name}  approved", padded("", width));
        self.out.push_str(&(self.style.faint(&head) + "\n"));
        let word = |is_told: bool, has: bool| match (is_told, has) {
            (false, _) => "?",
            (true, true) => "yes",
            (true, false) => "no",
        };
        for right in all {
            let (by_kernel, by_engine) = (kernels.contains(right), engines.contains(right));
            let remark = match (kernel.is_some() && engine.is_some(), by_kernel, by_engine) {
                (true, true, false) => format!("  ! {name} does not say that it gave it"),
                // The kernel has no such word.
                (true, false, true) if right.raw() != "privileged" => {
                    "  ! the kernel does not show it".to_owned()
                }
                _ => String::new(),
            };
            let cells = [
                (word(kernel.is_some(), by_kernel), "kernel".len()),
                (word(engine.is_some(), by_engine), name.len()),
                (word(true, approved.contains(right)), "approved".len()),
            ];
            let cells: Vec<String> = cells.map(|(cell, width)| padded(cell, width)).into();
            // Whole, though its line gets longer: it is there to be copied.
            let line = format!("  {}  {}", padded(&right.to_string(), width), cells.join("  "));
            let line = if remark.is_empty() { line.trim_end().to_owned() } else { line };
            self.out.push_str(&(line + &suspect_unless_empty(self.style, &remark) + "\n"));
        }
    }

    fn image(&mut self, one: &ContainerView) {
        let Some(facts) = one.claims().find(|facts| has_image(facts)) else { return };
        self.title("Image");
        let about = &facts.image_facts;
        let mut rows = vec![("name", told(Some(&facts.image))), ("digest", told(Some(&facts.digest)))];
        rows.extend(about.digests.iter().map(|digest| ("also", digest.to_string())));
        if about.is_local {
            rows.push(("origin", "made on this host: no registry is known to have it".to_owned()));
        }
        if !about.parent.is_empty() {
            rows.push(("built on", about.parent.to_string()));
        }
        let signers = about.signers.iter();
        rows.extend(signers.map(|signer| ("signed by", format!("{signer}, as is told and not verified"))));
        self.rows(2, &rows);
    }

    fn approvals(&mut self, one: &ContainerView) {
        self.title("Approvals");
        let stands = match one.provenance {
            Provenance::Pending => "nobody was asked yet",
            Provenance::Unclaimed => "there is no image that could be approved",
            Provenance::Unapproved => "nobody approved its image",
            Provenance::ImageApproved => "its image is approved, its workload is not",
            Provenance::Approved => "its image and its workload are approved",
        };
        self.paragraph("  ", stands);
        for approval in &one.approvals {
            let note = if approval.note.is_empty() { String::new() } else { format!(": {}", approval.note) };
            let by = format!("by {}, {} UTC{note}", approval.owner, when(approval.at));
            let what = scope_text(&approval.scope);
            self.paragraph(&format!("  {}  ", approval.id), &format!("{what}, {by}"));
        }
    }

    fn incidents(&mut self, one: &ContainerView) {
        self.title("Open incidents");
        if one.incidents.is_empty() {
            self.paragraph("  ", "none names it");
        }
        for incident in &one.incidents {
            let severity = self.style.severity(incident.severity, incident.severity.name());
            self.paragraph(&format!("  {}  {severity}  ", incident.id), &shown(&incident.summary));
        }
    }

    /// Commands to copy into a shell.
    fn container_next(&mut self, one: &ContainerView) {
        let mut rows = Vec::new();
        for incident in one.incidents.iter().filter(|incident| is_shell_word(incident.id.as_str())) {
            rows.push((format!("tidewatch incidents show {}", incident.id), "why"));
        }
        match (one.provenance, one.pid(), one.facts()) {
            (Provenance::Unclaimed, Some(pid), _) => {
                rows.push((format!("tidewatch approve --unclaimed {pid}"), "when it belongs here"));
            }
            (Provenance::Unapproved, _, Some(facts)) if is_shell_word(facts.digest.raw()) => {
                let command = format!("tidewatch approve image {}", facts.digest);
                rows.push((command, "when this image belongs here"));
            }
            _ => {}
        }
        if rows.is_empty() {
            return;
        }
        self.title("Next");
        for (command, purpose) in rows {
            let purpose = self.style.faint(purpose);
            self.out.push_str(&format!("  {command}\n      {purpose}\n"));
        }
    }
}

fn suspect_unless_empty(style: Style, text: &str) -> String {
    if text.is_empty() { String::new() } else { suspect(style, text) }
}

fn told(text: Option<&Untrusted>) -> String {
    text.filter(|text| !text.is_empty()).map_or("unknown".to_owned(), Untrusted::to_string)
}

/// Who, without where: that is in what it says.
fn witness(witness: &Witness) -> String {
    match witness {
        Witness::Engine(view) if !view.namespace.is_empty() => {
            cut(&format!("{}:{}", view.engine, view.namespace), RIGHT_COLUMNS_MAX)
        }
        Witness::Engine(view) => view.engine.to_string(),
        other => other.to_string(),
    }
}

/// Its claim in words: `present, since 2026-01-31 12:00:00 UTC, at /run/x.sock: web, image nginx`.
fn said(row: &Row) -> String {
    let mut text = match row.standing {
        Standing::Present => "present",
        Standing::Denied => "denies it",
        Standing::Foreign => "need not know it",
        Standing::Silent => "cannot be asked now",
        Standing::Pending => "has not answered yet",
    }
    .to_owned();
    if let Some(since) = row.since {
        text.push_str(&format!(", since {} UTC", when(since)));
    }
    match &row.witness {
        Witness::Engine(view) if !view.place.is_empty() => text.push_str(&format!(", at {}", view.place)),
        _ => {}
    }
    if !row.says.is_empty() {
        text.push_str(&format!(": {}", row.says));
    }
    text
}

fn setup_rows(setup: &Setup) -> Vec<(&'static str, String)> {
    let root = match setup.has_own_root {
        true => format!("{}, its own", told(Some(&setup.root))),
        false => "the host's".to_owned(),
    };
    let users = match setup.has_own_users {
        true => "of its own: its capabilities say nothing about the host",
        false => "the host's",
    };
    let all = &setup.privileges.host_namespaces;
    let names: Vec<&str> = all.iter().map(|kind| NamespaceKind::name(*kind)).collect();
    let shared = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let lack = |is_lacking: bool, what: &str| if is_lacking { "none" } else { what }.to_owned();
    vec![
        ("process", format!("pid {}: {}", setup.process.pid, told(Some(&setup.program)))),
        ("root", root),
        ("users", users.to_owned()),
        ("shares with the host", format!("namespaces: {shared}")),
        ("capabilities", capabilities(setup.privileges.capabilities)),
        ("seccomp", lack(setup.privileges.without_seccomp, "a filter is in force")),
    ]
}

/// Told by how they differ from what engines usually give.
fn capabilities(all: Capabilities) -> String {
    let usual = Capabilities::usual();
    let (beyond, lacking) = (all.without(usual), usual.without(all));
    if all.is_empty() {
        return "none".to_owned();
    }
    if all == Capabilities::ALL {
        return "all".to_owned();
    }
    let mut text = "the usual ones".to_owned();
    if !beyond.is_empty() {
        text.push_str(&format!(", and {beyond}"));
    }
    if !lacking.is_empty() {
        text.push_str(&format!(", without {lacking}"));
    }
    text
}

fn rights(privileges: Option<&Privileges>) -> BTreeSet<Untrusted> {
    privileges.map(Privileges::rights).unwrap_or_default().into_iter().collect()
}

fn approved_rights(one: &ContainerView) -> BTreeSet<&Untrusted> {
    let scopes = one.approvals.iter().map(|approval| &approval.scope);
    let rights = scopes.filter_map(|scope| match scope {
        Scope::Rights { rights, .. } => Some(rights),
        _ => None,
    });
    rights.flatten().collect()
}

fn has_image(facts: &ContainerFacts) -> bool {
    !facts.image.is_empty() || facts.digests().next().is_some()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use testkit::inventory::{hostile, sample};

    use super::*;
    use crate::style::unpainted;

    fn shown_of(at: usize) -> String {
        let view = sample();
        container_text(&view, &view.containers[at], Style::PLAIN)
    }

    #[test]
    fn a_container_that_contradicts_itself_is_explained_by_every_view() {
        expect![[r#"
            MANAGED  shop_web.1.x2  since 2026-01-31 11:59:00 UTC
            a container engine claims it
            ! orchestrator_labels: its labels name the service shop_web, and swarm denies it: the service has no
                                   such task
            ! rights: the kernel shows capabilities that docker did not give: SYS_ADMIN

            Who
              node      shop-1
              workload  swarm:shop_web registry.example/shop/web
              id        aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
              pid       901
              cgroup    /docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
              root      /var/lib/docker/overlay2/a1/merged
              program   serve
              command   serve --port 80

            What each view says
              kernel           present, since 2026-01-31 11:59:00 UTC:
                               /docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
              docker           present, since 2026-01-31 11:00:00 UTC: shop_web.1.x2, image
                               registry.example/shop/web:1.4
              containerd:moby  present, since 2026-01-31 11:00:01 UTC, at /run/containerd/containerd.sock: aaaa
              swarm            denies it: the service has no such task
              policy           denies it: nobody approved its image

            How the kernel shows it
              process               pid 901: serve
              root                  /var/lib/docker/overlay2/a1/merged, its own
              users                 the host's
              shares with the host  namespaces: pid, user
              capabilities          the usual ones, and SYS_ADMIN
              seccomp               none
              made by               containerd-shim (pid 812): containerd-shim-runc-v2 -namespace moby -address
                                    /run/containerd/containerd.sock
              made by               systemd (pid 1): /sbin/init

            Rights over the host
                               kernel  docker  approved
              cap:SYS_ADMIN    yes     no      no        ! docker does not say that it gave it
              device:/dev/kvm  yes     no      no        ! docker does not say that it gave it
              host:pid         yes     no      no        ! docker does not say that it gave it
              mount:/etc:ro    yes     yes     no
              no-seccomp       yes     no      no        ! docker does not say that it gave it

            Image
              name       registry.example/shop/web:1.4
              digest     sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
              also       sha256:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f
              origin     made on this host: no registry is known to have it
              built on   sha256:1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e
              signed by  ann@shop.example, as is told and not verified

            Approvals
              nobody approved its image

            Open incidents
              TW-27097a804630  high  shop_web.1.x2 claims to be of the service shop_web, which denies it

            Next
              tidewatch incidents show TW-27097a804630
                  why
              tidewatch approve image sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
                  when this image belongs here
        "#]].assert_eq(&shown_of(0));
    }

    #[test]
    fn a_container_that_nobody_claims_is_told_by_its_root_and_its_makers() {
        expect![[r#"
            GHOST  /srv/miner --pool 203.0.113.9  since 2026-01-31 11:58:00 UTC
            no container engine claims it, though it lives in namespaces of its own

            Who
              node       shop-1
              workload   unclaimed:/srv/miner --pool 203.0.113.9
              id         unknown
              pid        902
              cgroup     /user.slice/user-0.slice/x.scope
              root       /srv/rootfs
              program    /srv/miner --pool 203.0.113.9
              not known  no engine claims it

            What each view says
              kernel      present, since 2026-01-31 11:58:00 UTC: /user.slice/user-0.slice/x.scope
              systemd     denies it: x.scope
              docker      denies it
              containerd  cannot be asked now, at /run/containerd/containerd.sock
              policy      denies it: no engine claims it, and nobody approved that

            How the kernel shows it
              process               pid 902: /srv/miner --pool 203.0.113.9
              root                  /srv/rootfs, its own
              users                 the host's
              shares with the host  namespaces: none
              capabilities          none
              seccomp               a filter is in force
              made by               containerd-shim (pid 812): containerd-shim-runc-v2 -namespace moby -address
                                    /run/containerd/containerd.sock
              made by               systemd (pid 1): /sbin/init

            Rights over the host
              none

            Approvals
              there is no image that could be approved

            Open incidents
              none names it

            Next
              tidewatch approve --unclaimed 902
                  when it belongs here
        "#]].assert_eq(&shown_of(1));
    }

    #[test]
    fn a_container_that_is_fine_is_told_with_its_approvals() {
        expect![[r#"
            MANAGED  db  since 2026-01-31 11:57:00 UTC
            a container engine claims it

            Who
              node      shop-1
              workload   [serve --port 80]
              id        dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
              pid       903
              cgroup    /docker/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
              root      /run/bundles/db/rootfs
              program   serve
              command   serve --port 80

            What each view says
              kernel              present, since 2026-01-31 11:57:00 UTC:
                                  /docker/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd
              containerd:default  present, since 2026-01-31 11:00:00 UTC, at /run/other.sock: db, image
              docker              need not know it
              policy              present, since 2026-01-30 08:13:20 UTC: image and workload approved

            How the kernel shows it
              its first process could not be looked at: nobody looked

            Rights over the host
              nobody tells them

            Approvals
              its image and its workload are approved
              7  engine containerd:default at /run/other.sock, by ann, 2026-01-30 08:13:20 UTC: moved in May
              8  workload  [serve --port 80] with rights over the host: host:net, by ann, 2026-01-30 08:13:20
                 UTC: moved in May

            Open incidents
              none names it
        "#]]
        .assert_eq(&shown_of(2));
    }

    #[test]
    fn hostile_texts_are_escaped_wherever_they_stand() {
        let view = hostile();
        let text = container_text(&view, &view.containers[0], Style::PLAIN);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r', '\t']), "{text}");
        assert!(!text.contains("tidewatch approve image"), "no shell may read it");
    }

    #[test]
    fn a_right_that_only_one_view_tells_is_marked() {
        let text = shown_of(0);
        let line = |right: &str| text.lines().find(|line| line.trim_start().starts_with(right)).unwrap();
        assert!(line("cap:SYS_ADMIN").contains("! docker does not say"), "{text}");
        assert!(!line("mount:/etc:ro").contains('!'), "{text}");
    }

    #[test]
    fn capabilities_are_told_by_what_is_unusual() {
        let sys_admin = Capabilities::parse("SYS_ADMIN").unwrap();
        let net_raw = Capabilities::parse("NET_RAW").unwrap();
        let usual = Capabilities::usual();
        let told = [usual, usual.with(sys_admin).without(net_raw), Capabilities::ALL, Capabilities(0)]
            .map(capabilities);
        assert_eq!(told, ["the usual ones", "the usual ones, and SYS_ADMIN, without NET_RAW", "all", "none"]);
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let view = sample();
        let coloured = container_text(&view, &view.containers[0], Style { colour: true, ..Style::PLAIN });
        assert!(coloured.contains("\x1b[1;31mMANAGED"), "{coloured}");
        assert_eq!(unpainted(&coloured), shown_of(0));
    }
}
