//! The guest session on real appliances, over small disks made on the spot.
//!
//! The names begin with `appliance_`: the test runner lets only one of them run at a time.

mod image;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tib::cancel::Cancel;
use tib::control::Control;
use tib::disk::{DiskError, FileKind, Policy, Root, RootPlace, Tree, VirtualDisk};
use tib::event::{Event, EventSink, Events};
use tib::guest::doctor::{State, examine};
use tib::guest::{
    Access, Cause, Drive, DriveFormat, Guest, GuestError, Script, Session, SessionOptions, SessionTree,
};

/// Everything must be gone this soon after the user interrupts.
const GONE: Duration = Duration::from_secs(5);

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<Event>>>);

impl EventSink for Kept {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

impl Kept {
    fn has(&self, text: &str) -> bool {
        self.0.lock().unwrap().iter().any(|event| format!("{event:?}").contains(text))
    }
}

fn options(images: &[&Path]) -> SessionOptions {
    SessionOptions {
        drives: images.iter().map(|image| Drive::writable(*image, DriveFormat::Raw)).collect(),
        memory_mib: 768,
        log: std::env::var_os("TIB_TEST_LOG").map(Into::into),
        ..SessionOptions::default()
    }
}

fn launch(images: &[&Path], cancel: &Cancel) -> Session {
    Session::launch(&options(images), &Control::new(Events::none(), cancel.clone())).unwrap()
}

/// What stands in the command line of the qemus of this process, and in no other's.
fn tag() -> String {
    format!("tib_session={}-", std::process::id())
}

/// Whether a process that carries the text in its command line runs.
fn runs(text: &str) -> bool {
    let processes = fs_err::read_dir("/proc").unwrap().flatten();
    processes.map(|entry| fs_err::read(entry.path().join("cmdline")).unwrap_or_default()).any(|line| {
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("qemu") && line.contains(text)
    })
}

fn wait_gone(text: &str, since: Instant) {
    while runs(text) {
        assert!(since.elapsed() < GONE, "qemu still runs after {:?}", since.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn cause(error: &GuestError) -> Option<Cause> {
    match error {
        GuestError::Script { cause, .. } => Some(*cause),
        _ => None,
    }
}

#[test]
fn appliance_runs_scripts() {
    let directory = tempfile::tempdir().unwrap();
    let image = image::disk(directory.path(), 64);
    let kept = Kept::default();
    let mut guest =
        Session::launch(&options(&[&image]), &Control::new(Events::new(kept.clone()), Cancel::new()))
            .unwrap();
    guest.mount_root(false).unwrap();

    let out = guest.run(&Script::new("saying hello", "echo hello; echo noise >&2; id -u; pwd")).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "hello\n0\n/\n");
    assert!(kept.has("noise") && kept.has("hello"), "both streams are told as events");

    let text = format!("echo \"it's\"; : {}; echo end", "'long'".repeat(20_000));
    assert_eq!(guest.run(&Script::new("a long script", text)).unwrap(), b"it's\nend\n");
    let out =
        guest.run(&Script::new("long output", "head -c 2500000 /dev/zero >/dev/null; seq 300000")).unwrap();
    assert!(out.len() > 1_900_000 && out.ends_with(b"\n299999\n300000\n"), "{}", out.len());

    let error = guest.run(&Script::new("a failing script", "echo one; echo why >&2; exit 3")).unwrap_err();
    assert_eq!(error.to_string(), "a failing script failed: see the last lines of output");
    let GuestError::Script { tail, .. } = &error else { panic!("{error:?}") };
    assert!(tail.contains(&"one".to_owned()) && tail.contains(&"why".to_owned()), "{tail:?}");

    let error =
        guest.run(&Script::new("filling the disk", "dd if=/dev/zero of=/tmp/fill bs=1M")).unwrap_err();
    assert_eq!(cause(&error), Some(Cause::NoSpace), "{error:?}");
    assert_eq!(tib::error::Diagnose::exit(&error), tib::error::Exit::Space);
    let error = guest.write("/tmp/more", &[1; 4_000_000], Access::root(0o644)).unwrap_err();
    assert_eq!(tib::error::Diagnose::exit(&error), tib::error::Exit::Space, "{error:?}");
    guest.remove("/tmp/fill").unwrap();
    assert_eq!(guest.lstat("/tmp/.tib-new").unwrap(), None, "nothing half-written is left");

    let script = Script::new("leaving a process", "cd /tmp; sleep 1000 & (sleep 1001 &) ; echo done");
    assert_eq!(guest.run(&script).unwrap(), b"done\n");
    assert!(kept.has("left processes behind, which were ended: sleep"), "{:?}", kept.0.lock().unwrap());
    guest.unmount().unwrap();
    guest.mount_root(false).unwrap();
    let mut tree = SessionTree::new(guest, "the test asks for it");
    assert!(tree.read_dir(b"/dev").unwrap().is_empty() && tree.read_dir(b"/tmp").unwrap().is_empty());
    let guest = tree.into_session();
    guest.shutdown().unwrap();
    image::run(Command::new("e2fsck").arg("-fn").arg(&image));
}

#[test]
fn appliance_changes_files() {
    let directory = tempfile::tempdir().unwrap();
    let image = image::disk(directory.path(), 64);
    let payload = image::blank(directory.path(), "payload.raw", 4);
    let files = directory.path().join("files");
    fs_err::create_dir(&files).unwrap();
    fs_err::write(files.join("brought"), "payload").unwrap();
    image::run(Command::new("mke2fs").args(["-q", "-t", "ext2", "-d"]).arg(&files).arg(&payload));

    let mut options = options(&[&image]);
    options.drives.push(Drive::read_only(&payload, DriveFormat::Raw));
    let mut guest = Session::launch(&options, &Control::none()).unwrap();
    guest.mount_root(false).unwrap();

    guest.write("/etc/secret", b"s3cret", Access { mode: 0o4640, uid: 7, gid: 8 }).unwrap();
    let stat = guest.lstat("/etc/secret").unwrap().unwrap();
    assert_eq!((stat.kind, stat.mode, stat.uid, stat.gid, stat.size), (FileKind::File, 0o4640, 7, 8, 6));
    guest.symlink("/etc/secret", "/etc/link").unwrap();
    assert_eq!(guest.read_link("/etc/link").unwrap(), "/etc/secret");
    guest.write("/etc/link", b"new", Access::root(0o600)).unwrap();
    assert_eq!(guest.read("/etc/secret").unwrap(), b"s3cret", "the link is replaced and not followed");
    assert_eq!(guest.read("/etc/link").unwrap(), b"new");
    guest.symlink("nowhere", "/etc/link").unwrap();
    assert_eq!(guest.read_link("/etc/link").unwrap(), "nowhere", "nor is that of another link");
    let odd = "/srv/a b\\134\"\n\u{e9}";
    guest.mkdir_p("/srv", Access::root(0o755)).unwrap();
    guest.write(odd, b"", Access::root(0o600)).unwrap();
    let list = directory.path().join("list");
    let label = |path: &str| format!("# file: {path}\nsecurity.selinux=\"a:b:c_t:s0\\000\"\n\n");
    let hostile = "srv/a\\040b\\134134\\042\\012\\303\\251";
    fs_err::write(&list, [".", "etc/secret", "etc/link", hostile].map(label).concat()).unwrap();
    guest.restore_xattrs(&list).unwrap();
    fs_err::write(&list, [label("etc/none"), label("etc/new")].concat()).unwrap();
    guest.write("/etc/new", b"", Access::root(0o600)).unwrap();
    let error = guest.restore_xattrs(&list).unwrap_err();
    assert!(error.to_string().contains("etc/none: No such file or directory"), "{error}");
    let large = vec![b'x'; 5 << 20];
    guest.write("/root/large", &large, Access::root(0o644)).unwrap();
    assert!(guest.read("/root/large").unwrap() == large);
    guest.mkdir_p("/srv/a/b", Access { mode: 0o1770, uid: 1, gid: 2 }).unwrap();
    guest.upload(&files.join("brought"), "/srv/a/b/up", Access::root(0o444)).unwrap();
    assert!(
        guest.write("/srv/a", b"", Access::root(0o644)).is_err(),
        "a directory is not replaced by a file"
    );
    guest.remove("/srv/a/b/up/none").unwrap();
    let error = guest.read("/no/such").unwrap_err();
    assert!(matches!(error, GuestError::Call { errno: 2, .. }), "{error:?}");

    assert_eq!(guest.read("/srv/a/b/up").unwrap(), b"payload");
    guest.mount_payload(1, "/run/payload").unwrap();
    assert_eq!(guest.run(&Script::new("reading", "cat /run/payload/brought")).unwrap(), b"payload");
    guest.unmount().unwrap();
    let copy = directory.path().join("copy.raw");
    fs_err::copy(&image, &copy).unwrap();
    guest.mount_root(true).unwrap();
    assert_eq!(guest.lstat("/run/payload").unwrap(), None);
    assert!(guest.write("/etc/x", b"", Access::root(0o644)).is_err(), "mounted read-only");

    let mut tree = SessionTree::new(guest, "the test asks for it");
    assert_eq!(tree.read_dir(b"/srv/a/b").unwrap(), [b"up"]);
    assert_eq!(tree.canonicalize(b"/lib/../bin/sh").unwrap(), b"/usr/bin/sh");
    assert_eq!(tree.read(b"/etc/secret", 100).unwrap(), b"s3cret");
    assert!(matches!(tree.lstat(b"/\xff\xfe"), Err(DiskError::NotFound(_))));
    assert!(matches!(tree.read_dir(b"/etc/secret"), Err(DiskError::NotDirectory(_))));
    assert!(matches!(tree.read_link(b"/etc/secret"), Err(DiskError::WrongKind { .. })));
    tree.into_session().shutdown().unwrap();

    image::run(Command::new("e2fsck").arg("-fn").arg(&copy));
    let seen = image::run(Command::new("debugfs").args(["-R", "stat /etc/secret"]).arg(&copy));
    assert!(seen.contains("Mode:  04640") && seen.contains("User:     7"), "{seen}");
    let mut tree = VirtualDisk::open(&copy, &Policy::default()).unwrap().tree().unwrap();
    let mut xattrs = |path: &[u8]| {
        let xattrs = tree.xattrs(path).unwrap().into_iter();
        xattrs.map(|xattr| (String::from_utf8(xattr.name).unwrap(), xattr.value)).collect::<Vec<_>>()
    };
    let labelled = [("security.selinux".to_owned(), b"a:b:c_t:s0\0".to_vec())];
    for path in ["/", "/etc/secret", "/etc/link", odd, "/etc/new"] {
        assert_eq!(xattrs(path.as_bytes()), labelled, "{path}");
    }
    assert_eq!(xattrs(b"/etc"), []);
}

#[test]
fn appliance_grows_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let image = image::partitioned_disk(directory.path());
    fs_err::OpenOptions::new().write(true).open(&image).unwrap().set_len(200 << 20).unwrap();
    let mut guest = launch(&[&image], &Cancel::new());

    guest.mount_root(true).unwrap();
    let root = guest.root().unwrap();
    assert_eq!((root.place, root.lacks), (RootPlace::Partition(1), None));
    let before = root.room.unwrap();
    let root = Root { room: None, ..root };
    let plan = VirtualDisk::open(&image, &Policy::default()).unwrap().growth(root).unwrap();
    let growth = plan.grow(200 << 20).unwrap().unwrap();
    guest.grow_root(&growth).unwrap();
    // Asking again for what is there already changes nothing, however often.
    guest.mount_root(false).unwrap();
    guest.mount_root(false).unwrap();
    let after = guest.root().unwrap().room.unwrap();
    assert!(before.size < 70 << 20 && after.size > 150 << 20 && after.free > before.free, "{after:?}");
    guest.write("/boot/efi/grub.cfg", b"x", Access::root(0o700)).unwrap();
    guest.trim().unwrap();

    guest.shutdown().unwrap();

    image::run(Command::new("sfdisk").args(["--verify", "-q"]).arg(&image));
}

#[test]
fn appliance_times_out_and_finds_no_system() {
    let directory = tempfile::tempdir().unwrap();
    let empty = image::blank(directory.path(), "empty.raw", 8);
    let image = image::disk(directory.path(), 64);
    let mut guest = launch(&[&empty, &image], &Cancel::new());
    let error = guest.mount_root(false).unwrap_err();
    assert!(matches!(error, GuestError::NoOperatingSystem { .. }), "{error:?}");

    guest.mount("/dev/sdb", "/", false).unwrap();
    let mut script = Script::new("sleeping", "sleep 600");
    script.timeout = Some(Duration::from_secs(3));
    let started = Instant::now();
    let error = guest.run(&script).unwrap_err();
    assert_eq!(error.to_string(), "sleeping took longer than 3 s and was ended");
    assert!(started.elapsed() < script.timeout.unwrap() + GONE, "{:?}", started.elapsed());
    wait_gone(&tag(), started + script.timeout.unwrap());
    let error = guest.lstat("/").unwrap_err();
    assert!(matches!(error, GuestError::Died { .. }), "{error:?}");
}

#[test]
fn appliance_is_cancelled_in_a_script() {
    let directory = tempfile::tempdir().unwrap();
    let image = image::disk(directory.path(), 64);
    let cancel = Cancel::new();
    let mut guest = launch(&[&image], &cancel);
    guest.mount_root(false).unwrap();
    let tag = tag();
    assert!(runs(&tag));
    let raise = cancel.clone();
    let raiser = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        raise.raise();
        Instant::now()
    });
    let error = guest.run(&Script::new("sleeping", "sleep 600")).unwrap_err();
    assert!(matches!(error, GuestError::Cancelled(_)), "{error:?}");
    drop(guest);
    let raised = raiser.join().unwrap();
    assert!(raised.elapsed() < GONE, "{:?}", raised.elapsed());
    wait_gone(&tag, raised);
    let error =
        Session::launch(&options(&[&image]), &Control::new(Events::none(), cancel.clone())).unwrap_err();
    assert!(matches!(error, GuestError::Cancelled(_)), "{error:?}");
}

