use super::*;
use crate::os::testing::MemTree;
use crate::report::Outcome;

fn tree() -> MemTree {
    MemTree::new()
        .file(
            "/var/lib/dpkg/status",
            "Package: redis\nStatus: install ok installed\nVersion: 5:7.0.15-1\nArchitecture: amd64\n\n\
             Package: telnet\nStatus: install ok unpacked\nVersion: 1\n\n\
             Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
        )
        .file("/etc/passwd", "root:x:0:0::/root:/bin/sh\ntrove:x:1000:1000::/home/trove:/bin/sh\n")
        .file("/etc/group", "root:x:0:\ntrove:x:1000:\ndocker:x:998:trove\n")
        .file("/etc/redis.conf", "port 6379\n")
        .access("/etc/redis.conf", 0o640, 1000, 998)
        .link("/etc/alias.conf", "redis.conf")
        .link("/etc/dangling", "gone")
        .link("/etc/loop", "loop")
        .link("/etc/masked.d/a", "/dev/null")
        .link("/etc/masked.d/up", "../masked.d/../../dev/null")
        .link("/etc/masked.d/via", "a")
        .dir("/srv")
        .file(
            "/usr/lib/systemd/system/redis.service",
            "[Service]\nExecStart=/usr/bin/redis-server\n[Install]\nWantedBy=multi-user.target\n",
        )
        .link("/usr/lib/systemd/system/redis-server.service", "redis.service")
        .link(
            "/etc/systemd/system/multi-user.target.wants/redis.service",
            "/usr/lib/systemd/system/redis.service",
        )
        .file("/usr/lib/systemd/system/off.service", "[Install]\nWantedBy=multi-user.target\n")
        .link("/etc/systemd/system/apt-daily.timer", "/dev/null")
        .file("/etc/cloud/cloud.cfg", "datasource_list: [ConfigDrive, OpenStack]\n")
        .file("/etc/shadow", "root:*:1::::::\ntrove:$y$j9T$abcdefgh$ijklmnop:1::::::\n")
        .file("/etc/sudoers", "%docker ALL=(ALL) /usr/bin/docker\ntrove ALL=(ALL) NOPASSWD:ALL\n")
        .file("/etc/sysctl.d/60-x.conf", "net.ipv4.ip_forward = 1\n")
        .file("/etc/mysql/my.cnf", "[mysqld]\nport = 3306\n[client]\nport = 3307\n")
        .file("/etc/mysql/conf.d/50-a.cnf", "[mysqld]\nbind-address=127.0.0.1\nPort=3310 # late\n")
        .file("/etc/ssh/sshd_config", "Port 22\nPort 2222\nPermitRootLogin no\n")
        .dir("/tmp")
        .access("/tmp", 0o1777, 0, 0)
        .file("/tmp/x", "")
        .access("/tmp/x", 0o666, 0, 0)
        .program("/usr/bin/su", "")
        .access("/usr/bin/su", 0o4755, 0, 0)
        .link("/bin", "usr/bin")
        .file(
            "/etc/apparmor.d/usr.sbin.mysqld",
            "/usr/sbin/mysqld {\n  #include <local/usr.sbin.mysqld>\n  profile sub flags=(complain) { }\n}\n\
             profile soft flags=(complain) {\n  include if exists <local/none>\n}\n",
        )
        .file("/etc/apparmor.d/local/usr.sbin.mysqld", "# ours\n/tmp/  rw,\n  /tmp/** rwk,\n")
        .file("/etc/apparmor.d/off", "profile off { }\n")
        .link("/etc/apparmor.d/disable/off", "/etc/apparmor.d/off")
        .program("/usr/sbin/apparmor_parser", "")
        .file("/usr/lib/systemd/system/apparmor.service", "[Install]\nWantedBy=sysinit.target\n")
        .link(
            "/etc/systemd/system/sysinit.target.wants/apparmor.service",
            "/usr/lib/systemd/system/apparmor.service",
        )
}

