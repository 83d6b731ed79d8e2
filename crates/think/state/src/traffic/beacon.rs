//! Whether contacts come back at an interval: how much of the histogram of log intervals lies in one narrow band.
//!
//! The phase is not looked at: jitter adds up in it, and a search for a frequency loses the beacon at 30 % of jitter. Not here:
//! whether the destination is rare enough to matter. A container is full of honest things that come back at an interval.

use std::ops::Range;
use std::time::Duration;

use model::time::Time;
use serde::{Deserialize, Serialize};

use crate::traffic::sizes::Sizes;

/// Pauses that part two bursts: contacts closer together are one. Short ones keep a beacon of a second apart, long ones
/// bundle what a beacon does when it has work: somebody at a keyboard, a contact every second or two.
const GAPS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// How far back a contact may lie and still be one that was told late. Further back, the clock was set.
const LATE_MAX: Duration = Duration::from_secs(60);

/// The histogram: quarter octaves from 2^-1 s to 2^17 s (36 h). Rows, because serde knows arrays of up to 32.
const ROWS: usize = 3;
const ROW: usize = 24;
const BINS_PER_OCTAVE: f64 = 4.0;
const OCTAVE_MIN: f64 = -1.0;

/// Widths of a band in quarter octaves, and the largest share that an exponential distribution, that is contacts without any
/// rhythm, has in a band so wide: with r the ratio of its ends, r^(-1/(r-1)) - r^(-r/(r-1)).
const BANDS: [(usize, f64); 4] = [(1, 0.063_669), (2, 0.126_863), (4, 0.25), (6, 0.366_079)];

/// One octave holds any jitter of up to half of the period, which is what known tools offer.
const OCTAVE: usize = 4;

/// The first bin that may be in a band, for each gap: two gaps. What lies just above a gap, in these bins, tells that it cuts
/// through contacts without any pause of their own. What is left of them looks regular, so twice as much is taken from every
/// band; twice, because these bins hold no more than half of what the gap leaves behind.
const FIRST: [usize; GAPS.len()] = [4, 21];
const JUST_ABOVE: [Range<usize>; GAPS.len()] = [0..2, 17..20];
const CUT_THROUGH_WEIGHT: f64 = 2.0;

/// The share for `z`: a little more than 0.25, for the best band is picked among 69.
const OCTAVE_SHARE: f64 = 0.27;

/// The share in the best octave less that of all longer intervals, of contacts without a rhythm: 0.125 and a little for the pick;
/// and its variance for one interval.
const CUTOFF_SHARE: f64 = 0.14;
const CUTOFF_VARIANCE: f64 = 0.234;

/// Fewer intervals say nothing at all.
const INTERVALS_MIN: u32 = 5;

/// Fewer intervals make no beacon.
pub const BEACON_INTERVALS_MIN: u32 = 16;

/// Share of the intervals in one octave from which it is a rhythm.
pub const EFFECT_MIN: f64 = 0.6;

/// Evidence from which a rhythm that has [`EFFECT_MIN`] is a beacon, even if many of its contacts are lost. All three are so high
/// because they are looked at with each contact, not once a day.
pub const MULTI_MIN: f64 = 3.5;

/// Deviations from which a longest interval is enough alone, whatever the jitter.
pub const CUTOFF_MIN: f64 = 4.3;

/// Deviations that are enough alone: many intervals, the smaller part of them regular.
pub const Z_MIN: f64 = 7.0;

/// The contacts of one edge, in 184 bytes whatever their number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Beacon {
    /// The latest contact.
    latest: Time,
    contacts: u32,
    sizes: Sizes,
    /// For each of the gaps.
    rhythms: [Rhythm; GAPS.len()],
}

/// Intervals between the beginnings of bursts, for one gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Rhythm {
    /// When the latest burst began.
    burst: Time,
    bins: [[u8; ROW]; ROWS],
}

