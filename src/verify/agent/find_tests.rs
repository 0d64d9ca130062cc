//! Which unit is the agent's.

use super::*;

/// What a recipe says of its agent.
fn wanted(venv: &str) -> AgentStep {
    AgentStep {
        source: "pypi".parse().unwrap(),
        venv: venv.to_owned(),
        module: "trove.cmd.guest".to_owned(),
        owner: "trove".to_owned(),
        extra: Vec::new(),
        constraints: None,
        constraints_from: None,
        requirements: None,
        commit: None,
    }
}

/// The unit that was found to run the recipe's agent, and how that check ended.
fn runs_in(tree: &MemTree, venv: &str) -> (Option<String>, Outcome) {
    let found = agent(&mut tree.clone(), &known(Some(&wanted(venv))));
    let asked = |result: &CheckResult| result.title == "a unit runs the recipe's guest agent";
    let outcome = found.results.into_iter().find(asked).map(|result| result.outcome);
    (found.agent, outcome.expect("it is asked"))
}

#[test]
fn the_recipes_agent_is_what_runs_in_its_environment_whatever_it_is_called() {
    const OTHER: &str = "/etc/systemd/system/my.service";
    let own = |start: &str| good().file(OTHER, format!("[Service]\nExecStart={start}\n"));
    let found = |name: &str| (Some(name.to_owned()), Outcome::Passed);
    let nothing = Outcome::Failed { found: "no unit runs anything in /opt/venv".to_owned() };
    // The base has an agent of its own, of a name that agents have; the recipe's has no unit.
    let program = "/opt/venv/bin/trove-guestagent";
    assert_eq!(
        runs_in(&good().program(program, "#!/opt/venv/bin/python3\n"), "/opt/venv"),
        (None, nothing.clone())
    );
    assert_eq!(runs_in(&good(), "/opt/guest-agent-venv"), found("guest-agent.service"), "by way of a link");
    for (case, tree) in [
        ("its program", own(program)),
        ("an argument", own("/bin/sh -c 'exec /opt/venv/bin/x'")),
        ("a link", own("/usr/local/bin/x").link("/usr/local/bin/x", program)),
        ("a link to nothing", own("/usr/local/bin/x").link("/usr/local/bin/x", "/opt/venv/bin/gone")),
        (
            "a link that passes through",
            own("/usr/local/bin/x -m trove")
                .link("/usr/local/bin/x", "../../../opt/venv/bin/python3")
                .link("/opt/venv/bin/python3", "/usr/bin/python3"),
        ),
        ("a link above it", own("/srv/venv/bin/x").link("/opt", "/srv").program("/srv/venv/bin/x", "")),
        ("a name without directory", own("x").link("/usr/bin/x", program)),
        (
            "its interpreter",
            own("/usr/bin/x").program("/usr/bin/x", "#!/opt/venv/bin/python3\nimport trove\n"),
        ),
        ("a script", own("/usr/bin/x").program("/usr/bin/x", "#!/bin/sh\nexec /opt/venv/bin/x \"$@\"\n")),
        (
            "a file outside of the search path",
            good()
                .file("/opt/app/x.unit", format!("[Service]\nExecStart={program}\n"))
                .link(OTHER, "/opt/app/x.unit"),
        ),
    ] {
        let tree = tree.program(program, "");
        assert_eq!(runs_in(&tree, "/opt/venv"), found("my.service"), "{case}");
        assert_eq!(runs_in(&tree, "/opt/venv/"), found("my.service"), "{case}");
    }
    for start in ["/opt/venv2/bin/x", "/usr/bin/trove-guestagent", "", "/usr/bin/x"] {
        let tree = own(start).link("/usr/bin/x", "x");
        assert_eq!(runs_in(&tree, "/opt/venv"), (None, nothing.clone()), "{start}");
    }
}

#[test]
fn bad_units_of_others_are_not_the_agent() {
    let bad = |tree: MemTree| {
        tree.link("/etc/systemd/system/a.service", "b.service")
            .link("/etc/systemd/system/b.service", "a.service")
            .link("/etc/systemd/system/c.service", "c.service")
            .link("/etc/systemd/system/agent-d.service", "agent-e.service")
            .link("/etc/systemd/system/agent-e.service", "agent-d.service")
            .file("/etc/plain", "")
            .link("/etc/systemd/system/f.service", "/etc/plain/f.service")
            .file("/etc/systemd/system/agent-g.service", "[Service]\nExecStart=/usr/bin/g\n")
            .link("/usr/bin/g", "g")
    };
    let tree = bad(good());
    assert_eq!(
        runs_in(&tree, "/opt/guest-agent-venv"),
        (Some("guest-agent.service".to_owned()), Outcome::Passed)
    );
    let none = bad(good().without(AGENT).without("/etc/systemd/system/multi-user.target.wants"));
    assert_eq!(checked(&none).len(), 1, "{:?}", checked(&none));
    // An agent that cannot be read is a failure.
    let looped = bad(good().without(AGENT).link(AGENT, "a.service"));
    assert!(
        failures(&looped).iter().any(|(_, what)| what.contains("loop of aliases")),
        "{:?}",
        failures(&looped)
    );
}

#[test]
fn the_directories_of_units_are_read_once_whatever_is_in_them() {
    let many = (0..20).fold(good(), |tree, number| {
        tree.file(&format!("/etc/systemd/system/agent-{number}.service"), "[Service]\nExecStart=/usr/bin/x\n")
    });
    let listed = |tree: &MemTree| {
        let mut tree = tree.clone();
        agent(&mut tree, &known(Some(&wanted("/opt/guest-agent-venv"))));
        agent(&mut tree, &known(Some(&wanted("/opt/venv"))));
        tree.listed("/usr/lib/systemd/system")
    };
    // Once each.
    assert_eq!((listed(&good()), listed(&many)), (2, 2));
}
