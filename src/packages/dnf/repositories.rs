//! The repositories of a base image, made safe to be used by the host's dnf, and those of a recipe beside them.

use sha2::{Digest as _, Sha256};

use super::configuration::{Section, is_remote, text};
use super::error::DnfError;
use super::keys::{KEY_LIMIT, Keys};
use super::mirrored::from_mirrors;
use super::root::{Root, bytes_of, directory_of, text_of};
use super::{StageRequest, repository};
use crate::control::Control;
use crate::digest::Digest;
use crate::disk::Tree;
use crate::distro::Arch;
use crate::event::Events;
use crate::fetch;
use crate::mirror::Replaced;
use crate::netrc::{Credentials, Netrc};
use crate::packages::EntitledRepository;
use crate::packages::probe::Place;
use crate::recipe::RepositoryStep;
use crate::trust::RepositoryKey;

/// Where the image has repository files, in dnf's order. What is named first counts.
const DIRECTORIES: [&str; 4] =
    ["/etc/yum.repos.d", "/etc/yum/repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d"];
/// Where it has its settings; the first that is there.
const MAIN: [&str; 2] = ["/etc/dnf/dnf.conf", "/etc/yum.conf"];

/// Stands for the file of a repository that is in none.
const ENTITLED: &str = "a subscription";

/// A repository that dnf may use here.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    /// As dnf reads it: every path in it is one of the private root.
    pub(crate) section: Section,
    /// The file of the image that has it, or is going to have it.
    pub(crate) file: String,
    /// The files with the keys that may sign its packages: name, and content.
    pub(crate) keys: Vec<(String, Vec<u8>)>,
    /// Places that mirrors stand for.
    pub(crate) replaced: Replaced,
    /// A recipe adds it.
    added: bool,
}

/// What each stage can use, the base's repositories included.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    stages: Vec<Vec<Repository>>,
    releasever: String,
}

