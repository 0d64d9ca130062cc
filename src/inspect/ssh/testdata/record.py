#!/usr/bin/env python3
"""Writes answers.txt: what sshd itself makes of the configurations in cases.txt.

Needs sshd, and a user namespace to put each case's files over /etc/ssh. Not part of the tests, since the package
that has sshd also starts it. Run it in a container after changing cases.txt.
"""

import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
KEYWORDS = """port permitrootlogin passwordauthentication kbdinteractiveauthentication pubkeyauthentication
permitemptypasswords usepam authorizedkeysfile authorizedkeyscommand trustedusercakeys""".split()


def answer(files, directory):
    for name, text in files.items():
        path = directory / "ssh" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    key = directory / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    script = f"mount --bind {directory}/ssh /etc/ssh && mkdir -p /run/sshd && /usr/sbin/sshd -T -h {key}"
    result = subprocess.run(["unshare", "-rm", "sh", "-c", script], check=True, capture_output=True, text=True)
    lines = [line for line in result.stdout.splitlines() if line.split()[0] in KEYWORDS]
    return "\n".join(sorted(lines)) + "\n"


def main():
    version = subprocess.run(["sshd", "-V"], capture_output=True, text=True).stderr.split(",")[0].split("\n")[-1]
    out = [f"# Written by record.py with {version or 'sshd'}\n"]
    for case in (HERE / "cases.txt").read_text().split("=== ")[1:]:
        title, _, rest = case.partition("\n")
        files = dict(part.split("\n", 1) for part in rest.split("--- ")[1:])
        with tempfile.TemporaryDirectory() as directory:
            out.append(f"=== {title}\n" + answer(files, pathlib.Path(directory)))
    (HERE / "answers.txt").write_text("".join(out))


main()
