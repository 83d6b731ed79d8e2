//! A store in a data directory that looks after itself: it gives up its reserve when the disk is full, moves aside what is
//! unusable, notices when its file is exchanged, and remembers in a second place how far it got.
//!
//! Not here: threads and retries, see `keeper.rs`.

mod salvage;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::integrity::Integrity;
use model::time::Time;
use model::untrusted::Untrusted;

use crate::aside::{move_aside, with_ending};
use crate::database::{DATABASE_FILE, Database};
use crate::error::StoreError;
use crate::journal;
use crate::last_known::{Found, LastKnown, Noted, described, differences};
use crate::private_file;
use crate::reserve::Reserve;
use crate::run::ThisRun;
use crate::storage::{Batch, Contents, Kept, Opener, Opening, Storage, Tended};

/// Files that go with a database.
pub(crate) const DATABASE_ENDINGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Attempts at one opening: the reserve is given up, and two things are moved aside, at most.
const ATTEMPTS: usize = 4;

/// Holds a data directory for one process.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

impl Claim {
    /// Claims the data directory for as long as the claim lives. Fails when another process holds it; a directory that
    /// cannot be opened cannot be claimed, and holds nothing to be fought over.
    pub fn new(dir: &Path) -> Result<Self, StoreError> {
        // Made here, since two that start at once would both find nothing to claim. It is opened again later, with its error.
        drop(private_file::make_dir(dir));
        let Ok(lock) = File::open(dir) else { return Ok(Self { _lock: None }) };
        match lock.try_lock() {
            Err(fs::TryLockError::WouldBlock) => Err(StoreError::InUse { path: dir.to_owned() }),
            // A file system without locks cannot tell two apart; the control socket still does.
            Ok(()) | Err(fs::TryLockError::Error(_)) => Ok(Self { _lock: Some(lock) }),
        }
    }
}

/// Opens the store of a data directory.
#[derive(Debug)]
pub struct PlaceOpener {
    dir: PathBuf,
    machine: String,
    run: ThisRun,
    last_known: Option<LastKnown>,
    /// Whether the second place was compared in this run: what differs is said once.
    is_compared: bool,
    notes: Vec<Integrity>,
}

impl PlaceOpener {
    /// For the run on that machine, whose name is empty when it has none.
    pub fn new(dir: &Path, machine: &str, run: ThisRun) -> Self {
        let last_known = LastKnown::beside(dir);
        let (dir, machine) = (dir.to_owned(), machine.to_owned());
        Self { dir, machine, run, last_known, is_compared: false, notes: Vec::new() }
    }

    fn found(&self) -> Found {
        self.last_known.as_ref().map_or(Found::Missing, LastKnown::read)
    }

    /// A database that can be written, with what it holds. What is in its way is moved aside.
    fn sound(&mut self, reserve: &Reserve) -> Result<(Database, Contents), StoreError> {
        let mut attempt = 1;
        loop {
            let error = match self.attempt() {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            attempt += 1;
            let helped = error.may_be_full() && reserve.give_up() || self.moved_aside(&error);
            if !helped || attempt > ATTEMPTS {
                return Err(error);
            }
        }
    }

    fn attempt(&self) -> Result<(Database, Contents), StoreError> {
        let database = Database::open(&self.dir)?;
        let path = self.dir.join(DATABASE_FILE);
        if let Some(fault) = database.fault()? {
            return Err(StoreError::Damaged { path, fault: Untrusted::new(&fault) });
        }
        let machine = database.machine()?;
        if !machine.is_empty() && !self.machine.is_empty() && machine != self.machine {
            return Err(StoreError::Damaged { path, fault: "it is of another host".into() });
        }
        let contents = database.contents()?;
        Ok((database, contents))
    }

    /// Moves aside what the error says cannot be used; tells whether it did.
    fn moved_aside(&mut self, error: &StoreError) -> bool {
        let Some(path) = error.unsound() else { return false };
        let is_database = path.file_name().is_some_and(|name| name == DATABASE_FILE);
        // A path as SQLite was given it has no links in its directories; ours may.
        let path = if is_database { self.dir.join(DATABASE_FILE) } else { path.to_owned() };
        let place = move_aside(&path, if is_database { &DATABASE_ENDINGS } else { &[] });
        let kept_as = place.as_ref().map_or(String::new(), |place| place.display().to_string());
        self.notes.push(Integrity::StoreMovedAside {
            what: if is_database { "database".into() } else { Untrusted::new(&path.display().to_string()) },
            reason: Untrusted::new(&error.to_string()),
            kept_as: Untrusted::new(&kept_as),
        });
        place.is_ok()
    }

    /// Holds the database against what was last known of it.
    fn compare(&mut self, database: &mut Database, contents: &mut Contents) -> Result<(), StoreError> {
        let found = self.found();
        if let Found::Noted(noted) = &found {
            take_over(noted, database, contents)?;
        }
        if std::mem::replace(&mut self.is_compared, true) {
            return Ok(());
        }
        let extent = database.extent()?;
        let (expected, found) = match found {
            Found::Noted(noted) => {
                let last = &contents.last_run;
                let lost_power = last.ended_in_order == Some(false) && last.boot_id != self.run.boot_id;
                let journal = journal::last_number(&self.dir);
                self.notes.extend(differences(&noted, database, journal, lost_power)?);
                return Ok(());
            }
            // The first start of all, or of a version that notes it.
            Found::Missing if !database.is_noted()? => return Ok(()),
            Found::Missing => (described(&extent), "nothing was noted of it in the second place".to_owned()),
            Found::Unreadable(problem) => (described(&extent), format!("the second place: {problem}")),
        };
        self.notes.push(Integrity::StoreChanged {
            what: "database".into(),
            expected: Untrusted::new(&expected),
            found: Untrusted::new(&found),
        });
        Ok(())
    }
}

/// What only the second place still knows of earlier runs is taken over from there.
fn take_over(noted: &Noted, database: &mut Database, contents: &mut Contents) -> Result<(), StoreError> {
    database.number_above(noted.database.approvals_given)?;
    contents.approvals_given = contents.approvals_given.max(noted.database.approvals_given);
    let last = &mut contents.last_run;
    last.last_beat = last.last_beat.max(noted.last_beat);
    last.first_look = match (last.first_look, noted.first_look) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    };
    Ok(())
}