impl Repositories {
    /// Settles them, and writes them into `root`. `describe` tells what the variables in repositories stand for.
    pub(crate) fn settle(
        root: &Root,
        tree: &mut dyn Tree,
        (stages, entitled): (&[StageRequest<'_>], &[EntitledRepository]),
        keys: &Keys<'_>,
        events: &Events,
        describe: impl FnOnce() -> Result<Described, DnfError>,
    ) -> Result<Self, DnfError> {
        let mut image = of_image(tree, events)?;
        // What a registration opens takes the place of what the image was registered for, and has certificates for no more.
        image.repositories.retain(|found| entitled.iter().all(|other| other.id != found.section.name));
        root.write("main.conf", text([&image.main]).as_bytes())?;
        let found = image.repositories.iter().map(|found| &found.section);
        root.write("described/all.repo", text(found).as_bytes())?;
        let described = describe()?;
        let mut base = Vec::new();
        for found in image.repositories {
            base.push(found.localised(root, tree, &described, keys)?);
        }
        for repository in entitled {
            base.push(Repository::entitled(root, tree, repository, keys)?);
        }
        let mut settled = Self { stages: Vec::new(), releasever: described.releasever };
        let mut added: Vec<Repository> = Vec::new();
        for (index, stage) in stages.iter().enumerate() {
            for step in &stage.repositories {
                repository::check(step)?;
                added.retain(|known| known.section.name != step.name);
                added.push(Repository::added(root, step, keys.control)?);
            }
            // A file of the recipe takes the place of the image's.
            let kept = base.iter().filter(|known| {
                added.iter().all(|other| other.file != known.file && other.section.name != known.section.name)
            });
            let all: Vec<Repository> = kept.chain(&added).cloned().collect();
            let sections = all.iter().map(|known| &known.section);
            root.write(&format!("stage-{index}/all.repo"), text(sections).as_bytes())?;
            settled.stages.push(all);
        }
        Ok(settled)
    }

    /// The last stage: it has the repositories of all.
    pub(crate) fn last_stage(&self) -> usize {
        self.stages.len().saturating_sub(1)
    }

    /// The repositories of a stage.
    pub(crate) fn of(&self, stage: usize) -> &[Repository] {
        self.stages.get(stage).map_or(&[], Vec::as_slice)
    }

    /// Where the repositories of a stage are, as far as they say it themselves.
    pub(crate) fn places(&self, stage: usize, arch: Arch) -> Vec<Place> {
        let place = |known: &Repository| {
            let url = known.section.options.get("baseurl")?.split([' ', '\n', ',', '\t']).next()?;
            let url = url.replace("$basearch", arch.name()).replace("$releasever", &self.releasever);
            let repository = known.added.then(|| known.section.name.clone());
            Some(Place { repository, url: known.replaced.original(&url), suite: None })
        };
        self.of(stage).iter().filter_map(place).collect()
    }

    /// Who asks the repositories of a stage, by their names. A list of mirrors leads to servers that nobody has named.
    pub(crate) fn logins(&self, stage: usize, netrc: &Netrc) -> serde_json::Value {
        let login = |known: &Repository| {
            let urls = known.section.options.get("baseurl")?;
            let urls = urls.split([' ', '\n', ',', '\t']).filter(|url| !url.is_empty());
            let mut found = urls.map(|url| netrc.find(url)).collect::<Option<Vec<_>>>()?;
            let Credentials { login, password } = found.pop()?;
            let same = found.iter().all(|other| other.login == login && other.password == password);
            same.then(|| (known.section.name.clone(), serde_json::json!([login, password])))
        };
        self.of(stage).iter().filter_map(login).collect::<serde_json::Map<_, _>>().into()
    }

    /// Identifies the metadata of a stage's repositories.
    pub(crate) fn digest(&self, root: &Root, stage: usize) -> Digest {
        let mut hash = Sha256::new();
        hash.update(root.variables.to_bytes());
        hash.update(&self.releasever);
        for repository in self.of(stage) {
            // Where copies stand differs from run to run; what they are is in their names.
            hash.update(repository.place().to_string().replace(&root.path().display().to_string(), ""));
        }
        Digest::from_bytes(hash.finalize().into())
    }
}

/// A repository as the image has it.
struct Found {
    section: Section,
    file: String,
}

/// What the image says.
struct OfImage {
    main: Section,
    repositories: Vec<Found>,
}

/// What dnf says of repositories: what variables stand for.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Described {
    releasever: String,
    repositories: Vec<DescribedRepository>,
}

#[derive(Debug, serde::Deserialize)]
struct DescribedRepository {
    id: String,
    baseurl: Vec<String>,
    mirrorlist: Vec<String>,
    metalink: Vec<String>,
    gpgkey: Vec<String>,
    sslcacert: Vec<String>,
    sslclientcert: Vec<String>,
    sslclientkey: Vec<String>,
}

/// Reads the image's repositories that are enabled.
fn of_image(tree: &mut dyn Tree, events: &Events) -> Result<OfImage, DnfError> {
    let mut main = Section { name: "main".to_owned(), ..Section::default() };
    let mut files = Vec::new();
    for path in MAIN {
        if let Some(text) = text_of(tree, path)? {
            files.push((path.to_owned(), text));
            break;
        }
    }
    for directory in DIRECTORIES {
        for (name, bytes) in directory_of(tree, directory, ".repo")? {
            files.push((format!("{directory}/{name}"), String::from_utf8_lossy(&bytes).into_owned()));
        }
    }
    let mut repositories: Vec<Found> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (file, content) in files {
        let sections = Section::parse(&content).map_err(|problem| DnfError::Repository {
            repository: "?".to_owned(),
            file: file.clone(),
            problem,
        })?;
        for section in sections {
            if section.name == "main" {
                if MAIN.contains(&file.as_str()) {
                    main = section.main();
                }
                continue;
            }
            if !seen.insert(section.name.clone()) || !section.is_enabled() {
                continue;
            }
            let off = section.switched_off();
            if !off.is_empty() {
                events.warning(format!(
                    "`{file}` of the base image switches `{}` of repository `{}` off: ignored, packages are verified all the same",
                    off.join("`, `"), section.name
                ));
            }
            repositories.push(Found { section: section.repository(), file: file.clone() });
        }
    }
    Ok(OfImage { main, repositories })
}

impl Found {
    /// With what variables stand for, and with copies of the files that it names.
    fn localised(
        self,
        root: &Root,
        tree: &mut dyn Tree,
        described: &Described,
        keys: &Keys<'_>,
    ) -> Result<Repository, DnfError> {
        let Self { mut section, file } = self;
        let id = section.name.clone();
        let refused =
            |problem: String| DnfError::Repository { repository: id.clone(), file: file.clone(), problem };
        let said = described.repositories.iter().find(|said| said.id == id);
        let said = said.ok_or_else(|| refused("dnf does not understand it".to_owned()))?;
        let places =
            [("baseurl", &said.baseurl), ("mirrorlist", &said.mirrorlist), ("metalink", &said.metalink)];
        if places.iter().all(|(_, urls)| urls.is_empty()) {
            return Err(refused("it has no URL".to_owned()));
        }
        for (key, urls) in places {
            if let Some(url) = urls.iter().find(|url| !is_remote(url)) {
                return Err(refused(format!("`{url}` is not fetched over the network")));
            }
            section.set(key, urls);
        }
        // The certificates with which a registered system shows who it is. Whoever registers without leaving them in the
        // image can give them here.
        for (key, paths) in [
            ("sslcacert", &said.sslcacert),
            ("sslclientcert", &said.sslclientcert),
            ("sslclientkey", &said.sslclientkey),
        ] {
            let mut copies = Vec::new();
            for path in paths {
                let bytes = in_image(path).map(|path| bytes_of(tree, path, KEY_LIMIT)).transpose()?.flatten();
                let bytes =
                    bytes.ok_or_else(|| refused(format!("its `{key}`, `{path}`, is not in the image")))?;
                copies.push(copy(root, &bytes)?);
            }
            section.set(key, &copies);
        }
        let mut found = Vec::new();
        for url in &said.gpgkey {
            let bytes = match in_image(url) {
                Some(path) => bytes_of(tree, path, KEY_LIMIT)?,
                None if is_remote(url) => Some(keys.fetch(&id, url)?),
                None => return Err(refused(format!("its key, `{url}`, is not fetched over the network"))),
            };
            found.extend(bytes.map(|bytes| (url.clone(), bytes)));
        }
        Repository::new(root, section, file, found, keys.control)
    }
}

impl Repository {
    /// One that a recipe adds.
    fn added(root: &Root, step: &RepositoryStep, control: &Control) -> Result<Self, DnfError> {
        let key = RepositoryKey::of(step)?;
        let name = format!("the key of repository `{}`", step.name);
        let file = repository::path("/etc/yum.repos.d", step);
        let keys = vec![(name, key.blocks.into_bytes())];
        Ok(Self { added: true, ..Self::new(root, repository::section(step), file, keys, control)? })
    }

