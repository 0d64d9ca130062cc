"""Chooses and fetches packages for a guest with dnf's own API, in a private root that holds the image's configuration as data.

Its one argument is a file with the request, JSON. The answer goes to stdout, JSON too: `{"error": …}` if dnf refuses.
Lines on stderr that begin with `tib-progress:` tell bytes of a download, done and in all; the others are dnf's own.

Nothing but the request says where anything is: `root` stands before all paths of the image, and the RPM database lies where
the macro `_dbpath` of $HOME/.rpmmacros says, below `root`.
"""

import difflib
import hashlib
import json
import logging
import os
import sys

import dnf
import dnf.callback
import dnf.conf
import dnf.conf.substitutions
import dnf.exceptions
import dnf.repo
import dnf.rpm
import hawkey
import libdnf.conf
import libdnf.transaction

# What may be on the way to a package: nothing of this host.
SCHEMES = ("http", "https", "ftp")
SUGGESTIONS = 3


class Refusal(Exception):
    """What dnf cannot do, by kind and with what it says."""

    def __init__(self, kind, message, **more):
        super().__init__(message)
        self.answer = {"kind": kind, "message": message, **more}


class OurKeys(dnf.callback.KeyImport):
    """The keys of a repository are those that were given to us as files, so there is nobody to ask."""

    def _confirm(self, id, userid, fingerprint, url, timestamp):
        return True


class Heard(logging.Handler):
    """Why a repository could not be read: dnf logs it, and its error only says that all mirrors were tried."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        lines = record.getMessage().splitlines()
        self.lines += [line.removeprefix("  - ") for line in lines if line.startswith("  - ")]


class Progress(dnf.callback.DownloadProgress):
    def __init__(self):
        self.done, self.total = {}, 0
        # Why a mirror did not deliver; in the end dnf only says that none did.
        self.said = []

    def start(self, total_files, total_size, total_drpms=0):
        self.total = total_size

    def progress(self, payload, done):
        self.done[str(payload)] = done
        print(f"tib-progress:{int(sum(self.done.values()))}:{int(self.total)}", file=sys.stderr, flush=True)

    def end(self, payload, status, msg):
        if msg:
            self.said.append(f"{payload}: {msg}")
        else:
            self.progress(payload, payload.download_size)


def configured(request):
    """A base that knows the image's configuration, and no repository yet."""
    # Without a configuration of its own, it would read this host's.
    base = dnf.Base(dnf.conf.Conf())
    conf = base.conf
    conf.installroot = request["root"]
    conf.config_file_path = request["config"]
    conf.substitutions = dnf.conf.substitutions.Substitutions()
    conf.substitutions["arch"] = request["arch"]
    conf.substitutions["basearch"] = request["arch"]
    conf.substitutions.update_from_etc(request["root"])
    releasever = conf.substitutions.get("releasever") or request.get("releasever") or dnf.rpm.detect_releasever(request["root"])
    if releasever is None:
        raise Refusal("base", "no installed package says which release this is (`system-release`)")
    conf.substitutions["releasever"] = releasever
    conf.read(request["config"], dnf.conf.PRIO_MAINCONFIG)
    conf.arch = request["arch"]
    conf.ignorearch = True
    conf.cachedir, conf.persistdir, conf.logdir = request["cache"], request["persist"], request["log"]
    conf.reposdir = [request["repositories"]]
    conf.pluginpath, conf.plugins = [], False
    conf.protected_packages = request["protected"]
    conf.assumeyes = True
    conf.gpgcheck = False  # `rpmkeys` in a chroot; whoever calls us looks at the signatures.
    conf.skip_if_unavailable = False
    conf.deltarpm = False
    conf.fastestmirror = False
    conf.check_config_file_age = False
    conf.install_weak_deps = request.get("weak", False)
    if request.get("platform"):
        conf.module_platform_id = request["platform"]
    return base