/// `ok`, `failed: what`, or `not checked: why`.
fn run(tree: &MemTree, check: &str) -> String {
    let check: Check = toml::from_str(check).unwrap_or_else(|error| panic!("{check}: {error}"));
    match run_checks(&mut tree.clone(), Some(Family::Debian), &[check], &[]).remove(0).outcome {
        Outcome::Passed => "ok".to_owned(),
        Outcome::Failed { found } => format!("failed: {found}"),
        Outcome::NotChecked { reason } => format!("not checked: {reason}"),
    }
}

fn mysql(section: &str, key: &str, more: &str) -> String {
    let files = "['/etc/mysql/my.cnf', '/etc/mysql/conf.d/*.cnf']";
    format!("check='config'\npath={files}\nsection='{section}'\nkey='{key}'\n{more}")
}

#[test]
fn every_check_passes_and_fails() {
    for (check, expected) in [
        ("check='package'\nname='redis'", "ok"),
        ("check='package'\nname='redis'\nversion='7.0'", "ok"),
        ("check='package'\nname='redis'\nversion='7.2'", "failed: version 5:7.0.15-1"),
        ("check='package'\nname='redis'\nversion='>=7, <7.2'", "ok"),
        ("check='package'\nname='redis'\nversion='>=7.2'", "failed: version 5:7.0.15-1"),
        ("check='package'\nname='valkey'", "failed: not installed"),
        ("check='package'\nname='redis'\ninstalled=false", "failed: version 5:7.0.15-1 is installed"),
        ("check='package'\nname='valkey'\ninstalled=false", "ok"),
        ("check='package'\nname='telnet'", "failed: not installed, only unpacked"),
        ("check='package'\nname='telnet'\ninstalled=false", "failed: it is there, unpacked"),
        ("check='package'\nname='gone'\ninstalled=false", "ok"),
        ("check='path'\npath='/etc/redis.conf'", "ok"),
        ("check='path'\npath='/etc/none'", "failed: nothing is there"),
        ("check='path'\npath='/etc/none'\nexists=false", "ok"),
        ("check='path'\npath='/srv'\nexists=false", "failed: a directory is there"),
        ("check='path'\npath='/etc/dangling'\nexists=false", "failed: a link is there"),
        ("check='path'\npath='/etc/passwd/x'\nexists=false", "ok"),
        ("check='path'\npath='/etc/passwd/'\nexists=false", "ok"),
        ("check='path'\npath='/etc/passwd/'", "failed: nothing is there"),
        ("check='path'\npath='/srv'\nkind='file'", "failed: it is a directory"),
        ("check='path'\npath='/etc/alias.conf'\nkind='file'\nmode='0640'", "ok"),
        ("check='path'\npath='/etc/alias.conf'\nkind='symlink'\ntarget='redis.conf'", "ok"),
        ("check='path'\npath='/etc/alias.conf'\ntarget='/etc/redis.conf'", "failed: it points to redis.conf"),
        ("check='path'\npath='/srv'\ntarget='x'", "failed: it is a directory, not a link"),
        ("check='path'\npath='/etc/dangling'\nkind='file'", "failed: a link to gone, which does not exist"),
        ("check='path'\npath='/etc/dangling'", "failed: a link to gone, which does not exist"),
        ("check='path'\npath='/etc/dangling'\nkind='symlink'", "ok"),
        ("check='path'\npath='/etc/dangling'\ntarget='gone'", "ok"),
        (
            "check='path'\npath='/etc/dangling'\ntarget='gone'\nkind='file'",
            "failed: a link to gone, which does not exist",
        ),
        ("check='path'\npath='/etc/alias.conf'\nmode='0640'\nowner='trove'\ngroup='docker'", "ok"),
        (
            "check='path'\npath='/etc/alias.conf'\nkind='symlink'\nmode='0777'\nowner='root'\ncontains='port'",
            "ok",
        ),
        ("check='path'\npath='/etc/alias.conf'\ntarget='redis.conf'\nmode='0777'\nowner='root'", "ok"),
        ("check='path'\npath='/etc/alias.conf'\nkind='file'\ntarget='redis.conf'\nmode='0640'", "ok"),
        ("check='path'\npath='/bin'\nkind='directory'\ntarget='usr/lib'", "failed: it points to usr/bin"),
        ("check='path'\npath='/etc/redis.conf'\nmode='0640'\nowner='trove'\ngroup='docker'", "ok"),
        (
            "check='path'\npath='/etc/redis.conf'\nmode='0644'\nowner='root'\ngroup='trove'",
            "failed: mode 0640, it belongs to trove (uid 1000), its group is docker (gid 998)",
        ),
        ("check='path'\npath='/etc/redis.conf'\ncontains='6379'\nlacks='6380'", "ok"),
        (
            "check='path'\npath='/etc/redis.conf'\ncontains='6380'\nlacks='port'",
            "failed: the text is not in it, the text is in it",
        ),
        (
            "check='path'\npath='/etc/redis.conf'\nsha256='C1E36D4ECF79B6F1ED0A4F0F2CB2B0DB45E5C9ECB1F0A49BEDC7B4A02D8D0F4E'",
            "failed: its SHA-256 is f3b7da36b126b60827aad43942b89d396613057efde07a1957154c41aaa93408",
        ),
        (
            "check='path'\npath='/etc/alias.conf'\nsha256='f3b7da36b126b60827aad43942b89d396613057efde07a1957154c41aaa93408'",
            "ok",
        ),
        ("check='path'\npath='/etc/redis.conf'\nmatches='^port\\s+\\d+$'", "ok"),
        ("check='path'\npath='/etc/redis.conf'\nmatches='^6379'", "failed: nothing in it matches"),
        ("check='unit'\nname='redis.service'\nstate='enabled'", "ok"),
        ("check='unit'\nname='redis.service'", "ok"),
        ("check='unit'\nname='apt-daily.timer'", "ok"),
        ("check='unit'\nname='none.service'", "failed: not-found"),
        ("check='unit'\nname='none.service'\nexists=false", "ok"),
        ("check='unit'\nname='redis.service'\nexists=false", "failed: enabled"),
        ("check='unit'\nname='redis-server.service'\nstate='enabled'", "ok"),
        ("check='unit'\nname='redis.service'\nstate='disabled'", "failed: enabled"),
        ("check='unit'\nname='off.service'\nstate='disabled'", "ok"),
        ("check='unit'\nname='off.service'\nstate='enabled'", "failed: disabled"),
        ("check='unit'\nname='apt-daily.timer'\nstate='masked'", "ok"),
        ("check='unit'\nname='apt-daily.timer'\nstate='disabled'", "ok"),
        ("check='unit'\nname='none.service'\nstate='disabled'", "failed: not-found"),
        ("check='user'\nname='trove'\nuid=1000\ngroups=['docker','trove']", "ok"),
        (
            "check='user'\nname='trove'\nuid=1001\ngroups=['sudo']",
            "failed: its id is 1000, not in group sudo",
        ),
        ("check='user'\nname='ubuntu'", "failed: no such user"),
        ("check='user'\nname='ubuntu'\nexists=false", "ok"),
        ("check='user'\nname='trove'\nexists=false", "failed: it exists, with id 1000"),
        ("check='user'\nname='trove'\nhome='/home/trove'\nshell='/bin/sh'\nlocked=false", "ok"),
        (
            "check='user'\nname='trove'\nhome='/'\nshell='/bin/false'\nlocked=true",
            "failed: its home is `/home/trove`, its shell is `/bin/sh`, it has a password",
        ),
        ("check='user'\nname='root'\nlocked=true", "ok"),
        ("check='user'\nname='root'\nlocked=false", "failed: no password lets it in"),
        ("check='sudo'\nwho='trove'", "ok"),
        ("check='sudo'\nwho='trove'\npassword=false", "ok"),
        ("check='sudo'\nwho='trove'\npassword=true", "failed: no password is asked for"),
        ("check='sudo'\nwho='trove'\nallowed=false", "failed: everything is allowed"),
        ("check='sudo'\nwho='%docker'", "failed: only some commands, or not as root"),
        ("check='sudo'\nwho='%docker'\nallowed=false", "failed: some commands are allowed"),
        ("check='sudo'\nwho='root'", "failed: no rule lets them"),
        ("check='sudo'\nwho='root'\nallowed=false", "ok"),
        ("check='sudo'\nwho='%none'", "failed: no such group"),
        ("check='sudo'\nwho='none'\nallowed=false", "failed: no such user"),
        ("check='group'\nname='docker'", "ok"),
        ("check='group'\nname='sudo'", "failed: no such group"),
        ("check='group'\nname='sudo'\nexists=false", "ok"),
        ("check='group'\nname='docker'\nexists=false", "failed: it exists, with id 998"),
        ("check='group'\nname='docker'\ngid=998", "ok"),
        ("check='group'\nname='docker'\ngid=999", "failed: its id is 998"),
        ("check='id-free'\nid=1001", "ok"),
        ("check='id-free'\nid=1000", "failed: user trove and group trove has it"),
        ("check='datasources'\nnames=['OpenStack']", "ok"),
        ("check='datasources'\nnames=['NoCloud']", "failed: [ConfigDrive, OpenStack]"),
        ("check='sysctl'\nkey='net/ipv4/ip_forward'\nvalue='1'", "ok"),
        ("check='sysctl'\nkey='kernel.panic'\nvalue='1'", "failed: no file sets it"),
        (&mysql("mysqld", "port", "value='3310'"), "ok"),
        (&mysql("MYSQLD", "bind_address", "value='127.0.0.1'"), "ok"),
        (&mysql("client", "port", "value='3306'"), "failed: /etc/mysql/my.cnf sets it to `3307`"),
        (&mysql("mysqld", "skip-networking", ""), "failed: nothing sets it"),
        (&mysql("mysqld", "skip-networking", "set=false"), "ok"),
        (&mysql("mysqld", "port", "set=false"), "failed: /etc/mysql/conf.d/50-a.cnf sets it to `3310`"),
        (&mysql("mysqld", "port", "wins='first'\nvalue='3310'"), "ok"),
        ("check='config'\npath='/etc/mysql/my.cnf'\nkey='port'", "failed: nothing sets it"),
        ("check='config'\npath='/etc/ssh/sshd_config'\nkey='port'\nvalue='22'\nwins='first'", "ok"),
        ("check='config'\npath='/etc/ssh/sshd_config'\nkey='port'\nvalue='2222'", "ok"),
        ("check='config'\npath='/etc/none*'\nkey='a'\nset=false", "failed: there is no such file"),
        ("check='config'\npath='/etc/masked.d/*'\nkey='a'\nset=false", "ok"),
        ("check='config'\npath='/etc/masked.d/*'\nkey='a'", "failed: nothing sets it"),
        ("check='config'\npath=['/etc/redis.conf', '/etc/masked.d/up']\nkey='port'\nvalue='6379'", "ok"),
        ("check='world-writable'", "failed: /tmp/x (0666)"),
        ("check='world-writable'\nexcept=['/tmp/**']", "ok"),
        ("check='setuid'", "failed: /usr/bin/su (4755)"),
        ("check='setuid'\nallow=['/usr/bin/s?']", "ok"),
        ("check='setuid'\nallow=['/bin/su']", "ok"),
        ("check='setuid'\nallow=['/**']", "ok"),
        (
            "check='links'",
            "failed: /etc/dangling -> gone (/etc/gone does not exist); /etc/loop -> loop (too many links, or a loop)",
        ),
        ("check='links'\nexcept=['/etc/dang*', '/etc/loop']", "ok"),
        ("check='links'\nbelow=['/usr', '/bin']", "ok"),
        ("check='unit-links'", "ok"),
    ] {
        assert_eq!(run(&tree(), check), expected, "{check}");
    }
}

