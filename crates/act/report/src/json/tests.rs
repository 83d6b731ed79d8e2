//! The documented form, field by field, and that it can be shown on a terminal and read back.

use expect_test::expect_file;
use model::coverage::{Health, Source};
use model::finding::Value as Evidenced;
use testkit::incidents::{HOSTILE, IncidentBuilder};

use super::*;

#[test]
fn the_sample_attack_has_every_documented_field() {
    let coverage = Coverage {
        seen: vec![Source::Kernel],
        blind: vec![Blind {
            source: Source::Docker,
            health: Health::Down,
            since: Time::from_secs(1),
            until: None,
            reason: "no answer".into(),
        }],
        lost_events: 2,
        lost: vec![],
    };
    let incident =
        IncidentBuilder::attack().coverage(coverage).closed(Time::from_secs(1_769_870_000), "ann").build();
    expect_file!["../../test-data/incident.json"].assert_eq(&(json_text(&incident_json(&incident)) + "\n"));
}

#[test]
fn the_kind_of_subject_follows_who_took_part() {
    let kind = |incident: IncidentBuilder| incident_json(&incident.build())["subject"]["kind"].clone();
    assert_eq!(kind(IncidentBuilder::attack()), "container");
    assert_eq!(kind(IncidentBuilder::attack().containers(2)), "workload");
    assert_eq!(kind(IncidentBuilder::attack().about_node()), "node");
    let node = incident_json(&IncidentBuilder::attack().about_node().build());
    assert_eq!((&node["subject"]["workload"], &node["subject"]["container"]), (&Value::Null, &Value::Null));
}

#[test]
fn hostile_texts_are_raw_to_a_parser_and_ascii_to_a_terminal() {
    let incidents = [IncidentBuilder::attack().hostile().node(HOSTILE).build()];
    let json = incidents_json(&incidents);
    assert_eq!(json[0]["subject"]["container"]["image"], HOSTILE);
    assert_eq!(json[0]["findings"][1]["container"], json[0]["subject"]["container"]);
    let text = json_text(&json);
    assert!(text.chars().all(|c| c == '\n' || c == ' ' || c.is_ascii_graphic()), "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json);
}

#[test]
fn characters_beyond_sixteen_bits_survive_being_escaped() {
    let value = json!({ "😀\u{7f}é": "\u{10ffff}\\" });
    assert_eq!(json_text(&value), "{\n  \"\\ud83d\\ude00\\u007f\\u00e9\": \"\\udbff\\udfff\\\\\"\n}");
    assert_eq!(serde_json::from_str::<Value>(&json_text(&value)).unwrap(), value);
    assert_eq!(json_line(&value), "{\"\\ud83d\\ude00\\u007f\\u00e9\":\"\\udbff\\udfff\\\\\"}");
}

#[test]
fn evidence_keeps_its_order_and_a_name_given_twice_keeps_both_figures() {
    let given = vec![
        ("b".into(), Evidenced::Count(1)),
        ("a".into(), Evidenced::Measure(0.5)),
        ("b".into(), Evidenced::from("x")),
        ("b".into(), Evidenced::Measure(f64::NAN)),
    ];
    assert_eq!(evidence(&given).to_string(), r#"{"b":1,"a":0.5,"b_2":"x","b_3":null}"#);
}