/// How regular contacts are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regularity {
    /// Intervals that it rests on; old ones fade when there are hundreds.
    pub intervals: u32,
    /// Share of the intervals within the best octave, 0 to 1.
    pub effect: f64,
    /// How far that share lies above what contacts without a rhythm show, in deviations.
    pub z: f64,
    /// The same over several widths of the band, as a signed root of deviance, times the root of the share.
    pub multi: f64,
    /// How far the share in the best octave exceeds that of all longer intervals, in deviations. A beacon has a longest
    /// interval, its sleep, however much it jitters; what people and programs do has none.
    pub cutoff: f64,
    /// Mean interval within the best octave, in seconds; as exact as the bins, which are a quarter octave wide.
    pub period_seconds: f64,
    /// Share of the contacts that sent as much as most do, within a tenth, 0 to 1.
    pub size_regularity: f64,
}

impl Beacon {
    /// Takes a contact; 0 bytes say nothing about sizes. One that is told late counts with the burst before it.
    pub fn take(&mut self, at: Time, sent_bytes: u64) {
        self.sizes.take(sent_bytes);
        let is_anew = self.contacts == 0 || self.latest.since(at) > LATE_MAX;
        self.contacts = self.contacts.saturating_add(1);
        if is_anew {
            self.latest = at;
            self.rhythms.iter_mut().for_each(|rhythm| rhythm.burst = at);
            return;
        }
        let pause = at.since(self.latest);
        for (rhythm, gap) in self.rhythms.iter_mut().zip(GAPS) {
            if pause > gap {
                rhythm.count(at.since(rhythm.burst));
                rhythm.burst = at;
            }
        }
        self.latest = self.latest.max(at);
    }

    /// How regular the contacts are; `None` of too few.
    pub fn regularity(&self) -> Option<Regularity> {
        let size_regularity = self.sizes.regularity();
        let gaps = FIRST.into_iter().zip(JUST_ABOVE);
        let rhythms = self.rhythms.iter().zip(gaps);
        let regularities = rhythms.filter_map(|(rhythm, gap)| rhythm.regularity(gap, size_regularity));
        regularities.reduce(Regularity::join)
    }
}

impl Rhythm {
    fn count(&mut self, interval: Duration) {
        let octaves = interval.as_secs_f64().log2() - OCTAVE_MIN;
        // A pause of more than 36 hours says nothing about the rhythm before and after it.
        let bins = self.bins.as_flattened_mut();
        let Some(bin) = bins.get_mut((octaves * BINS_PER_OCTAVE) as usize) else { return };
        *bin += 1;
        if *bin == u8::MAX {
            halve(bins);
        }
    }

    fn regularity(&self, (first, above): (usize, Range<usize>), size_regularity: f64) -> Option<Regularity> {
        let bins = self.bins.as_flattened();
        let intervals = mass(bins);
        if intervals < INTERVALS_MIN {
            return None;
        }
        let cut_through = CUT_THROUGH_WEIGHT * f64::from(mass(&bins[above]));
        let bins = &bins[first..];
        let count = f64::from(intervals);
        let share = |mass: f64| ((mass - cut_through) / count).max(0.0);
        let (octave_mass, place) = best_band(bins, OCTAVE);
        let effect = share(f64::from(octave_mass));
        let deviation = (OCTAVE_SHARE * (1.0 - OCTAVE_SHARE) / count).sqrt();
        let of_band = |(width, by_chance)| {
            let (mass, _) = best_band(bins, width);
            evidence(share(f64::from(mass)), by_chance, count)
        };
        Some(Regularity {
            intervals,
            effect,
            z: (effect - OCTAVE_SHARE) / deviation,
            multi: BANDS.into_iter().map(of_band).fold(0.0, f64::max),
            cutoff: (share(cutoff(bins)) - CUTOFF_SHARE) / (CUTOFF_VARIANCE / count).sqrt(),
            period_seconds: centre(&bins[place..place + OCTAVE], first + place),
            size_regularity,
        })
    }
}

impl Regularity {
    /// Whether this is a beacon, as far as timing tells.
    pub fn is_beacon(&self) -> bool {
        let is_clear = self.effect >= EFFECT_MIN && self.multi >= MULTI_MIN;
        let is_enough = is_clear || self.cutoff >= CUTOFF_MIN || self.z >= Z_MIN;
        self.intervals >= BEACON_INTERVALS_MIN && is_enough
    }