def with_repositories(request, base):
    base.read_all_repos()
    for repo in base.repos.iter_enabled():
        repo.skip_if_unavailable = False
        repo._set_key_import(OurKeys())
        repo.pkgdir = os.path.join(request["download"], repo.id)
        if repo.id in request["logins"]:
            repo.username, repo.password = request["logins"][repo.id]
        if request["cached"]:
            repo._repo.setSyncStrategy(dnf.repo.SYNC_ONLY_CACHE)
        else:
            # Asks the server whether what there is is still good, and takes it then.
            repo._repo.expire()
    return base


def filled(request, base, available=True):
    base.fill_sack(load_system_repo=True, load_available_repos=available)
    if not len(base.sack.query().installed()):
        raise Refusal("base", "dnf sees no installed package")
    return base


def describe(request):
    """What the variables in the repositories stand for."""
    base = configured(request)
    base.read_all_repos()
    def of(repo):
        single = ("mirrorlist", "metalink", "sslcacert", "sslclientcert", "sslclientkey")
        values = {key: [getattr(repo, key)] if getattr(repo, key) else [] for key in single}
        return {"id": repo.id, "baseurl": list(repo.baseurl), "gpgkey": list(repo.gpgkey), **values}
    return {
        "releasever": base.conf.substitutions["releasever"],
        "repositories": [of(repo) for repo in base.repos.iter_enabled()],
    }


def metadata(request):
    """Brings the metadata of all repositories into the cache."""
    base = with_repositories(request, configured(request))
    filled(request, base)
    return {"packages": len(base.sack.query().available())}


def version_of(package):
    epoch = f"{package.epoch}:" if package.epoch else ""
    return f"{epoch}{package.version}-{package.release}"


def named(package):
    return {"name": package.name, "version": version_of(package), "arch": package.arch}


def similar(base, name):
    names = {package.name for package in base.sack.query().available()}
    near = difflib.get_close_matches(name, sorted(names), SUGGESTIONS, 0.7)
    return [other for other in near if other != name]


def ask(base, specs):
    """Tells the solver what is wanted."""
    unknown = []
    for spec in specs:
        name, _, version = spec.partition("=")
        try:
            base.install(f"{name}-{version}" if version else name)
        except dnf.exceptions.MarkingError as error:
            unknown.append({"name": spec, "reason": str(error.value), "similar": similar(base, name)})
    if unknown:
        raise Refusal("unknown", "no such package", unknown=unknown)


def install(request):
    """Solves one transaction, and fetches what it needs and the cache does not have."""
    base = filled(request, with_repositories(request, configured(request)))
    ask(base, request["install"])
    before = {package.name for package in base.sack.query().installed()}
    dependency = [p for p in base.sack.query().installed() if not base.history.user_installed(p)]
    try:
        base.resolve()
    except dnf.exceptions.DepsolveError as error:
        raise Refusal("dependencies", "the packages cannot be installed together", lines=str(error).splitlines())
    chosen = sorted(base.transaction.install_set)
    gone = {package.name for package in base.transaction.remove_set} - {package.name for package in chosen}
    wanted = {spec.partition("=")[0] for spec in request["install"]}
    after = (before | {package.name for package in chosen}) - gone
    virtual = []
    for name in sorted(wanted - after):
        bare, _, arch = name.rpartition(".")
        if bare in after:
            wanted.add(bare)
            continue
        providers = [p.name for p in base.sack.query().filter(provides=name) if p.name in after]
        virtual.append({"name": name, "similar": sorted(set(providers))})
    if virtual:
        raise Refusal("virtual", "not a package", unknown=virtual)
    beside = {str(p) for p in chosen if p in set(base._get_installonly_query(base.sack.query().available()))}
    files, missing = [], []
    for package in chosen:
        kind, digest = package.returnIdSum()
        digest = digest.decode() if isinstance(digest, bytes) else digest
        if kind not in hashlib.algorithms_available:
            raise Refusal("checksum", f"repository `{package.repoid}` gives checksums of its packages that nobody knows, {kind}")
        url = package.remote_location(schemes=SCHEMES)
        if url is None:
            raise Refusal("base", f"repository `{package.repoid}` has `{package.location}` elsewhere than on the web")
        # The cache knows files by SHA-256, and those of repositories with other checksums by a note.
        alias = None if kind == "sha256" else f"{kind}-{digest}"
        digest = digest if alias is None else noted(request, alias)
        cached = os.path.join(request["packages"], f"{digest}.rpm")
        at_hand = digest is not None and digest_of(cached) == digest
        if not at_hand:
            missing.append(package)
        files.append({
            **named(package),
            "digest": digest if alias is None or at_hand else None,
            "alias": alias,
            "size": package.downloadsize,
            "installed_size": package.installsize,
            "url": url,
            "repository": package.repoid,
            "path": cached if at_hand else package.localPkg(),
            "fetched": not at_hand,
            "requested": package.name in wanted,
            "new": package.name not in before,
            "beside": str(package) in beside,
        })
    if missing:
        fetch(request, base, missing)
    for file in files:
        # dnf has compared it with the repository's own checksum.
        file["digest"] = file["digest"] or digest_of(file["path"])
    present = [package for package in dependency if package.name in wanted and package.name in after]
    remember(base, present)
    return {
        "files": files,
        "present": sorted({package.name for package in present}),
        "replaced": sorted(gone),
    }


