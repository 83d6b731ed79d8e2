//! The inventory of containers for people: one line each with a column for every view, contradictions beneath.
//!
//! Not here: which containers are wanted, and one container in full (`container_text.rs`).

use std::collections::BTreeMap;

use model::identity::Kind;
use model::incident::Severity;
use model::inventory::{ContainerView, InventoryView};
use model::untrusted::Untrusted;
use model::view::{EngineKind, Row, Standing, View, Witness};

use crate::style::{Style, columns, cut, padded, shown, wrapped};
use crate::units;

/// How cells say where a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marks {
    /// As one sign: for a terminal.
    Signs,
    /// As a word: for files and other programs.
    Words,
}

/// All kinds, in the order of the sum.
const KINDS: [Kind; 8] = [
    Kind::Managed,
    Kind::Ghost,
    Kind::Unwatched,
    Kind::Unanswered,
    Kind::Unsettled,
    Kind::Service,
    Kind::Sandbox,
    Kind::Own,
];
/// Columns of witnesses that every host may have.
const WITNESSES: [&str; 10] = [
    "kernel",
    "systemd",
    "docker",
    "containerd",
    "cri",
    "podman",
    "swarm",
    "compose",
    "kubernetes",
    "policy",
];
/// The column of witnesses that are none of those.
const OTHER: &str = "other";
/// What a cell says that has nothing to say.
const NOTHING: &str = "-";
/// Heads of the columns before those of witnesses.
const HEADS: [&str; 5] = ["KIND", "NAME", "IMAGE", "PID", "CGROUP"];
/// Columns of names that share what the others leave.
const NAMES: [usize; 3] = [1, 2, 4];
/// The one of them that is left out first.
const CGROUP: usize = 4;
/// Least columns of a name.
const NAME_COLUMNS_MIN: usize = 8;
/// Most columns of a namespace or of a name behind a sign.
const TAG_COLUMNS_MAX: usize = 16;
/// Spaces between two columns.
const GAP: usize = 2;

struct Line {
    cells: Vec<String>,
    is_suspect: bool,
}

/// The containers in the order given, and their sum. Ends with a newline.
pub fn inventory_text(view: &InventoryView, style: Style, marks: Marks) -> String {
    let places = Places::of(view);
    let mut out = String::new();
    if !view.containers.is_empty() {
        let heads = heads(view);
        let lines: Vec<Line> = view.containers.iter().map(|one| line(one, view, &places, marks)).collect();
        let widths = widths(&heads, &lines, style, marks);
        out.push_str(&(style.bold(&laid_out(&heads, &widths, marks)) + "\n"));
        for (line, container) in lines.iter().zip(&view.containers) {
            let text = laid_out(&line.cells, &widths, marks);
            out.push_str(&if line.is_suspect { suspect(style, &text) } else { text });
            out.push('\n');
            out.push_str(&contradictions(container, style));
        }
        out.push_str(&places.legend());
    }
    out.push_str(&(sum(view) + "\n"));
    if view.dropped > 0 {
        out.push_str(&format!("{} things were not taken in: a limit was reached\n", view.dropped));
    }
    out
}

