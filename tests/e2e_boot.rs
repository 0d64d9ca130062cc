//! `tib boot`: good images come all the way, broken ones are told why not, and nothing is left of either.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use common::instance::{Booted, Place};
use common::rabbitmq::Broker;
use common::registry;
use common::registry::Registry;
use common::{built_image, run};
use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};
use tib::digest::Digest;

/// All that an image with an agent for containers must reach.
const CONTAINER: [&str; 12] = [
    "firmware",
    "kernel",
    "init",
    "network",
    "data-source",
    "files",
    "docker",
    "agent",
    "volume",
    "connection",
    "queues",
    "ping",
];

fn digest(path: &Path) -> Digest {
    Digest::of_reader(fs::File::open(path).unwrap()).unwrap().0
}

#[test]
fn appliance_boot_trove_guest() {
    let place = Place::new();
    let image = built_image("trove-guest");
    let before = digest(&image);
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (junit, html, logs) = (file("boot.xml"), file("boot.html"), file("logs"));
    let arguments = ["--prepare", "--junit", &junit, "--html", &html, "--logs", &logs, "--timeout", "1100"];
    let booted = place.booted(&image, &arguments, 0);
    assert_eq!(booted.seen(), [&CONTAINER[..], &["building", "tests"]].concat());
    assert_eq!(booted.report["passed"], true);
    assert_eq!(booted.report["warnings"], serde_json::json!([]), "no failed unit, a clock that is right");
    assert_eq!(booted.fact("Broker"), Some("a private RabbitMQ"));
    assert!(fs::read_to_string(junit).unwrap().contains("the agent answers a ping"));
    assert!(fs::read_to_string(html).unwrap().contains("How far an instance of it comes"));
    for name in ["console.log", "probe.jsonl", "broker.log"] {
        assert!(fs::metadata(Path::new(&logs).join(name)).unwrap().len() > 100, "{name}");
    }
    // Milestones are told as they come.
    let told = |name: &str| booted.stderr.find(&format!("{name}: waiting until")).unwrap();
    assert!(CONTAINER.windows(2).all(|pair| told(pair[0]) < told(pair[1])), "{}", booted.stderr);
    assert_eq!(digest(&image), before);
    place.is_clean();
}

/// Without a config drive, from UEFI, with Trove's encryption, for another database.
#[test]
fn appliance_boot_trove_guest_with_the_metadata_service() {
    let place = Place::new();
    let arguments = [
        "--metadata",
        "service",
        "--firmware",
        "uefi",
        "--rpc-key",
        "oYNxZpD6vBbQKpZQ",
        "--datastore",
        "postgresql",
        "--datastore-version",
        "16",
        "--memory",
        "1536M",
        "--volume",
        "2G",
        "--prepare",
    ];
    let booted = place.booted(&built_image("trove-guest"), &arguments, 0);
    assert_eq!(booted.seen(), [&CONTAINER[..], &["building", "tests"]].concat());
    assert_eq!(booted.fact("Machine").map(|machine| machine.ends_with("UEFI, metadata service")), Some(true));
    place.is_clean();
}

/// What an image with a database as packages must reach.
const PACKAGES: [&str; 8] =
    ["firmware", "kernel", "init", "network", "data-source", "service", "login", "data-directory"];

/// A database as packages: its unit runs, a login as an agent makes it is answered, its files are where they belong; what its
/// recipe and tests of goss ask of it holds; and all that again as another instance.
#[test]
fn appliance_boot_packages() {
    let place = Place::new();
    let goss = place.path().join("goss.yaml");
    let text = "package:\n  mariadb-server: {installed: true}\nservice:\n  mariadb: {enabled: true, running: true}\n\
                port:\n  tcp:3306: {listening: true, ip: [127.0.0.1]}\n  tcp:3307: {listening: false}\n\
                process:\n  mariadbd: {running: true}\nmount:\n  /: {exists: true, filesystem: ext4}\n\
                command:\n  mysqladmin ping: {exit-status: 0, stdout: [alive, '!denied']}\n";
    fs::write(&goss, text).unwrap();
    let options = ["--metadata", "both", "--twice", "--goss", goss.to_str().unwrap()];
    let booted = place.booted(&built_image("mariadb"), &options, 0);
    assert_eq!(booted.seen(), [&PACKAGES[..], &["tests"]].concat());
    let found = booted.fact("Version").unwrap();
    assert!(found.starts_with("10.11."), "{found}");
    assert!(booted.fact("Second instance").is_some());
    assert_eq!(booted.report["warnings"], serde_json::json!([]));
    let titles = booted.titles("passed");
    for title in [
        "package mariadb-server is installed",
        "mariadb.service is enabled",
        "TCP port 3306 is listened on, on loopback addresses alone",
        "nothing else listens on all addresses",
        "service mariadb runs",
        "port tcp:3306 is listening on 127.0.0.1",
        "command `mysqladmin ping` says what it should",
        "as another instance, process mariadbd is running",
    ] {
        assert!(titles.contains(&title), "{title}: {titles:#?}");
    }
    place.is_clean();
}