    /// One that a subscription opens.
    pub(crate) fn entitled(
        root: &Root,
        tree: &mut dyn Tree,
        repository: &EntitledRepository,
        keys: &Keys<'_>,
    ) -> Result<Self, DnfError> {
        let EntitledRepository { id, name, url, gpg_keys, client } = repository;
        let mut section = Section { name: id.clone(), ..Section::default() };
        let mut set = |key: &str, value: &str| section.set(key, &[value.to_owned()]);
        set("name", name);
        set("baseurl", url);
        if let Some(client) = client {
            set("sslclientcert", &client.certificate.display().to_string());
            set("sslclientkey", &client.key.display().to_string());
            if let Some(authorities) = &client.authorities {
                set("sslcacert", &authorities.display().to_string());
            }
        }
        let mut found = Vec::new();
        for url in gpg_keys {
            let bytes = match in_image(url) {
                Some(path) => bytes_of(tree, path, KEY_LIMIT)?,
                None => Some(keys.fetch(id, url)?),
            };
            found.extend(bytes.map(|bytes| (url.clone(), bytes)));
        }
        Self::new(root, section, ENTITLED.to_owned(), found, keys.control)
    }

    /// What says where it is, and not who asks: that changes with every registration.
    fn place(&self) -> Section {
        let mut section = self.section.clone();
        if self.file == ENTITLED {
            section.options.retain(|key, _| !key.starts_with("ssl"));
        }
        section
    }

    fn new(
        root: &Root,
        mut section: Section,
        file: String,
        keys: Vec<(String, Vec<u8>)>,
        control: &Control,
    ) -> Result<Self, DnfError> {
        let mut copies = Vec::new();
        for (_, bytes) in &keys {
            copies.push(format!("file://{}", copy(root, bytes)?));
        }
        section.set("gpgkey", &copies);
        section.set("enabled", &["1".to_owned()]);
        let replaced = from_mirrors(&mut section, &control.mirrors);
        if let Some(place) = section.options.get("baseurl").filter(|_| replaced != Replaced::default()) {
            let told = format!("repository `{}`: `{}`", section.name, fetch::redact_text(place));
            control.events.output("mirror", told);
        }
        Ok(Self { section, file, keys, replaced, added: false })
    }
}

/// The path in the image that a setting names.
fn in_image(value: &str) -> Option<&str> {
    let path = value.strip_prefix("file://").unwrap_or(value);
    path.starts_with('/').then_some(path)
}

/// Puts a file into the private root, by its content. Returns its path.
fn copy(root: &Root, bytes: &[u8]) -> Result<String, DnfError> {
    let path = root.write(&format!("keys/{}", Digest::of(bytes)), bytes)?;
    Ok(path.display().to_string())
}