def fetch(request, base, missing):
    """Brings package files to where dnf wants them, and compares them with what the metadata says."""
    if request["offline"]:
        names = [os.path.basename(package.location) for package in missing]
        raise Refusal("missing", "package files are not in the cache", lines=names)
    for package in missing:
        os.makedirs(os.path.dirname(package.localPkg()), exist_ok=True)
    progress = Progress()
    try:
        base.download_packages(missing, progress)
    except dnf.exceptions.DownloadError as error:
        raise Refusal("download", "cannot fetch packages", lines=progress.said + str(error).splitlines())


def noted(request, alias):
    """The SHA-256 of a package that a repository knows by another checksum, if it was fetched before."""
    try:
        with open(os.path.join(request["aliases"], alias), encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return None


def remove(request):
    """Solves the removal of packages, and of what is not needed without them."""
    base = filled(request, configured(request), available=False)
    installed = {package.name for package in base.sack.query().installed()}
    names = [name for name in request["remove"] if name in installed]
    for name in names:
        base.remove(name)
    try:
        base.resolve(allow_erasing=True)
    except dnf.exceptions.DepsolveError as error:
        raise Refusal("protected", "these packages cannot be removed", lines=str(error).splitlines())
    unneeded = libdnf.transaction.TransactionItemReason_CLEAN
    removed = [{**named(item.pkg), "unneeded": item.reason == unneeded} for item in base.transaction]
    remember(base, [])
    return {"removed": sorted(removed, key=lambda package: package["name"])}


def remember(base, present):
    """Writes into the private copy of dnf's database who asked for what, so that what is solved next goes by it."""
    for item in base.transaction:
        item.state = libdnf.transaction.TransactionItemState_DONE
    for package in present:
        base.history.set_reason(package, libdnf.transaction.TransactionItemReason_USER)
    base.history.beg("", [], [], "tib")
    base.history.end("")


def digest_of(path):
    try:
        with open(path, "rb") as file:
            found = hashlib.sha256()
            for piece in iter(lambda: file.read(1 << 20), b""):
                found.update(piece)
            return found.hexdigest()
    except FileNotFoundError:
        return None


COMMANDS = {"describe": describe, "metadata": metadata, "install": install, "remove": remove}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    heard = Heard()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("dnf").addHandler(heard)
    try:
        answer = COMMANDS[request["command"]](request)
    except Refusal as refusal:
        answer = {"error": refusal.answer}
    except dnf.exceptions.RepoError as error:
        answer = {"error": {"kind": "repository", "message": str(error).strip(), "lines": sorted(set(heard.lines))}}
    except (dnf.exceptions.Error, libdnf.error.Error, hawkey.Exception) as error:
        answer = {"error": {"kind": "other", "message": str(error)}}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
