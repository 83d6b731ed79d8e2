//! Reads settings: one TOML file over embedded defaults, all or nothing, each problem with its place.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use engine::config::EngineConfig;

/// Largest file of settings, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The settings in force.
pub(crate) fn load(file: Option<&PathBuf>) -> anyhow::Result<EngineConfig> {
    let Some(file) = file else { return Ok(EngineConfig::default()) };
    let problems = match parse(file)? {
        Ok(config) => return Ok(config),
        Err(problems) => problems,
    };
    bail!("{}", problems.join("\n"));
}

/// The settings of a file, or everything that is wrong with it.
pub(crate) fn parse(file: &Path) -> anyhow::Result<Result<EngineConfig, Vec<String>>> {
    let size = std::fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    if size > FILE_BYTES_MAX {
        bail!("{}: {size} bytes are more than the {FILE_BYTES_MAX} allowed", file.display());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    Ok(check(&text, &file.display().to_string()))
}

fn check(text: &str, name: &str) -> Result<EngineConfig, Vec<String>> {
    let config: EngineConfig = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        vec![format!("{name}:{line}: {}", error.message())]
    })?;
    let problems: Vec<String> =
        config.problems().into_iter().map(|problem| format!("{name}: {problem}")).collect();
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check_problems(text: &str, expected: &Expect) {
        let problems = check(text, "t.toml").err().unwrap_or_default();
        expected.assert_eq(&problems.join("\n"));
    }

    #[test]
    fn an_empty_file_means_the_defaults() {
        check_problems("", &expect![[""]]);
    }

    #[test]
    fn misspelt_and_senseless_settings_are_refused_with_their_place() {
        check_problems(
            "node = 'a'\n[triage]\nfalse_incidents = 1\n",
            &expect!["t.toml:2: unknown field `false_incidents`, expected `false_incidents_per_node_day`"],
        );
        check_problems(
            "[triage]\nfalse_incidents_per_node_day = 0\n",
            &expect![[
                "t.toml: triage: false_incidents_per_node_day is 0; it must lie between 0.0001 and 100"
            ]],
        );
    }

    #[test]
    fn networks_and_the_mode_of_communication_are_checked() {
        let good = "[communication]\nmode = 'locked'\ninternal = ['203.0.113.0/24']\n";
        check_problems(good, &expect![[""]]);
        check_problems(
            "[communication]\ninternal = ['ten']\n",
            &expect!["t.toml:2: invalid IP address syntax"],
        );
        check_problems(
            "[communication]\nmature_after_seconds = 1\ninternal = ['0.0.0.0/0']\n",
            &expect![[r#"
                t.toml: communication: mature_after_seconds is 1; it must lie between 10 and 2592000
                t.toml: communication: internal: 0.0.0.0/0 is the whole internet"#]],
        );
        check_problems(
            "[communication]\nmode = 'shut'\n",
            &expect!["t.toml:2: unknown variant `shut`, expected `open` or `locked`"],
        );
    }
}
