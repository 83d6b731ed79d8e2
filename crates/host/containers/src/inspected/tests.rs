//! Answers as engines give them, and as a hostile or broken one might, against the facts made of them.

use model::runtime::LABELS_MAX;
use std::fmt::Write;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

const ID: &str = "b601492e0c9ea6013e55663bff60e9eca6b22c6a9e08a84ef19bb1cb6778a2be";

fn facts_of(answer: &Value) -> ContainerFacts {
    let inspected = serde_json::from_value(answer.clone()).unwrap();
    facts(&Untrusted::new(ID), inspected, Confinement::UNKNOWN)
}

fn check(answer: &Value, expected: &Expect) {
    let facts = facts_of(answer);
    let mut shown = String::new();
    let time = |time: Option<Time>| time.map_or("-".to_owned(), Time::rfc3339);
    writeln!(shown, "{} {:?} pid {:?}", facts.name, facts.state, facts.pid).unwrap();
    writeln!(shown, "image {} {}", facts.image, facts.digest).unwrap();
    writeln!(shown, "command {}", facts.command).unwrap();
    writeln!(shown, "labels {:?} and {} more", facts.labels, facts.labels_dropped).unwrap();
    writeln!(shown, "created {} started {}", time(facts.created), time(facts.started)).unwrap();
    writeln!(shown, "log {} {:?}", facts.log_driver, facts.log_path).unwrap();
    expected.assert_eq(&shown);
}

/// What Docker 20.10 answers for `docker run --name web --label … busybox sleep 100`, addresses left out.
fn running() -> Value {
    json!({
        "Id": ID,
        "Created": "2026-01-24T08:46:11.110292205Z",
        "Path": "sleep",
        "Args": ["100"],
        "State": {
            "Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
            "Dead": false, "Pid": 19946, "ExitCode": 0, "Error": "",
            "StartedAt": "2026-01-24T08:46:11.878669032Z", "FinishedAt": "0001-01-01T00:00:00Z"
        },
        "Image": "sha256:a32ea0f41af08d0598913d747d1794b2000e13b23297cce8d66f9b2209acaec4",
        "LogPath": "/var/lib/docker/containers/b601/b601-json.log",
        "Name": "/web", "RestartCount": 0, "Driver": "overlay2", "Platform": "linux",
        "MountLabel": "", "ProcessLabel": "", "AppArmorProfile": "", "ExecIDs": null,
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "json-file", "Config": {}},
            "NetworkMode": "default", "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "AutoRemove": false, "CgroupnsMode": "host", "IpcMode": "private", "Isolation": "", "ConsoleSize": [0, 0],
            "Ulimits": [], "Devices": [], "DeviceRequests": null, "MemorySwappiness": null, "PidsLimit": null,
            "MaskedPaths": ["/proc/asound"], "ReadonlyPaths": ["/proc/bus"]
        },
        "GraphDriver": {"Data": {"LowerDir": "/var/lib/docker/overlay2/27"}, "Name": "overlay2"},
        "Mounts": [],
        "Config": {
            "Hostname": "b601492e0c9e", "Env": null, "Cmd": ["sleep", "100"], "Image": "busybox", "Volumes": null,
            "Entrypoint": null, "OnBuild": null, "Labels": {"team": "shop", "app": "web"}
        },
        "NetworkSettings": {"Bridge": "", "Ports": {}, "SecondaryIPAddresses": null, "Networks": {}}
    })
}

