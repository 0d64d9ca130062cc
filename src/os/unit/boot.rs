//! What a boot starts: all that `default.target` pulls in, directly or by way of others.

use std::collections::{BTreeSet, HashMap};

use super::index::UnitIndex;
use super::{WANTS, split_type};
use crate::disk::{DiskError, Tree};

/// The most units that are looked at; real systems start some hundreds.
const LIMIT: usize = 5000;

/// What systemd starts unless the kernel's command line says otherwise.
const DEFAULT: &str = "default.target";

/// Settings by which a unit pulls in others.
const PULLS: [&str; 4] = ["Wants", "Requires", "BindsTo", "Upholds"];

/// What cloud-init's generator adds to the boot.
const GENERATED: [(&str, &str); 1] = [("multi-user.target", "cloud-init.target")];

/// Names of links, by the unit that they make start others.
type Wanted<'a> = HashMap<&'a [u8], Vec<&'a [u8]>>;

impl UnitIndex {
    /// The target that a boot goes for, by its own name; `goal` is what the kernel's command line says. `None` if there is none.
    pub(crate) fn goal(&self, tree: &mut dyn Tree, goal: Option<&str>) -> Result<Option<String>, DiskError> {
        Ok(self.follow(tree, goal.unwrap_or(DEFAULT))?.map(|(name, _)| name))
    }

    /// Whether a boot that goes for a target starts a unit: it is pulled in, or started by a timer, socket or path that is.
    pub(crate) fn starts(&self, tree: &mut dyn Tree, goal: &str, unit: &str) -> Result<bool, DiskError> {
        let Some((unit, _)) = self.follow(tree, unit)? else { return Ok(false) };
        let wanted = self.wanted();
        let mut met = BTreeSet::from([goal.to_owned()]);
        let mut pending = vec![goal.to_owned()];
        while let Some(name) = pending.pop() {
            if name == unit {
                return Ok(true);
            }
            for other in self.pulled(tree, &wanted, &name)? {
                let Some((other, _)) = usable(self.follow(tree, &other))? else { continue };
                if met.len() < LIMIT && met.insert(other.clone()) {
                    pending.push(other);
                }
            }
        }
        Ok(false)
    }

    /// The links in `.wants` directories and the like, by the unit whose directory it is.
    fn wanted(&self) -> Wanted<'_> {
        let mut wanted = Wanted::new();
        let mut met = BTreeSet::new();
        let links = self.directories().iter().flat_map(|known| {
            let links = known.content.wanted.iter();
            links.flat_map(move |(link, users)| {
                users.iter().map(move |user| (&known.content.masks, link, user))
            })
        });
        for (masks, link, user) in links {
            // One that comes first hides others of its name, also when it is a mask.
            if met.insert((user, link)) && !masks.contains(&(user.clone(), link.clone())) {
                let user = WANTS.iter().find_map(|end| user.strip_suffix(end.as_bytes()));
                wanted.entry(user.unwrap_or_default()).or_default().push(link);
            }
        }
        wanted
    }

    /// The units that a unit pulls in, by any of its names, and the one that it triggers.
    fn pulled(&self, tree: &mut dyn Tree, wanted: &Wanted, name: &str) -> Result<Vec<String>, DiskError> {
        let mut found: Vec<String> = GENERATED
            .iter()
            .filter(|(target, _)| *target == name)
            .map(|(_, generated)| (*generated).to_owned())
            .collect();
        let own = std::iter::once(name.as_bytes());
        let others =
            self.directories().iter().filter_map(|known| known.content.by_target.get(name.as_bytes()));
        for name in own.chain(others.flatten().map(Vec::as_slice)) {
            let links = wanted.get(name).into_iter().flatten();
            found.extend(links.map(|link| String::from_utf8_lossy(link).into_owned()));
        }
        let Some(unit) = usable(self.load(tree, name))? else { return Ok(found) };
        for setting in PULLS {
            found.extend(unit.words("Unit", setting).into_iter().map(str::to_owned));
        }
        let (stem, kind) = split_type(name);
        let (section, key) = match kind {
            "timer" => ("Timer", "Unit"),
            "path" => ("Path", "Unit"),
            "socket" => ("Socket", "Service"),
            "service" if unit.last("Unit", "DefaultDependencies") != Some("no") => {
                found.push("sysinit.target".to_owned());
                return Ok(found);
            }
            _ => return Ok(found),
        };
        found.push(unit.last(section, key).map_or_else(|| format!("{stem}.service"), str::to_owned));
        Ok(found)
    }
}

