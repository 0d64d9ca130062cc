//! A list of requirements that took the place of those that a distribution states itself: an environment has it beside its code.

use super::metadata::Distribution;
use super::requirement::{Requirement, normalized};

/// The file in the root of an environment.
pub(crate) const FILE: &str = "tib-requirements.txt";
/// How its first line goes on after `# `; the distribution's name comes then.
const OF: &str = "Instead of what it requires by its own words: ";

/// The text of the file.
pub(crate) fn text(name: &str, list: &str) -> String {
    format!("# {OF}{name}\n{list}")
}

/// The requirements in a list, without what is said about them.
pub(crate) fn lines(list: &str) -> impl Iterator<Item = &str> {
    list.lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Lets a distribution require what its list says. The error is a fragment that says what is wrong with the list.
pub(crate) fn apply(text: &str, installed: &mut [Distribution]) -> Result<(), String> {
    let first = text.lines().next().unwrap_or_default();
    let name = first.strip_prefix("# ").and_then(|line| line.strip_prefix(OF)).and_then(normalized);
    let name = name.ok_or("its first line does not say whose requirements it holds")?;
    let parse = |line| Requirement::parse(line).ok_or_else(|| format!("`{line}` is no requirement"));
    let requires = lines(text).map(parse).collect::<Result<Vec<_>, _>>()?;
    for one in installed.iter_mut().filter(|one| one.name == name) {
        one.requires.clone_from(&requires);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::metadata::parse;
    use super::*;

    #[test]
    fn a_list_takes_the_place_of_what_its_distribution_says() {
        let of = |name: &str| {
            parse(format!("Name: {name}\nVersion: 1\nRequires-Dist: sqlalchemy\n\n").as_bytes()).unwrap()
        };
        let mut installed = [of("trove"), of("other")];
        apply(&text("Trove", "# what it needs\noslo.log>=5 # logs\n\nsix\n"), &mut installed).unwrap();
        let names = |one: &Distribution| one.requires.iter().map(|it| it.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&installed[0]), ["oslo-log", "six"]);
        assert_eq!(names(&installed[1]), ["sqlalchemy"]);
        assert!(apply("six\n", &mut installed).is_err());
        assert!(apply(&text("trove", "?\n"), &mut installed).is_err());
    }
}
