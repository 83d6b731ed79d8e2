//! Command lines of package managers: whether one does nothing but fetch, install and remove packages by name.
//!
//! Options, files and commands that are not listed here may make a package manager run anything, as `-o …::Pre-Invoke=` of
//! apt does. Not here: which programs are package managers (the probes), their settings files and environment.

use crate::event::Exec;

/// Words that say what is done with packages that are named.
const VERBS: [&str; 21] = [
    "install",
    "add",
    "in",
    "update",
    "up",
    "upgrade",
    "dist-upgrade",
    "full-upgrade",
    "dup",
    "distro-sync",
    "reinstall",
    "groupinstall",
    "refresh",
    "ref",
    "makecache",
    "remove",
    "del",
    "purge",
    "autoremove",
    "clean",
    "fix",
];
/// Options that are followed by no file, command or setting. A name behind one is one of a package, a group or a release.
const OPTIONS: [&str; 36] = [
    "-t",
    "-a",
    "--yes",
    "--assume-yes",
    "--assumeyes",
    "--quiet",
    "--verbose",
    "--no-install-recommends",
    "--no-install-suggests",
    "--no-cache",
    "--upgrade",
    "--update",
    "--update-cache",
    "--virtual",
    "--no-progress",
    "--fix-broken",
    "--fix-missing",
    "--refresh",
    "--non-interactive",
    "--no-recommends",
    "--noconfirm",
    "--needed",
    "--only-upgrade",
    "--reinstall",
    "--purge",
    "--auto-remove",
    "--autoremove",
    "--allow-downgrades",
    "--allow-change-held-packages",
    "--best",
    "--allowerasing",
    "--nodocs",
    "--with-new-pkgs",
    "--pending",
    "--setopt=install_weak_deps=False",
    "--setopt=tsflags=nodocs",
];
/// Letters of such options, of which several may share a word.
const LETTERS: &str = "yqvVuSn";
/// Settings of apt (`-o`) that name no program, file or host. apt does not tell capitals.
const SETTINGS: [&str; 8] = [
    "dpkg::options",
    "dpkg::options::",
    "dpkg::use-pty",
    "dpkg::lock::timeout",
    "acquire::retries",
    "apt::install-recommends",
    "apt::install-suggests",
    "apt::get::assume-yes",
];
/// Ends of names of files that package managers take for packages.
const PACKAGE_FILES: [&str; 8] = [".deb", ".rpm", ".apk", ".ipk", ".zst", ".xz", ".gz", ".pkg"];

impl Exec {
    /// Whether the process, a package manager, is asked for nothing but packages by name. What it runs then is a package's;
    /// what any other one runs may have been given to it.
    pub fn installs_by_name(&self) -> bool {
        let name = name(self);
        let words = words(self);
        let is_harmless = |(at, word): (usize, &&str)| match at.checked_sub(1).map(|before| words[before]) {
            Some("-o") => is_setting(word),
            _ => is_plain(name, word),
        };
        has_verb(name, &words) && words.iter().enumerate().all(is_harmless)
    }
}

/// The name of its file with links followed: the name that it is asked by can be chosen.
fn name(exec: &Exec) -> &str {
    let file = exec.file.as_ref().map(|file| file.name.raw()).filter(|name| !name.is_empty());
    file.or_else(|| exec.path.raw().rsplit('/').next()).unwrap_or_default()
}

/// What the package manager is asked for: of a script without its interpreter, that one's options and the script.
fn words(exec: &Exec) -> Vec<&str> {
    let mut words = exec.args.raw().split(' ').skip(1).filter(|word| !word.is_empty()).peekable();
    if !exec.script.is_empty() {
        while words.next_if(|word| word.starts_with('-') && word.len() <= 3).is_some() {}
        words.next_if(|word| [exec.path.raw(), exec.script.raw()].contains(word));
    }
    words.collect()
}

fn has_verb(name: &str, words: &[&str]) -> bool {
    let first = words.iter().find(|word| !word.starts_with('-') && !word.contains("::"));
    match name {
        // It installs files, and those by any name.
        "rpm" => false,
        "dpkg" => words.first().is_some_and(|word| *word == "--configure"),
        "pacman" => words.first().is_some_and(|word| word.starts_with("-S")),
        name if name.starts_with("unattended-upgr") => first.is_none(),
        _ => first.is_some_and(|word| VERBS.contains(word)),
    }
}