impl Opener for PlaceOpener {
    fn open(&mut self) -> Opening {
        self.writable().unwrap_or_else(|error| self.read_copy(&error))
    }
}

impl PlaceOpener {
    fn writable(&mut self) -> Result<Opening, StoreError> {
        private_file::make_dir(&self.dir).or_else(
            |error| {
                if self.dir.is_dir() { Ok(()) } else { Err(error) }
            },
        )?;
        let reserve = Reserve::of(&self.dir);
        let (mut database, mut contents) = self.sound(&reserve)?;
        self.compare(&mut database, &mut contents)?;
        database.sign(&self.machine)?;
        let first_look = Some(contents.last_run.first_look(self.run.begun));
        database.begin_run(&ThisRun { first_look, ..self.run.clone() })?;
        let path = self.dir.join(DATABASE_FILE);
        let mut place = Place {
            inode: inode(&path),
            path,
            database: Some(database),
            reserve,
            last_known: self.last_known.clone(),
            noted: Noted { machine: self.machine.clone(), first_look, ..Noted::default() },
            beat: Some(self.run.begun),
            is_noted: true,
            unrescued: None,
            notes: std::mem::take(&mut self.notes),
        };
        // Without it there is less for a bad day, and `tend` tries again.
        drop(place.reserve.take());
        place.note();
        let notes = std::mem::take(&mut place.notes);
        Ok(Opening { storage: Some(Box::new(place)), contents, notes, problem: String::new() })
    }
}

/// An open store in a data directory.
struct Place {
    path: PathBuf,
    /// None only while it is being exchanged.
    database: Option<Database>,
    inode: Option<(u64, u64)>,
    reserve: Reserve,
    last_known: Option<LastKnown>,
    /// What was noted last in the second place.
    noted: Noted,
    /// The last sign of life.
    beat: Option<Time>,
    /// Whether the second place could be written last.
    is_noted: bool,
    /// Why the database, whose file has gone, could not be written again yet: the open one is the only copy.
    unrescued: Option<String>,
    notes: Vec<Integrity>,
}

impl Storage for Place {
    fn keep(&mut self, batch: &Batch) -> Result<Kept, StoreError> {
        self.check_place()?;
        let kept = match self.database()?.keep(batch) {
            Err(error) if error.may_be_full() && self.reserve.give_up() => self.database()?.keep(batch)?,
            result => result?,
        };
        self.beat = self.beat.max(batch.beat);
        if !batch.decisions.is_empty() || batch.ends_run {
            self.note();
        }
        Ok(kept)
    }

    fn tend(&mut self) -> Result<Tended, StoreError> {
        // Room comes back while the disk has some; a failure is the next call's business.
        drop(self.reserve.take());
        let reopen = inode(&self.path) != self.inode && self.rescue();
        if inode(&self.path) == self.inode {
            self.unrescued = None;
            self.note();
        }
        let notes = std::mem::take(&mut self.notes);
        Ok(Tended { notes, reopen, has_reserve: self.reserve.is_held() })
    }

    fn is_only_copy(&self) -> bool {
        self.unrescued.is_some()
    }
}