/// How many there are of each kind: `14 containers: 12 managed, 1 ghost, 1 service; 1 contradiction`.
pub fn sum(view: &InventoryView) -> String {
    let all = &view.containers;
    let count = |kind| all.iter().filter(|one| one.container.kind == kind).count();
    let kinds: Vec<String> = KINDS
        .into_iter()
        .map(|kind| (count(kind), kind.name()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    let contradictions = all.iter().map(|one| one.container.tally.contradictions.len()).sum();
    let mut text = match all.len() {
        0 => "no containers".to_owned(),
        count => format!("{}: {}", counted(count, "container"), kinds.join(", ")),
    };
    if contradictions > 0 {
        text = format!("{text}; {}", counted(contradictions, "contradiction"));
    }
    text
}

/// Painted so that nobody misses it.
pub(crate) fn suspect(style: Style, text: &str) -> String {
    style.severity(Severity::Critical, text)
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn heads(view: &InventoryView) -> Vec<String> {
    let witnesses = WITNESSES.into_iter().chain([OTHER]).map(str::to_uppercase);
    let has_ended = view.containers.iter().any(|one| one.container.ended.is_some());
    let ended = has_ended.then(|| "ENDED".to_owned());
    HEADS.map(str::to_owned).into_iter().chain(witnesses).chain(ended).collect()
}

fn line(one: &ContainerView, view: &InventoryView, places: &Places<'_>, marks: Marks) -> Line {
    let container = &one.container;
    let is_suspect = !container.tally.is_whole() || container.kind == Kind::Ghost;
    let or_nothing = |text: Option<&Untrusted>| text.map_or(NOTHING.to_owned(), Untrusted::to_string);
    let mark = if container.tally.is_whole() { "" } else { "! " };
    let mut cells = vec![
        format!("{mark}{}", container.kind.name()),
        container.name().to_string(),
        or_nothing(one.image().or_else(|| one.root())),
        one.pid().map_or(NOTHING.to_owned(), |pid| pid.to_string()),
        or_nothing(Some(&container.cgroup_path).filter(|path| !path.is_empty())),
    ];
    let column_of = |row: &&Row| column(&row.witness);
    for name in WITNESSES.into_iter().chain([OTHER]) {
        let rows: Vec<&Row> = one.rows.iter().filter(|row| column_of(row) == name).collect();
        cells.push(cell(&rows, places, marks));
    }
    if view.containers.iter().any(|one| one.container.ended.is_some()) {
        let ago = container.ended.map(|at| format!("{} ago", units::duration(view.at.since(at))));
        cells.push(ago.unwrap_or_else(|| NOTHING.to_owned()));
    }
    Line { cells, is_suspect }
}

/// The column that a witness has a cell in.
fn column(witness: &Witness) -> &'static str {
    let name = match witness {
        Witness::Kernel => "kernel",
        Witness::Systemd => "systemd",
        Witness::Engine(view) => view.engine.name(),
        Witness::Orchestrator { name } => name.raw(),
        Witness::Policy => "policy",
    };
    WITNESSES.into_iter().find(|known| *known == name).unwrap_or(OTHER)
}

/// What the witnesses of one column say, in one cell: the one that says most, and how many more say the same.
fn cell(rows: &[&Row], places: &Places<'_>, marks: Marks) -> String {
    let Some(first) = rows.iter().min_by_key(|row| row.standing) else { return NOTHING.to_owned() };
    let alike = rows.iter().filter(|row| row.standing == first.standing).count();
    let mut text = mark(first.standing, marks).to_owned();
    if first.standing == Standing::Foreign {
        return text;
    }
    match &first.witness {
        Witness::Engine(view) => text.push_str(&places.suffix(view, marks)),
        Witness::Orchestrator { name } if column(&first.witness) == OTHER => {
            text.push_str(&format!(" {}", tag(name, marks)));
        }
        _ => {}
    }
    if alike > 1 {
        text.push_str(&format!(" +{}", alike - 1));
    }
    text
}

fn mark(standing: Standing, marks: Marks) -> &'static str {
    match (marks, standing) {
        (Marks::Words, _) => standing.name(),
        (Marks::Signs, Standing::Present) => "✓",
        (Marks::Signs, Standing::Denied) => "✗",
        (Marks::Signs, Standing::Foreign) => NOTHING,
        (Marks::Signs, Standing::Silent | Standing::Pending) => "?",
    }
}

fn tag(name: &Untrusted, marks: Marks) -> String {
    match marks {
        Marks::Signs => cut(&name.to_string(), TAG_COLUMNS_MAX),
        Marks::Words => name.to_string(),
    }
}

/// Engines of one kind at several places are told apart by numbers, which a legend explains.
struct Places<'a>(BTreeMap<EngineKind, Vec<&'a Untrusted>>);