#[test]
fn an_enabled_service_that_systemd_refuses_does_not_start() {
    let tree =
        || tree().file("/etc/systemd/system/redis.service.d/twice.conf", "[Service]\nExecStart=/bin/true\n");
    let check = "check='unit'\nname='redis.service'\nstate='enabled'";
    let reason =
        "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services";
    assert_eq!(run(&tree(), check), format!("failed: enabled, and systemd refuses it: {reason}"));
    let reset = tree().file("/etc/systemd/system/redis.service.d/a.conf", "[Service]\nExecStart=\n");
    assert_eq!(run(&reset, check), "ok");
}

#[test]
fn what_cannot_be_looked_at_never_passes() {
    for (broken, check) in [
        ("/var/lib/dpkg", "check='package'\nname='valkey'\ninstalled=false"),
        ("/etc/none", "check='path'\npath='/etc/none'\nexists=false"),
        ("/etc/passwd", "check='user'\nname='trove'"),
        ("/etc/group", "check='group'\nname='docker'"),
        ("/etc/group", "check='id-free'\nid=1001"),
        ("/etc/passwd", "check='path'\npath='/etc/redis.conf'\nowner='trove'"),
        ("/etc/systemd", "check='unit'\nname='off.service'\nstate='disabled'"),
        ("/etc/cloud", "check='datasources'\nnames=[]"),
        ("/x", "check='path'\npath='/etc/loop'\nkind='file'"),
        ("/x", "check='path'\npath='/srv'\ncontains='a'"),
        ("/x", "check='path'\npath='/srv'\nmode='rwx'"),
        ("/x", "check='path'\npath='/srv'\nmatches='('"),
        ("/x", "check='path'\npath='/srv'\nsha256=''"),
        ("/x", "check='package'\nname='redis'\nversion='>='"),
        ("/etc/shadow", "check='user'\nname='trove'\nlocked=true"),
        ("/etc/sudoers", "check='sudo'\nwho='trove'\nallowed=false"),
        ("/etc/sysctl.d", "check='sysctl'\nkey='a.b'\nvalue='1'"),
        ("/etc/mysql/conf.d", &mysql("mysqld", "port", "set=false")),
        ("/x", "check='config'\npath='/etc/dangling'\nkey='a'\nset=false"),
        ("/srv", "check='world-writable'"),
        ("/srv", "check='setuid'\nallow=['/**']"),
        ("/srv", "check='links'\nbelow=['/usr']"),
        ("/x", "check='links'\nbelow=['/none']"),
        ("/x", "check='links'\nbelow=['/etc/redis.conf']"),
        ("/etc/systemd", "check='unit-links'"),
    ] {
        let result = run(&tree().broken(broken), check);
        assert!(result.starts_with("not checked: "), "{check}: {result}");
    }
    let result = run(
        &MemTree::new().file("/var/lib/rpm/rpmdb.sqlite", ""),
        "check='package'\nname='x'\ninstalled=false",
    );
    assert!(result.contains("RPM database"), "{result}");
}

