//! Where the boxes of a picture stand: in layers, so that most lines lead from left to right.
//!
//! Not here: drawing them.

use std::collections::BTreeMap;

use model::traffic::Endpoint;
use rust_sugiyama::configure::{Config, CrossingMinimization, RankingType};
use rust_sugiyama::from_vertices_and_edges;

use super::size;
use crate::drawn::Line;

/// Room between two layers, for labels, in pixels.
const BETWEEN_LAYERS: f64 = 150.0;
/// Room between two boxes of a layer, and between two parts that nothing joins, in pixels.
const BETWEEN_BOXES: f64 = 26.0;

/// A box with its name; all in whole pixels.
pub(super) struct Box {
    pub(super) name: String,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Box {
    pub(super) fn middle(&self) -> f64 {
        self.y + self.height / 2.0
    }
}

/// All boxes, and the room they take.
pub(super) struct Placed<'a> {
    pub(super) boxes: BTreeMap<&'a Endpoint, Box>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Places the ends of lines.
pub(super) fn place<'a>(lines: &[Line<'_>], named: &[(&'a Endpoint, String)]) -> Placed<'a> {
    let mut placed = Placed { boxes: BTreeMap::new(), width: 0.0, height: 0.0 };
    for part in parts(lines, named) {
        let top = placed.height;
        let left = part.iter().map(|(_, (layer, _))| *layer).fold(f64::INFINITY, f64::min);
        let upper = part.iter().map(|(_, (_, along))| *along).fold(f64::INFINITY, f64::min);
        for (number, (layer, along)) in part {
            let Some((end, name)) = named.get(number) else { continue };
            let (width, height) = size(name);
            let (x, y) = ((layer - left).round(), (top + along - upper).round());
            placed.width = placed.width.max(x + width);
            placed.height = placed.height.max(y + height + BETWEEN_BOXES);
            placed.boxes.insert(end, Box { name: name.clone(), x, y, width: width.round(), height });
        }
    }
    placed
}

/// The parts that nothing joins, each with the place of its ends: the layer, and how far along it.
fn parts(lines: &[Line<'_>], named: &[(&Endpoint, String)]) -> Vec<Vec<(usize, (f64, f64))>> {
    let numbers: BTreeMap<&Endpoint, u32> = named.iter().map(|(end, _)| *end).zip(0..).collect();
    let edge = |line: &Line<'_>| Some((*numbers.get(line.from)?, *numbers.get(line.to)?));
    // Whoever talks to himself stands where he stands.
    let edges: Vec<(u32, u32)> = lines.iter().filter_map(edge).filter(|(from, to)| from != to).collect();
    // The library's layers lie below one another, ours beside one another: width and height change places.
    let widest = named.iter().map(|(_, name)| size(name).0).fold(0.0, f64::max);
    let boxes: Vec<(u32, (f64, f64))> = (0..)
        .zip(named)
        .map(|(number, (_, name))| (number, (size(name).1 + BETWEEN_BOXES, widest + BETWEEN_LAYERS)))
        .collect();
    let config = Config {
        vertex_spacing: BETWEEN_BOXES,
        // Its way to the shortest lines does not always end, and swapping neighbours takes seconds.
        ranking_type: RankingType::Up,
        transpose: false,
        c_minimization: CrossingMinimization::Barycenter,
        ..Config::default()
    };
    let layouts = from_vertices_and_edges(&boxes, &edges, &config);
    let mut parts: Vec<Vec<(usize, (f64, f64))>> = layouts
        .into_iter()
        .map(|(part, _, _)| {
            let mut part: Vec<_> =
                part.into_iter().map(|(number, (along, layer))| (number, (layer, along))).collect();
            part.sort_by_key(|(number, _)| *number);
            part
        })
        .collect();
    parts.sort_by_key(|part| part.first().map(|(number, _)| *number));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawn::{lines, samples};
    use crate::graph_svg::named;

    #[test]
    fn no_two_boxes_touch_and_all_lie_within_the_room() {
        for view in
            [samples::shop(), samples::hostile(), samples::empty(), samples::crowd(60), samples::crowd(300)]
        {
            let lines = lines(&view);
            let placed = place(&lines, &named(&view, &lines));
            let boxes: Vec<&Box> = placed.boxes.values().collect();
            assert_eq!(boxes.len(), crate::drawn::called(&view).len(), "all but those that only listen");
            for (at, one) in boxes.iter().enumerate() {
                let fits = one.x >= 0.0 && one.y >= 0.0;
                assert!(
                    fits && one.x + one.width <= placed.width + 1.0 && one.y + one.height <= placed.height
                );
                for other in &boxes[at + 1..] {
                    let beside = one.x + one.width <= other.x || other.x + other.width <= one.x;
                    let above = one.y + one.height <= other.y || other.y + other.height <= one.y;
                    assert!(beside || above, "{} and {}", one.name, other.name);
                }
            }
        }
    }

    #[test]
    fn most_lines_lead_from_left_to_right() {
        let view = samples::crowd(60);
        let lines = lines(&view);
        let placed = place(&lines, &named(&view, &lines));
        let onward = lines.iter().filter(|line| placed.boxes[line.from].x < placed.boxes[line.to].x).count();
        assert_eq!(onward, lines.len(), "the crowd has no circles");
    }
}
