//! The inventory of containers for machines: the documented form, with every field and times in RFC 3339.
//!
//! Not here: which containers are wanted.

use std::sync::Arc;

use model::approval::Approval;
use model::fact::Fact;
use model::inventory::{ContainerView, InventoryView, NamedIn};
use model::privilege::{Capabilities, Privileges};
use model::runtime::ContainerFacts;
use model::setup::Setup;
use model::time::Time;
use model::untrusted::Untrusted;
use model::view::{Contradiction, Row, View, Witness};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Version of the form; a field more is no new version.
const VERSION: u32 = 1;

/// The inventory as a document.
pub fn inventory_json(view: &InventoryView) -> impl Serialize {
    Form(view)
}

/// One container of the inventory as a document.
pub fn shown_json<'a>(view: &'a InventoryView, container: &'a ContainerView) -> impl Serialize + 'a {
    Form(Shown { view, container })
}

/// What has a form of its own in the document. The types of `model` already have another one, in which they are stored.
trait Document {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error>;
}

/// Writes something in its form in the document: nothing is copied, as a host may have megabytes of labels.
struct Form<T>(T);

impl<T: Document> Serialize for Form<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.write(to)
    }
}

impl<T: Document + ?Sized> Document for &T {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).write(to)
    }
}

impl<T: Document + ?Sized> Document for Arc<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).write(to)
    }
}

impl<T: Document> Document for [T] {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(Form))
    }
}

impl<T: Document> Document for Option<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.write(to),
            None => to.serialize_none(),
        }
    }
}

/// What is known, or why it is not.
impl<T: Document> Document for Fact<T> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(1))?;
        match self {
            Self::Known(value) => map.serialize_entry("known", &Form(value))?,
            Self::Pending { since } => map.serialize_entry("pending_since", &Form(since))?,
            Self::Failed { reason } => map.serialize_entry("failed", reason)?,
        }
        map.end()
    }
}

impl Document for Time {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.rfc3339())
    }
}

impl Document for InventoryView {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("node", &self.node)?;
        map.serialize_entry("at", &Form(self.at))?;
        map.serialize_entry("containers", &Form(&*self.containers))?;
        map.serialize_entry("dropped", &self.dropped)?;
        map.end()
    }
}

/// One container, and the inventory that it is in.
struct Shown<'a> {
    view: &'a InventoryView,
    container: &'a ContainerView,
}

impl Document for Shown<'_> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("node", &self.view.node)?;
        map.serialize_entry("at", &Form(self.view.at))?;
        map.serialize_entry("container", &Form(self.container))?;
        map.end()
    }
}

impl Document for ContainerView {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (container, facts) = (&self.container, self.facts());
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("kind", &container.kind)?;
        map.serialize_entry("name", container.name())?;
        map.serialize_entry("id", facts.map_or("", |facts| facts.id.raw()))?;
        map.serialize_entry("image", self.image().map_or("", Untrusted::raw))?;
        map.serialize_entry("digest", facts.map_or("", |facts| facts.digest.raw()))?;
        map.serialize_entry("root", self.root().map_or("", Untrusted::raw))?;
        map.serialize_entry("pid", &self.pid())?;
        map.serialize_entry("cgroup", &container.cgroup_path)?;
        map.serialize_entry("cgroup_id", &container.key.cgroup)?;
        map.serialize_entry("started", &Form(container.key.started))?;
        map.serialize_entry("ended", &Form(container.ended))?;
        map.serialize_entry("program", &container.program)?;
        map.serialize_entry("workload", &self.workload)?;
        map.serialize_entry("provenance", &self.provenance)?;
        map.serialize_entry("namespaces", &container.namespaces)?;
        map.serialize_entry("facts", &Form(&container.facts))?;
        map.serialize_entry("others", &Form(&*container.others))?;
        map.serialize_entry("setup", &Form(&container.setup))?;
        map.serialize_entry("tally", &Form(Told(self)))?;
        map.serialize_entry("approvals", &Form(&*self.approvals))?;
        map.serialize_entry("incidents", &Form(&*self.incidents))?;
        map.end()
    }
}

/// What every witness says of a container, and where they contradict each other.
struct Told<'a>(&'a ContainerView);

impl Document for Told<'_> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("rows", &Form(&*self.0.rows))?;
        map.serialize_entry("contradictions", &Form(&*self.0.container.tally.contradictions))?;
        map.end()
    }
}

impl Document for ContainerFacts {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let image = &self.image_facts;
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("view", &Form(&self.view))?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("image", &self.image)?;
        map.serialize_entry("digest", &self.digest)?;
        map.serialize_entry("digests", &image.digests)?;
        map.serialize_entry("image_is_local", &image.is_local)?;
        map.serialize_entry("image_parent", &image.parent)?;
        map.serialize_entry("image_signers", &image.signers)?;
        map.serialize_entry("command", &self.command)?;
        map.serialize_entry("health_check", &self.health_check)?;
        map.serialize_entry("labels", &Form(Labels(&self.labels)))?;
        map.serialize_entry("labels_dropped", &self.labels_dropped)?;
        map.serialize_entry("pid", &self.pid)?;
        map.serialize_entry("state", &self.state)?;
        map.serialize_entry("created", &Form(self.created))?;
        map.serialize_entry("started", &Form(self.started))?;
        map.serialize_entry("log_driver", &self.log_driver)?;
        map.serialize_entry("log_path", &self.log_path)?;
        map.serialize_entry("network_mode", &self.network_mode)?;
        map.serialize_entry("addresses", &self.addresses)?;
        map.serialize_entry("published", &self.published)?;
        map.serialize_entry("root", &self.root)?;
        map.serialize_entry("cgroup", &self.cgroup)?;
        map.serialize_entry("privileges", &Form(self.privileges.as_deref()))?;
        map.serialize_entry("orchestrated", &self.orchestrated)?;
        map.end()
    }
}