#[test]
fn many_findings_are_counted() {
    let mut tree = MemTree::new();
    for number in 0..13 {
        let path = format!("/srv/{number:02}");
        tree = tree.file(&path, "").access(&path, 0o646, 0, 0);
    }
    let found = run(&tree, "check='world-writable'");
    assert!(found.starts_with("failed: /srv/00 (0646); /srv/01 (0646); "), "{found}");
    assert!(found.ends_with("; /srv/09 (0646); and 3 more"), "{found}");
}

#[test]
fn what_everybody_may_change() {
    let tree = MemTree::new()
        .dir("/open")
        .access("/open", 0o777, 0, 0)
        .dir("/sticky")
        .access("/sticky", 0o1777, 0, 0)
        .file("/sticky/deep/file", "")
        .access("/sticky/deep/file", 0o666, 0, 0)
        .dir("/sticky/open")
        .access("/sticky/open", 0o777, 0, 0)
        .dir("/restricted")
        .access("/restricted", 0o1755, 0, 0)
        .file("/restricted/deep/file", "")
        .access("/restricted/deep/file", 0o666, 0, 0)
        .special("/sticky/sock", crate::disk::FileKind::Socket)
        .access("/sticky/sock", 0o666, 0, 0)
        .dir("/sticky-not")
        .access("/sticky-not", 0o757, 0, 0)
        .link("/link", "open")
        .special("/fifo", crate::disk::FileKind::Fifo)
        .access("/fifo", 0o666, 0, 0)
        .file("/srv/a", "")
        .access("/srv/a", 0o602, 0, 0);
    for (check, expected) in [
        (
            "",
            "failed: /open (0777); /restricted/deep/file (0666); /srv/a (0602); /sticky/deep/file (0666); \
             /sticky/open (0777); /sticky-not (0757)",
        ),
        ("except=['/open', '/restricted/**', '/sticky-*', '/sticky/**', '/srv/**']", "ok"),
        ("below=['/srv', '/sticky/deep']", "failed: /srv/a (0602); /sticky/deep/file (0666)"),
        // Not itself, as for every directory; and not what begins alike.
        ("below=['/link']", "ok"),
        ("below=['/s']", "not checked"),
    ] {
        let found = run(&tree, &format!("check='world-writable'\n{check}"));
        assert!(found.starts_with(expected), "{check}: {found}");
    }
}