/// systemd goes on without a unit that is bad itself, a loop of links for example.
fn usable<T>(found: Result<Option<T>, DiskError>) -> Result<Option<T>, DiskError> {
    match found {
        Err(DiskError::WrongKind { .. } | DiskError::NotDirectory(_)) => Ok(None),
        found => found,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::MemTree;
    use super::*;

    const UNITS: &str = "/usr/lib/systemd/system";

    fn tree(default: &str) -> MemTree {
        let unit = |name: &str| format!("{UNITS}/{name}");
        MemTree::new()
            .link(&unit("default.target"), default)
            .file(&unit("graphical.target"), "[Unit]\nRequires=multi-user.target\n")
            .file(&unit("multi-user.target"), "[Unit]\nRequires=basic.target\n")
            .link(&unit("runlevel3.target"), "multi-user.target")
            .file(&unit("rescue.target"), "[Unit]\nRequires=sysinit.target\n")
            .file(&unit("basic.target"), "[Unit]\nRequires=sysinit.target\nWants=timers.target\n")
            .file(&unit("sysinit.target"), "[Unit]\n")
            .file(&unit("timers.target"), "[Unit]\n")
            .file(&unit("cloud-init.target"), "[Unit]\n")
            .file(&unit("other.service"), "[Unit]\nWants=a.service\n[Service]\nExecStart=/bin/true\n")
            .file(&unit("a.service"), "[Service]\nExecStart=/bin/true\n")
            .file(&unit("a.timer"), "[Timer]\nOnBootSec=1\n")
    }

    /// What `default.target` leads to, links below `/etc/systemd/system`, what the kernel is told, and whether that starts `a`.
    const CASES: &[(&str, &[&str], Option<&str>, bool)] = &[
        ("multi-user.target", &["multi-user.target.wants/a.service"], None, true),
        ("multi-user.target", &["graphical.target.wants/a.service"], None, false),
        ("graphical.target", &["graphical.target.wants/a.service"], None, true),
        ("graphical.target", &["multi-user.target.requires/a.service"], None, true),
        ("graphical.target", &["default.target.wants/a.service"], None, true),
        ("multi-user.target", &["runlevel3.target.wants/a.service"], None, true),
        ("rescue.target", &["multi-user.target.wants/a.service"], None, false),
        ("rescue.target", &["sysinit.target.wants/a.service"], None, true),
        ("multi-user.target", &["multi-user.target.wants/a.service"], Some("rescue.target"), false),
        ("multi-user.target", &["timers.target.wants/a.timer"], None, true),
        ("multi-user.target", &["basic.target.wants/other.service"], None, true),
        ("multi-user.target", &["none.target.wants/a.service"], None, false),
        ("multi-user.target", &[], None, false),
        ("multi-user.target", &["multi-user.target.wants/a.service=/dev/null"], None, false),
        ("multi-user.target", &["multi-user.target.wants/a.service=/dev/null", VENDOR], None, false),
        ("multi-user.target", &["basic.target.wants/a.service=/dev/null", VENDOR], None, true),
        ("multi-user.target", &["multi-user.target.requires/a.service=/dev/null", VENDOR], None, true),
    ];

    const VENDOR: &str = "/usr/lib/systemd/system/multi-user.target.wants/a.service";

    fn linked(default: &str, links: &[&str]) -> MemTree {
        links.iter().fold(tree(default), |tree, link| {
            let name = link.rsplit('/').next().unwrap();
            let (link, target) = link.split_once('=').map_or_else(
                || (*link, format!("{UNITS}/{name}")),
                |(link, target)| (link, target.to_owned()),
            );
            let below = if link.starts_with('/') { "" } else { "/etc/systemd/system/" };
            tree.link(&format!("{below}{link}"), &target)
        })
    }

    fn starts(tree: &mut MemTree, goal: Option<&str>) -> bool {
        let index = UnitIndex::read(tree).unwrap();
        let goal = index.goal(tree, goal).unwrap().unwrap();
        index.starts(tree, &goal, "a.service").unwrap()
    }

    #[test]
    fn what_a_boot_starts() {
        for (default, links, goal, expected) in CASES {
            assert_eq!(starts(&mut linked(default, links), *goal), *expected, "{default} {links:?}");
        }
        // A bad unit beside it is no matter.
        let mut bad = linked("multi-user.target", &["multi-user.target.wants/a.service"]);
        for name in ["b", "c"] {
            let link = format!("/etc/systemd/system/multi-user.target.wants/{name}.service");
            bad = bad.link(&link, "x").link(&format!("/etc/systemd/system/{name}.service"), "b.service");
        }
        assert!(starts(&mut bad, None));
        // A generator's doing.
        let mut generated = linked("multi-user.target", &["cloud-init.target.wants/a.service"]);
        assert!(starts(&mut generated, None));
        let mut empty = MemTree::new();
        let index = UnitIndex::read(&mut empty).unwrap();
        assert_eq!(index.goal(&mut empty, None).unwrap(), None);
    }

    /// systemd itself is the judge, which says what it would start to who is not root.
    #[test]
    fn systemd_starts_the_same() {
        for (default, links, goal, expected) in CASES {
            let root = tempfile::tempdir().unwrap();
            linked(default, links).write_below(root.path());
            let at = |path: &str| root.path().join(path).display().to_string();
            let output = std::process::Command::new("/lib/systemd/systemd")
                .args(["--test", "--system", "--no-pager"])
                .args(goal.map(|goal| format!("--unit={goal}")))
                .env("XDG_RUNTIME_DIR", root.path())
                .env(
                    "SYSTEMD_UNIT_PATH",
                    format!("{}:{}", at("etc/systemd/system"), at("usr/lib/systemd/system")),
                )
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            if !said.contains("By units:") {
                return;
            }
            let started = ["a.service", "a.timer"]
                .iter()
                .any(|unit| said.contains(&format!("Action: {unit} -> start")));
            assert_eq!(started, *expected, "{default} {links:?}: {said}");
        }
    }
}
