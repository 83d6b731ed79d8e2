//! Bytes that young workloads without an approval send outside, summed by image: an upload that is split among many of them, or
//! among many addresses, shows in the sum.
//!
//! Not here: what leaves over one edge (`graph/edge.rs`), and any claim (`detect`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use model::identity::{Container, News};
use model::ids::WorkloadKey;
use model::novelty::Provenance;
use model::time::Time;
use model::traffic::{Endpoint, FlowCounts};
use model::untrusted::Untrusted;
use serde::{Deserialize, Serialize};

use crate::State;
use crate::room::make_room;

/// Most images whose workloads are summed; the one that sent the longest ago makes room.
const IMAGES_MAX: usize = 1_024;
/// Most pieces of one sum that are told apart; the rest is one piece.
const PIECES_MAX: usize = 128;
/// How long a workload is young: what it sends counts here and is judged by its own habit later.
const YOUNG: Duration = Duration::from_secs(3_600);
/// Spans over which is summed, of the length of one.
const SPAN: Duration = Duration::from_secs(60);
const SPANS: usize = 10;
/// Most new workloads of an image that are told apart.
const SERIES_MAX: usize = 256;

/// Bytes within a minute from which a sum is worth a word, as of one edge; within ten minutes four times that, and of all
/// images together twice that.
const BYTES_MIN: u64 = 32 << 20;
const TEN_MINUTES_FACTOR: u64 = 4;
const NODE_FACTOR: u64 = 2;
/// How many times what came back.
const RATIO_MIN: u64 = 8;

/// The sums of all images.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outflows {
    #[serde(with = "model::pairs")]
    of: BTreeMap<Image, Outflow>,
    #[serde(skip)]
    grown: Vec<Image>,
}

/// Whose workloads are summed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Image {
    /// All workloads of the host whose images are not approved.
    Node,
    /// Those of an image, by its content or else its name.
    Of(Untrusted),
    /// Those that no engine claims.
    Unclaimed,
}

/// What the young workloads of an image sent outside.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outflow {
    spans: VecDeque<Span>,
    /// The container that a finding is about: the first that sent most when there was one to tell. It stays the same, so
    /// that one upload is one finding.
    told: Option<Arc<Container>>,
    /// When each new workload was first seen, and whether its image was approved.
    series: BTreeMap<WorkloadKey, Time>,
    last: Time,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Span {
    began: Time,
    #[serde(with = "model::pairs")]
    pieces: BTreeMap<Piece, Sent>,
}

/// Over which way something was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Piece {
    workload: Option<WorkloadKey>,
    /// `None` for addresses that are not told apart.
    to: Option<Untrusted>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sent {
    sent_bytes: u64,
    received_bytes: u64,
    container: Arc<Container>,
}

/// What was sent within a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Bytes that came back.
    pub received_bytes: u64,
    /// Of those sent, the bytes of the largest piece that has an edge of its own.
    pub largest_bytes: u64,
    /// Workloads that sent them.
    pub workloads: usize,
    /// Within how many minutes.
    pub minutes: u64,
}

impl Image {
    fn factor(&self) -> u64 {
        if *self == Self::Node { NODE_FACTOR } else { 1 }
    }
}

impl Outflows {
    fn add(
        &mut self,
        image: Image,
        (piece, counts): (Piece, &FlowCounts),
        container: &Arc<Container>,
        at: Time,
    ) {
        make_room(&mut self.of, &image, IMAGES_MAX, |outflow| outflow.last);
        self.of.entry(image.clone()).or_default().add(piece, counts, container, at);
        if !self.grown.contains(&image) {
            self.grown.push(image);
        }
    }

    /// A sum that is much now is about one container from now on.
    fn choose_heads(&mut self) {
        for image in &self.grown {
            if let Some(outflow) = self.of.get_mut(image)
                && outflow.told.is_none()
                && outflow.much(image.factor()).is_some()
            {
                outflow.told = outflow.most();
            }
        }
    }
}

impl Outflow {
    /// The container that a finding about the sum names.
    fn head(&self) -> Option<&Arc<Container>> {
        self.told.as_ref()
    }