#[test]
fn links_of_units() {
    let tree = tree()
        .link(
            "/etc/systemd/system/multi-user.target.wants/gone.service",
            "/usr/lib/systemd/system/gone.service",
        )
        .link("/etc/systemd/system/alias.service", "/usr/lib/systemd/system/gone.service")
        .link("/etc/systemd/system/other.service", "/usr/lib/systemd/system/redis.service")
        .link("/usr/lib/systemd/system/x.target.requires/void.service", "../void.service")
        .link("/etc/systemd/system/x.target.upholds/held.service", "/usr/lib/systemd/system/held.service")
        .link("/usr/lib/systemd/system/x.target.wants/redis.service", "/nowhere/redis.service");
    assert_eq!(
        run(&tree, "check='unit-links'"),
        "failed: /etc/systemd/system/multi-user.target.wants/gone.service -> /usr/lib/systemd/system/gone.service; \
         /etc/systemd/system/x.target.upholds/held.service -> /usr/lib/systemd/system/held.service; \
         /etc/systemd/system/alias.service -> /usr/lib/systemd/system/gone.service; \
         /usr/lib/systemd/system/x.target.requires/void.service -> ../void.service"
    );
}

#[test]
fn passwords() {
    for (passwd, shadow, expected) in [
        ("x", "u:*:", "ok"),
        ("x", "u:!$y$abcdefghijklmno:", "ok"),
        ("x", "other:*:", "ok"),
        ("x", "u::", "failed: its password is empty: anybody gets in"),
        ("x", "u:$6$abcdefghijklmno:", "failed: it has a password"),
        ("", "", "failed: its password is empty: anybody gets in"),
        ("abcdefghijklm", "", "failed: it has a password"),
        ("x", "u", "not checked: cannot make sense of `/etc/shadow` in the image: u has no second field"),
    ] {
        let tree = MemTree::new()
            .file("/etc/passwd", format!("u:{passwd}:1:1::/:/bin/sh\n"))
            .file("/etc/shadow", format!("{shadow}\n"));
        assert_eq!(run(&tree, "check='user'\nname='u'\nlocked=true"), expected, "{passwd} {shadow}");
    }
}

