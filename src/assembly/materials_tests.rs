//! What is refused as soon as all packages are known, and before anything is made.

use super::*;
use crate::distro::well_known;
use crate::error::{Exit, Failure};
use crate::recipe::{Library, Recipe, Request};

fn plan(text: &str, system: &str) -> Plan {
    let os = well_known(system).unwrap();
    let text = format!("name = 'x'\nsummary = 's'\n{text}");
    Recipe::from_text("x", &text).unwrap().plan(&Request::new(&os)).unwrap()
}

/// Packages that are going to be installed, sorted as apt's answer is.
fn installed(packages: &[(&str, &str)]) -> Vec<(String, String)> {
    packages.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect()
}

fn refusal(text: &str, packages: &[(&str, &str)]) -> Option<Failure> {
    foresee(&plan(text, "debian-12"), &installed(packages)).err()
}

#[test]
fn checks_of_packages_that_cannot_come_true_are_foreseen() {
    const THERE: &[(&str, &str)] = &[("hello", "1:2.10-3"), ("systemd-sysv", "252")];
    let check = |more: &str| format!("[[check]]\ncheck = 'package'\nname = 'hello'\n{more}");
    for (text, problem) in [
        (check("installed = false"), Some("version 1:2.10-3 will be installed")),
        (check("version = '2.9'"), Some("version 1:2.10-3 will be installed")),
        (check("version = '<2.10'"), Some("version 1:2.10-3 will be installed")),
        (check("").replace("hello", "absent"), Some("it will not be installed")),
        (check("version = '2'").replace("hello", "absent"), Some("it will not be installed")),
        (check(""), None),
        (check("version = '2.10'"), None),
        (check("version = '>=2.10, <3'"), None),
        (check("installed = false").replace("hello", "absent"), None),
    ] {
        let refused = refusal(&text, THERE);
        assert_eq!(refused.is_some(), problem.is_some(), "{text}: {refused:?}");
        let (Some(refused), Some(problem)) = (refused, problem) else { continue };
        assert_eq!(refused.exit(), Exit::Recipe, "{text}");
        let message = refused.to_string();
        assert!(message.starts_with("the recipe demands that ") && message.ends_with(problem), "{message}");
        assert!(refused.hint().is_some(), "{text}");
        // A script may still change what is installed: then the finished image is asked.
        for script in ["network = true\ntext = 'true'", "text = 'dpkg -i /x.deb'"] {
            let text = format!("{text}\n[[script]]\npurpose = 'p'\n{script}\n");
            assert!(refusal(&text, THERE).is_none(), "{text}");
        }
        let harmless = format!("{text}\n[[script]]\npurpose = 'p'\ntext = 'true'\n");
        assert!(refusal(&harmless, THERE).is_some(), "{harmless}");
    }
}

#[test]
fn units_need_a_base_that_systemd_starts() {
    let service = |unit: &str, state: &str| format!("[[service]]\nunit = '{unit}'\nstate = '{state}'\n");
    for unit in ["a.service", "a.socket", "a.timer", "a.mount", "a.path", "a.target"] {
        let text = service(unit, "enabled");
        let refused = refusal(&text, &[("sysvinit-core", "3.06")]).expect(unit);
        assert_eq!(refused.exit(), Exit::Host);
        assert_eq!(refused.to_string(), format!("debian-12 is not started by systemd, which `{unit}` needs"));
        assert!(refusal(&text, &[("systemd-sysv", "252")]).is_none(), "{unit}");
        assert!(refusal(&service(unit, "disabled"), &[]).is_none(), "{unit} does not have to start");
    }
    assert!(refusal(&service("redis", "enabled"), &[]).is_none(), "a script of init.d");
}