    /// What was sent within a minute, or else ten, when that is much though no edge carried much of it alone.
    fn much(&self, factor: u64) -> Option<Total> {
        let is_much = |total: &Total, bytes_min: u64| {
            let alone = if total.largest_bytes >= BYTES_MIN { total.largest_bytes } else { 0 };
            let is_sent = total.sent_bytes >= RATIO_MIN.saturating_mul(total.received_bytes);
            total.sent_bytes - alone >= bytes_min && is_sent
        };
        let minute = Some(self.total(1)).filter(|total| is_much(total, factor * BYTES_MIN));
        let longer = || self.total(SPANS);
        minute.or_else(|| {
            Some(longer()).filter(|total| is_much(total, factor * TEN_MINUTES_FACTOR * BYTES_MIN))
        })
    }

    fn total(&self, spans: usize) -> Total {
        let mut pieces: BTreeMap<&Piece, u64> = BTreeMap::new();
        let mut total = Total::default();
        for span in self.spans.iter().rev().take(spans) {
            for (piece, sent) in &span.pieces {
                total.sent_bytes = total.sent_bytes.saturating_add(sent.sent_bytes);
                total.received_bytes = total.received_bytes.saturating_add(sent.received_bytes);
                let sum = pieces.entry(piece).or_default();
                *sum = sum.saturating_add(sent.sent_bytes);
            }
        }
        let edges = pieces.iter().filter(|(piece, _)| piece.to.is_some());
        total.largest_bytes = edges.map(|(_, bytes)| *bytes).max().unwrap_or(0);
        // Ordered by workload.
        let mut workloads: Vec<_> = pieces.keys().map(|piece| &piece.workload).collect();
        workloads.dedup();
        total.workloads = workloads.len();
        total.minutes = spans as u64;
        total
    }

    fn add(&mut self, piece: Piece, counts: &FlowCounts, container: &Arc<Container>, at: Time) {
        self.last = at;
        self.expire(at);
        if self.spans.back().is_none_or(|span| at.since(span.began) >= SPAN) {
            self.spans.push_back(Span { began: at, pieces: BTreeMap::new() });
        }
        let Some(span) = self.spans.back_mut() else { return };
        let is_known = span.pieces.contains_key(&piece);
        let piece = if is_known || span.pieces.len() < PIECES_MAX { piece } else { Piece::rest() };
        let sent = span.pieces.entry(piece).or_insert_with(|| Sent {
            sent_bytes: 0,
            received_bytes: 0,
            container: Arc::clone(container),
        });
        sent.sent_bytes = sent.sent_bytes.saturating_add(counts.sent_bytes);
        sent.received_bytes = sent.received_bytes.saturating_add(counts.received_bytes);
    }

    fn expire(&mut self, at: Time) {
        while self.spans.front().is_some_and(|span| at.since(span.began) >= SPAN * SPANS as u32) {
            self.spans.pop_front();
        }
        if self.spans.is_empty() {
            self.told = None;
        }
        self.series.retain(|_, first| at.since(*first) < SPAN * SPANS as u32);
    }

    /// Who sent most, of equals the first by name.
    fn most(&self) -> Option<Arc<Container>> {
        let pieces = self.spans.iter().flat_map(|span| span.pieces.iter());
        let most = pieces.max_by(|(one, a), (other, b)| a.sent_bytes.cmp(&b.sent_bytes).then(other.cmp(one)));
        most.map(|(_, sent)| Arc::clone(&sent.container))
    }
}

impl Piece {
    fn rest() -> Self {
        Self { workload: None, to: None }
    }
}

impl State {
    /// Sums of images that grew in this step and are much: the container that stands for it, and the sum.
    pub fn much_of_images(&self) -> impl Iterator<Item = (&Arc<Container>, Total)> {
        let grown = self.outflows.grown.iter().filter(|image| **image != Image::Node);
        grown.filter_map(|image| self.much_of(image))
    }

