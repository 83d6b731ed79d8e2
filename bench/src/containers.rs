//! Containers made by hand: `unshare` and `sleep`, each in a control group of its own. They end with the value, and by
//! themselves when the bench is killed.
//!
//! Not here: a runtime; nobody claims these, so Tidewatch settles them as ghosts.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hostfs::layout::CgroupLayout;
use sources::outlet::Stop;

use crate::groups::{Groups, members};

/// Longer than one measurement takes.
const LIFE_SECONDS: &str = "120";
const START_WAIT: Duration = Duration::from_secs(30);

/// Running containers.
pub(crate) struct Containers {
    groups: Groups,
    children: Vec<Child>,
}

impl Containers {
    /// Starts so many, and waits until all of them run.
    pub(crate) fn start(layout: &CgroupLayout, count: usize, stop: &Stop) -> Result<Self> {
        let mut containers = Self { groups: Groups::make(layout, count)?, children: Vec::new() };
        for number in 0..count {
            containers.children.push(containers.spawn(number)?);
        }
        let begun = Instant::now();
        while !containers.all_run() {
            if stop.wait(Duration::from_millis(100)) || begun.elapsed() > START_WAIT {
                bail!("not all of {count} containers made with unshare run");
            }
        }
        Ok(containers)
    }

    fn spawn(&self, number: usize) -> Result<Child> {
        // The shell joins before it becomes the container: nothing of it ever runs elsewhere.
        let join: String = self
            .groups
            .everywhere(number)
            .map(|group| format!("echo $$ > {}/cgroup.procs; ", group.display()))
            .collect();
        Command::new("sh")
            .args(["-ec", &format!("{join} exec unshare --pid --net --mount --fork sleep {LIFE_SECONDS}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start a shell")
    }

    fn all_run(&self) -> bool {
        // unshare itself and its child.
        (0..self.groups.count()).all(|number| {
            self.groups.everywhere(number).next().is_some_and(|group| members(&group).len() >= 2)
        })
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // The sleeping child of unshare is killed with its group.
            let _ended = child.kill().and_then(|()| child.wait());
        }
    }
}
