//! The page as people see it, and that nothing foreign in it is more than text.

use expect_test::expect;
use model::coverage::Source;
use model::expectation::{ExpectationId, ExplanationKind};
use testkit::incidents::{HOSTILE, IncidentBuilder};

use super::*;

fn blind() -> Coverage {
    let docker = Blind {
        source: Source::Docker,
        health: Health::Down,
        since: Time::from_secs(1_769_860_000),
        until: None,
        reason: HOSTILE.into(),
    };
    let kernel = Blind {
        source: Source::Kernel,
        health: Health::Degraded,
        since: docker.since,
        until: Some(Time::from_secs(1_769_860_700)),
        reason: "one probe was refused".into(),
    };
    Coverage { seen: vec![Source::Cgroups], blind: vec![docker, kernel], lost_events: 12, lost: vec![] }
}

#[test]
fn the_sample_attack_fits_on_one_page() {
    let page = incident_text(&IncidentBuilder::attack().build(), Style::PLAIN);
    expect![[r#"
        HIGH  TW-27097a804630  open
        eager_tesla makes the container engine spend 0.91 cores writing its output, 110 times its own CPU

        Who
          container  eager_tesla
          id         4f1c0a6de9f2b8351c7740aa91d2e6f8b5c3d4e7f60918273645546372819aab
          image      busybox
          digest     sha256:9211bbaa0dbd68fed073065eb9f0a6ed00a75090a9235eca2554c62d1e75c58f
          cgroup     /docker/4f1c0a6de9f2b8351c7740aa91d2e6f8b5c3d4e7f60918273645546372819aab
          workload   busybox [yes]
          node       shop-1
          started    2026-01-31 12:00:00 UTC
          opened     2026-01-31 12:00:02 UTC, last changed 3.25 s later

        Why
          15.0 bits of evidence, 9.5 are needed; families: resource, provenance
          - two independent families agree: resource and provenance
          - raised from medium to high: it harms the host

        Findings
          out_of_band_log  resource, +9.0 bits, 2026-01-31 12:00:02 UTC, does harm
            eager_tesla is idle by its own books, and the engine works for it
              own cpu         0.008 cores
              engine cpu      0.93 cores
              attributed cpu  0.91 cores
              attribution     98 %
              log             98.3 MB/s
              window          2 s
          unapproved_image  provenance, +6.0 bits, 2026-01-31 12:00:02 UTC
            nobody approved the image busybox
              image            busybox
              approved images  3

        Not seen
          nothing is known to be missing; sources: kernel, cgroups, host

        Next
          tidewatch ads show container-monitoring-bypass
              how to assess, contain and recover
          tidewatch approve image sha256:9211bbaa0dbd68fed073065eb9f0a6ed00a75090a9235eca2554c62d1e75c58f
              when this image belongs here
          tidewatch incidents close TW-27097a804630 --verdict benign
              when it was fine; or: malicious, test
    "#]]
    .assert_eq(&page);
}

#[test]
fn hostile_texts_are_shown_as_text_and_never_put_into_a_command() {
    let incident = IncidentBuilder::attack().hostile().node(HOSTILE).coverage(blind()).containers(3).build();
    let page = incident_text(&incident, Style { colour: false, width: 60 });
    expect![[r#"
        HIGH  TW-a571613432cd  open
        x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
        makes the container engine spend 0.91 cores writing its
        output, 110 times its own CPU

        Who
          container   x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          id          x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          image       x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          digest      x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          cgroup      x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          workload    x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          node        x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          containers  3 took part; the one above has the weightiest
                      finding
          started     2026-01-31 12:00:00 UTC
          opened      2026-01-31 12:00:02 UTC, last changed 3.25 s
                      later

        Why
          15.0 bits of evidence, 9.5 are needed; families: resource,
          provenance
          - two independent families agree: resource and provenance
          - raised from medium to high: it harms the host

        Findings
          out_of_band_log  resource, +9.0 bits, 2026-01-31 12:00:02
                           UTC, does harm
            x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
            is idle by its own books, and the engine works for it
              own cpu         0.008 cores
              engine cpu      0.93 cores
              attributed cpu  0.91 cores
              attribution     98 %
              log             98.3 MB/s
              window          2 s
          unapproved_image  provenance, +6.0 bits, 2026-01-31
                            12:00:02 UTC
            nobody approved the image
            x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
              image            x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
              approved images  3

        Not seen
          docker  down since 2026-01-31 11:46:40 UTC:
                  x\u{1b}[2J\u{1b}]0;owned\u{7}\n\r\t"'`$(id)<script>alert(1)</script>\u{9b}31m\u{202e}gnp\\
          kernel  degraded since 2026-01-31 11:46:40 until
                  2026-01-31 11:58:20 UTC: one probe was refused
          12 events were lost since the start

        Next
          tidewatch ads show container-monitoring-bypass
              how to assess, contain and recover
          tidewatch incidents close TW-a571613432cd --verdict benign
              when it was fine; or: malicious, test
    "#]].assert_eq(&page);
    assert!(!page.contains("approve image"));
}

#[test]
fn a_closed_incident_says_by_whom_and_asks_for_nothing_more() {
    let closed = IncidentBuilder::attack().closed(Time::from_secs(1_769_870_000), "ann\x1b").build();
    let page = incident_text(&closed, Style::PLAIN);
    expect![[r#"HIGH  TW-27097a804630  closed as a test by ann\u{1b}, 2026-01-31 14:33:20 UTC: exercise"#]]
        .assert_eq(page.lines().next().unwrap());
    assert!(!page.contains("incidents close") && !page.contains("tidewatch approve"));
}

#[test]
fn an_incident_of_the_node_names_no_container() {
    let page = incident_text(&IncidentBuilder::attack().about_node().build(), Style::PLAIN);
    let who: Vec<&str> =
        page.lines().skip_while(|line| *line != "Who").take_while(|line| !line.is_empty()).collect();
    expect![[r#"
        Who
          node    shop-1
          opened  2026-01-31 12:00:02 UTC, last changed 3.25 s later"#]]
    .assert_eq(&who.join("\n"));
}

#[test]
fn the_weightiest_findings_are_shown_and_the_rest_is_counted() {
    let mut incident = IncidentBuilder::attack().build();
    let weak = Finding { bits: 0.5, judge: "weak".into(), ..incident.findings[0].clone() };
    incident.findings.splice(0..0, vec![weak; 20]);
    incident.findings_dropped = 5;
    let page = incident_text(&incident, Style::PLAIN);
    let judges: Vec<&str> = page.lines().filter(|line| line.contains(" bits, 2026")).collect();
    assert_eq!(judges.len(), FINDINGS_SHOWN_MAX);
    assert!(judges[0].contains("out_of_band_log") && judges[1].contains("unapproved_image"), "{judges:?}");
    assert!(page.contains("and 14 of less weight") && page.contains("5 more were not kept"), "{page}");
}

fn explanation(text: &str) -> Explanation {
    Explanation {
        by: ExpectationId::from_text(text),
        kind: ExplanationKind::ImageImport,
        sentence: text.to_owned(),
        bits_before: 8.0,
        bits_after: 4.0,
    }
}

#[test]
fn what_lowered_a_finding_stands_below_its_claim() {
    let mut incident = IncidentBuilder::attack().build();
    incident.findings[0].explained.push(explanation("imported"));
    let page = incident_text(&incident, Style::PLAIN);
    assert!(page.contains("    8.0 bits lowered to 4.0 by image import imported: imported\n"), "{page}");
}

/// An incident as a forged file may hold it: control characters also where we write the text ourselves.
fn forged() -> Incident {
    let mut forged = IncidentBuilder::attack().hostile().node(HOSTILE).coverage(blind()).build();
    forged.id = model::incident::IncidentId::from_text("TW-\x1b[2J;id");
    forged.summary = HOSTILE.to_owned();
    forged.reasons = vec![HOSTILE.to_owned()];
    for finding in &mut forged.findings {
        finding.judge = HOSTILE.into();
        finding.strategy = HOSTILE.into();
        finding.claim = HOSTILE.to_owned();
        finding.explained.push(explanation(HOSTILE));
        finding.evidence.push((HOSTILE.into(), model::finding::Value::Text(HOSTILE.into())));
    }
    forged
}

#[test]
fn no_control_character_but_newlines_comes_out() {
    for incident in [IncidentBuilder::attack().build(), forged()] {
        for colour in [false, true] {
            let style = Style { colour, width: 80 };
            let table = crate::table::incidents_table(std::slice::from_ref(&incident), style);
            let out = unpainted(&(incident_text(&incident, style) + &table));
            let control = out.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(control, None, "{out:?}");
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    for incident in [IncidentBuilder::attack().build(), forged()] {
        let coloured = incident_text(&incident, Style { colour: true, ..Style::PLAIN });
        assert_ne!(coloured, unpainted(&coloured));
        assert_eq!(unpainted(&coloured), incident_text(&incident, Style::PLAIN));
    }
}

#[test]
fn lines_keep_to_the_width_unless_one_word_does_not_fit() {
    for width in [80, 100, 120] {
        let page = incident_text(&forged(), Style { colour: false, width });
        // In front of a word that does not fit is at most an indent and a label.
        let breakable = |line: &&str| line.split(' ').all(|word| columns(word) + 40 <= width);
        let too_long = page.lines().filter(|line| columns(line) > width).find(breakable);
        assert_eq!(too_long, None, "{width}");
    }
}

#[test]
fn only_what_a_shell_takes_for_a_word_is_put_into_a_command() {
    for word in ["sha256:00ff", "TW-0123456789ab", "a/b_c.d@e+f"] {
        assert!(is_shell_word(word), "{word}");
    }
    for text in ["", "-rf", "a b", "a;b", "$(id)", "a\nb", "`id`", "a'b", "ü", "a\\b", "*", "~"] {
        assert!(!is_shell_word(text), "{text}");
    }
}