#[test]
fn a_running_container_is_told_whole() {
    check(
        &running(),
        &expect![[r#"
            web Running pid Some(19946)
            image busybox sha256:a32ea0f41af08d0598913d747d1794b2000e13b23297cce8d66f9b2209acaec4
            command sleep 100
            labels [("app", "web"), ("team", "shop")] and 0 more
            created 2026-01-24T08:46:11.110Z started 2026-01-24T08:46:11.878Z
            log json-file Some("/var/lib/docker/containers/b601/b601-json.log")
        "#]],
    );
}

#[test]
fn a_stopped_container_has_no_pid_and_keeps_its_start() {
    let mut answer = running();
    answer["State"]["Status"] = json!("exited");
    answer["State"]["Running"] = json!(false);
    answer["State"]["Pid"] = json!(0);
    check(
        &answer,
        &expect![[r#"
            web Exited pid None
            image busybox sha256:a32ea0f41af08d0598913d747d1794b2000e13b23297cce8d66f9b2209acaec4
            command sleep 100
            labels [("app", "web"), ("team", "shop")] and 0 more
            created 2026-01-24T08:46:11.110Z started 2026-01-24T08:46:11.878Z
            log json-file Some("/var/lib/docker/containers/b601/b601-json.log")
        "#]],
    );
}

#[test]
fn a_container_never_started_has_neither_start_nor_log() {
    let mut answer = running();
    answer["State"] = json!({"Status": "created", "Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"});
    answer["LogPath"] = json!("");
    answer["HostConfig"]["LogConfig"]["Type"] = json!("none");
    check(
        &answer,
        &expect![[r#"
            web Created pid None
            image busybox sha256:a32ea0f41af08d0598913d747d1794b2000e13b23297cce8d66f9b2209acaec4
            command sleep 100
            labels [("app", "web"), ("team", "shop")] and 0 more
            created 2026-01-24T08:46:11.110Z started -
            log none None
        "#]],
    );
}

#[test]
fn absent_and_null_fields_stay_empty() {
    let nothing = expect![[r#"
         Created pid None
        image  
        command 
        labels [] and 0 more
        created - started -
        log  None
    "#]];
    check(&json!({}), &nothing);
    let nulls =
        ["Id", "Created", "Path", "Args", "State", "Image", "LogPath", "Name", "HostConfig", "Config"];
    check(&nulls.iter().map(|&key| (key.to_owned(), Value::Null)).collect(), &nothing);
    check(
        &json!({
            "Args": [], "State": {"Status": null, "Pid": null, "StartedAt": null}, "HostConfig": {"LogConfig": null},
            "Config": {"Labels": null, "Image": null, "ExposedPorts": null, "Volumes": null}
        }),
        &nothing,
    );
    check(&json!({"HostConfig": {"LogConfig": {"Type": null}}, "State": {"Status": ""}}), &nothing);
}

#[test]
fn hostile_text_is_kept_raw_and_shown_escaped() {
    let mut answer = running();
    answer["Name"] = json!("/\u{1b}[2Jweb\n\u{202e}gpj");
    answer["Path"] = json!("sh\0");
    answer["Args"] = json!(["-c", "echo '\u{7}' > /dev/tty"]);
    answer["Config"]["Image"] = json!("evil\u{200b}image<script>");
    answer["Config"]["Labels"] = json!({"\u{1b}]0;title\u{7}": "a\r\nb"});
    answer["State"]["Pid"] = json!(-1);
    answer["State"]["StartedAt"] = json!("yesterday");
    answer["Created"] = json!("9999-12-31T23:59:59Z");
    check(
        &answer,
        &expect![[r#"
            \u{1b}[2Jweb\n\u{202e}gpj Running pid None
            image evil\u{200b}image<script> sha256:a32ea0f41af08d0598913d747d1794b2000e13b23297cce8d66f9b2209acaec4
            command sh\u{0} -c echo '\u{7}' > /dev/tty
            labels [("\u{1b}]0;title\u{7}", "a\r\nb")] and 0 more
            created - started -
            log json-file Some("/var/lib/docker/containers/b601/b601-json.log")
        "#]],
    );
}

#[test]
fn huge_text_is_cut_and_labels_that_do_not_fit_are_counted() {
    let mut answer = running();
    let huge = "x".repeat(100_000);
    let labels = (0..LABELS_MAX + 36).map(|n| (format!("{n:03}"), json!(huge))).collect();
    answer["Config"]["Labels"] = Value::Object(labels);
    answer["Args"] = json!(vec![huge.clone(); 20]);
    answer["Name"] = json!(format!("/{huge}"));
    let facts = facts_of(&answer);
    assert_eq!((facts.labels.len(), facts.labels_dropped), (LABELS_MAX, 36));
    assert_eq!(facts.labels[LABELS_MAX - 1].0.raw(), "063");
    let longest = facts.labels.iter().map(|(_, value)| value.raw().len()).max();
    assert_eq!(longest, Some(128), "as long as a label that decides nothing may be");
    assert_eq!(facts.name.raw().len(), UNTRUSTED_BYTES_MAX);
    assert!(facts.command.raw().starts_with("sleep xx") && facts.command.raw().ends_with('…'));
}

#[test]
fn every_status_has_its_state() {
    for (state, expected) in [
        (json!({"Status": "paused", "Running": true}), RunState::Paused),
        (json!({"Status": "restarting", "Running": true}), RunState::Restarting),
        (json!({"Status": "removing"}), RunState::Exited),
        (json!({"Status": "dead"}), RunState::Exited),
        (json!({"Status": "stopping", "Running": true}), RunState::Running),
        (json!({"Running": true, "Paused": true}), RunState::Paused),
        (json!({"Running": true, "Restarting": true}), RunState::Restarting),
        (json!({"Running": true}), RunState::Running),
        (json!({"StartedAt": "2026-01-24T08:46:11Z"}), RunState::Exited),
    ] {
        assert_eq!(facts_of(&json!({"State": state.clone()})).state, expected, "{state}");
    }
}

#[test]
fn a_health_check_is_told_as_the_engine_runs_it() {
    let check = |config: Value, expected: &str| {
        assert_eq!(facts_of(&json!({"Config": config})).health_check.raw(), expected);
    };
    check(
        json!({"Healthcheck": {"Test": ["CMD-SHELL", "curl -f x || exit 1 "]}}),
        "/bin/sh -c curl -f x || exit 1",
    );
    check(
        json!({"Healthcheck": {"Test": ["CMD-SHELL", "true"]}, "Shell": ["/bin/bash", "-ec"]}),
        "/bin/bash -ec true",
    );
    check(json!({"Healthcheck": {"Test": ["CMD-SHELL", "true"]}, "Shell": []}), "/bin/sh -c true");
    check(
        json!({"Healthcheck": {"Test": ["CMD", "pg_isready", "-q"]}, "Shell": ["/bin/bash"]}),
        "pg_isready -q",
    );
    check(json!({"Healthcheck": {"Test": ["NONE"]}}), "");
    check(json!({"Healthcheck": {"Test": []}}), "");
    check(json!({"Healthcheck": null}), "");
}

#[test]
fn the_root_is_where_the_layers_are_joined() {
    let check = |data: Value, expected: &str| {
        let root = facts_of(&json!({"GraphDriver": {"Name": "overlay2", "Data": data}})).root;
        assert_eq!(root.raw(), expected);
    };
    check(json!({"MergedDir": "/var/lib/x/merged", "UpperDir": "/var/lib/x/diff"}), "/var/lib/x/merged");
    check(json!({"MergedDir": "", "UpperDir": "/var/lib/x/diff"}), "/var/lib/x");
    check(json!({"LowerDir": "/var/lib/x/l"}), "");
    check(Value::Null, "");
}

#[test]
fn a_usual_container_has_no_rights_and_one_whose_settings_are_not_told_has_unknown_ones() {
    let rights = |answer: &Value| facts_of(answer).privileges.map(|privileges| privileges.rights());
    assert_eq!(rights(&running()), Some(Vec::new()));
    assert_eq!(rights(&json!({})), None);
}