    /// Of the finer and the coarser gap: the most evidence of both, and the period of what is clearer. What a beacon does when
    /// it has work may have a rhythm too, but the beacon's own is the coarser one.
    fn join(self, coarser: Self) -> Self {
        let is_bundled = coarser.is_beacon() && coarser.effect >= self.effect;
        let clearer = if is_bundled || coarser.z > self.z { coarser } else { self };
        Self {
            effect: self.effect.max(coarser.effect),
            z: self.z.max(coarser.z),
            multi: self.multi.max(coarser.multi),
            cutoff: self.cutoff.max(coarser.cutoff),
            ..clearer
        }
    }
}

/// Evidence of a share in a band against what lies there by chance: the signed root of the binomial deviance, 2 n KL. Times the
/// root of the share, so that a mixture of which the band is the smaller part needs more.
fn evidence(share: f64, by_chance: f64, count: f64) -> f64 {
    let share = share.min(1.0 - 1e-9);
    if share <= by_chance {
        return 0.0;
    }
    let outside = (1.0 - share) * ((1.0 - share) / (1.0 - by_chance)).ln();
    let divergence = share * (share / by_chance).ln() + outside;
    (2.0 * count * divergence * share).sqrt()
}

/// The largest mass in so many adjacent bins, and the first of them.
fn best_band(bins: &[u8], width: usize) -> (u32, usize) {
    let masses = bins.windows(width).map(mass);
    masses.enumerate().fold((0, 0), |best, (first, mass)| if mass > best.0 { (mass, first) } else { best })
}

/// The largest mass in an octave less the mass of all bins above it.
fn cutoff(bins: &[u8]) -> f64 {
    let above = |first: usize| f64::from(mass(&bins[first + OCTAVE..]));
    let octaves = bins.windows(OCTAVE).enumerate();
    octaves.map(|(first, octave)| f64::from(mass(octave)) - above(first)).fold(f64::MIN, f64::max)
}

fn mass(bins: &[u8]) -> u32 {
    bins.iter().map(|&bin| u32::from(bin)).sum()
}

/// The interval in the middle of a band's mass, in seconds.
fn centre(band: &[u8], first: usize) -> f64 {
    let moment = band.iter().enumerate().map(|(place, &bin)| (place as f64 + 0.5) * f64::from(bin));
    let place = first as f64 + moment.sum::<f64>() / f64::from(mass(band).max(1));
    (OCTAVE_MIN + place / BINS_PER_OCTAVE).exp2()
}

