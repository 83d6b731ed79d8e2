//! Who is served when many ask at once: so many places, a share for each user, and some that are root's alone.
//!
//! A newcomer takes the place of whoever has dawdled longest: slow clients lock out nobody but themselves. Not here:
//! reading and answering (`serving.rs`).

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clients served at once, recordings apart.
pub(super) const PLACES_MAX: usize = 32;
/// Places of all users but root together, and of one of them: the rest is kept for root.
const OTHERS_MAX: usize = 16;
const OTHER_MAX: usize = 4;
/// Recordings at once: each lets up to 16,384 events wait in memory.
pub(super) const RECORDINGS_MAX: usize = 4;
/// How long a client may send its request, and take its answer, until another may have its place.
const SEND_AT_EASE: Duration = Duration::from_millis(250);
const TAKE_AT_EASE: Duration = Duration::from_secs(1);

/// The places, and who has them.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    clients: Vec<Client>,
    recordings: usize,
    next: u64,
    refused: u64,
}

#[derive(Debug)]
struct Client {
    number: u64,
    uid: u32,
    doing: Doing,
    since: Instant,
    /// Closing it ends the thread that serves it.
    stream: UnixStream,
}

/// How far a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Sends its request.
    Sending,
    /// Waits for the engine, which is no fault of its.
    Waiting,
    /// Takes its answer.
    Taking,
}

/// A client's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    records: bool,
}

impl Places {
    /// A place for a client of this user, or nothing when every place is taken by clients in their own good time.
    pub(super) fn admit(self: &Arc<Self>, stream: &UnixStream, uid: u32, now: Instant) -> Option<Place> {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        if !table.make_room(uid, now) {
            table.refused += 1;
            return None;
        }
        // Out of descriptors: without the second one nobody could take this place from it.
        let stream = stream.try_clone().ok()?;
        table.clients.push(Client { number, uid, doing: Doing::Sending, since: now, stream });
        Some(Place { places: Arc::clone(self), number, records: false })
    }

    /// Clients turned away or cut off for others since this was last asked.
    pub(super) fn take_refused(&self) -> u64 {
        std::mem::take(&mut self.lock().refused)
    }

    /// Counts a client that could not be served for another reason.
    pub(super) fn refuse(&self) {
        self.lock().refused += 1;
    }

    /// Whatever a thread that panicked left behind is still a list of clients.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Whether there is room for one more of this user, after the slowest has been cut off if need be.
    fn make_room(&mut self, uid: u32, now: Instant) -> bool {
        if self.has_room(uid) {
            return true;
        }
        // Root may take anybody's place; others only one of their own.
        let theirs = |client: &&Client| uid == 0 || client.uid == uid;
        let slow = self.clients.iter().filter(theirs).filter(|client| client.is_slow(now));
        let Some(number) = slow.min_by_key(|client| client.since).map(|client| client.number) else {
            return false;
        };
        self.cut_off(number);
        self.has_room(uid)
    }

    fn has_room(&self, uid: u32) -> bool {
        let count =
            |is_it: &dyn Fn(&Client) -> bool| self.clients.iter().filter(|client| is_it(client)).count();
        let room = self.clients.len() < PLACES_MAX;
        if uid == 0 {
            return room;
        }
        room && count(&|client| client.uid != 0) < OTHERS_MAX
            && count(&|client| client.uid == uid) < OTHER_MAX
    }

    fn cut_off(&mut self, number: u64) {
        for client in self.clients.extract_if(.., |client| client.number == number) {
            // It has gone already: then its thread ends by itself.
            let _gone = client.stream.shutdown(Shutdown::Both);
            self.refused += 1;
        }
    }
}

impl Client {
    fn is_slow(&self, now: Instant) -> bool {
        let at_ease = match self.doing {
            Doing::Sending => SEND_AT_EASE,
            Doing::Taking => TAKE_AT_EASE,
            Doing::Waiting => return false,
        };
        now.saturating_duration_since(self.since) > at_ease
    }
}

