//! `tidewatch policy`: network policies in, and out.
//!
//! Not here: what they mean (`netpol`) and whether they hold.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use engine::control::{Answer, Request, ask};
use model::expectation::{Expectation, Expected, When};
use model::time::Time;
use model::untrusted::Untrusted;
use netpol::import::import;
use sources::clock::wall_clock;

use crate::Outcome;
use crate::args::DataDir;
use crate::args::communication::{PolicyAction, PolicyArgs, PolicyFormat};
use crate::expect::{bounded, declare, expectation, told};
use crate::output::say;

/// Largest file of policies, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;

pub(crate) fn run(args: &PolicyArgs) -> anyhow::Result<Outcome> {
    match &args.action {
        PolicyAction::Import { files, owner, expires, data } => take_in(files, owner, *expires, data),
        PolicyAction::Suggest { format: PolicyFormat::Networkpolicy, all, data } => suggest(data, *all),
    }
}

fn take_in(files: &[PathBuf], owner: &str, expires: Duration, data: &DataDir) -> anyhow::Result<Outcome> {
    let texts: Vec<(String, String)> = files.iter().map(|file| read(file)).collect::<anyhow::Result<_>>()?;
    let said = all_said(&texts)
        .map_err(|problems| anyhow::anyhow!("nothing was taken in\n{}", problems.join("\n")))?;
    let wanted = wanted(said, &bounded("owner", owner)?, (wall_clock(), expires))?;
    let kept = declare(data, &wanted)?;
    let new: Vec<(&Expectation, &Expectation)> =
        kept.iter().zip(&wanted).filter(|(kept, wanted)| kept.id == wanted.id).collect();
    new.iter().for_each(|(kept, wanted)| say(&told(kept, wanted)));
    say(&format!("{} added, {} expected already", new.len(), kept.len() - new.len()));
    Ok(Outcome::Fine)
}

/// What all files say, once each, or everything that is wrong with any of them.
fn all_said(texts: &[(String, String)]) -> Result<Vec<(Expected, String)>, Vec<String>> {
    let (mut said, mut problems): (Vec<(Expected, String)>, Vec<String>) = (Vec::new(), Vec::new());
    for (name, text) in texts {
        match import(text, name) {
            Ok(more) => said.extend(more),
            Err(found) => problems.extend(found.iter().map(ToString::to_string)),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    said.retain(|(subject, _)| seen.insert(subject.clone()));
    if problems.is_empty() { Ok(said) } else { Err(problems) }
}

fn wanted(
    said: Vec<(Expected, String)>,
    owner: &Untrusted,
    when: (Time, Duration),
) -> anyhow::Result<Vec<Expectation>> {
    let one = |(subject, reason): (Expected, String)| {
        expectation(subject, &When::Always, (Untrusted::new(&reason), owner.clone()), when)
    };
    said.into_iter().map(one).collect()
}

fn read(file: &Path) -> anyhow::Result<(String, String)> {
    let name = file.display().to_string();
    let mut text = String::new();
    let opened = File::open(file).with_context(|| name.clone())?;
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).with_context(|| name.clone())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        bail!("{name}: more than the {FILE_BYTES_MAX} bytes allowed");
    }
    Ok((name, text))
}

fn suggest(data: &DataDir, everything: bool) -> anyhow::Result<Outcome> {
    let Answer::Policy(text) = ask(&data.data_dir, &Request::SuggestPolicy { everything })? else {
        bail!("an unexpected answer");
    };
    say(text.trim_end());
    Ok(Outcome::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
";

    fn texts(texts: &[&str]) -> Vec<(String, String)> {
        texts.iter().zip(1..).map(|(text, number)| (format!("{number}.yaml"), (*text).to_owned())).collect()
    }

    #[test]
    fn the_same_policy_in_two_files_is_said_once_and_can_be_declared() {
        let said = all_said(&texts(&[POLICY, POLICY])).unwrap();
        assert_eq!(said.len(), 2);
        let wanted = wanted(said, &"ann".into(), (Time::from_secs(1), Duration::from_secs(5))).unwrap();
        assert_eq!(wanted[1].reason.raw(), "NetworkPolicy shop/web");
        assert_eq!((wanted[1].owner.raw(), wanted[1].expires), ("ann", Some(Time::from_secs(6))));
    }

    #[test]
    fn one_bad_file_refuses_all_and_every_file_is_told() {
        let problems = all_said(&texts(&[POLICY, "kind: Pod", "kind: ["])).unwrap_err();
        assert!(problems[0].starts_with("2.yaml:1: Pod is no NetworkPolicy"), "{problems:?}");
        assert!(problems[1].starts_with("3.yaml:"), "{problems:?}");
    }

    #[test]
    fn importing_twice_adds_nothing_the_second_time() {
        let dir = std::env::temp_dir().join(format!("tidewatch-policy-{}", std::process::id()));
        let data = DataDir { data_dir: dir.clone() };
        let now = |secs| (Time::from_secs(secs), Duration::from_secs(1_000));
        let all = |secs| wanted(all_said(&texts(&[POLICY])).unwrap(), &"ann".into(), now(secs)).unwrap();
        let first = declare(&data, &all(1)).unwrap();
        let second = declare(&data, &all(2)).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!((first.len(), &second), (2, &first));
    }
}
