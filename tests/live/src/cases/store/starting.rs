//! A store that is damaged, emptied, exchanged or of another host when Tidewatch starts, or while it runs.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::disk::DataDisk;
use crate::cases::Outcome;
use crate::incident::array;
use crate::tidewatch::{Launch, Room, Tidewatch};
use crate::wait;

const DATABASE: &str = "tidewatch.db";
const APPROVED: &str = "team/approved";

/// Longest time from the start until what happened to the store is reported.
const REPORTED_WITHIN: Duration = Duration::from_secs(5);

/// Pages of the database are overwritten.
pub(crate) fn corrupt(room: &Room) -> Result<Outcome> {
    check_restart(room, Launch::default(), |data| {
        without_log(data)?;
        fs::write(data.join(DATABASE), "this was a database").context("cannot overwrite the database")
    })
}

/// Everything in the data directory is gone.
pub(crate) fn emptied(room: &Room) -> Result<Outcome> {
    check_restart(room, Launch::default(), |data| {
        fs::remove_dir_all(data).context("cannot empty the data directory")
    })
}

/// The data directory was brought from another machine.
pub(crate) fn other_host(room: &Room) -> Result<Outcome> {
    let id = room.path("machine-id");
    fs::write(&id, "0123456789abcdef0123456789abcdef\n")?;
    let mount = format!("mount --bind {} /etc/machine-id && exec \"$0\" \"$@\"", id.display());
    let under = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", &mount].map(str::to_owned);
    let first = Launch { under: under.to_vec(), ..Launch::default() };
    check_restart(room, first, |_| Ok(()))
}

/// A run that ends in order, something done to its data, and the next run, which has to say so.
fn check_restart(room: &Room, first: Launch, spoil: impl FnOnce(&Path) -> Result<()>) -> Result<Outcome> {
    let tidewatch = Tidewatch::start(room, first)?;
    tidewatch.ask(&["approve", "image", APPROVED])?;
    let data = tidewatch.data().to_owned();
    drop(tidewatch);
    spoil(&data)?;
    let began = Instant::now();
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let claim = reported(&tidewatch)?;
    let delay = began.elapsed().as_secs_f64();
    let approvals = tidewatch.ask(&["approve", "list"])?;
    ensure!(!approvals.text().contains(APPROVED), "approvals of a store that is not ours are in force");
    tidewatch.ask(&["approve", "image", APPROVED])?;
    Ok(Outcome { delays: vec![delay], note: claim })
}

/// The database's file is exchanged under the running Tidewatch: nothing is lost, and it is said.
pub(crate) fn exchanged(room: &Room) -> Result<Outcome> {
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    tidewatch.ask(&["approve", "image", APPROVED])?;
    let data = tidewatch.data().to_owned();
    let began = Instant::now();
    fs::remove_file(data.join(DATABASE))?;
    without_log(&data)?;
    fs::write(data.join(DATABASE), "another file")?;
    let claim = reported(&tidewatch)?;
    let delay = began.elapsed().as_secs_f64();
    tidewatch.ask(&["approve", "image", "team/later"])?;
    tidewatch.kill_nine();
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let approvals = tidewatch.ask(&["approve", "list"])?.text();
    ensure!(
        approvals.contains(APPROVED) && approvals.contains("team/later"),
        "approvals are lost: {approvals}"
    );
    Ok(Outcome { delays: vec![delay], note: claim })
}

/// Bytes are free and inodes are not: nothing can be made, and the run begins all the same.
pub(crate) fn without_inodes(room: &Room) -> Result<Outcome> {
    let disk = DataDisk::mount(room, 24, 64)?;
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    tidewatch.ask(&["approve", "image", APPROVED])?;
    drop(tidewatch);
    let used = disk.use_up_inodes()?;
    let began = Instant::now();
    let tidewatch = Tidewatch::start(room, Launch::default())?;
    let delay = began.elapsed().as_secs_f64();
    let approvals = tidewatch.ask(&["approve", "list"])?.text();
    tidewatch.ask(&["approve", "image", "team/later"])?;
    disk.empty()?;
    wait::until(Duration::from_secs(15), "both approvals are stored", || {
        let listed = tidewatch.ask_json(&["approve", "list", "--json"])?;
        let rows = listed.as_array().context("no list")?;
        Ok((rows.len() == 2 && rows.iter().all(|one| one["stored"] == true)).then_some(()))
    })
    .with_context(|| format!("before: {approvals}"))?;
    Ok(Outcome { delays: vec![delay], note: format!("{used} inodes used up") })
}

/// What is said of the store in `status`.
fn reported(tidewatch: &Tidewatch) -> Result<String> {
    wait::until(REPORTED_WITHIN, "status reports what happened to the store", || {
        let status = tidewatch.status()?;
        let found = array(&status, "integrity")?.iter().find(|found| found["judge"] == "store_changed");
        Ok(found.map(|found| found["claim"].as_str().unwrap_or_default().to_owned()))
    })
}

fn without_log(data: &Path) -> Result<()> {
    for ending in ["-wal", "-shm"] {
        match fs::remove_file(data.join(format!("{DATABASE}{ending}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