    /// The same of all images without an approval together, unless it is much of one of them.
    pub fn much_of_node(&self) -> Option<(&Arc<Container>, Total)> {
        let of_one = self.outflows.of.iter().any(|(image, it)| *image != Image::Node && it.much(1).is_some());
        if of_one || !self.outflows.grown.contains(&Image::Node) {
            return None;
        }
        self.much_of(&Image::Node)
    }

    fn much_of(&self, image: &Image) -> Option<(&Arc<Container>, Total)> {
        let outflow = self.outflows.of.get(image)?;
        Some((outflow.head()?, outflow.much(image.factor())?))
    }

    /// How many new workloads of the container's image were first seen within ten minutes.
    pub fn new_workloads(&self, container: &Container) -> usize {
        image_of(container).and_then(|image| self.outflows.of.get(&image)).map_or(0, |it| it.series.len())
    }

    /// Takes in what left, and who is new.
    pub(crate) fn follow_outflow(&mut self, news: &[News], at: Time) {
        self.outflows.grown.clear();
        for news in news {
            if let News::Settled(container) = news {
                self.note_series(container, at);
            }
        }
        if self.graph.news().used.is_empty() && self.graph.news().crowds.is_empty() {
            return;
        }
        for (piece, counts, container) in self.unapproved_sent() {
            let is_unapproved = self.provenance(&container) != Provenance::ImageApproved;
            let node = is_unapproved.then_some(Image::Node);
            for image in image_of(&container).into_iter().chain(node) {
                self.outflows.add(image, (piece.clone(), &counts), &container, at);
            }
        }
        self.outflows.choose_heads();
    }

    fn note_series(&mut self, container: &Container, at: Time) {
        let is_new = self.graph.watched_since(&container.workload()) == Some(at);
        let is_unapproved = self.is_summed(container);
        let Some(image) = image_of(container).filter(|_| is_new && is_unapproved) else { return };
        make_room(&mut self.outflows.of, &image, IMAGES_MAX, |outflow| outflow.last);
        let outflow = self.outflows.of.entry(image).or_default();
        outflow.last = at;
        outflow.expire(at);
        if outflow.series.len() < SERIES_MAX {
            outflow.series.insert(container.workload(), at);
        }
    }

    /// What this step showed to be sent by workloads that are summed, over edges that are neither approved nor declared.
    fn unapproved_sent(&self) -> Vec<(Piece, FlowCounts, Arc<Container>)> {
        let news = self.graph.news();
        let is_young = |container: &Container| {
            let since = self.graph.watched_since(&container.workload());
            since.is_none_or(|since| self.now().since(since) < YOUNG)
        };
        let used = news.used.iter().filter(|used| used.counts.sent_bytes + used.counts.received_bytes > 0);
        let used = used.filter(|used| is_young(&used.container) && self.is_summed(&used.container));
        let used = used.filter(|used| {
            !self.is_approved_edge(&used.edge) && self.expected_use(&used.edge, &used.container).is_none()
        });
        let over_edges = used.map(|used| {
            let to = match &used.edge.to {
                Endpoint::Outside(to) => to.clone(),
                _ => Untrusted::default(),
            };
            let piece = Piece { workload: Some(used.container.workload()), to: Some(to) };
            (piece, used.counts, Arc::clone(&used.container))
        });
        // Nothing is known of what goes to a crowd, so it counts in any case.
        let to_crowds = news.crowds.iter().map(|(container, counts)| {
            let piece = Piece { workload: Some(container.workload()), to: None };
            (piece, *counts, Arc::clone(container))
        });
        over_edges.chain(to_crowds).collect()
    }

    fn is_summed(&self, container: &Container) -> bool {
        let provenance = self.provenance(container);
        matches!(provenance, Provenance::ImageApproved | Provenance::Unapproved | Provenance::Unclaimed)
    }
}

/// By what the workloads of an image belong together: its content, else its name; all that no engine claims do.
fn image_of(container: &Container) -> Option<Image> {
    let Some(facts) = container.facts.known() else {
        return (!container.facts.is_pending()).then_some(Image::Unclaimed);
    };
    let name = if facts.digest.is_empty() { &facts.image } else { &facts.digest };
    Some(Image::Of(name.clone()))
}