fn is_plain(name: &str, word: &str) -> bool {
    match word.strip_prefix('-') {
        None => is_package(word),
        Some("o") => true,
        Some("U") => name == "apk",
        Some("-configure") => name == "dpkg",
        Some(_) if OPTIONS.contains(&word) => true,
        Some(rest) if rest.contains("::") => rest.strip_prefix('o').is_some_and(is_setting),
        Some(letters) => !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter)),
    }
}

/// A name of a package, with its version; neither a file nor a part of a command.
fn is_package(word: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || ".+~:_=<>@*^-".contains(c);
    word.chars().all(is_of_name) && !PACKAGE_FILES.iter().any(|end| word.ends_with(end))
}

/// `Dpkg::Options::=--force-confold`.
fn is_setting(word: &str) -> bool {
    let Some((key, value)) = word.split_once('=') else { return false };
    let key = key.to_ascii_lowercase();
    let is_of_dpkg = !key.starts_with("dpkg::options") || value.starts_with("--force-conf");
    SETTINGS.contains(&key.as_str())
        && is_of_dpkg
        && value.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &str, expected: bool) {
        let name = args.split(' ').next().unwrap_or_default();
        let path = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
        let exec = Exec { path: path.as_str().into(), args: args.into(), ..exec() };
        assert_eq!(exec.installs_by_name(), expected, "{args}");
    }

    fn exec() -> Exec {
        let text = r#"{"process":{"pid":1,"start_ns":1},"parent_pid":1,"uid":0,"cgroup":1,
            "namespaces":{"pid":1,"mnt":1,"net":1},"name":"","path":"","args":""}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn packages_by_name_are_installed() {
        for args in [
            "apt-get install -y --no-install-recommends nginx=1.2~rc1-3+b1 curl",
            "apt-get -qq update",
            "apt-get -o Dpkg::Options::=--force-confold -oDpkg::Use-Pty=0 dist-upgrade",
            "dpkg --configure -a",
            "dpkg --configure nginx",
            "apk add -U --no-cache --virtual .build-deps gcc",
            "dnf -y install --setopt=install_weak_deps=False nginx",
            "pacman -Syu --noconfirm nginx",
            "zypper --non-interactive in nginx",
            "unattended-upgrade -v",
        ] {
            check(args, true);
        }
    }

    #[test]
    fn files_commands_and_settings_that_run_something_are_not_packages() {
        for args in [
            "apt-get -o APT::Update::Pre-Invoke::=/tmp/x update",
            "apt-get -oAPT::Update::Pre-Invoke::=sh update",
            "apt-get update -o DPkg::Pre-Invoke={\"sh -i\"};",
            "apt-get -o Dir::Bin::dpkg=x install nginx",
            "apt-get -o Dpkg::Options::=--pre-invoke=sh install nginx",
            "apt-get --option APT::Update::Pre-Invoke::=sh update",
            "apt-get -c x update",
            "apt-get -c=x update",
            "apt-get --config-file=x update",
            "apt-get install ./evil.deb",
            "apt-get changelog apt",
            "apt edit-sources",
            "dpkg -i evil.deb",
            "dpkg --pre-invoke=sh --configure -a",
            "dpkg --configure --post-invoke=sh -a",
            "rpm -i evil",
            "rpm -u add evil",
            "rpm --eval %(sh)",
            "rpm -E %(sh)",
            "apk add evil.apk",
            "apk -p x add nginx",
            "dnf install evil.rpm",
            "dnf -c x install nginx",
            "dnf --setopt=pluginpath=x install nginx",
            "pacman -U evil",
            "pacman -S --hookdir x nginx",
            "apt-get install nginx…",
            "apt-get",
        ] {
            check(args, false);
        }
    }

    #[test]
    fn a_package_manager_that_is_a_script_is_asked_behind_its_own_name() {
        let of = |args: &str| {
            let (path, script) = ("/usr/bin/dnf".into(), "/usr/bin/dnf-3".into());
            Exec { path, script, args: args.into(), ..exec() }.installs_by_name()
        };
        assert!(of("/usr/bin/python3 -s /usr/bin/dnf -y install nginx"));
        assert!(!of("/usr/bin/python3 -s /usr/bin/dnf --installroot=/tmp/x install nginx"));
        assert!(!of("/usr/bin/python3 -s /tmp/dnf install nginx"));
    }
}
