"""Tells tib what goes on in the guest, as JSON lines on a virtio-serial port. Started by cloud-init; changes nothing."""
import fcntl, glob, grp, json, os, pwd, socket, stat, struct, subprocess, sys, time

CONFIG = json.loads(sys.argv[1])
UNIT_KEYS = ["Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "NRestarts", "ExecMainStatus",
             "ActiveEnterTimestampMonotonic"]
LONGEST = 2000
PRINTED = 65536
told = {}


def port():
    for _ in range(600):
        for path in glob.glob("/sys/class/virtio-ports/*/name"):
            if read(path).strip() == CONFIG["port"]:
                try:
                    return open("/dev/" + path.split("/")[-2], "wb", buffering=0)
                except OSError:
                    pass  # udev has not made it yet
        time.sleep(0.5)
    sys.exit(0)


def read(path, size=65536):
    try:
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""


def run(*command, limit=60, input=None):
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=limit, env=dict(os.environ, LC_ALL="C.UTF-8", SYSTEMD_COLORS="0", HOME="/root"))
        return done.returncode, done.stdout.decode("utf-8", "replace")
    except (OSError, subprocess.SubprocessError) as error:
        return -1, str(error)


def lines(text, count):
    return [line[:LONGEST] for line in text.splitlines() if line.strip()][-count:]


def units():
    names = CONFIG["units"]
    text = run("systemctl", "show", "--property=" + ",".join(UNIT_KEYS), *names)[1] if names else ""
    found = {}
    for block in text.strip().split("\n\n"):
        unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in unit:
            found[unit.pop("Id")] = unit
    return found


def failed():
    text = run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager")[1]
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def cloud():
    found = {"id": read("/run/cloud-init/cloud-id").strip()}
    try:
        status = json.loads(read("/run/cloud-init/status.json"))["v1"]
        found["datasource"] = status.get("datasource") or ""
        stages = [value for value in status.values() if isinstance(value, dict)]
        found["errors"] = [str(error)[:LONGEST] for stage in stages for error in stage.get("errors") or []][:20]
        found["finished"] = bool((status.get("modules-final") or {}).get("finished"))
    except (ValueError, KeyError, AttributeError):
        pass
    log = read("/var/log/cloud-init.log", 4 << 20)
    bad = [line for line in log.splitlines() if "WARNING" in line or "ERROR" in line or "Error: " in line]
    found["log"] = lines("\n".join(bad), 15)
    return found


def name(table, key, number):
    try:
        return table(number)[0]
    except KeyError:
        return str(number)


def files():
    found = {}
    for path in CONFIG["files"]:
        try:
            entry = os.lstat(path)
        except OSError:
            continue
        found[path] = {"owner": name(pwd.getpwuid, "user", entry.st_uid), "group": name(grp.getgrgid, "group", entry.st_gid),
                       "mode": "%04o" % stat.S_IMODE(entry.st_mode), "size": entry.st_size}
    return found


def volume():
    device = CONFIG["volume"]
    mounts = [line.split() for line in read("/proc/mounts").splitlines() if line.startswith(device)]
    size = read("/sys/block/%s/size" % os.path.basename(device)).strip()
    return {"there": os.path.exists(device), "bytes": int(size or 0) * 512,
            "mounts": [{"at": mount[1], "type": mount[2]} for mount in mounts]}


def addresses():
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _, card in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(control, 0x8915, struct.pack("256s", card.encode()[:15]))  # SIOCGIFADDR
                found[card] = socket.inet_ntoa(answer[20:24])
            except OSError:
                found[card] = ""
    return found


def routes():
    """Networks that are reached through a router. The kernel writes addresses as numbers of the machine."""
    lines = [line.split() for line in read("/proc/net/route", 1 << 20).splitlines()[1:]]
    return sorted({socket.inet_ntoa(struct.pack("=L", int(line[1], 16))) for line in lines if len(line) > 2 and line[2] != "00000000"})


