//! Settings as Docker 20.10 tells them in its answer to an inspection, against the rights read from them.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

const HOST_WITH_APPARMOR: Confinement =
    Confinement { by_seccomp: true, by_apparmor: true, by_selinux: false };
const HOST_WITH_SECCOMP: Confinement =
    Confinement { by_seccomp: true, by_apparmor: false, by_selinux: false };

fn privileges_of(answer: &Value, confinement: Confinement) -> Privileges {
    let host: HostConfig = serde_json::from_value(answer["HostConfig"].clone()).unwrap();
    let mounts: Vec<MountPoint> = serde_json::from_value(answer["Mounts"].clone()).unwrap_or_default();
    let apparmor = answer["AppArmorProfile"].as_str().unwrap_or_default();
    privileges(&Settings { host: &host, mounts: &mounts, apparmor }, confinement)
}

fn check(answer: &Value, expected: &Expect) {
    let rights = privileges_of(answer, HOST_WITH_APPARMOR).rights();
    let beyond: Vec<_> = rights.iter().map(ToString::to_string).collect();
    expected.assert_eq(&beyond.join("\n"));
}

/// What Docker 20.10 tells of `docker run busybox`, without the fields that say nothing of rights.
fn usual() -> Value {
    json!({
        "AppArmorProfile": "docker-default",
        "MountLabel": "", "ProcessLabel": "",
        "HostConfig": {
            "Binds": null, "NetworkMode": "default", "VolumeDriver": "", "VolumesFrom": null,
            "CapAdd": null, "CapDrop": null, "CgroupnsMode": "private", "IpcMode": "private", "Cgroup": "",
            "PidMode": "", "Privileged": false, "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "",
            "UsernsMode": "", "ShmSize": 67_108_864, "Runtime": "runc", "Devices": [], "DeviceCgroupRules": null,
            "DeviceRequests": null, "MaskedPaths": ["/proc/asound"], "ReadonlyPaths": ["/proc/bus"]
        },
        "Mounts": []
    })
}

/// The usual answer with some settings replaced.
fn with(settings: &Value) -> Value {
    let mut answer = usual();
    for (key, value) in settings.as_object().unwrap() {
        answer["HostConfig"][key] = value.clone();
    }
    answer
}

/// `docker run --privileged`: no path is masked, labels are off, and the profile is none.
fn privileged() -> Value {
    let mut answer = with(&json!({
        "Privileged": true, "SecurityOpt": ["label=disable"], "MaskedPaths": null, "ReadonlyPaths": null
    }));
    answer["AppArmorProfile"] = json!("unconfined");
    answer
}

#[test]
fn a_usual_container_has_no_rights() {
    check(&usual(), &expect![[""]]);
    assert_eq!(privileges_of(&usual(), HOST_WITH_APPARMOR).capabilities, Capabilities::usual());
}

#[test]
fn privileged_is_every_capability_and_no_confinement() {
    let privileges = privileges_of(&privileged(), HOST_WITH_APPARMOR);
    assert!(privileges.is_privileged && privileges.without_seccomp && privileges.is_unconfined);
    assert_eq!(privileges.capabilities, Capabilities::ALL);
    let rights = privileges.rights();
    for right in ["privileged", "cap:SYS_ADMIN", "cap:BPF", "no-seccomp", "unconfined"] {
        assert!(rights.contains(&right.into()), "{right} in {rights:?}");
    }
    assert!(!privileges_of(&privileged_without_apparmor(), HOST_WITH_SECCOMP).is_unconfined);
}

fn privileged_without_apparmor() -> Value {
    let mut answer = privileged();
    answer["AppArmorProfile"] = json!("");
    answer
}