impl<'a> Places<'a> {
    fn of(view: &'a InventoryView) -> Self {
        let mut places: BTreeMap<EngineKind, Vec<&Untrusted>> = BTreeMap::new();
        let rows = view.containers.iter().flat_map(|one| &one.rows);
        // Who need not know any of them is not named.
        for row in rows.filter(|row| row.standing != Standing::Foreign) {
            if let Witness::Engine(view) = &row.witness {
                let known = places.entry(view.engine).or_default();
                if !known.contains(&&view.place) {
                    known.push(&view.place);
                }
            }
        }
        places.retain(|_, places| places.len() > 1);
        places.values_mut().for_each(|places| places.sort_unstable());
        Self(places)
    }

    /// What is put behind a mark: containerd's namespace, and the number of the place when there are several.
    fn suffix(&self, view: &View, marks: Marks) -> String {
        let namespace = Some(&view.namespace).filter(|namespace| !namespace.is_empty());
        let namespace = namespace.map(|it| format!(" {}", tag(it, marks))).unwrap_or_default();
        let places = self.0.get(&view.engine);
        let number = places.and_then(|places| places.iter().position(|place| **place == view.place));
        format!("{namespace}{}", number.map(|at| format!(" @{}", at + 1)).unwrap_or_default())
    }

    fn legend(&self) -> String {
        let mut out = String::new();
        for (engine, places) in &self.0 {
            for (at, place) in places.iter().enumerate() {
                let place =
                    if place.is_empty() { "the one that is followed".to_owned() } else { place.to_string() };
                out.push_str(&format!("{engine} @{}: {place}\n", at + 1));
            }
        }
        out
    }
}

/// Every column as wide as its longest cell; those that say nothing anywhere are not shown. Names share what is left of a
/// terminal, and the cgroup makes room when that is too little for three.
fn widths(heads: &[String], lines: &[Line], style: Style, marks: Marks) -> Vec<usize> {
    let width_of = |(at, head): (usize, &String)| {
        let cells = || lines.iter().map(|line| line.cells[at].as_str());
        if cells().all(|cell| cell == NOTHING) {
            return 0;
        }
        cells().map(columns).max().unwrap_or(0).max(columns(head))
    };
    let mut widths: Vec<usize> = heads.iter().enumerate().map(width_of).collect();
    if marks == Marks::Words {
        return widths;
    }
    let mut room = room(&widths, style);
    let wanted = |widths: &[usize]| NAMES.iter().filter(|at| widths[**at] > 0).count();
    if room < wanted(&widths) * NAME_COLUMNS_MIN {
        widths[CGROUP] = 0;
        room = self::room(&widths, style);
    }
    let least = wanted(&widths) * NAME_COLUMNS_MIN;
    share(&mut widths, room.max(least));
    widths
}

/// Columns that are left for names.
fn room(widths: &[usize], style: Style) -> usize {
    let shown = widths.iter().filter(|width| **width > 0).count();
    let others = widths.iter().enumerate().filter(|(at, _)| !NAMES.contains(at)).map(|(_, width)| width);
    style.columns().saturating_sub(others.sum::<usize>() + GAP * shown.saturating_sub(1))
}

/// Gives each name what it wants while there is room; the shortest first, so that they leave theirs to the others.
fn share(widths: &mut [usize], mut room: usize) {
    let mut names: Vec<usize> = NAMES.into_iter().filter(|at| widths[*at] > 0).collect();
    names.sort_by_key(|at| widths[*at]);
    for (served, at) in names.iter().enumerate() {
        widths[*at] = widths[*at].min(room / (names.len() - served));
        room -= widths[*at];
    }
}

fn laid_out(cells: &[String], widths: &[usize], marks: Marks) -> String {
    let shown = cells.iter().zip(widths).enumerate().filter(|(_, (_, width))| **width > 0);
    let cells = shown.map(|(at, (cell, width))| {
        let fitted = match (marks, at) {
            (Marks::Signs, CGROUP) => cut_within(cell, *width),
            _ => cut(cell, *width),
        };
        padded(&fitted, *width)
    });
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
}

