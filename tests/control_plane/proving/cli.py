"""The command line, and a run from its first process to its last."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from proving import accelerator, container, databases, mariadb, probe, rabbit, virtualenv
from proving.agent import Agent, agent_of
from proving.diagnosis import explain, save_logs
from proving.errors import HostError, Interrupted, ProveError, UsageError
from proving.keeper import Keeper
from proving.processes import Processes
from proving.registry import Registry
from proving.report import FAILED, INTERRUPTED, PREPARED, PROVED, UNTRIED, Failure, Report
from proving.services import GUEST_AMQP_PORT, GUEST_REGISTRY_PORT, ControlPlane
from proving.settings import Options, Places, default_workdir
from proving.story import Story
from stand_in.store import Network, Settings

# qemu's user network answers the metadata service's address only if the address lies in it.
NETWORK_ID = "0a000200-0000-4000-8000-000000000000"
CONFIG_DRIVE_NETWORK = Network(NETWORK_ID, "10.0.2.0/24", "10.0.2.2", "10.0.2.15", "10.0.2.100")
METADATA_NETWORK = Network(NETWORK_ID, "169.254.0.0/16", "169.254.2.2", "169.254.2.15", "169.254.2.100")

# Logs of so many runs are kept.
RUNS_KEPT = 10
SSH_PORT = 22
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def parse(arguments: list[str]) -> tuple[Options, Path | None, bool]:
    """The options, where the report goes, and whether progress is for a program."""
    parser = argparse.ArgumentParser(
        prog="prove.py",
        description="Makes an instance of an image with a real control plane of Trove on this machine, and uses it.",
    )
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a qcow2 image with Trove's guest agent")
    parser.add_argument("--datastore", default="mariadb", metavar="NAME", help="mariadb (default) or postgresql")
    parser.add_argument("--keep", action="store_true", help="leave the instance running at the end, until Ctrl-C")
    parser.add_argument("--prepare", action="store_true", help="only fill the cache with what takes a network")
    parser.add_argument("--metadata", action="store_true", help="a metadata service instead of a config drive")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--workdir", type=Path, default=default_workdir(), metavar="DIR", help="cache, logs and runs")
    parser.add_argument("--timeout", type=float, default=1800, metavar="SECONDS", help="for HEALTHY (default 1800)")
    parser.add_argument("--progress", choices=("text", "json"), default="text", help="json: on stderr, one a line")
    parser.add_argument("--trove", default="", metavar="VERSION", help="Trove's version, if the image does not tell")
    parser.add_argument("--accelerator", choices=("auto", "kvm", "tcg"), default=os.environ.get("TIB_ACCEL", "auto"))
    parser.add_argument("--memory", type=int, default=2048, metavar="MIB", help="of the instance (default 2048)")
    parser.add_argument("--open-network", action="store_true", help="let the guest reach more than the services")
    parser.add_argument("--suite", default="bookworm", help="the Debian that the database comes from")
    parser.add_argument("--mirror", default="", metavar="URL", help="of Debian's archive")
    parser.add_argument("--tib", default="tib", metavar="PROGRAM", help="looks into images that have no manifest")
    parser.add_argument("--debug", action="store_true", help="all services and the agent log at level DEBUG")
    read = parser.parse_args(arguments)
    options = Options(
        image=read.image.absolute(),
        datastore=read.datastore,
        workdir=read.workdir.absolute(),
        timeout=read.timeout,
        keep=read.keep,
        prepare=read.prepare,
        metadata=read.metadata,
        open_network=read.open_network,
        debug=read.debug,
        trove_version=read.trove,
        accelerator=read.accelerator,
        tib=read.tib,
        memory=read.memory,
        suite=read.suite,
        mirror=read.mirror,
    )
    return options, read.json.absolute() if read.json else None, read.progress == "json"


def interrupt(number: int, _frame: FrameType | None) -> None:
    # One is enough: the end that follows is not to be interrupted.
    ignore_signals()
    raise Interrupted(number)


def ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def heed_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, interrupt)


def disk_gib(image: Path) -> int:
    """The disk of the flavor: the image's, or what the database's container needs besides."""
    told = subprocess.run(["qemu-img", "info", "--output=json", str(image)], capture_output=True, text=True)
    if told.returncode != 0:
        raise UsageError(f"qemu-img does not take {image} for an image: {told.stderr.strip()}")
    about = json.loads(told.stdout)
    if about["format"] != "qcow2" or "backing-filename" in about:
        raise UsageError(f"{image} is not a qcow2 image that stands for itself")
    return max(5, -(-int(about["virtual-size"]) >> 30))


def make_places(options: Options) -> Places:
    options.workdir.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=options.workdir))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{options.datastore}-{run.name[4:]}"
    places = Places(options.workdir, run, options.workdir / "logs" / name)
    places.make()
    for old in sorted((options.workdir / "logs").iterdir())[:-RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return places


def make_key(run: Path) -> str:
    """A key for this run's guests, if this host can make one."""
    if shutil.which("ssh-keygen") is None:
        return ""
    path = run / "key"
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "prove", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text().strip()


