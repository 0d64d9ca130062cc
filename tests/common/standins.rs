//! Packages that stand in for vendors' (`tests/standins/`), in signed repositories where the vendors have theirs: the mirror map
//! leads there, and a recipe of the test pins the key of the test.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::Value;

use super::gpg::{Gpg, Key};
use super::http::{Request, Server, Site};
use super::{BASE, Outcome, built_once, cache, outcome, rpms, run, run_tib, scratch, testbed};

/// A system to build on, as plans name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct System(pub &'static str);

impl System {
    fn is_rpm(self) -> bool {
        self.0.starts_with("rocky-")
    }

    /// What `--base` is to name.
    pub fn base(self) -> PathBuf {
        match self.0 {
            "debian-12" => BASE.into(),
            "ubuntu-22.04" => as_ubuntu("22.04", "jammy", "Jammy Jellyfish"),
            "ubuntu-24.04" => as_ubuntu("24.04", "noble", "Noble Numbat"),
            system => testbed::made(system).join("image.qcow2"),
        }
    }
}

/// Debian 12 under the name of a release of Ubuntu's: its packages are Debian's. Takes no appliance.
fn as_ubuntu(version: &str, codename: &str, name: &str) -> PathBuf {
    built_once(&format!("as-ubuntu-{version}"), |image| {
        let (release, raw) = (image.with_extension("os-release"), image.with_extension("raw"));
        let text = format!(
            "PRETTY_NAME=\"Ubuntu {version} LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"{version}\"\n\
             VERSION=\"{version} LTS ({name})\"\nVERSION_CODENAME={codename}\nID=ubuntu\nID_LIKE=debian\n\
             UBUNTU_CODENAME={codename}\n"
        );
        fs::write(&release, text).unwrap();
        run("qemu-img", &[&"convert", &"-O", &"raw", &debian(), &raw]);
        let table = administrators("sfdisk", &[&"--json", &raw]);
        let table: Value = serde_json::from_str(&table.stdout).unwrap();
        let root = table["partitiontable"]["partitions"].as_array().unwrap().iter();
        let root = root.into_iter().find(|partition| partition["name"] == "root").unwrap();
        let script = image.with_extension("debugfs");
        let commands = format!("rm /usr/lib/os-release\nwrite {} /usr/lib/os-release\n", release.display());
        fs::write(&script, commands).unwrap();
        let disk = format!("{}?offset={}", raw.display(), root["start"].as_u64().unwrap() * 512);
        administrators("debugfs", &[&"-w", &"-f", &script, &disk]);
        let told = administrators("debugfs", &[&"-R", &"cat /usr/lib/os-release", &disk]).stdout;
        assert!(told.contains("ID=ubuntu"), "{told}");
        run("qemu-img", &[&"convert", &"-O", &"qcow2", &raw, &image]);
        for file in [release, raw, script] {
            fs::remove_file(file).unwrap();
        }
    })
}

/// The disk of [`BASE`] in the cache.
fn debian() -> PathBuf {
    let directory = scratch();
    let recipe = directory.path().join("none.toml");
    fs::write(&recipe, "name = 'none'\nsummary = 's'\n").unwrap();
    let image = directory.path().join("none.qcow2");
    let plan =
        ["build", recipe.to_str().unwrap(), "--base", BASE, "--dry-run", "-o", image.to_str().unwrap()];
    run_tib(plan).expect(0);
    // That was the last time that anybody used one.
    let bases = fs::read_dir(cache().join("tib/v1/bases")).unwrap().map(|entry| entry.unwrap().path());
    let bootstrapped = bases.filter(|base| {
        let meta = fs::read_to_string(base.join("meta.json")).unwrap_or_default();
        serde_json::from_str::<Value>(&meta).is_ok_and(|meta| meta["origin"]["system"] == "debian-12")
    });
    let used = |base: &PathBuf| fs::metadata(base.join("meta.json")).unwrap().modified().unwrap();
    bootstrapped.max_by_key(used).unwrap().join("disk.qcow2")
}

/// Runs a program that plain users may not have in their `PATH`.
fn administrators(program: &str, arguments: &[&dyn AsRef<OsStr>]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(|argument| (*argument).as_ref()));
    command.env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()));
    let outcome = outcome(&mut command);
    assert_eq!(outcome.code, Some(0), "{command:?}: {outcome:?}");
    outcome
}