/// Valkey from backports answers, and again as another instance. Of `make test-all`, as its image is.
#[test]
fn appliance_boot_valkey() {
    if !common::all_combinations() {
        return;
    }
    let place = Place::new();
    let goss = place.path().join("goss.yaml");
    let text = "service:\n  valkey-server: {enabled: true, running: true}\n\
                port:\n  tcp:6379: {listening: true, ip: [127.0.0.1]}\n\
                command:\n  valkey-cli ping: {exit-status: 0, stdout: [PONG]}\n";
    fs::write(&goss, text).unwrap();
    let options = ["--twice", "--goss", goss.to_str().unwrap()];
    let booted = place.booted(&built_image("valkey"), &options, 0);
    assert!(booted.fact("Version").unwrap().starts_with("8."), "{:?}", booted.fact("Version"));
    let titles = booted.titles("passed");
    for title in [
        "command `valkey-cli ping` says what it should",
        "as another instance, command `valkey-cli ping` says what it should",
    ] {
        assert!(titles.contains(&title), "{title}: {titles:#?}");
    }
    place.is_clean();
}

/// It runs and keeps its address, and is not what it is asked to be.
#[test]
fn appliance_boot_packages_that_are_not_what_is_asked() {
    let place = Place::new();
    let goss = place.path().join("goss.yaml");
    fs::write(&goss, "port:\n  tcp:5432: {listening: false}\ncommand:\n  id -un: {stdout: [nobody]}\n  id -gn: {stdout: [root]}\n")
        .unwrap();
    let booted = place.booted(&built_image("postgresql"), &["--leases", "--goss", goss.to_str().unwrap()], 8);
    assert_eq!(booted.seen(), [&PACKAGES[..], &["route", "lease"]].concat());
    assert_eq!((booted.missing(), booted.cause()), (vec!["tests"], "tests"));
    assert_eq!(booted.report["warnings"], serde_json::json!([]), "one DHCP client asks");
    assert!(booted.fact("Version").unwrap().starts_with("15."));
    let failed = ["port tcp:5432 is not listening", "command `id -un` says what it should"];
    assert_eq!(booted.titles("failed"), failed);
    assert!(booted.titles("passed").contains(&"command `id -gn` says what it should"));
    fs::remove_dir_all(booted.report["logs"].as_str().unwrap()).unwrap();
    place.is_clean();
}

/// Boots an image that must not come all the way, and asserts what is missing and what is named as the cause.
#[track_caller]
fn fails(place: &Place, image: &Path, arguments: &[&str], missing: &str, cause: &str) {
    let booted = place.booted(image, arguments, 8);
    assert_eq!((booted.missing()[0], booted.cause()), (missing, cause), "{:#}", booted.report["causes"]);
    is_in_the_table(&booted);
    let logs = booted.report["logs"].as_str().unwrap();
    assert!(Path::new(logs).join("console.log").exists(), "logs of a failure are kept");
    fs::remove_dir_all(logs).unwrap();
    place.is_clean();
}

/// The table of causes has this test with these words.
#[track_caller]
fn is_in_the_table(booted: &Booted) {
    let table: toml::Table =
        toml::from_str(&fs::read_to_string("tests/contract/causes.toml").unwrap()).unwrap();
    let test = format!("e2e_boot::{}", std::thread::current().name().unwrap());
    let row = table["cause"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row.get("test").and_then(|test| test.as_str()) == Some(&test));
    // Numbers in the words, such as how far a clock is off, are what they are.
    let words = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "");
    let title = booted.report["causes"][0]["title"].as_str().unwrap();
    assert_eq!(words(row.unwrap()["words"].as_str().unwrap()), words(title));
}

