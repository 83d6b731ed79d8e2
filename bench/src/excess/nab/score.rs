//! The scoring rules of NAB 1.1: what a find is worth at each row, and the score of a corpus.
//!
//! Not here: files.

use std::collections::BTreeMap;

/// Share of a file that is not scored, and the most rows of it.
const PROBATION: f64 = 0.15;
const PROBATION_MAX: f64 = 0.15 * 5_000.0;

/// What a false find and a missed window cost; a find is worth 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    pub(crate) false_find: f64,
    pub(crate) missed: f64,
}

/// The profiles of the benchmark.
pub(crate) const STANDARD: Profile = Profile { false_find: 0.11, missed: 1.0 };
pub(crate) const FALSE_POSITIVES: Profile = Profile { false_find: 0.22, missed: 1.0 };
pub(crate) const FALSE_NEGATIVES: Profile = Profile { false_find: 0.11, missed: 2.0 };

/// What a find is worth at each row of a file, and which window the row lies in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Marked {
    worth: Vec<f64>,
    window: Vec<Option<usize>>,
    windows: usize,
    scored_from: usize,
}

impl Marked {
    /// Windows by first and last row, in order.
    pub(crate) fn new(rows: usize, windows: &[(usize, usize)]) -> Self {
        let mut worth = vec![-1.0; rows];
        let mut window = vec![None; rows];
        let best = sigmoid(-1.0);
        for (number, &(first, last)) in windows.iter().enumerate() {
            let width = (last - first + 1) as f64;
            for row in first..=last {
                worth[row] = sigmoid(-((last - row + 1) as f64) / width) / best;
                window[row] = Some(number);
            }
            let next = windows.get(number + 1).map_or(rows, |next| next.0);
            for (past, worth) in worth[last + 1..next].iter_mut().enumerate() {
                *worth = if width > 1.0 { sigmoid((past + 1) as f64 / (width - 1.0)) } else { -1.0 };
            }
        }
        let scored_from = (PROBATION * rows as f64).floor().min(PROBATION_MAX).ceil() as usize;
        Self { worth, window, windows: windows.len(), scored_from }
    }

    /// Windows, scored or not.
    pub(crate) fn windows(&self) -> usize {
        self.windows
    }

    /// Windows that do not lie wholly in the rows that are not scored.
    fn scored_windows(&self) -> usize {
        let mut seen: Vec<usize> = self.window[self.scored_from..].iter().flatten().copied().collect();
        seen.dedup();
        seen.len()
    }
}

/// The normalised score at a threshold: 0 for finding nothing, 100 for finding every window at its first row.
pub(crate) fn at(corpus: &[&Marked], scores: &[Vec<f64>], threshold: f64, profile: &Profile) -> f64 {
    let finds = finds(corpus, scores);
    let over = finds.into_iter().filter(|find| find.score >= threshold);
    let mut tally = Tally::new(corpus, profile);
    over.for_each(|find| tally.add(&find));
    tally.normalised()
}

/// The best normalised score over all thresholds, and that threshold: what the benchmark calls optimising.
pub(crate) fn best(corpus: &[&Marked], scores: &[Vec<f64>], profile: &Profile) -> (f64, f64) {
    let mut finds = finds(corpus, scores);
    finds.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut tally = Tally::new(corpus, profile);
    let mut best = (tally.normalised(), f64::INFINITY);
    for (index, find) in finds.iter().enumerate() {
        tally.add(find);
        let last_of_its_score = finds.get(index + 1).is_none_or(|next| next.score < find.score);
        if last_of_its_score && tally.normalised() > best.0 {
            best = (tally.normalised(), find.score);
        }
    }
    best
}

