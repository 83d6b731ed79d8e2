//! Programs that are attached, and whether they still are.
//!
//! Root can detach a program from a cgroup, or put another in its place, without any sign to whoever attached it. The
//! kernel offers neither for tracepoints: those links end with their last descriptor. Not here: attaching (`loader.rs`).

use libbpf_rs::Link;
use libbpf_rs::query::LinkTypeInfo;

/// A link of ours and what it held when it was made.
#[derive(Debug)]
pub(crate) struct Attached {
    name: &'static str,
    link: Link,
    program_id: u32,
    is_lost: bool,
}

impl Attached {
    /// Remembers what a link holds now.
    pub(crate) fn new(name: &'static str, link: Link) -> Self {
        let program_id = link.info().map_or(0, |info| info.prog_id);
        Self { name, link, program_id, is_lost: false }
    }

    /// Its name, once, when its link does not hold it any more. A kernel that tells nothing about links (before 5.8) is
    /// believed.
    pub(crate) fn newly_lost(&mut self) -> Option<&'static str> {
        let info = self.link.info().ok()?;
        // A cgroup link that was detached names no cgroup.
        let is_detached = matches!(&info.info, LinkTypeInfo::Cgroup(cgroup) if cgroup.cgroup_id == 0);
        let is_lost = is_detached || (self.program_id != 0 && info.prog_id != self.program_id);
        let is_new = is_lost && !self.is_lost;
        self.is_lost = is_lost;
        is_new.then_some(self.name)
    }

    #[cfg(test)]
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use crate::{Probes, ProbesConfig};

    fn unified() -> PathBuf {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let root = mounts.lines().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            let path = words.next()?;
            (words.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        root.expect("these tests need cgroup v2")
    }

    #[test]
    fn a_program_that_root_detaches_from_the_cgroups_is_named_once() {
        let config = ProbesConfig { unified: Some(unified()), ..ProbesConfig::default() };
        let mut probes =
            Probes::load(&config).unwrap_or_else(|error| panic!("these tests need BPF: {error}"));
        assert_eq!(probes.lost(), Vec::<&str>::new());
        let sent = probes.links.iter().find(|one| one.name == "on_sent_packet").unwrap();
        sent.link().detach().unwrap();
        assert_eq!(probes.lost(), ["on_sent_packet"]);
        assert_eq!(probes.lost(), Vec::<&str>::new());
        let traced = probes.links.iter().find(|one| one.name == "on_exec").unwrap();
        assert!(traced.link().detach().is_err(), "tracepoints cannot be detached from outside");
    }
}