#[test]
fn results_say_whether_a_recipe_or_a_file_asks() {
    let group = |name: &str| Check::Group { name: name.to_owned(), exists: true, gid: None };
    let results = run_checks(&mut tree(), Some(Family::Debian), &[group("root")], &[group("docker")]);
    let groups: Vec<_> = results.iter().map(|result| (result.group, result.passed())).collect();
    assert_eq!(groups, [(CheckGroup::Recipe, true), (CheckGroup::Checks, true)]);
}

#[test]
fn profiles_of_apparmor() {
    for (check, expected) in [
        ("profile='/usr/sbin/mysqld'", "ok"),
        ("profile='/usr/sbin/mysqld'\nmode='enforce'\nlocal='/tmp/** rwk,'", "ok"),
        ("profile='/usr/sbin/mysqld'\nlocal=\"# as we have it\\n/tmp/ rw,\\n/tmp/**   rwk,\"", "ok"),
        (
            "profile='/usr/sbin/mysqld'\nmode='complain'\nlocal='/tmp/ r,'",
            "failed: /usr/sbin/mysqld is in mode enforce, no file of local/ that /usr/sbin/mysqld includes has `/tmp/ r,`",
        ),
        ("profile='/usr/sbin/mysqld//sub'\nmode='complain'", "ok"),
        // The profiles of a file, but for those within others.
        ("profile='usr.sbin.mysqld'\nmode='enforce'", "failed: soft is in mode complain"),
        ("profile='soft'\nmode='complain'", "ok"),
        ("profile='soft'\nlocal='/tmp/ rw,'", "failed: no file of local/ that soft includes has `/tmp/ rw,`"),
        ("profile='off'\nmode='disabled'", "ok"),
        ("profile='off'\nmode='enforce'", "failed: off is in mode disabled"),
        ("profile='none'", "failed: nothing declares it"),
        ("profile='none'\nexists=false", "ok"),
        ("profile='local/usr.sbin.mysqld'", "failed: nothing declares it"),
        ("profile='soft'\nexists=false", "failed: /etc/apparmor.d/usr.sbin.mysqld declares it"),
    ] {
        let check = format!("check='apparmor'\n{check}");
        assert_eq!(run(&tree(), &check), expected, "{check}");
    }
    let mode = |mode: &str| format!("check='apparmor'\nprofile='/usr/sbin/mysqld'\nmode='{mode}'");
    let wants = "/etc/systemd/system/sysinit.target.wants/apparmor.service";
    assert_eq!(
        run(&tree().without(wants), &mode("enforce")),
        "failed: nothing loads it: apparmor.service is disabled"
    );
    assert_eq!(
        run(&tree().without("/usr/sbin/apparmor_parser"), &mode("enforce")),
        "failed: nothing loads it: there is no apparmor_parser"
    );
    let complains = tree().link("/etc/apparmor.d/force-complain/usr.sbin.mysqld", "../usr.sbin.mysqld");
    assert_eq!(run(&complains, &mode("complain")), "ok");
    // The parser asks for what a link leads to.
    let dangling = complains.clone().link("/etc/apparmor.d/disable/usr.sbin.mysqld", "gone");
    assert_eq!(run(&dangling, &mode("complain")), "ok");
    let disabled = complains.link("/etc/apparmor.d/disable/usr.sbin.mysqld", "../usr.sbin.mysqld");
    assert_eq!(run(&disabled, &mode("complain")), "failed: /usr/sbin/mysqld is in mode disabled");
    let damaged = tree().file("/etc/apparmor.d/other", "profile other {");
    assert!(run(&damaged, &mode("enforce")).starts_with("not checked: "));
    assert_eq!(run(&MemTree::new(), &mode("enforce")), "failed: the image has no AppArmor");
}