def listening():
    found = set()
    # 0A is LISTEN; what only receives, as UDP does, is 07.
    for protocol, path, state in (("tcp", "tcp", "0A"), ("tcp", "tcp6", "0A"), ("udp", "udp", "07"), ("udp", "udp6", "07")):
        for line in read("/proc/net/" + path, 1 << 20).splitlines()[1:]:
            fields = line.split()
            if len(fields) > 3 and fields[3] == state:
                address, number = fields[1].split(":")
                where = "any" if set(address) == {"0"} else "loopback" if address in LOOPBACK else "one"
                found.add((int(number, 16), protocol, where))
    return [{"port": number, "protocol": protocol, "on": where} for number, protocol, where in sorted(found)]


LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}


def users():
    return {user.pw_name: user.pw_uid for user in pwd.getpwall() if 1000 <= user.pw_uid < 65000}


def docker():
    try:
        group = list(grp.getgrnam("docker").gr_mem)
    except KeyError:
        group = []
    return {"socket": os.path.exists("/run/docker.sock"), "group": group}


def system():
    return {"state": run("systemctl", "is-system-running")[1].strip(), "host": socket.gethostname(),
            "kernel": os.uname().release, "boot": read("/proc/sys/kernel/random/boot_id").strip()}


def journal():
    names = [word for unit in CONFIG["journal"] for word in ("-u", unit)]
    text = run("journalctl", "-b", "-q", "--no-pager", "-o", "cat", "-n", "60", *names)[1] if names else ""
    return lines(text, 60)


def log():
    return lines(read(CONFIG["log"], 1 << 20), 60) if CONFIG["log"] else []


def questions(answered):
    for question in CONFIG["questions"]:
        if question["name"] not in answered:
            code, text = run("/bin/sh", "-c", question["command"])
            answer = {"ok": code == 0, "lines": lines(text, 10)}
            if code == 0:
                answered[question["name"]] = answer
            tell("answer " + question["name"], answer)


def tests():
    """Whether they hold is judged elsewhere, so they are asked again and again."""
    for number, test in enumerate(CONFIG["tests"]):
        try:
            done = subprocess.run(["/bin/sh", "-c", test["command"]], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=test["seconds"], env=dict(os.environ, HOME="/root"))
            # As shells do with the number of a signal.
            code = done.returncode if done.returncode >= 0 else 128 - done.returncode
            out, err = done.stdout, done.stderr
        except (OSError, subprocess.SubprocessError) as error:
            code, out, err = -1, b"", str(error).encode()
        told_lines = [[line[:LONGEST] for line in text[:PRINTED].decode("utf-8", "replace").splitlines()] for text in (out, err)]
        tell("test %d" % number, {"code": code, "out": told_lines[0], "err": told_lines[1]})


def tell(key, value):
    """Only what is new, so that whoever reads it has little to read."""
    text = json.dumps(value, sort_keys=True)
    if told.get(key) != text:
        told[key] = text
        line = json.dumps({"key": key, "uptime": float(read("/proc/uptime").split()[0]), "value": value})
        PORT.write(line.encode() + b"\n")


def boot_times():
    text = run("systemctl", "show", "--property=KernelTimestampMonotonic,InitRDTimestampMonotonic,UserspaceTimestampMonotonic,"
               "FinishTimestampMonotonic")[1]
    return {key: int(value or 0) for key, _, value in (line.partition("=") for line in text.split())}


PORT = port()
tell("probe", {"version": 1, "clock": time.time(), "python": "%d.%d" % sys.version_info[:2]})
answered, round = {}, 0
while True:
    began = time.monotonic()
    tell("units", units())
    for each in (files, volume, addresses, routes, docker, cloud):
        tell(each.__name__, each())
    if CONFIG["log"]:
        tell("log", log())
    # These cost a process each, or change seldom.
    if round % 3 == 0:
        for each in (failed, system, listening, users, journal, boot_times):
            tell(each.__name__, each())
        questions(answered)
        if json.loads(told["system"])["state"] in ("running", "degraded"):
            tests()
    tell("round", round)
    round += 1
    # What is looked at needs the processor more; but tests of somebody may take minutes, and milestones are not to wait for them.
    time.sleep(max(CONFIG["pause"], min(4 * (time.monotonic() - began), 15)))
