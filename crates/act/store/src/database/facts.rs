//! Rows of the tables `facts` and `meta`: what is true of the whole database, and of the run that writes it.

use model::time::Time;
use rusqlite::{Connection, OptionalExtension};

use super::{meta, set_meta};
use crate::run::{KILLS_KEPT, KILLS_MAX, LastRun, ThisRun};

const BOOT: &str = "boot_id";
const FIRST_LOOK: &str = "first_look_ns";
const IN_ORDER: &str = "ended_in_order";
const KILLS: &str = "killed_ns";
const LAST_BEAT: &str = "last_beat_ns";
const RUN_BEGUN: &str = "run_begun_ns";

/// The text kept under a key; `None` when there is none.
pub(super) fn fact(sql: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    sql.prepare_cached("SELECT value FROM facts WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Keeps a text under a key, in place of the one before.
pub(super) fn set_fact(sql: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    sql.prepare_cached("INSERT OR REPLACE INTO facts (key, value) VALUES (?1, ?2)")?.execute((key, value))?;
    Ok(())
}

/// What the run before this one noted of itself.
pub(super) fn last_run(sql: &Connection) -> rusqlite::Result<LastRun> {
    Ok(LastRun {
        last_beat: meta(sql, LAST_BEAT)?.map(Time::from_ns),
        first_look: meta(sql, FIRST_LOOK)?.map(Time::from_ns),
        boot_id: fact(sql, BOOT)?.unwrap_or_default(),
        ended_in_order: meta(sql, IN_ORDER)?.map(|value| value != 0),
        killed_before: kills(sql)?,
    })
}

/// When runs that did not end in order were last alive, oldest first.
fn kills(sql: &Connection) -> rusqlite::Result<Vec<Time>> {
    let text = fact(sql, KILLS)?.unwrap_or_default();
    Ok(text.split(' ').filter_map(|ns| ns.parse().ok()).map(Time::from_ns).collect())
}

/// Notes that the run before this one was killed: what is killed again and again must add up.
fn note_kill(sql: &Connection, begun: Time) -> rusqlite::Result<()> {
    let last = last_run(sql)?;
    let Some(at) = last.last_beat.filter(|_| last.ended_in_order == Some(false)) else { return Ok(()) };
    let mut kills = last.killed_before;
    kills.push(at);
    kills.retain(|kill| begun.since(*kill) < KILLS_KEPT);
    let kept = kills.iter().rev().take(KILLS_MAX).rev();
    let text: Vec<String> = kept.map(|kill| kill.ns().to_string()).collect();
    set_fact(sql, KILLS, &text.join(" "))
}

/// Notes that a run began; it counts as ended in order only when [`end_run`] says so.
pub(super) fn begin_run(sql: &Connection, run: &ThisRun) -> rusqlite::Result<()> {
    if meta(sql, FIRST_LOOK)?.is_none() {
        set_meta(sql, FIRST_LOOK, run.first_look.unwrap_or(run.begun).ns())?;
    }
    // A store that this run opens anew has noted it already, and has its later signs of life.
    if meta(sql, RUN_BEGUN)? == Some(run.begun.ns()) {
        return Ok(());
    }
    note_kill(sql, run.begun)?;
    set_meta(sql, RUN_BEGUN, run.begun.ns())?;
    set_fact(sql, BOOT, &run.boot_id)?;
    set_meta(sql, IN_ORDER, 0)?;
    set_meta(sql, LAST_BEAT, run.begun.ns())
}

/// Notes that the run goes on.
pub(super) fn beat(sql: &Connection, at: Time) -> rusqlite::Result<()> {
    set_meta(sql, LAST_BEAT, at.ns())
}

/// Notes that the run ended because it was asked to.
pub(super) fn end_run(sql: &Connection, at: Time) -> rusqlite::Result<()> {
    set_meta(sql, IN_ORDER, 1)?;
    set_meta(sql, LAST_BEAT, at.ns())
}