#[test]
fn the_root_of_the_host_is_a_mount_and_a_volume_is_none() {
    let mut answer = with(&json!({"Binds": ["/:/host:ro", "data:/var/lib/data"]}));
    answer["Mounts"] = json!([
        {"Type": "bind", "Source": "/", "Destination": "/host", "Mode": "ro", "RW": false, "Propagation": "rslave"},
        {
            "Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data",
            "Destination": "/var/lib/data", "Driver": "local", "Mode": "z", "RW": true, "Propagation": ""
        }
    ]);
    check(&answer, &expect!["mount:/:ro"]);
}

#[test]
fn namespaces_of_the_host_are_named() {
    // Docker itself turns labels off for a container that sees the host's processes.
    check(&with(&json!({"PidMode": "host", "SecurityOpt": ["label=disable"]})), &expect!["host:pid"]);
    check(
        &with(&json!({"NetworkMode": "host", "IpcMode": "host", "UTSMode": "host"})),
        &expect![[r#"
        host:ipc
        host:net
        host:uts"#]],
    );
    check(
        &with(&json!({"PidMode": "container:0af7", "NetworkMode": "bridge", "IpcMode": "shareable"})),
        &expect![[""]],
    );
    let shared =
        privileges_of(&with(&json!({"UsernsMode": "host", "CgroupnsMode": "host"})), HOST_WITH_APPARMOR);
    assert_eq!(shared.host_namespaces, [Namespace::User, Namespace::Cgroup]);
}

#[test]
fn capabilities_are_added_and_taken_as_the_engine_does_it() {
    let of = |added: Value, dropped: Value| {
        let answer = with(&json!({"CapAdd": added, "CapDrop": dropped}));
        privileges_of(&answer, HOST_WITH_APPARMOR).capabilities
    };
    let named = |name: &str| Capabilities::parse(name).unwrap();
    let (usual, admin) = (Capabilities::usual(), named("SYS_ADMIN"));
    assert_eq!(of(json!(["SYS_ADMIN"]), Value::Null), usual.with(admin));
    assert_eq!(
        of(json!(["CAP_SYS_ADMIN"]), json!(["cap_net_raw"])),
        usual.with(admin).without(named("NET_RAW"))
    );
    assert_eq!(of(json!(["ALL"]), Value::Null), Capabilities::ALL);
    assert_eq!(of(json!(["all"]), json!(["SYS_ADMIN"])), Capabilities::ALL.without(admin));
    assert_eq!(of(json!(["SYS_ADMIN"]), json!(["ALL"])), admin);
    assert_eq!(of(Value::Null, json!(["ALL"])), Capabilities::default());
    assert_eq!(of(json!(["SYS_ADMIN"]), json!(["SYS_ADMIN"])), usual.with(admin), "added last");
    assert_eq!(of(json!(["SYS_NOTHING"]), Value::Null), usual);
    check(&with(&json!({"CapAdd": ["CAP_SYS_ADMIN"]})), &expect!["cap:SYS_ADMIN"]);
}

#[test]
fn confinement_is_taken_off_in_either_spelling() {
    let none = expect![[r#"
        no-seccomp
        unconfined"#]];
    for options in [
        json!(["seccomp=unconfined", "apparmor=unconfined"]),
        json!(["seccomp:unconfined", "apparmor:unconfined"]),
    ] {
        check(&with(&json!({"SecurityOpt": options})), &none);
    }
    check(
        &with(&json!({"SecurityOpt": ["no-new-privileges", "seccomp={\"defaultAction\":1}"]})),
        &expect![[""]],
    );
}

#[test]
fn labels_turned_off_count_only_where_the_host_has_them() {
    let selinux = Confinement { by_selinux: true, ..HOST_WITH_SECCOMP };
    for option in ["label=disable", "label:disable"] {
        let answer = with(&json!({"SecurityOpt": [option]}));
        assert!(privileges_of(&answer, selinux).is_unconfined, "{option}");
        assert!(!privileges_of(&answer, HOST_WITH_APPARMOR).is_unconfined, "{option}");
        assert!(privileges_of(&answer, Confinement::UNKNOWN).is_unconfined, "{option}");
    }
}

#[test]
fn an_engine_that_filters_no_calls_gives_nobody_a_filter_but_those_that_bring_one() {
    let none = Confinement { by_seccomp: false, by_apparmor: false, by_selinux: false };
    assert!(privileges_of(&usual(), none).without_seccomp);
    let own = with(&json!({"SecurityOpt": ["seccomp={\"defaultAction\":\"SCMP_ACT_ERRNO\"}"]}));
    assert!(!privileges_of(&own, none).without_seccomp);
}

#[test]
fn mounts_are_told_once_and_the_most_dangerous_first() {
    let many: Vec<String> = (0..40).map(|n| format!("/srv/data/{n:02}:/d{n}")).collect();
    let mut binds =
        vec!["/var/log/:/logs".to_owned(), "/etc:/e:ro,z".to_owned(), "/var/run/docker.sock:/s".to_owned()];
    binds.splice(0..0, many);
    let answer = with(&json!({
        "Binds": binds,
        "Mounts": [
            {"Type": "bind", "Source": "/", "Target": "/host", "ReadOnly": true},
            {"Type": "bind", "Source": "/etc", "Target": "/again", "ReadOnly": true},
            {"Type": "volume", "Source": "data", "Target": "/d"},
            {"Type": "tmpfs", "Target": "/t"}
        ]
    }));
    let mounts = privileges_of(&answer, HOST_WITH_APPARMOR).mounts;
    assert_eq!(mounts.len(), HOST_MOUNTS_MAX);
    let first: Vec<_> = mounts.iter().take(5).map(|it| (it.path.raw(), it.is_writable)).collect();
    let expected = [
        ("/var/run/docker.sock", true),
        ("/", false),
        ("/etc", false),
        ("/srv/data/00", true),
        ("/srv/data/01", true),
    ];
    assert_eq!(first, expected);
    assert!(mounts.iter().any(|it| it.path.raw() == "/srv/data/27"));
}

#[test]
fn a_volume_made_of_a_directory_of_the_host_is_a_mount_of_it() {
    let options = json!({"type": "none", "o": "bind,rw", "device": "/"});
    let volume = |options: &Value| {
        let driver = json!({"Name": "local", "Options": options});
        with(
            &json!({"Mounts": [{"Type": "volume", "Target": "/h", "VolumeOptions": {"DriverConfig": driver}}]}),
        )
    };
    check(&volume(&options), &expect!["mount:/:rw"]);
    check(&volume(&json!({"type": "nfs", "o": "addr=10.0.0.1", "device": ":/export"})), &expect![[""]]);
}

#[test]
fn devices_are_told_by_path_rule_and_request() {
    check(
        &with(&json!({
            "Devices": [
                {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"},
                {"PathOnHost": "/dev/sda", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}
            ],
            "DeviceCgroupRules": ["b 8:* rmw"],
            "DeviceRequests": [
                {"Driver": "", "Count": -1, "DeviceIDs": null, "Capabilities": [["gpu"]], "Options": {}},
                {"Driver": "nvidia", "Count": 0, "DeviceIDs": ["GPU-1a", "GPU-2b"], "Capabilities": [["gpu", "video"]]},
                {"Driver": "cdi", "DeviceIDs": ["vendor.com/nic=0"]}
            ]
        })),
        &expect![[r#"
            device:/dev/fuse
            device:/dev/sda
            device:b 8:* rmw
            device:cdi:vendor.com/nic=0
            device:gpu:GPU-1a,GPU-2b
            device:gpu:all"#]],
    );
    let many: Vec<_> = (0..40)
        .map(|n| json!({"PathOnHost": format!("/dev/x{n:02}")}))
        .chain([json!({"PathOnHost": "/dev/sdb"})])
        .collect();
    let devices = privileges_of(&with(&json!({"Devices": many})), HOST_WITH_APPARMOR).devices;
    assert_eq!((devices.len(), devices[0].raw()), (DEVICES_MAX, "/dev/sdb"));
}
