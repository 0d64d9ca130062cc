//! Packages made by rpmbuild, in repositories made by createrepo_c and served over loopback, and a directory as a base image.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use tempfile::TempDir;

use crate::cache::Cache;
use crate::cancel::Cancel;
use crate::control::Control;
use crate::distro::Arch;
use crate::event::Events;
pub(crate) use crate::packages::testing::Key;
use crate::packages::testing::{HostTree, run, serve};

use super::super::error::DnfError;
use super::super::resolve;
use crate::packages::{EntitledRepository, Needed, PackageSet, ResolveRequest, Solution, StageRequest};

/// A package: name, `[epoch:]version-release`, and further lines of its spec file.
pub(crate) type Spec = (&'static str, &'static str, &'static str);

/// Builds packages, all `noarch`. Lines that begin with `%` come after the description; `%content TEXT` gives it a file.
pub(crate) fn build(packages: &[Spec], to: &Path) {
    build_for("noarch", packages, to);
}

/// The same for an architecture as RPM names it.
pub(crate) fn build_for(arch: &str, packages: &[Spec], to: &Path) {
    let lab = TempDir::new().unwrap();
    let mut spec =
        "Name: tib-none\nVersion: 1\nRelease: 1\nSummary: s\nLicense: x\n%description\nd\n".to_owned();
    let mut install = "%install\nmkdir -p %{buildroot}/opt/tib\n".to_owned();
    for (index, (name, version, lines)) in packages.iter().enumerate() {
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (version, release) = rest.split_once('-').unwrap();
        let (after, tags): (Vec<&str>, Vec<&str>) = lines.lines().partition(|line| line.starts_with('%'));
        let epoch = if epoch.is_empty() { String::new() } else { format!("Epoch: {epoch}\n") };
        let tags = tags.join("\n");
        write!(
            spec,
            "%package -n {name}\nSummary: s\nVersion: {version}\nRelease: {release}\n{epoch}{tags}\n%description -n {name}\nd\n"
        )
        .unwrap();
        let mut files = String::new();
        for line in after {
            match line.strip_prefix("%content ") {
                Some(content) => {
                    writeln!(
                        install,
                        "for i in $(seq 400); do echo '{content}' $i; done >%{{buildroot}}/opt/tib/{index}"
                    )
                    .unwrap();
                    writeln!(files, "/opt/tib/{index}").unwrap();
                }
                None => {
                    let (section, body) = line.split_once(' ').unwrap_or((line, ""));
                    write!(spec, "{section} -n {name}\n{body}\n").unwrap();
                }
            }
        }
        write!(spec, "%files -n {name}\n{files}\n").unwrap();
    }
    let file = lab.path().join("all.spec");
    fs::write(&file, spec + &install).unwrap();
    let topdir = format!("_topdir {}", lab.path().display());
    run(Command::new("rpmbuild")
        .env("HOME", lab.path())
        .args(["-bb", "--quiet", "--target", arch, "--define", &topdir, "--define", "_build_id_links none"])
        .args(["--define", "debug_package %{nil}"])
        .arg(file));
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(lab.path().join("RPMS").join(arch)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// All package files in a directory.
pub(crate) fn packages_in(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "rpm")).collect();
    paths.sort();
    paths
}

/// Signs packages, with further options of rpmsign.
pub(crate) fn sign(packages: &[PathBuf], key: &Key, options: &[&str]) {
    let mut command = Command::new("rpmsign");
    let home = format!("_gpg_path {}", key.home().display());
    command.env("HOME", key.home()).args(["--define", &home, "--define", "_gpg_name test"]);
    // rpm looks for it in no other place.
    command.args(["--define", "__gpg /usr/bin/gpg"]);
    if let Some(time) = key.time() {
        let arguments = format!("_gpg_sign_cmd_extra_args --faked-system-time {time}");
        command.args(["--define", &arguments]);
    }
    run(command.args(options).arg("--addsign").args(packages));
}

/// Writes the metadata of a repository.
pub(crate) fn index(directory: &Path, options: &[&str]) {
    run(Command::new("createrepo_c").arg("-q").args(options).arg(directory));
}

/// A repository of packages.
pub(crate) struct Repo {
    pub(crate) directory: TempDir,
    url: String,
    /// Files that are cut when served, by the end of their path.
    pub(crate) cut: Arc<Mutex<Vec<&'static str>>>,
    /// Paths that were asked for.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Repo {
    /// Packages that nobody has signed.
    pub(crate) fn new(packages: &[Spec]) -> Self {
        let repo = Self::empty();
        build(packages, &repo.path("Packages"));
        repo.index();
        repo
    }

    /// A server on which nothing lies yet.
    pub(crate) fn empty() -> Self {
        let directory = TempDir::new().unwrap();
        let (cut, asked) = (Arc::default(), Arc::default());
        let url = serve(directory.path().to_owned(), Arc::clone(&cut), Arc::clone(&asked));
        Self { directory, url, cut, asked }
    }

    /// The same, signed.
    pub(crate) fn signed(packages: &[Spec], key: &Key) -> Self {
        let repo = Self::new(packages);
        repo.sign(key);
        repo.index();
        repo
    }

    /// Signs all packages.
    pub(crate) fn sign(&self, key: &Key) {
        sign(&packages_in(&self.path("Packages")), key, &[]);
    }

    /// Writes the metadata.
    pub(crate) fn index(&self) {
        index(self.directory.path(), &["--no-database"]);
    }

    /// Makes the repository modular.
    pub(crate) fn modules(&self, text: &str) {
        let file = self.path("modules.yaml");
        fs::write(&file, text).unwrap();
        run(Command::new("modifyrepo_c").args(["--mdtype=modules"]).arg(file).arg(self.path("repodata")));
    }

    /// Signs the metadata.
    pub(crate) fn sign_metadata(&self, key: &Key) {
        let file = self.path("repodata/repomd.xml");
        run(key.gpg().args(["--yes", "--armor", "--detach-sign"]).arg(file));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The file of a package.
    pub(crate) fn package(&self, start: &str) -> PathBuf {
        let all = packages_in(&self.path("Packages"));
        let is_it = |path: &&PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(start);
        all.iter().find(is_it).unwrap().clone()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// A base image in which a few packages are installed.
pub(crate) struct Base {
    pub(crate) directory: TempDir,
    pub(crate) cache: Cache,
    /// What a subscription opens.
    pub(crate) entitled: Vec<EntitledRepository>,
    pub(crate) arch: Arch,
    _cache: TempDir,
}

/// What every base has.
const INSTALLED: [Spec; 2] = [
    (
        "tib-release",
        "9.4-1",
        "Provides: system-release\nProvides: system-release(releasever) = 9\nProvides: /bin/sh\n",
    ),
    ("tib-lib", "1.0-1", ""),
];

impl Base {
    /// One that has `installed` beside what every base has.
    pub(crate) fn new(installed: &[Spec]) -> Self {
        let all: Vec<Spec> = INSTALLED.into_iter().chain(installed.iter().copied()).collect();
        let base = Self::only(&all);
        base.write("/etc/os-release", "ID=rocky\nVERSION_ID=\"9.4\"\nPLATFORM_ID=\"platform:el9\"\n");
        base
    }

    /// One that has nothing else.
    pub(crate) fn only(installed: &[Spec]) -> Self {
        let place = TempDir::new().unwrap();
        let cache = Cache::open(Some(place.path().to_owned())).unwrap();
        let base = Self {
            directory: TempDir::new().unwrap(),
            cache,
            entitled: Vec::new(),
            arch: Arch::X86_64,
            _cache: place,
        };
        let built = TempDir::new().unwrap();
        build(installed, built.path());
        run(base.rpm().args(["--justdb", "--nodeps", "-i"]).args(packages_in(built.path())));
        base
    }

    /// A base whose only repository is `repo`, with `key` for its packages.
    pub(crate) fn of(repo: &Repo, key: &Key) -> Self {
        let base = Self::new(&[]);
        base.repository(repo, key, "");
        base
    }

    /// Adds a repository, with further lines in its file.
    pub(crate) fn repository(&self, repo: &Repo, key: &Key, lines: &str) {
        self.write("/etc/pki/rpm-gpg/KEY-9", &key.armoured());
        let text = format!(
            "[test]\nname=test $releasever\nbaseurl={}\ngpgcheck=1\ngpgkey=file:///etc/pki/rpm-gpg/KEY-$releasever\n{lines}",
            repo.url()
        );
        self.write("/etc/yum.repos.d/test.repo", &text);
    }

    /// The host's rpm, with the base's database.
    pub(crate) fn rpm(&self) -> Command {
        let database = self.directory.path().join("var/lib/rpm");
        fs::create_dir_all(&database).unwrap();
        let mut command = Command::new("rpm");
        command.arg("--dbpath").arg(database).args(["--define", "_db_backend sqlite"]);
        command
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.directory.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn resolve(
        &self,
        stages: &[StageRequest<'_>],
        offline: bool,
    ) -> Result<Vec<PackageSet>, DnfError> {
        self.resolve_with(stages, &[], offline, &Events::none()).map(|solution| solution.sets)
    }

    pub(crate) fn resolve_with(
        &self,
        stages: &[StageRequest<'_>],
        needed: &[Needed],
        offline: bool,
        events: &Events,
    ) -> Result<Solution, DnfError> {
        self.solution(stages, needed, offline, &Control::new(events.clone(), Cancel::new()))
    }

    /// With what a person has set.
    pub(crate) fn resolve_under(
        &self,
        stages: &[StageRequest<'_>],
        offline: bool,
        control: &Control,
    ) -> Result<Vec<PackageSet>, DnfError> {
        self.solution(stages, &[], offline, control).map(|solution| solution.sets)
    }

    fn solution(
        &self,
        stages: &[StageRequest<'_>],
        needed: &[Needed],
        offline: bool,
        control: &Control,
    ) -> Result<Solution, DnfError> {
        let before = self.content();
        let mut tree = HostTree(self.directory.path().to_owned());
        let request = ResolveRequest {
            tree: &mut tree,
            arch: self.arch,
            stages,
            needed,
            boots: true,
            entitled: &self.entitled,
            cache: &self.cache,
            offline,
        };
        let result = resolve(request, control);
        assert_eq!(self.content(), before, "the base image has been touched");
        result
    }

    /// Resolves one stage that must fail.
    pub(crate) fn fails(&self, names: &[&'static str]) -> DnfError {
        self.resolve(&[install(names)], false).unwrap_err()
    }

    /// Everything in the base, by path.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        let mut todo = vec![self.directory.path().to_owned()];
        while let Some(directory) = todo.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    todo.push(entry.path());
                } else {
                    all.insert(entry.path(), fs::read(entry.path()).unwrap());
                }
            }
        }
        all
    }
}

pub(crate) fn install<'a>(names: &[&'a str]) -> StageRequest<'a> {
    StageRequest { name: "datastore", install: names.to_vec(), ..StageRequest::default() }
}

pub(crate) fn names(set: &PackageSet) -> Vec<&str> {
    let mut names: Vec<_> = set.files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names
}