impl Place {
    fn database(&mut self) -> Result<&mut Database, StoreError> {
        let missing = StoreError::Missing { path: self.path.clone() };
        self.database.as_mut().ok_or(missing)
    }

    /// Notes in the second place how far the database got, when that changed.
    fn note(&mut self) {
        let (Some(last_known), Some(database)) = (&self.last_known, &mut self.database) else { return };
        let Ok(extent) = database.extent() else { return };
        let dir = self.path.parent().unwrap_or(&self.path);
        let journal = journal::last_number(dir);
        let noted = Noted { database: extent, journal, last_beat: self.beat, ..self.noted.clone() };
        if noted == self.noted {
            return;
        }
        let written = last_known.write(&noted);
        if written.is_ok() {
            drop(database.set_noted());
            self.noted = noted;
        }
        let was_noted = std::mem::replace(&mut self.is_noted, written.is_ok());
        if let (true, Err(error)) = (was_noted, written) {
            self.notes.push(Integrity::NotStored {
                what: "second place".into(),
                waiting: 1,
                dropped: 0,
                reason: Untrusted::new(&format!("{}: {error}", last_known.path().display())),
            });
        }
    }

    /// Refuses what a kill would lose: the open database has no file.
    fn check_place(&self) -> Result<(), StoreError> {
        match &self.unrescued {
            Some(reason) => Err(StoreError::io(&self.path)(io::Error::other(reason.clone()))),
            None => Ok(()),
        }
    }

    /// The database's file has gone, or is another one. The one that is open still holds everything: it becomes the file
    /// again, and what stands there is moved aside. Gives whether the place has to be opened anew; until then the open
    /// database is kept, since there is no other copy.
    fn rescue(&mut self) -> bool {
        if self.unrescued.is_none() {
            self.note_missing();
        }
        let rescued = with_ending(&self.path, ".rescued");
        if let Err(error) = self.write_into(&rescued).and_then(|()| self.clear()) {
            self.unrescued = Some(format!("its file has gone and cannot be written again: {error}"));
            return false;
        }
        // Closing removes the log by its name: that has to be over before another database has that name.
        drop(self.database.take());
        DATABASE_ENDINGS.iter().for_each(|ending| drop(fs::remove_file(with_ending(&self.path, ending))));
        if let Err(error) = fs::rename(&rescued, &self.path) {
            self.note_aside(&format!("it could not take its place again: {error}"), &rescued);
        }
        self.unrescued = None;
        true
    }

    fn note_missing(&mut self) {
        let found = match inode(&self.path) {
            Some(_) => "another file under its name",
            None => "no file under its name",
        };
        self.notes.push(Integrity::StoreChanged {
            what: "database".into(),
            expected: "the file that was opened".into(),
            found: found.into(),
        });
    }

    /// Writes the open database into a new file. What an earlier rescue left under that name may be the only copy of
    /// something: it is moved aside. What this one leaves unfinished is removed.
    fn write_into(&mut self, rescued: &Path) -> Result<(), StoreError> {
        if rescued.symlink_metadata().is_ok() {
            let place = move_aside(rescued, &[]).map_err(StoreError::io(rescued))?;
            self.note_aside("an earlier rescue left it", &place);
        }
        let written = match self.database()?.write_into(rescued) {
            Err(error) if error.may_be_full() && self.reserve.give_up() => {
                drop(fs::remove_file(rescued));
                self.database()?.write_into(rescued)
            }
            written => written,
        };
        written.inspect_err(|_| drop(fs::remove_file(rescued)))
    }

    /// Moves aside what stands in the place of the database.
    fn clear(&mut self) -> Result<(), StoreError> {
        if self.path.symlink_metadata().is_err() {
            return Ok(());
        }
        let place = move_aside(&self.path, &DATABASE_ENDINGS).map_err(StoreError::io(&self.path));
        // The open database still holds all that was written beside it.
        let place = place.inspect_err(|_| drop(fs::remove_file(with_ending(&self.path, ".rescued"))))?;
        self.note_aside("it took the place of ours while we ran", &place);
        Ok(())
    }

    fn note_aside(&mut self, reason: &str, kept_as: &Path) {
        self.notes.push(Integrity::StoreMovedAside {
            what: "database".into(),
            reason: reason.into(),
            kept_as: Untrusted::new(&kept_as.display().to_string()),
        });
    }
}

/// Device and inode of what is there, links not followed.
fn inode(path: &Path) -> Option<(u64, u64)> {
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// The start of the run that opened it, for tests of what a run notes.
#[cfg(test)]
pub(crate) fn this_run(secs: i64) -> ThisRun {
    ThisRun { begun: Time::from_secs(secs), boot_id: "boot".into(), first_look: None }
}

#[cfg(test)]
mod tests;
