//! What puts container images into a guest: a unit, its program, and their archives.

use super::{CONTAINERS_UNIT, Container, Content, Contract, FileStep, RecipeError, ServiceStep, Step};
use crate::check::ServiceState;

const UNIT: &str = include_str!("containers.service");
const PROGRAM: &str = "/usr/local/sbin/tib-load-containers";
const LOAD: &str = include_str!("containers.sh");

/// Refuses what cannot be embedded: containers in an image whose agent runs none, or one name twice.
pub(super) fn check(
    names: impl Iterator<Item = String>,
    contract: Option<Contract>,
    recipe: &str,
) -> Result<(), RecipeError> {
    let mut known = Vec::new();
    for name in names {
        if contract != Some(Contract::Container) {
            return Err(RecipeError::NoContainers(recipe.to_owned()));
        }
        if known.contains(&name) {
            return Err(RecipeError::EmbedContainer { text: name, reason: "it is given twice".to_owned() });
        }
        known.push(name);
    }
    Ok(())
}

/// Everything that puts containers into a guest: the unit, its program, and the archives.
pub(super) fn steps(containers: &[Container]) -> Vec<Step> {
    if containers.is_empty() {
        return Vec::new();
    }
    let file = |path: &str, text: &str, mode| {
        let root = || "root".to_owned();
        let content = Content::Text(text.to_owned());
        Step::File(FileStep { path: path.to_owned(), content, mode, owner: root(), group: root() })
    };
    vec![
        file(PROGRAM, LOAD, 0o755),
        file(&format!("/etc/systemd/system/{CONTAINERS_UNIT}"), UNIT, 0o644),
        Step::Service(ServiceStep { unit: CONTAINERS_UNIT.to_owned(), state: ServiceState::Enabled }),
        Step::Containers { containers: containers.to_vec() },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::recipe::{CONTAINERS, ContainerSource};

    /// What the guest's program makes of the name of a file.
    #[test]
    fn the_guest_finds_the_name_in_the_name_of_the_file() {
        let line = LOAD.lines().find(|line| line.trim().starts_with("name=")).unwrap();
        for name in ["mariadb:11.4", "h.example:5000/a/b_c:V-1", "[::1]:5/a:1"] {
            let container = Container {
                name: name.to_owned(),
                source: ContainerSource::OciLayout(String::new()),
                digest: None,
                id: Digest::of(b"id"),
                size: 0,
                unpacked: 0,
            };
            let script = format!("archive='{}'\n{line}\nprintf %s \"$name\"", container.path());
            let output = std::process::Command::new("sh").args(["-euc", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), name);
        }
    }

    /// The guest's program with a docker that knows what it is told here, and writes down what it is asked.
    #[test]
    fn archives_are_loaded_once_and_kept_when_that_fails() {
        let run = |tool: &str, known: &str, fails: &str| {
            let home = tempfile::tempdir().unwrap();
            let path = |name: &str| home.path().join(name);
            for archive in ["a=1.tar", "h.example+b=2.tar"] {
                fs_err::create_dir_all(path("containers")).unwrap();
                fs_err::write(path("containers").join(archive), "").unwrap();
            }
            fs_err::create_dir(path("bin")).unwrap();
            fs_err::write(path("known"), known).unwrap();
            // `load` makes the name known that stands in the archive's name, as the test has it.
            let stub = format!(
                "#!/bin/sh\ncd '{}'\necho \"$*\" >>log\ncase $1 in\nimage) grep -qxF \"$3\" known ;;\n\
                 load) case $3 in *{fails}*) exit 1 ;; *a=1*) echo a:1 >>known ;; *) echo h.example/b:2 >>known ;; esac ;;\nesac\n",
                home.path().display()
            );
            fs_err::write(path("bin").join(tool), stub).unwrap();
            let script = LOAD.replace(CONTAINERS, path("containers").to_str().unwrap());
            let script =
                format!("chmod +x '{0}'/*; PATH='{0}':/usr/bin:/bin\n{script}", path("bin").display());
            // Not the real thing, where this host has it.
            let script =
                script.replace("command -v docker", &format!("[ -e '{}/docker' ]", path("bin").display()));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            let left = fs_err::read_dir(path("containers")).unwrap().map(|file| file.unwrap().file_name());
            let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
            left.sort();
            let log = fs_err::read_to_string(path("log")).unwrap();
            let loads = log.lines().filter(|line| line.starts_with("load")).count();
            (output.status.code(), loads, left, String::from_utf8_lossy(&output.stderr).into_owned())
        };
        for tool in ["docker", "podman"] {
            assert_eq!(run(tool, "", "nothing"), (Some(0), 2, vec![], String::new()), "{tool}");
            assert_eq!(run(tool, "h.example/b:2\n", "nothing"), (Some(0), 1, vec![], String::new()));
            let (code, loads, left, said) = run(tool, "", "a=1");
            assert_eq!(
                (code, loads, left),
                (Some(1), 2, vec!["a=1.tar".to_owned()]),
                "the others are loaded"
            );
            assert!(said.contains("cannot load a:1 from "), "{said}");
        }
    }
}