def check_host(options: Options) -> None:
    """Finds what is missing before minutes are spent on the rest."""
    accelerator.qemu()
    if options.prepare:
        return
    rabbit.program()
    mariadb.program("mariadbd")
    for name in ("qemu-img", *(() if options.metadata else ("xorriso",))):
        if shutil.which(name) is None:
            raise HostError(f"no {name} here", "`make setup` installs it")


class Run:
    """One run: what it starts, it ends."""

    def __init__(self, options: Options, agent: Agent, report: Report, places: Places) -> None:
        self.options, self.agent, self.report, self.places = options, agent, report, places
        self.database = databases.database(options.datastore)
        self.processes = Processes(places.pids, places.logs)
        self.network = METADATA_NETWORK if options.metadata else CONFIG_DRIVE_NETWORK

    def play(self) -> None:
        options, places, report = self.options, self.places, self.report
        check_host(options)
        program = accelerator.qemu()
        accelerated = accelerator.choose(program, options.accelerator)
        report.about["accelerator"] = accelerated
        venv = virtualenv.provide(self.agent, places, report.note)
        report.milestone("virtual environment", venv.name)
        layout = container.provide(self.database, options.suite, options.mirror, places, report.note)
        report.milestone("database's container", layout.parent.name)
        if options.prepare:
            return

        registry = Registry(layout.parent, places.logs / "registry.log")
        registry.start()
        broker = rabbit.Rabbit(places.run / "rabbit")
        server = mariadb.MariaDb(places.run / "mariadb")
        plane = ControlPlane(places, options, venv, broker, server, self.network, layout.name)
        broker.start(self.processes, places.logs)
        report.milestone("RabbitMQ", f"port {broker.port}")
        server.start(self.processes)
        report.milestone("MariaDB", f"port {server.port}")
        plane.write(probe.cloud_config())
        self._settings(program, accelerated, broker.port, registry.port)
        plane.make_databases()
        report.milestone("databases of the services")
        plane.start_keystone(self.processes)
        plane.start_glance(self.processes)
        plane.start_trove(self.processes)
        report.milestone("Keystone, Glance and Trove", f"{plane.auth_url} {plane.image_url} {plane.database_url}")
        story = Story(plane, self.processes, report, self.database)
        try:
            story.run()
        except ProveError as error:
            if options.keep:
                report.note(f"failed: {error}")
                self._keep(plane, story)
            raise
        if options.keep:
            self._keep(plane, story)
        story.delete()

    def _settings(self, program: str, accelerated: str, amqp: int, registry: int) -> None:
        settings = Settings(
            directory=self.places.cloud,
            pids=self.places.pids,
            qemu=program,
            accelerator=accelerated,
            network=self.network,
            metadata_service=self.options.metadata,
            restricted=not self.options.open_network,
            reachable={GUEST_AMQP_PORT: amqp, GUEST_REGISTRY_PORT: registry},
            forwarded=[self.database.port, SSH_PORT],
            memory=self.options.memory,
            processors=2,
            disk=disk_gib(self.options.image),
            public_key=make_key(self.places.run),
        )
        (self.places.run / "stand-in.json").write_text(settings.text())

    def _keep(self, plane: ControlPlane, story: Story) -> None:
        """Waits for Ctrl-C, and tells how to look around meanwhile."""
        rc = self.places.run / "openrc"
        about = {f"OS_{key.upper()}": value for key, value in plane.credentials("demo", "demo").items()}
        about |= {"OS_IDENTITY_API_VERSION": "3", "PYTHONWARNINGS": "ignore", "PATH": f"{plane.venv / 'bin'}:$PATH"}
        lines = [f'export {key}="{value}"' for key, value in about.items()]
        rc.write_text("\n".join(lines) + "\n")
        rc.chmod(0o600)
        note = self.report.note
        note("kept running until Ctrl-C. In another shell, as a user of the cloud:")
        note(f"  . {shlex.quote(str(rc))}    # administrator: OS_USERNAME=admin OS_PROJECT_NAME=admin")
        note(f"  openstack database instance show {story.instance}")
        server = story.server()
        if server is not None:
            forwards, key = server["forwards"], shlex.quote(str(self.places.run / "key"))
            account = story.account
            note(
                f"  database: 127.0.0.1:{forwards[str(self.database.port)]}, user {account['user']}, "
                f"password {account['password']}, database {account['database']}"
            )
            note(f"  guest: ssh -i {key} -p {forwards[str(SSH_PORT)]} -o UserKnownHostsFile=/dev/null ubuntu@127.0.0.1")
            note(f"  console and agent: {server['place']}/console.log, agent.log; the services: {self.places.logs}")
        with contextlib.suppress(Interrupted):
            while True:
                self.processes.check()
                time.sleep(1)
        heed_signals()

    def end(self) -> None:
        """Ends every process; saves the logs; removes the rest."""
        self.processes.end()
        save_logs(self.places.cloud, self.places.logs)
        shutil.rmtree(self.places.run, ignore_errors=True)