#[test]
fn appliance_is_cancelled_while_it_boots() {
    let directory = tempfile::tempdir().unwrap();
    let empty = image::blank(directory.path(), "empty.raw", 8);
    for delay in [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(3)] {
        let cancel = Cancel::new();
        let raise = cancel.clone();
        // The probe of virtualisation has been done by then.
        tib::host::acceleration(&Cancel::new()).unwrap();
        let raiser = std::thread::spawn(move || {
            std::thread::sleep(delay);
            raise.raise();
            Instant::now()
        });
        let error =
            Session::launch(&options(&[&empty]), &Control::new(Events::none(), cancel.clone())).unwrap_err();
        let raised = raiser.join().unwrap();
        assert!(matches!(error, GuestError::Cancelled(_)), "{error:?}");
        assert!(raised.elapsed() < GONE, "{delay:?}: {:?}", raised.elapsed());
        wait_gone(&tag(), raised);
    }
}

/// Not a test of its own: what `appliance_ends_with_its_process` runs in a process that it kills.
#[test]
#[ignore = "run by appliance_ends_with_its_process"]
#[expect(clippy::disallowed_methods, reason = "the parent reads its stdout")]
fn session_in_a_child() {
    let Some(image) = std::env::var_os("TIB_TEST_CHILD") else { return };
    let mut guest = launch(&[Path::new(&image)], &Cancel::new());
    guest.mount_root(false).unwrap();
    assert!(guest.read("/no/such").is_err());
    assert!(guest.run(&Script::new("failing", "echo bad >&2; exit 1")).is_err());
    writeln!(std::io::stdout(), "\n{}", tag()).unwrap();
    std::io::stdout().flush().unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn appliance_ends_with_its_process_and_is_silent() {
    let directory = tempfile::tempdir().unwrap();
    let image = image::disk(directory.path(), 64);
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "session_in_a_child", "--nocapture"])
        .env("TIB_TEST_CHILD", &image)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let tag = lines.find(|line| line.starts_with("tib_session=")).unwrap();
    assert!(runs(&tag));
    child.kill().unwrap();
    child.wait().unwrap();
    wait_gone(&tag, Instant::now());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "", "libguestfs prints nothing");
}

#[test]
fn appliance_is_examined() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // User networking shows the host's loopback at the gateway.
    let sources = [
        ("169.254.2.2".to_owned(), port),
        ("169.254.2.2".to_owned(), 1),
        ("no-such-host.invalid".to_owned(), 80),
        ("bad; name".to_owned(), 80),
    ];
    let findings = examine(&Control::none(), &sources).unwrap();
    let find = |name: &str| findings.iter().find(|f| f.name.contains(name)).unwrap();
    for name in ["appliance", "appliance network", "libguestfs", "kernel", "user", "qemu"] {
        assert_eq!(find(name).state, State::Ok, "{:#?}", find(name));
    }
    assert_eq!(find(&format!(":{port}")).state, State::Ok, "{findings:#?}");
    assert_eq!(find("169.254.2.2:1").detail, "no connection from inside the appliance");
    assert!(find("no-such-host").detail.contains("cannot be resolved"), "{findings:#?}");
    // Quoted on its way into the appliance's shell: a name nobody knows, and no command.
    assert!(find("bad; name").detail.contains("cannot be resolved"), "{findings:#?}");
    assert!(findings.iter().all(|f| (f.state == State::Ok) == f.fix.is_none()), "{findings:#?}");
}
