//! The systems that the documentation says recipes are planned for.

use super::*;

/// The systems that words of the documentation's table stand for: `EL 8 and 9`, `Debian from 11`.
fn systems(words: &str) -> Vec<&'static str> {
    const EL: [&str; 4] = ["rocky", "almalinux", "rhel", "centos"];
    let mut found = Vec::new();
    for phrase in words.split(", ") {
        // Whatever a recipe does there stands behind.
        let phrase = phrase.split(" with ").next().unwrap();
        let (name, releases) = phrase.split_once(' ').unwrap_or((phrase, ""));
        let known: Vec<_> = WELL_KNOWN
            .into_iter()
            .filter(|label| {
                let (id, release) = label.rsplit_once('-').unwrap();
                let is_meant = match releases.strip_prefix("from ") {
                    Some(oldest) => release.parse::<f32>().unwrap() >= oldest.parse().unwrap(),
                    None => releases.is_empty() || releases.split(" and ").any(|one| one == release),
                };
                (id == name.to_lowercase() || name == "EL" && EL.contains(&id)) && is_meant
            })
            .collect();
        assert!(!known.is_empty(), "`{phrase}` stands for no system");
        found.extend(known);
    }
    found
}

/// What the table of `docs/recipes.md` says a recipe is planned for is what it can be planned for, and nothing else.
#[test]
fn the_table_of_the_documentation_is_true() {
    let page = include_str!("../../docs/recipes.md");
    let (_, table) = page.split_once("| planned for |\n|---|---|---|---|\n").unwrap();
    let rows: Vec<Vec<_>> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let named: Vec<_> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    let mut sorted = named.clone();
    sorted.sort();
    assert_eq!(sorted, embedded(), "each recipe has its row");
    for (name, row) in named.iter().zip(&rows) {
        let claimed = systems(row[3]);
        let run_on = if row[2].is_empty() { Vec::new() } else { systems(row[2]) };
        assert!(run_on.iter().all(|system| claimed.contains(system)), "{row:?}");
        let recipe = Library::default().load(name).unwrap();
        for system in WELL_KNOWN {
            let os = well_known(system).unwrap();
            let agents =
                if recipe.plan(&Request { agent: Some(AgentSource::None), ..Request::new(&os) }).is_ok() {
                    vec![None, Some("none"), (name != "common").then_some("pypi")]
                } else {
                    vec![None]
                };
            for agent in agents {
                let request =
                    Request { agent: agent.map(|agent| agent.parse().unwrap()), ..Request::new(&os) };
                match recipe.plan(&request) {
                    Ok(plan) => {
                        assert!(
                            claimed.contains(&system),
                            "{name} is planned for {system}, and not in the table"
                        );
                        assert!(!plan.stages.is_empty() && !plan.checks.is_empty(), "{name} on {system}");
                    }
                    Err(RecipeError::Unsupported { .. } | RecipeError::Refused { .. }) => {
                        assert!(!claimed.contains(&system), "{name} is not planned for {system}");
                    }
                    Err(error) => panic!("{name} on {system}: {error}"),
                }
            }
        }
    }
}