impl Place {
    /// Notes how far the client is.
    pub(super) fn now(&self, doing: Doing) {
        let mut table = self.places.lock();
        let own = table.clients.iter_mut().find(|client| client.number == self.number);
        if let Some(client) = own {
            (client.doing, client.since) = (doing, Instant::now());
        }
    }

    /// Moves to one of the places for recordings, if there is one: they last, and must not use up the others.
    pub(super) fn record(&mut self) -> bool {
        let mut table = self.places.lock();
        if table.recordings >= RECORDINGS_MAX {
            table.refused += 1;
            return false;
        }
        table.recordings += 1;
        table.clients.retain(|client| client.number != self.number);
        self.records = true;
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.places.lock();
        table.clients.retain(|client| client.number != self.number);
        table.recordings -= usize::from(self.records);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(2);

    fn stream() -> UnixStream {
        UnixStream::pair().unwrap().0
    }

    fn fill(places: &Arc<Places>, uids: impl Iterator<Item = u32>, now: Instant) -> Vec<Option<Place>> {
        uids.map(|uid| places.admit(&stream(), uid, now)).collect()
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_slowest_and_of_nobody_who_is_quick() {
        let (places, now) = (Arc::<Places>::default(), Instant::now());
        let held = fill(&places, std::iter::repeat_n(0, PLACES_MAX), now);
        assert!(held.iter().all(Option::is_some));
        assert!(places.admit(&stream(), 0, now).is_none(), "all of them have just come");
        assert!(places.admit(&stream(), 0, now + LATER).is_some());
        assert_eq!(places.take_refused(), 2, "one turned away, one cut off");
        assert_eq!(places.take_refused(), 0);
    }

    #[test]
    fn who_waits_for_the_engine_keeps_its_place_and_who_takes_its_answer_slowly_does_not() {
        let (places, now) = (Arc::<Places>::default(), Instant::now());
        let held = fill(&places, std::iter::repeat_n(0, PLACES_MAX), now);
        let each = |doing| held.iter().flatten().for_each(|place| place.now(doing));
        each(Doing::Waiting);
        assert!(places.admit(&stream(), 0, now + LATER).is_none());
        each(Doing::Taking);
        assert!(places.admit(&stream(), 0, now + LATER).is_some());
    }

    #[test]
    fn other_users_have_shares_and_leave_places_to_root() {
        let (places, now) = (Arc::<Places>::default(), Instant::now());
        let held = fill(&places, (0..2 * PLACES_MAX as u32).map(|number| 1000 + number / 8), now);
        assert_eq!(held.iter().flatten().count(), OTHERS_MAX);
        assert!(places.admit(&stream(), 0, now).is_some());
        let one = Arc::<Places>::default();
        assert_eq!(fill(&one, std::iter::repeat_n(1000, 9), now).iter().flatten().count(), OTHER_MAX);
        assert!(one.admit(&stream(), 1001, now + LATER).is_some(), "another user's share is untouched");
    }

    #[test]
    fn a_user_cannot_take_the_place_of_root() {
        let (places, now) = (Arc::<Places>::default(), Instant::now());
        let _held = fill(&places, std::iter::repeat_n(0, PLACES_MAX), now);
        assert!(places.admit(&stream(), 1000, now + LATER).is_none());
    }

    #[test]
    fn recordings_have_places_of_their_own() {
        let (places, now) = (Arc::<Places>::default(), Instant::now());
        let mut held: Vec<Place> =
            fill(&places, std::iter::repeat_n(0, 6), now).into_iter().flatten().collect();
        let recording = held.iter_mut().filter_map(|place| place.record().then_some(())).count();
        assert_eq!(recording, RECORDINGS_MAX);
        let more = fill(&places, std::iter::repeat_n(0, PLACES_MAX), now);
        assert_eq!(more.iter().flatten().count(), PLACES_MAX - 2, "two still ask");
        held.clear();
        let mut again = places.admit(&stream(), 0, now).unwrap();
        assert!(again.record(), "the places are free again");
    }
}
