//! What a plan says of the agent, by where that comes from.

use super::*;

/// The stage of the agent, what a person is told of it, and what is checked because of it: each on one screen.
#[test]
fn an_agent_from_every_source() {
    let cases = [
        ("git", "debian-12", "git:stable/2026.1", None),
        ("git-of-somebody", "debian-12", "git:https://git.example/trove.git@v1", Some("none")),
        ("package-debian", "debian-12", "package", None),
        ("package-ubuntu", "ubuntu-24.04", "package", None),
        ("package-rdo", "rocky-9", "package:rdo@caracal", None),
        ("pypi", "debian-12", "pypi:25.0.0", None),
        ("path", "debian-12", "path:trove", Some("auto")),
    ];
    for (name, system, agent, constraints) in cases {
        let os = well_known(system).unwrap();
        let planned = |agent: &str| {
            let request = Request {
                agent: Some(agent.parse().unwrap()),
                constraints: constraints.filter(|_| agent != "none").map(|text| text.parse().unwrap()),
                ..Request::new(&os)
            };
            Library::default().load("trove-guest").unwrap().plan(&request).unwrap()
        };
        let (plan, without) = (planned(agent), planned("none"));
        let text = render(&plan).to_string();
        let (_, rest) = text.split_once("\nagent\n").unwrap();
        let (stage, rest) = rest.split_once("\nseal\n").unwrap();
        let notes = rest.lines().filter(|line| line.starts_with("note: "));
        let checks = plan.checks.iter().filter(|check| !without.checks.contains(check));
        let lines: Vec<String> = [format!("--agent {agent} on {system}"), String::new()]
            .into_iter()
            .chain(stage.lines().map(str::to_owned))
            .chain(["checks that are the agent's".to_owned()])
            .chain(checks.map(|check| format!("  {}", check.title())))
            .chain(notes.map(str::to_owned))
            .collect();
        assert!(lines.len() <= 40, "{} lines: {lines:#?}", lines.len());
        insta::assert_snapshot!(format!("agent-{name}"), lines.join("\n"));
    }
}

/// A log that two files of logrotate's name is an error of the second, every day: packages bring one for theirs.
#[test]
fn one_file_rotates_the_agents_log() {
    let cases = [
        ("debian-12", "none", None),
        ("debian-12", "pypi", Some("/etc/logrotate.d/guest-agent")),
        ("rocky-9", "pypi", Some("/etc/logrotate.d/guest-agent")),
        ("debian-12", "package", Some("/etc/logrotate.d/trove-common")),
        ("ubuntu-24.04", "package", Some("/etc/logrotate.d/trove-common")),
        ("rocky-9", "package", Some("/etc/logrotate.d/openstack-trove")),
        ("rocky-9", "package:rdo@caracal", Some("/etc/logrotate.d/openstack-trove")),
    ];
    for (system, agent, expected) in cases {
        let os = well_known(system).unwrap();
        let request = Request { agent: Some(agent.parse().unwrap()), ..Request::new(&os) };
        let plan = Library::default().load("trove-guest").unwrap().plan(&request).unwrap();
        let steps = plan.stages.iter().flat_map(|stage| &stage.steps);
        let paths = steps.filter_map(|step| match step {
            Step::File(file) => Some(file.path.as_str()),
            _ => None,
        });
        let rotations: Vec<_> = paths.filter(|path| path.starts_with("/etc/logrotate.d/")).collect();
        assert_eq!(rotations, Vec::from_iter(expected), "{system} {agent}");
    }
}