/// Windows in which something was found, and finds outside of windows, among the scored rows.
pub(crate) fn counts(corpus: &[&Marked], scores: &[Vec<f64>]) -> (usize, usize) {
    let finds: Vec<Find> = finds(corpus, scores).into_iter().filter(|find| find.score > 0.0).collect();
    let windows: std::collections::BTreeSet<_> = finds.iter().filter_map(|find| find.window).collect();
    (windows.len(), finds.iter().filter(|find| find.window.is_none()).count())
}

/// A scored row.
#[derive(Clone, Copy, Debug)]
struct Find {
    score: f64,
    worth: f64,
    /// File and window.
    window: Option<(usize, usize)>,
}

fn finds(corpus: &[&Marked], scores: &[Vec<f64>]) -> Vec<Find> {
    let files = corpus.iter().zip(scores).enumerate();
    let rows = files.flat_map(|(file, (marked, scores))| {
        (marked.scored_from..scores.len()).map(move |row| Find {
            score: scores[row],
            worth: marked.worth[row],
            window: marked.window[row].map(|window| (file, window)),
        })
    });
    rows.collect()
}

/// The score so far.
#[derive(Debug)]
struct Tally {
    profile: Profile,
    sum: f64,
    /// The best find of each window so far.
    found: BTreeMap<(usize, usize), f64>,
    nothing: f64,
    windows: f64,
}

impl Tally {
    fn new(corpus: &[&Marked], profile: &Profile) -> Self {
        let scored: usize = corpus.iter().map(|marked| marked.scored_windows()).sum();
        let windows: usize = corpus.iter().map(|marked| marked.windows).sum();
        let nothing = -profile.missed * scored as f64;
        Self { profile: *profile, sum: nothing, found: BTreeMap::new(), nothing, windows: windows as f64 }
    }

    fn add(&mut self, find: &Find) {
        let Some(window) = find.window else {
            self.sum += self.profile.false_find * find.worth;
            return;
        };
        let before = self.found.entry(window).or_insert(-self.profile.missed);
        if find.worth > *before {
            self.sum += find.worth - *before;
            *before = find.worth;
        }
    }

    fn normalised(&self) -> f64 {
        100.0 * (self.sum - self.nothing) / (self.windows - self.nothing)
    }
}

fn sigmoid(x: f64) -> f64 {
    if x > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * x).exp()) - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> Vec<Marked> {
        vec![Marked::new(1_000, &[(400, 449), (700, 749)]), Marked::new(1_000, &[(10, 20)])]
    }

    fn scored(rows: &[usize]) -> f64 {
        let marked = corpus();
        let mut scores = vec![vec![0.0; 1_000]; 2];
        rows.iter().for_each(|&row| scores[0][row] = 1.0);
        at(&marked.iter().collect::<Vec<_>>(), &scores, 0.5, &STANDARD)
    }

    #[test]
    fn nothing_found_is_zero_and_every_first_row_is_all_that_can_be_had() {
        assert_eq!(scored(&[]), 0.0);
        // The third window lies in rows that are not scored: it counts as one that nobody can find.
        assert!((scored(&[400, 700]) - 100.0 * 4.0 / 5.0).abs() < 1e-9, "{}", scored(&[400, 700]));
    }

    #[test]
    fn late_finds_are_worth_less_and_false_ones_cost() {
        assert!(scored(&[440]) < scored(&[405]));
        assert!(scored(&[405, 200]) < scored(&[405]));
        assert_eq!(scored(&[405, 430]), scored(&[405]), "a window counts once");
    }

    #[test]
    fn the_best_threshold_leaves_out_what_costs_more_than_it_is_worth() {
        let marked = corpus();
        let mut scores = vec![vec![0.0; 1_000]; 2];
        (scores[0][405], scores[0][300], scores[0][705]) = (3.0, 2.0, 1.0);
        scores[0][200..250].fill(0.5);
        let marked: Vec<&Marked> = marked.iter().collect();
        let (_, threshold) = best(&marked, &scores, &STANDARD);
        assert_eq!(threshold, 1.0);
        assert_eq!(counts(&marked, &scores), (2, 51));
    }
}