#[test]
fn packages_that_only_the_guest_can_fetch_need_a_network() {
    let gathered = |text: &str, offline| {
        let plan = plan(text, "rocky-9");
        let wanted: Vec<StageRequest<'_>> = plan.stages.iter().map(StageRequest::of).collect();
        in_guest(&plan, &wanted, "a reason", offline, &Control::none())
    };
    let install = "[[packages]]\ninstall = ['hello']\n";
    let refused = gathered(install, true).unwrap_err();
    assert_eq!(refused.exit(), Exit::Host);
    assert_eq!(
        refused.to_string(),
        "packages of rocky-9 cannot be resolved on this host, and the build is offline"
    );
    assert_eq!(refused.hint().as_deref(), Some("build without `--offline`"));
    for (text, offline) in [(install, false), ("[[packages]]\nremove = ['hello']\n", true)] {
        let packages = gathered(text, offline).unwrap();
        assert!(matches!(packages.as_slice(), [StagePackages::InGuest { .. }]), "{text}");
    }
    // A stage without packages does not depend on the day.
    let agent = "[agent]\nsource = 'pypi'\nuser = 'root'\nvenv = '/opt/agent'\nmodule = 'm'\n";
    let packages = gathered(&format!("{install}{agent}"), false).unwrap();
    let nothing = packages.iter().filter(|packages| **packages == StagePackages::Nothing);
    assert_eq!((packages.len(), nothing.count()), (2, 1), "{packages:?}");
}

/// Only what runs can change packages, and only a word of its own is a program's name.
#[test]
fn what_may_change_packages() {
    let script = |text: &str| format!("[[script]]\npurpose = \"x\"\ntext = \"\"\"{text}\"\"\"\n");
    let file = |text: &str| format!("[[file]]\npath = \"/opt/setup\"\ntext = \"\"\"{text}\"\"\"\n");
    let directory = tempfile::tempdir().unwrap();
    let host = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs_err::write(&path, content).unwrap();
        format!("[[file]]\npath = \"/opt/setup\"\nsource = \"{}\"\n", path.display())
    };
    let large = [&b"x".repeat(2 << 20)[..], b"dpkg -i y.deb"].concat();
    for (steps, expected) in [
        (String::new(), false),
        (script("capture the adapter of /etc/adaptive; laptop"), false),
        (script("apt-get install y"), true),
        (script("cd /opt && exec 'dpkg' --unpack y.deb"), true),
        (script("/usr/bin/apt install y"), true),
        (script("python3 -c 'import apt_pkg'"), true),
        (script("aptitude install y"), true),
        (file("dpkg -i /opt/y.deb"), false),
        (file("dpkg -i /opt/y.deb") + &script("sh /opt/setup"), true),
        (file("capture") + &script("sh /opt/setup"), false),
        (host("setup", b"\xff\xfe dpkg -i y.deb"), false),
        (host("setup", b"\xff\xfe dpkg -i y.deb") + &script("sh /opt/setup"), true),
        (host("harmless", b"capture") + &script("sh /opt/setup"), false),
        (host("large", &large) + &script("sh /opt/setup"), true),
    ] {
        let text =
            format!("name = \"x\"\nsummary = \"x\"\n{steps}[[check]]\ncheck = \"package\"\nname = \"y\"\n");
        let os = well_known("debian-12").unwrap();
        let recipe = directory.path().join("x.toml");
        fs_err::write(&recipe, text).unwrap();
        let recipe = Library::default().load(recipe.to_str().unwrap()).unwrap();
        let plan = recipe.plan(&Request::new(&os)).unwrap();
        let foreseen = foresee(&plan, &[]).is_err();
        assert_eq!(foreseen, !expected, "{steps:.200}");
    }
}

#[test]
fn what_is_foreseen_for_red_hats_family() {
    let refusal =
        |text: &str, packages: &[(&str, &str)]| foresee(&plan(text, "rocky-9"), &installed(packages)).err();
    let service = "[[service]]\nunit = 'a.service'\nstate = 'enabled'\n";
    assert!(refusal(service, &[("systemd", "252-32.el9")]).is_none());
    assert!(refusal(service, &[("hello", "1-1")]).is_some());
    let check = "[[check]]\ncheck = 'package'\nname = 'hello'\nversion = '2.10'\n";
    assert!(refusal(check, &[("hello", "0:2.10-3.el9"), ("systemd", "252")]).is_none());
    assert!(refusal(check, &[("hello", "2.9-3.el9"), ("systemd", "252")]).is_some());
    for (script, may) in [("dnf -y install x", true), ("rpm -e hello", true), ("apt-get install x", false)] {
        let text = format!("{check}[[script]]\npurpose = 'p'\ntext = '{script}'\n");
        assert_eq!(refusal(&text, &[("hello", "2.9-3.el9")]).is_none(), may, "{script}");
    }
}