/// Labels as an object. Keys that were cut may be equal, and an object holds a name once: the last one counts, as it does
/// for most parsers. They are sorted, so that equal ones are side by side.
struct Labels<'a>(&'a [(Untrusted, Untrusted)]);

impl Document for Labels<'_> {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let same_key = |a: &(Untrusted, Untrusted), b: &(Untrusted, Untrusted)| a.0 == b.0;
        to.collect_map(self.0.chunk_by(same_key).filter_map(<[_]>::last).map(|(key, value)| (key, value)))
    }
}

impl Document for Setup {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("pid", &self.process.pid)?;
        map.serialize_entry("program", &self.program)?;
        map.serialize_entry("cgroup", &self.cgroup_path)?;
        map.serialize_entry("cgroup_id", &self.cgroup)?;
        map.serialize_entry("namespaces", &self.namespaces)?;
        map.serialize_entry("root", &self.root)?;
        map.serialize_entry("has_own_root", &self.has_own_root)?;
        map.serialize_entry("has_own_users", &self.has_own_users)?;
        map.serialize_entry("privileges", &Form(&self.privileges))?;
        map.serialize_entry("makers", &self.makers)?;
        map.end()
    }
}

/// The names of capabilities.
struct Names(Capabilities);

impl Document for Names {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.names())
    }
}

impl Document for Privileges {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("rights", &self.rights())?;
        map.serialize_entry("is_privileged", &self.is_privileged)?;
        map.serialize_entry("capabilities", &Form(Names(self.capabilities)))?;
        map.serialize_entry("host_namespaces", &self.host_namespaces)?;
        map.serialize_entry("without_seccomp", &self.without_seccomp)?;
        map.serialize_entry("is_unconfined", &self.is_unconfined)?;
        map.serialize_entry("mounts", &self.mounts)?;
        map.serialize_entry("devices", &self.devices)?;
        map.end()
    }
}

impl Document for Row {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("witness", &Form(&self.witness))?;
        map.serialize_entry("standing", &self.standing)?;
        map.serialize_entry("since", &Form(self.since))?;
        map.serialize_entry("says", &self.says)?;
        map.end()
    }
}

impl Document for Contradiction {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("about", &self.about)?;
        map.serialize_entry("claims", &Form(&self.claims))?;
        map.serialize_entry("denies", &Form(&self.denies))?;
        map.serialize_entry("sentence", &self.sentence)?;
        map.end()
    }
}

/// Every kind of witness has a kind and a name; engines have a place and a namespace as well.
impl Document for Witness {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (kind, name) = match self {
            Self::Kernel => ("kernel", "kernel"),
            Self::Systemd => ("systemd", "systemd"),
            Self::Engine(view) => ("engine", view.engine.name()),
            Self::Orchestrator { name } => ("orchestrator", name.raw()),
            Self::Policy => ("policy", "policy"),
        };
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("kind", kind)?;
        map.serialize_entry("name", name)?;
        if let Self::Engine(view) = self {
            map.serialize_entry("place", &view.place)?;
            map.serialize_entry("namespace", &view.namespace)?;
        }
        map.end()
    }
}

impl Document for View {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("engine", &self.engine)?;
        map.serialize_entry("place", &self.place)?;
        map.serialize_entry("namespace", &self.namespace)?;
        map.end()
    }
}

impl Document for Approval {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("scope", &self.scope)?;
        map.serialize_entry("owner", &self.owner)?;
        map.serialize_entry("at", &Form(self.at))?;
        map.serialize_entry("note", &self.note)?;
        map.end()
    }
}

impl Document for NamedIn {
    fn write<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("severity", &self.severity)?;
        map.serialize_entry("summary", &self.summary)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;
    use serde_json::{Value, json};
    use testkit::incidents::HOSTILE;
    use testkit::inventory::{hostile, sample};

    use super::*;
    use crate::json::write_json;

    fn text(document: &impl Serialize) -> String {
        let mut out = Vec::new();
        write_json(&mut out, document).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_form_is_the_documented_one() {
        let mut view = sample();
        view.containers.truncate(2);
        expect_file!["../test-data/inventory.json"].assert_eq(&(text(&inventory_json(&view)) + "\n"));
    }

    #[test]
    fn one_container_has_the_same_form_as_among_others() {
        let view = sample();
        let (all, one) = (json!(inventory_json(&view)), json!(shown_json(&view, &view.containers[2])));
        assert_eq!(one["container"], all["containers"][2]);
        assert_eq!(one["version"], 1);
        assert_eq!(one["container"]["approvals"][0]["at"], "2026-01-30T08:13:20.000Z");
    }

    #[test]
    fn labels_whose_keys_were_cut_to_the_same_are_one_in_the_document() {
        let label = |key: &str, value: &str| (Untrusted::new(key), Untrusted::new(value));
        let labels = [label("a", "1"), label("b", "1"), label("b", "2"), label("c", "1")];
        assert_eq!(text(&Form(Labels(&labels))), "{\n  \"a\": \"1\",\n  \"b\": \"2\",\n  \"c\": \"1\"\n}");
        assert_eq!(text(&Form(Labels(&[]))), "{}");
    }

    #[test]
    fn hostile_texts_are_raw_to_a_parser_and_ascii_to_a_terminal() {
        let view = hostile();
        let json = json!(inventory_json(&view));
        assert_eq!(json["containers"][0]["cgroup"], HOSTILE);
        let text = text(&inventory_json(&view));
        assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json);
    }
}