/// Stand-ins that are served as long as this is there.
pub struct Standins {
    /// A recipe that extends the one that is asked for, and differs in nothing but the keys of its repositories.
    pub recipe: PathBuf,
    /// Settings with the mirror map.
    pub config: PathBuf,
    /// What a person brings, by the names of the recipe's artifacts.
    pub artifacts: Vec<(String, PathBuf)>,
    _server: Server,
    _gpg: Gpg,
}

/// What is made and served.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub recipe: &'a str,
    /// The file of the data.
    pub data: &'a str,
    pub system: System,
    /// Options of the plan: they decide which repositories there are.
    pub options: &'a [&'a str],
    /// Directories, by what the data calls them.
    pub trees: &'a [(&'a str, &'a Path)],
}

impl Standins {
    /// Makes and serves what `recipe` takes on `system` with these settings (`--set`), in `directory`.
    pub fn serve(recipe: &str, system: System, settings: &[&str], directory: &Path) -> Self {
        let options: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        Self::of(&Wanted { recipe, data: recipe, system, options: &options, trees: &[] }, directory)
    }

    /// The same, of other data than the recipe's.
    pub fn of(wanted: &Wanted<'_>, directory: &Path) -> Self {
        let Wanted { recipe, system, .. } = *wanted;
        let gpg = Gpg::new();
        let mut vendor = Vendor { key: gpg.key("test", "", "0"), gpg, site: Site::new(), directory };
        let packages = vendor.make(wanted.data, system, wanted.trees);
        let mut repositories: Vec<_> =
            repositories(wanted).iter().map(|step| vendor.publish(step, &packages, system)).collect();
        if system.is_rpm() {
            // What the distribution has, and the testbed has not.
            let step =
                serde_json::json!({"name": "distribution", "url": "https://distribution.invalid/more"});
            let packages = vendor.make(system.0, system, &[]);
            repositories.push(vendor.publish(&step, &packages, system));
        }
        let artifacts: Vec<_> = fs::read_dir(packages.join("artifacts"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
            .collect();
        assert!(!repositories.is_empty() || !artifacts.is_empty(), "{recipe} takes nothing");
        let Vendor { gpg, key, site, .. } = vendor;
        let bed = system.is_rpm().then(|| testbed::made(system.0).join("repository"));
        let server = Server::http(move |request: &Request| {
            if let (Some(bed), Some(path)) = (&bed, request.path.strip_prefix("/testbed/")) {
                return testbed::file(bed, &Request { path: path.to_owned(), ..request.clone() });
            }
            // Names and versions of packages have these, and some clients quote them.
            let path = request.path.replace("/./", "/");
            let quoted = [("%7e", "~"), ("%7E", "~"), ("%2b", "+"), ("%2B", "+")];
            let path = quoted.iter().fold(path, |path, (quoted, plain)| path.replace(quoted, plain));
            site.reply(&Request { path, ..request.clone() })
        });
        let armoured = String::from_utf8(gpg.public(&key)).unwrap();
        let name = format!("standin-{recipe}");
        let mut text =
            format!("name = \"{name}\"\nsummary = \"{recipe} with stand-ins\"\nextends = [\"{recipe}\"]\n");
        let mut config = String::new();
        for Repository { item, place } in &repositories {
            let fingerprint = &key.fingerprint;
            write!(text, "[[repository]]\n{item}fingerprint = \"{fingerprint}\"\nkey = '''\n{armoured}'''\n")
                .unwrap();
            mirror(&mut config, &format!("https:/{place}"), &server.url(place));
        }
        if system.is_rpm() {
            let port = testbed::port(system.0);
            mirror(&mut config, &format!("http://localhost:{port}"), &server.url("/testbed"));
        }
        let file = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let recipe = file(&format!("{name}.toml"), &text);
        Self { recipe, config: file("config.toml", &config), artifacts, _server: server, _gpg: gpg }
    }
}

fn mirror(config: &mut String, url: &str, mirror: &str) {
    writeln!(config, "[[mirror]]\nurl = \"{url}\"\nmirror = \"{mirror}\"").unwrap();
}

/// The steps that add the recipe's repositories.
fn repositories(wanted: &Wanted<'_>) -> Vec<Value> {
    let show = ["recipe", "show", wanted.recipe, "--os", wanted.system.0, "--json"];
    let shown = run_tib(show.iter().chain(wanted.options)).expect(0);
    let plan: Value = serde_json::from_str(&shown).unwrap();
    let stages = plan["stages"].as_array().unwrap().iter();
    let steps = stages.flat_map(|stage| stage["steps"].as_array().unwrap());
    steps.filter(|step| step["step"] == "repository").cloned().collect()
}

/// Who signs, and where it is served.
struct Vendor<'a> {
    gpg: Gpg,
    key: Key,
    site: Site,
    directory: &'a Path,
}

/// A repository of a recipe.
struct Repository {
    /// Its keys in a recipe, but for those about who signs it.
    item: String,
    /// `/HOST/PATH` of its URL, which is its path here.
    place: String,
}

impl Vendor<'_> {
    /// Makes the packages of a file of the data, in a directory of their own.
    fn make(&self, data: &str, system: System, trees: &[(&str, &Path)]) -> PathBuf {
        let packages = self.directory.join(format!("packages-{data}"));
        let mut make = Command::new("python3");
        make.args(["-B", "tests/standins/make.py", "--system", system.0, data, "--out"]).arg(&packages);
        for (name, directory) in trees {
            make.arg("--tree").arg(format!("{name}={}", directory.display()));
        }
        outcome(&mut make).expect(0);
        if system.is_rpm() {
            let files: Vec<_> = files(&packages).collect();
            if !files.is_empty() {
                rpms::sign(&files, &self.gpg, "test");
            }
            rpms::index(&packages);
            rpms::sign_metadata(&packages, &self.gpg, &self.key, "");
        }
        packages
    }