/// Halves all bins. What is left of one goes to the next: dropped, it would thin out the tail and make the rest look regular.
fn halve(bins: &mut [u8]) {
    let mut left = 0;
    for bin in bins {
        let whole = u16::from(*bin) + left;
        left = whole % 2;
        *bin = (whole / 2) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::distinct::Salt;

    /// Contacts with those pauses in seconds between them.
    fn contacts(pauses: impl IntoIterator<Item = f64>) -> Beacon {
        let mut beacon = Beacon::default();
        let mut at = Time::from_secs(1_700_000_000);
        beacon.take(at, 100);
        for pause in pauses {
            at = at.plus(Duration::from_secs_f64(pause));
            beacon.take(at, 100);
        }
        beacon
    }

    /// Numbers of 0 to 1 without a rhythm.
    fn shares(count: u32) -> impl Iterator<Item = f64> {
        let hash = |step: u32| Salt::new(1).hash(&step.to_le_bytes());
        (1..=count).map(move |step| ((hash(step) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64)
    }

    #[test]
    fn the_state_of_an_edge_is_184_bytes() {
        assert_eq!(size_of::<Beacon>(), 184);
    }

    #[test]
    fn the_shares_of_bands_are_those_of_an_exponential() {
        for (width, share) in BANDS {
            let ratio = (width as f64 / BINS_PER_OCTAVE).exp2();
            let exact = ratio.powf(-1.0 / (ratio - 1.0)) - ratio.powf(-ratio / (ratio - 1.0));
            assert!((share - exact).abs() < 1e-6, "{width}: {share} {exact}");
        }
    }

    #[test]
    fn a_steady_beacon_is_found_with_its_period() {
        let regularity = contacts([60.0; 16]).regularity().unwrap();
        assert!(regularity.is_beacon() && regularity.intervals == 16, "{regularity:?}");
        assert_eq!((regularity.effect, regularity.size_regularity), (1.0, 1.0));
        assert!((regularity.period_seconds / 60.0).log2().abs() < 0.125, "{regularity:?}");
    }

    #[test]
    fn a_beacon_that_jitters_by_half_is_found_within_24_intervals() {
        let regularity = contacts(shares(24).map(|share| 2.0 - share)).regularity().unwrap();
        assert!(regularity.is_beacon(), "{regularity:?}");
    }

    #[test]
    fn contacts_without_a_rhythm_are_none() {
        let regularity = contacts(shares(2_000).map(|share| -60.0 * share.ln())).regularity().unwrap();
        assert!(!regularity.is_beacon(), "{regularity:?}");
        assert!((regularity.effect - 0.27).abs() < 0.06, "{regularity:?}");
    }

    #[test]
    fn a_beacon_that_jitters_by_nine_tenths_is_found_by_its_longest_interval() {
        let regularity = contacts(shares(100).map(|share| 900.0 * (1.0 - 0.9 * share))).regularity().unwrap();
        assert!(regularity.is_beacon() && regularity.effect < EFFECT_MIN, "{regularity:?}");
    }

    #[test]
    fn bursts_that_a_gap_cuts_off_are_no_rhythm_of_that_gap() {
        for mean in [0.2, 0.5, 0.7, 1.0, 2.0, 4.0, 6.0, 10.0] {
            let regularity = contacts(shares(4_000).map(|share| -mean * share.ln())).regularity().unwrap();
            assert!(!regularity.is_beacon(), "{mean}: {regularity:?}");
        }
    }

    #[test]
    fn fifteen_intervals_are_too_few() {
        assert!(!contacts([60.0; 15]).regularity().unwrap().is_beacon());
        assert_eq!(contacts([60.0; 4]).regularity(), None);
    }

    #[test]
    fn a_beacon_with_work_to_do_still_has_its_rhythm() {
        let busy = (0..24).flat_map(|_| [vec![1.3; 5], vec![293.5]].concat());
        let regularity = contacts(busy).regularity().unwrap();
        assert!(regularity.is_beacon(), "{regularity:?}");
        assert!((regularity.period_seconds / 300.0).log2().abs() < 0.13, "{regularity:?}");
    }

    #[test]
    fn contacts_told_late_or_after_the_clock_was_set_back_leave_the_rhythm_as_it_is() {
        let mut beacon = Beacon::default();
        for turn in 0..40_i64 {
            let at = 1_700_000_000 + 60 * turn - if turn >= 20 { 100_000 } else { 0 };
            beacon.take(Time::from_secs(at), 0);
            beacon.take(Time::from_secs(at - 3), 0);
        }
        let regularity = beacon.regularity().unwrap();
        assert_eq!((regularity.intervals, regularity.effect), (38, 1.0));
    }

    #[test]
    fn bins_that_are_full_are_halved_and_keep_their_proportions() {
        let pauses = (0..4_000).map(|turn| if turn % 20 == 0 { 500.0 } else { 60.0 });
        let regularity = contacts(pauses).regularity().unwrap();
        assert!((120..300).contains(&regularity.intervals), "{regularity:?}");
        assert!((regularity.effect - 0.95).abs() < 0.02, "{regularity:?}");
    }

    #[test]
    fn a_pause_of_days_does_not_count() {
        let regularity = contacts([vec![60.0; 20], vec![200_000.0], vec![60.0; 20]].concat()).regularity();
        assert_eq!(regularity.unwrap().intervals, 40);
    }

    #[test]
    fn time_that_stands_still_or_jumps_to_its_ends_breaks_nothing() {
        let mut beacon = Beacon::default();
        for ns in [0, 0, i64::MAX, i64::MIN, i64::MIN, i64::MAX, 5, -5] {
            beacon.take(Time::from_ns(ns), u64::MAX);
        }
        assert_eq!(beacon.regularity(), None);
    }

    #[test]
    fn it_reads_back_from_a_checkpoint() {
        let beacon = contacts([7.0; 30]);
        let text = serde_json::to_string(&beacon).unwrap();
        assert_eq!(serde_json::from_str::<Beacon>(&text).unwrap(), beacon);
    }
}