/// Text cut in its middle: the two ends of a path tell most.
fn cut_within(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let tail_width = width.saturating_sub(1) / 2;
    let mut at = text.len();
    for (start, _) in text.char_indices().rev() {
        if columns(&text[start..]) > tail_width {
            break;
        }
        at = start;
    }
    // What `cut` leaves ends with the mark of the cut.
    cut(text, width - columns(&text[at..])) + &text[at..]
}

/// A sentence beneath the container for each.
fn contradictions(one: &ContainerView, style: Style) -> String {
    let mut out = String::new();
    for contradiction in &one.container.tally.contradictions {
        let text = format!("{}: {}", contradiction.about.name(), shown(&contradiction.sentence));
        for (at, line) in wrapped(&text, style.columns().saturating_sub(4)).iter().enumerate() {
            let first = if at == 0 { "  ! " } else { "    " };
            out.push_str(&(suspect(style, &format!("{first}{line}")) + "\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use testkit::inventory::{bare, hostile, sample};

    use super::*;
    use crate::style::unpainted;

    fn wide(width: usize) -> Style {
        Style { width, ..Style::PLAIN }
    }

    #[test]
    fn each_container_is_a_line_with_a_sign_for_what_each_view_says() {
        expect![[r#"
            KIND       NAME                IMAGE                PID  CGROUP               KERNEL  SYSTEMD  DOCKER  CONTAINERD    SWARM  POLICY  ENDED
            ! managed  shop_web.1.x2       registry.example/s…  901  /docker/a…aaaaaaaaa  ✓       -        ✓       ✓ moby @1     ✗      ✗       -
              ! orchestrator_labels: its labels name the service shop_web, and swarm denies it: the service has no such task
              ! rights: the kernel shows capabilities that docker did not give: SYS_ADMIN
            ghost      /srv/miner --pool…  /srv/rootfs          902  /user.sli…e/x.scope  ✓       ✗        ✗       ? @1          -      ✗       -
            managed    db                  /run/bundles/db/ro…  903  /docker/d…ddddddddd  ✓       -        -       ✓ default @2  -      ✓       -
            managed    web                 nginx:1.25           904  /docker/e…eeeeeeeee  ✓       -        ✓       -             -      ?       20 s ago
            service    systemd-resolved    -                    905  /system.s…d.service  ✓       ✓        -       -             -      -       -
            containerd @1: /run/containerd/containerd.sock
            containerd @2: /run/other.sock
            5 containers: 3 managed, 1 ghost, 1 service; 2 contradictions
        "#]].assert_eq(&inventory_text(&sample(), wide(140), Marks::Signs));
    }

    #[test]
    fn where_there_is_no_terminal_names_stand_whole_and_words_in_place_of_signs() {
        expect![[r#"
            KIND       NAME                           IMAGE                          PID  CGROUP                                                                    KERNEL   SYSTEMD  DOCKER   CONTAINERD          SWARM   POLICY   ENDED
            ! managed  shop_web.1.x2                  registry.example/shop/web:1.4  901  /docker/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa  present  -        present  present moby @1     denied  denied   -
              ! orchestrator_labels: its labels name the service shop_web, and swarm denies it: the service has no such task
              ! rights: the kernel shows capabilities that docker did not give: SYS_ADMIN
            ghost      /srv/miner --pool 203.0.113.9  /srv/rootfs                    902  /user.slice/user-0.slice/x.scope                                          present  denied   denied   silent @1           -       denied   -
            managed    db                             /run/bundles/db/rootfs         903  /docker/dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd  present  -        -        present default @2  -       present  -
            managed    web                            nginx:1.25                     904  /docker/eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee  present  -        present  -                   -       pending  20 s ago
            service    systemd-resolved               -                              905  /system.slice/systemd-resolved.service                                    present  present  -        -                   -       -        -
            containerd @1: /run/containerd/containerd.sock
            containerd @2: /run/other.sock
            5 containers: 3 managed, 1 ghost, 1 service; 2 contradictions
        "#]].assert_eq(&inventory_text(&sample(), wide(400), Marks::Words));
    }

    #[test]
    fn a_narrow_terminal_is_not_told_cgroups() {
        expect![[r#"
            KIND       NAME      IMAGE     PID  KERNEL  SYSTEMD  DOCKER  CONTAINERD    SWARM  POLICY  ENDED
            ! managed  shop_we…  registr…  901  ✓       -        ✓       ✓ moby @1     ✗      ✗       -
              ! orchestrator_labels: its labels name the service shop_web, and swarm denies
                it: the service has no such task
              ! rights: the kernel shows capabilities that docker did not give: SYS_ADMIN
            ghost      /srv/mi…  /srv/ro…  902  ✓       ✗        ✗       ? @1          -      ✗       -
            managed    db        /run/bu…  903  ✓       -        -       ✓ default @2  -      ✓       -
            managed    web       nginx:1…  904  ✓       -        ✓       -             -      ?       20 s ago
            service    systemd…  -         905  ✓       ✓        -       -             -      -       -
            containerd @1: /run/containerd/containerd.sock
            containerd @2: /run/other.sock
            5 containers: 3 managed, 1 ghost, 1 service; 2 contradictions
        "#]]
        .assert_eq(&inventory_text(&sample(), wide(80), Marks::Signs));
    }

    #[test]
    fn columns_in_which_nobody_says_anything_are_left_out() {
        let mut view = sample();
        view.containers = vec![bare(1, Kind::Sandbox, "chrome", "/user.slice")];
        expect![[r#"
            KIND     NAME    PID  CGROUP       KERNEL
            sandbox  chrome  901  /user.slice  ✓
            1 container: 1 sandbox
        "#]]
        .assert_eq(&inventory_text(&view, wide(100), Marks::Signs));
        view.containers.clear();
        view.dropped = 3;
        expect![[r#"
            no containers
            3 things were not taken in: a limit was reached
        "#]]
        .assert_eq(&inventory_text(&view, wide(100), Marks::Signs));
    }

    #[test]
    fn engines_are_numbered_only_where_several_of_one_kind_have_something_to_say() {
        let mut view = sample();
        let is_from_elsewhere = |row: &Row| matches!(&row.witness, Witness::Engine(view) if view.place.raw() == "/run/other.sock");
        for one in &mut view.containers {
            one.rows.retain(|row| !is_from_elsewhere(row));
            let elsewhere = View::new(EngineKind::Containerd, "/run/other.sock");
            let (witness, says) = (Witness::Engine(elsewhere), Untrusted::default());
            one.rows.push(Row { witness, standing: Standing::Foreign, since: None, says });
        }
        let text = inventory_text(&view, wide(140), Marks::Signs);
        assert!(!text.contains('@') && text.contains("✓ moby "), "{text}");
    }

    #[test]
    fn names_are_cut_to_the_width_and_hostile_ones_are_escaped() {
        for (width, marks) in [(120, Marks::Signs), (200, Marks::Signs), (1_024, Marks::Words)] {
            let text = inventory_text(&hostile(), wide(width), marks);
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\r', '\t']), "{text}");
            let is_cut = |line: &str| columns(line) <= width || marks == Marks::Words;
            assert!(text.lines().all(is_cut), "{width}:\n{text}");
            assert!(text.contains("✗ x\\u{1b}") || text.contains("denied x\\u{1b}"), "{text}");
        }
    }

    #[test]
    fn what_contradicts_and_what_nobody_claims_is_painted_and_nothing_else_changes() {
        let coloured = inventory_text(&sample(), Style { colour: true, width: 140 }, Marks::Signs);
        assert!(coloured.contains("\x1b[1;31m! managed"), "{coloured}");
        assert!(coloured.contains("\x1b[1;31mghost"), "{coloured}");
        assert!(!coloured.contains("\x1b[1;31mservice"), "{coloured}");
        assert_eq!(unpainted(&coloured), inventory_text(&sample(), wide(140), Marks::Signs));
    }

    #[test]
    fn a_path_is_cut_within_so_that_both_ends_stay() {
        assert_eq!(cut_within("/system.slice/docker-0123.scope", 13), "/syste….scope");
        assert_eq!(cut_within("/日本語/日本語", 8), "/日本…語");
        assert_eq!(cut_within("/short", 6), "/short");
    }
}