    /// Puts the packages where the vendor has its own.
    fn publish(&mut self, step: &Value, packages: &Path, system: System) -> Repository {
        let url = step["url"].as_str().unwrap();
        let place = url.strip_prefix("https:/").unwrap().trim_end_matches('/').to_owned();
        let mut item = toml::Table::new();
        for key in ["name", "url", "suite", "components", "module_hotfixes", "priority"] {
            if !step[key].is_null() {
                item.insert(key.to_owned(), toml::Value::try_from(&step[key]).unwrap());
            }
        }
        let modules = step["modules"].as_object().into_iter().flatten();
        let disabled: Vec<_> =
            modules.filter(|(_, stream)| stream.is_null()).map(|(name, _)| name.as_str()).collect();
        let mut item = toml::to_string(&item).unwrap();
        if !disabled.is_empty() {
            writeln!(item, "module.disable = {disabled:?}").unwrap();
        }
        if !system.is_rpm() {
            self.release(step, packages, &place);
        }
        for file in files(packages).chain(files(&packages.join("repodata"))) {
            let name = file.strip_prefix(packages).unwrap().to_str().unwrap().to_owned();
            self.site.put_file(&format!("{place}/{name}"), file).unwrap();
        }
        Repository { item, place }
    }

    /// The index of a suite, as apt reads it.
    fn release(&self, step: &Value, packages: &Path, place: &str) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (name, suite, component) =
            (text(&step["name"]), text(&step["suite"]), text(&step["components"][0]));
        let tree = self.directory.join(format!("tree-{name}"));
        let index = format!("dists/{suite}/{component}/binary-amd64");
        fs::create_dir_all(tree.join(&index)).unwrap();
        fs::copy(packages.join("Packages"), tree.join(&index).join("Packages")).unwrap();
        let options = [("Suite", &suite), ("Codename", &suite), ("Components", &component)];
        let options: String = options
            .iter()
            .map(|(key, value)| format!(" -o APT::FTPArchive::Release::{key}={value}"))
            .collect();
        let script = format!(
            "cd \"$1\"; apt-ftparchive{options} -o APT::FTPArchive::Release::Architectures=amd64 release dists/{suite}"
        );
        let release = run("sh", &[&"-euc", &script, &"sh", &tree]);
        let signed = self.gpg.clearsigned(&[&self.key], release.as_bytes());
        self.site.put(&format!("{place}/dists/{suite}/InRelease"), signed);
        self.site.put_file(&format!("{place}/{index}/Packages"), tree.join(&index).join("Packages")).unwrap();
    }
}

/// The files of a directory that may not be there, without those below it.
fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
}
