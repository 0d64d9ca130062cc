//! Agents that do nothing, in the forms in which agents come.

use std::path::Path;

use fs_err as fs;

use super::run;

/// Writes a wheel with one module, which may be a path such as `trove/guest.py`.
pub fn wheel(directory: &Path, name: &str, version: &str, module: &str) {
    let program = "import base64, hashlib, sys, zipfile\n\
        directory, name, version, module = sys.argv[1:]\n\
        info = f'{name}-{version}.dist-info/'\n\
        files = {module: '', info + 'METADATA': f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n',\n\
        \x20   info + 'WHEEL': 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}\n\
        if '/' in module: files[module.split('/')[0] + '/__init__.py'] = ''\n\
        digest = lambda text: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()\n\
        record = ''.join(f'{path},sha256={digest(text)},{len(text)}\\n' for path, text in files.items())\n\
        files[info + 'RECORD'] = record + info + 'RECORD,,\\n'\n\
        with zipfile.ZipFile(f'{directory}/{name}-{version}-py3-none-any.whl', 'w') as wheel:\n\
        \x20   for path, text in files.items(): wheel.writestr(path, text)\n";
    run("python3", &[&"-c", &program, &directory, &name, &version, &module]);
}

/// Writes the source tree of `trove 99.0`, with the programs that the real one has. Building it takes setuptools, which pip
/// gets from its index.
pub fn source(directory: &Path) {
    fs::create_dir_all(directory.join("trove/cmd")).unwrap();
    for (path, text) in [
        (
            "pyproject.toml",
            "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\
             [project]\nname = \"trove\"\nversion = \"99.0\"\n\
             [project.scripts]\ntrove-guestagent = \"trove.cmd.guest:main\"\ntrove-docker-plugin = \"trove.cmd.guest:main\"\n\
             [tool.setuptools]\npackages = [\"trove\", \"trove.cmd\"]\n",
        ),
        ("trove/__init__.py", ""),
        ("trove/cmd/__init__.py", ""),
        ("trove/cmd/guest.py", "def main():\n    pass\n"),
    ] {
        fs::write(directory.join(path), text).unwrap();
    }
}