/// A configuration of the agent, in a file.
fn conf(place: &Place, transport: &str, exchange: &str) -> String {
    let file = place.path().join("trove-guestagent.conf");
    let text = format!(
        "[DEFAULT]\ntransport_url = {transport}\n{exchange}\nlog_dir = /var/log/trove/\nlog_file = trove-guestagent.log\n"
    );
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// A guest that says nothing tells by its disk.
#[test]
fn appliance_boot_of_an_image_without_cloud_init() {
    let place = Place::new();
    let changes: [(&str, &[&str]); 1] = [("silent", &["touch /etc/cloud/cloud-init.disabled"])];
    let image = &place.changed(&built_image("trove-guest"), &changes)[0];
    fails(&place, image, &[], "network", "cloud-init-silent");
}

/// Writes to the first serial port what stands after it, and halts.
const SAYS: [u8; 34] = [
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xd8, // mov ds, ax
    0xbe, 0x22, 0x7c, // mov si, 0x7c00 + 34
    0xfc, // cld
    // next:
    0xac, // lodsb
    0x84, 0xc0, // test al, al
    0x74, 0x12, // jz halt
    0x88, 0xc4, // mov ah, al
    0xba, 0xfd, 0x03, // mov dx, 0x3fd
    // wait:
    0xec, // in al, dx
    0xa8, 0x20, // test al, 0x20
    0x74, 0xfb, // jz wait
    0x88, 0xe0, // mov al, ah
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xee, // out dx, al
    0xeb, 0xe9, // jmp next
    // halt:
    0xf4, // hlt
    0xeb, 0xfd, // jmp halt
];

/// A kernel that gives up at once, by its last words. Those that a busy host is to blame for are no verdict on the image.
#[test]
fn appliance_boot_of_a_kernel_that_gives_up() {
    let place = Place::new();
    let good = built_image("trove-guest");
    let sector = place.path().join("sector");
    for (words, cause, again) in [
        ("IO-APIC + timer doesn't work!  Boot with apic=debug and send a report.", "kernel-timer", 2),
        ("VFS: Unable to mount root fs on unknown-block(0,0)", "kernel-panic", 0),
    ] {
        let image = place.overlay(&good, cause);
        let to = format!("of={}", sector.display());
        run(
            "qemu-img",
            &[&"dd", &"-O", &"raw", &"bs=512", &"count=1", &format!("if={}", image.display()), &to],
        );
        let mut bytes = fs::read(&sector).unwrap();
        let code = [
            &SAYS[..],
            format!("Linux version 6\n[ 0.0] Kernel panic - not syncing: {words}\n\0").as_bytes(),
        ]
        .concat();
        bytes[..code.len()].copy_from_slice(&code);
        fs::write(&sector, bytes).unwrap();
        let write = format!("write -s {} 0 512", sector.display());
        run("qemu-io", &[&"-f", &"qcow2", &"-c", &write, &image]);
        let booted = place.booted(&image, &["--firmware", "bios", "--timeout", "300"], 8);
        assert_eq!((booted.seen(), booted.cause()), (["firmware", "kernel"].to_vec(), cause));
        assert_eq!(booted.stderr.matches("starting again").count(), again, "{}", booted.stderr);
        fs::remove_dir_all(booted.report["logs"].as_str().unwrap()).unwrap();
    }
    fs::remove_file(sector).unwrap();
    place.is_clean();
}

/// A machine that comes all the way with another date.
#[test]
fn appliance_boot_with_a_wrong_clock() {
    let place = Place::new();
    let unit = "/etc/systemd/system/wrong-clock.service";
    let text = "[Unit]\\nDefaultDependencies=no\\nBefore=sysinit.target\\n[Service]\\nType=oneshot\\nExecStart=/bin/date -s 2031-01-01";
    let write = format!("write {unit} \"{text}\\n\"");
    let wants = "/etc/systemd/system/sysinit.target.wants";
    let (make, enable) = (format!("mkdir-p {wants}"), format!("ln-s {unit} {wants}/wrong-clock.service"));
    let changes: [(&str, &[&str]); 1] = [("clock", &[&write, &make, &enable])];
    let image = &place.changed(&built_image("trove-guest"), &changes)[0];
    let booted = place.booted(image, &[], 8);
    assert_eq!((booted.seen(), booted.cause()), (CONTAINER.to_vec(), "clock"));
    assert_eq!(booted.titles("failed"), ["the guest's clock is right"]);
    is_in_the_table(&booted);
    fs::remove_dir_all(booted.report["logs"].as_str().unwrap()).unwrap();
    place.is_clean();
}

/// The operator's broker, and an agent with another password.
#[test]
fn appliance_boot_with_a_wrong_password() {
    let place = Place::new();
    let broker = Broker::start();
    let conf = conf(&place, &format!("rabbit://guest:wrong@10.0.2.2:{}/", broker.port()), "");
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", broker.port());
    let arguments = ["--network", "open", "--conf", &conf, "--broker", &url];
    fails(&place, &built_image("trove-guest"), &arguments, "queues", "broker-refused");
}

#[test]
fn appliance_boot_without_a_volume() {
    fails(&Place::new(), &built_image("trove-guest"), &["--no-volume"], "volume", "volume-missing");
}

#[test]
fn appliance_boot_with_an_owner_that_is_not_there() {
    let arguments = ["--owner", "nobody-here:root"];
    fails(&Place::new(), &built_image("trove-guest"), &arguments, "files", "owner-missing");
}

/// oslo's default for the exchange, which Trove never overrides.
#[test]
fn appliance_boot_with_another_exchange() {
    let place = Place::new();
    let conf = conf(&place, "rabbit://replaced:by@tib:5672/", "");
    let arguments = ["--conf", &conf, "--control-exchange", "trove"];
    fails(&place, &built_image("trove-guest"), &arguments, "ping", "control-exchange");
}

/// As with a wrong address, or a firewall: the agent's configuration is used as it is.
#[test]
fn appliance_boot_without_a_way_to_the_broker() {
    let place = Place::new();
    let conf = conf(&place, "rabbit://trove:secret@10.0.2.2:9/", "control_exchange = trove");
    let arguments = ["--network", "open", "--broker", "amqp://trove:secret@127.0.0.1:9/", "--conf", &conf];
    fails(&place, &built_image("trove-guest"), &arguments, "queues", "broker-unreachable");
}

/// Time that runs out, an interrupt, and a kill in the middle of it.
#[test]
fn appliance_boot_leaves_nothing() {
    let place = Place::new();
    let image = built_image("trove-guest");
    let booted =
        place.booted(&image, &["--timeout", "12", "--logs", place.path().join("logs").to_str().unwrap()], 8);
    assert!(booted.stderr.contains("firmware"), "{}", booted.stderr);
    assert!(!booted.missing().is_empty());
    place.is_clean();
    for signal in [Signal::INT, Signal::KILL] {
        let mut child =
            place.boot(&image, &["--keep"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.by_ref().any(|line| line.unwrap().contains("kernel: waiting")), "it boots");
        assert!(place.running().iter().any(|command| command.contains("qemu-system")));
        assert!(place.running().iter().any(|command| command.contains("beam")));
        kill_process(Pid::from_child(&child), signal).unwrap();
        drop(lines);
        let status = child.wait().unwrap();
        if signal == Signal::INT {
            assert_eq!(status.code(), Some(130));
        } else {
            // Whoever uses the cache next takes the files of the dead away.
            common::outcome(&mut place.boot(Path::new("nowhere.qcow2"), &[] as &[&str])).expect(2);
        }
        place.is_clean();
    }
}

/// A person in the machine: by the command that it prints, and by a shell right away.
#[test]
fn appliance_boot_lets_a_person_in() {
    let place = Place::new();
    let image = built_image("redis");
    let mut child =
        place.boot(&image, &["--keep"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let note = lines.find(|line| line.contains("until you interrupt")).expect("it says how to get in");
    let command = note.split_once("): ").unwrap().1;
    // sshd may start last.
    let script = format!("for i in $(seq 60); do {command} sudo -n id -u && exit; sleep 3; done");
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim(),
        "0",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // That is how it is ended, and no failure.
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(lines);
    place.is_clean();

    let mut child = place
        .boot(
            &image,
            &["--ssh", "--metadata", "configdrive", "--firmware", "bios", "--network", "restricted"],
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Commands are read by the shell in the guest.
    writeln!(child.stdin.take().unwrap(), "echo host=$(hostname); getent hosts example.org || echo alone")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("host=tib-") && said.contains("alone"), "{said}");
    assert!(output.status.success(), "{said}");
    place.is_clean();
}

/// The console, on a terminal, from power-on until Ctrl-] is typed.
#[test]
fn appliance_boot_attaches_the_console() {
    const PROGRAM: &str = "import os, pty, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
        seen = b''\n\
        while b' login:' not in seen: seen += os.read(terminal, 4096)\n\
        os.write(terminal, b'\\x1d')\n\
        try:\n\
        \x20   while piece := os.read(terminal, 4096): seen += piece\n\
        except OSError: pass\n\
        sys.stdout.buffer.write(seen)\n\
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let place = Place::new();
    let boot = place.boot(&built_image("redis"), &["--shell"]);
    let mut command = Command::new("python3");
    command.args(["-c", PROGRAM]).arg(boot.get_program()).args(boot.get_args());
    for (name, value) in boot.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.stdin(Stdio::null()).output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("Linux version") && seen.contains("the init system starts"), "{seen}");
    // Whether it had come all the way by then is chance.
    assert!([Some(0), Some(8)].contains(&output.status.code()), "{seen}");
    place.is_clean();
}

/// What a guest is connected to is passed on whole, both ways, and its end too.
#[test]
fn a_relay_passes_on_what_it_is_given() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("tcp:{}", listener.local_addr().unwrap());
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        stream.write_all(&heard).unwrap();
    });
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let mut child =
        common::tib().args(["relay", &target]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&sent).unwrap();
    let output = child.wait_with_output().unwrap();
    echo.join().unwrap();
    assert!(output.status.success() && output.stdout == sent);
    let refused = common::outcome(common::tib().args(["relay", "unix:/nonexistent/socket"]));
    assert_eq!((refused.code, refused.stdout.as_str(), refused.stderr.as_str()), (Some(1), "", ""));
}

