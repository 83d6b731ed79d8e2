//! Scores against marks: average precision, and how many marked stretches are found within a budget of false episodes.
//!
//! Not here: adjustment to points. It makes noise look excellent (Kim et al., arXiv 2109.05257).

use std::ops::Range;

/// Samples that part two false episodes.
const APART: usize = 10;

/// Thresholds that are tried.
const GRID: usize = 80;

/// Average precision: the area below precision over recall, point by point.
pub(crate) fn average_precision(marks: &[bool], scores: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..marks.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut found, mut sum) = (0.0, 0.0);
    for (place, &index) in order.iter().enumerate() {
        if marks[index] {
            found += 1.0;
            sum += found / (place as f64 + 1.0);
        }
    }
    sum / found
}

/// The stretches that are marked.
pub(crate) fn stretches(marks: &[bool]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut begin = None;
    for (index, &mark) in marks.iter().chain([&false]).enumerate() {
        match (mark, begin) {
            (true, None) => begin = Some(index),
            (false, Some(first)) => {
                found.push(first..index);
                begin = None;
            }
            _ => {}
        }
    }
    found
}

/// Episodes where nothing is marked: what lies no more than `apart` samples apart is one.
pub(crate) fn false_episodes(on: &[bool], calm: &[bool], apart: usize) -> usize {
    let false_ones = (0..on.len()).filter(|&index| on[index] && calm[index]);
    let (episodes, _) = false_ones.fold((0, None), |(episodes, last), index| {
        let new = last.is_none_or(|last: usize| index - last > apart);
        (episodes + usize::from(new), Some(index))
    });
    episodes
}

/// Where the scores lie at or above the lowest threshold that keeps false episodes within the budget. The marks decide the
/// threshold, so this is an oracle.
pub(crate) fn within_budget(marks: &[bool], scores: &[f64], episodes_max: f64) -> Vec<bool> {
    let calm: Vec<bool> = marks.iter().map(|mark| !mark).collect();
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut thresholds: Vec<f64> = (0..GRID)
        .map(|step| {
            let share = -0.3 + (-4.2 + 0.3) * step as f64 / (GRID - 1) as f64;
            quantile(&sorted, 1.0 - 10_f64.powf(share))
        })
        .collect();
    thresholds.sort_by(f64::total_cmp);
    let over = |threshold: f64| -> Vec<bool> { scores.iter().map(|&score| score >= threshold).collect() };
    let fitting = thresholds.into_iter().map(over);
    let mut fitting = fitting.filter(|on| false_episodes(on, &calm, APART) as f64 <= episodes_max);
    fitting.next().unwrap_or_else(|| vec![false; scores.len()])
}

/// How many of the stretches hold a sample that is on.
pub(crate) fn stretches_found(marks: &[bool], on: &[bool]) -> usize {
    stretches(marks).into_iter().filter(|stretch| on[stretch.clone()].contains(&true)).count()
}

/// A quantile of sorted values, interpolated.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len().saturating_sub(1)) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

/// The median; not a number when there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    if values.is_empty() { f64::NAN } else { quantile(&values, 0.5) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKS: [bool; 8] = [false, true, true, false, false, false, true, false];

    #[test]
    fn average_precision_is_one_when_the_marked_come_first() {
        let best = [0.0, 3.0, 2.0, 0.0, 0.0, 0.0, 1.0, 0.5];
        assert_eq!(average_precision(&MARKS, &best), 1.0);
        let worst = best.map(|score: f64| -score);
        assert!(average_precision(&MARKS, &worst) < 0.45);
    }

    #[test]
    fn a_stretch_that_ends_with_the_series_is_one() {
        assert_eq!(stretches(&MARKS), [1..3, 6..7]);
        assert_eq!(stretches(&[true, true, false, true]), [0..2, 3..4]);
    }

    #[test]
    fn false_samples_close_together_are_one_episode() {
        let on = [true, false, true, false, false, false, false, true];
        assert_eq!(false_episodes(&on, &[true; 8], 2), 2);
        assert_eq!(false_episodes(&on, &[true; 8], 10), 1);
        assert_eq!(false_episodes(&on, &[false; 8], 10), 0);
    }

    #[test]
    fn a_budget_of_none_leaves_what_is_never_false() {
        let scores: Vec<f64> =
            MARKS.iter().enumerate().map(|(i, &mark)| if mark && i > 5 { 9.0 } else { 1.0 }).collect();
        let on = within_budget(&MARKS, &scores, 0.0);
        assert_eq!((stretches_found(&MARKS, &on), stretches(&MARKS).len()), (1, 2));
    }
}