def main(arguments: list[str]) -> int:
    options, report_file, as_json = parse(arguments)
    heed_signals()
    try:
        return prove(options, report_file, as_json)
    except Interrupted:
        return 130


def prove(options: Options, report_file: Path | None, as_json: bool) -> int:
    """Returns the exit code."""
    try:
        if not options.image.is_file():
            raise UsageError(f"no image {options.image}")
        databases.database(options.datastore).version(options.suite)
        agent = agent_of(options.image, options.tib, options.trove_version)
        agent.series  # noqa: B018 # a version that can be read
        places = make_places(options)
    except (UsageError, HostError) as error:
        complain(error, as_json)
        return error.exit_code
    about = {"image": str(options.image), "datastore": options.datastore, "agent": agent.version}
    report = Report(about, as_json)
    report.note(f"{options.image.name}: the agent is Trove {agent.version}, says {agent.source}")
    keeper = Keeper(places.run)
    run = Run(options, agent, report, places)
    result, code = FAILED, 1
    told: Failure | None = None
    try:
        run.play()
        result, code = PREPARED if options.prepare else PROVED, 0
    except ProveError as error:
        code = error.exit_code
        result = UNTRIED if isinstance(error, HostError) else FAILED
        save_logs(places.cloud, places.logs)
        told = explain(error, places.logs)
    except Interrupted:
        result, code = INTERRUPTED, 130
    finally:
        ignore_signals()
        run.end()
        keeper.dismiss()
    report.finish(result, told, places.logs)
    if report_file is not None:
        report_file.write_text(report.json() + "\n")
    return code


def complain(error: ProveError, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "failed", "detail": str(error), "hint": error.hint}), file=sys.stderr)
        return
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