/// The agent waits for a database that never answers. For `make test-all`, with the waiting.
#[test]
fn appliance_boot_with_a_container_that_is_never_healthy() {
    if common::all_combinations() {
        boot_with_a_registry(true, "container-unhealthy");
    }
}

/// Docker asks a registry for TLS unless it is told not to. For `make test-all`, too.
#[test]
fn appliance_boot_with_a_registry_without_tls() {
    if common::all_combinations() {
        boot_with_a_registry(false, "registry-tls");
    }
}

/// A container in the image is loaded at the first boot and runs without any network; its archive is gone then. The agent, told
/// to make a database of it, asks no registry: all that it misses is that this database answers. For `make test-all`.
#[test]
fn appliance_boot_with_an_embedded_container() {
    const NAME: &str = "registry.example:5000/db/silent";
    if !common::all_combinations() {
        return;
    }
    let place = Place::new();
    let layout = place.path().join("silent");
    registry::silent(&layout);
    let image = place.path().join("embedded.qcow2");
    let embedded = format!("{NAME}:10.11=oci:{}:10.11", layout.display());
    let output = image.to_str().unwrap();
    let build =
        ["build", "trove-guest", "--base", common::BASE, "-o", output, "--embed-container", &embedded];
    common::run_tib(build).expect(0);
    let manifest = fs::read_to_string(format!("{output}.manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    assert_eq!(manifest["containers"][0]["name"], format!("{NAME}:10.11"));
    let index: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(manifest["containers"][0]["digest"], digest.strip_prefix("sha256:").unwrap());

    let more =
        format!("control_exchange = trove\nstate_change_wait_time = 60\n[mariadb]\ndocker_image = {NAME}");
    let conf = conf(&place, "rabbit://a:b@c/", &more);
    let verified = common::run_tib(["verify", output, "--recipe", "trove-guest", "--conf", &conf]);
    assert!(!verified.expect(0).contains("is not the one that trove-guestagent.conf names"));

    let goss = place.path().join("goss.yaml");
    let text = format!(
        "command:\n  docker images:\n    exit-status: 0\n    timeout: 60000\n    stdout: ['/{NAME} +10.11 /']\n  \
         docker run -d --network none {NAME}:10.11:\n    exit-status: 0\n    timeout: 120000\n  \
         systemctl is-active tib-containers.service: {{exit-status: 0, stdout: [active]}}\n  \
         ls -A /var/lib/embedded-containers | wc -l: {{exit-status: 0, stdout: ['/^0$/']}}\n"
    );
    fs::write(&goss, text).unwrap();
    let booted = place.booted(&image, &["--goss", goss.to_str().unwrap()], 0);
    assert_eq!(booted.report["warnings"], serde_json::json!([]), "no failed unit");
    let booted = place.booted(&image, &["--prepare", "--network", "open", "--conf", &conf], 8);
    assert_eq!((booted.missing()[0], booted.cause()), ("healthy", "container-unhealthy"));
    fs::remove_dir_all(booted.report["logs"].as_str().unwrap()).unwrap();
    place.is_clean();
}

/// Boots trove-guest with a registry that has no TLS and a database that is never healthy, and expects `cause`.
fn boot_with_a_registry(allowed: bool, cause: &str) {
    let place = Place::new();
    let registry = Registry::start(place.path());
    let address = format!("10.0.2.2:{}", registry.port());
    let mut image = built_image("trove-guest");
    if allowed {
        let write = format!("write /etc/docker/daemon.json '{{\"insecure-registries\": [\"{address}\"]}}'");
        image = place.changed(&image, &[("registry", &[&write])]).remove(0);
    }
    let more = format!(
        "control_exchange = trove\nstate_change_wait_time = 60\n[mariadb]\ndocker_image = {address}/silent"
    );
    let conf = conf(&place, "rabbit://a:b@c/", &more);
    let arguments = ["--prepare", "--network", "open", "--conf", &conf];
    fails(&place, &image, &arguments, "healthy", cause);
}
