//! `tib verify` with files of checks, and the page it writes as a browser shows it.

mod common;

use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::browser::document;
use common::disks::debian_of_machine;
use common::run_tib;
use fs_err as fs;

const CHECKS: &str = r#"
[[check]]
check = "package"
name = "dpkg"
version = ">=1.21, <1.22"

[[check]]
check = "package"
name = "dpkg"
version = ">=1.22"

[[check]]
check = "path"
path = "/etc/os-release"
kind = "file"
matches = "^VERSION_ID=\"1[23]\"$"
lacks = "<script>alert('checks')</script>"

[[check]]
check = "setuid"

[[check]]
check = "world-writable"

[[check]]
check = "links"
below = ["/srv"]

[[check]]
check = "user"
name = "root"
"#;

/// An image whose names try to become part of a page, and a file of checks for it.
fn place(evil: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let srv = directory.path().join("tree/srv");
    fs::create_dir_all(&srv).unwrap();
    fs::os::unix::fs::symlink("nowhere", srv.join(evil)).unwrap();
    fs::os::unix::fs::symlink("\"'><svg onload=document.body.className='owned'>", srv.join("quotes"))
        .unwrap();
    fs::os::unix::fs::symlink("\u{1b}[2J", srv.join(OsStr::from_bytes(b"no-\xffutf8"))).unwrap();
    let program = srv.join("suid");
    fs::write(&program, "x").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o4755)).unwrap();
    let image = directory.path().join("<b>&amp; \"image\".raw");
    fs::rename(debian_of_machine(directory.path(), 62), &image).unwrap();
    let checks = directory.path().join("checks.toml");
    fs::write(&checks, CHECKS).unwrap();
    (directory, image, checks)
}

/// `tib inspect` says of this disk that neither BIOS nor UEFI boots it, so verifying it must not pass.
#[test]
fn an_image_that_cannot_start_fails_and_the_report_says_that_there_is_no_agent() {
    let directory = tempfile::tempdir().unwrap();
    let image = debian_of_machine(directory.path(), 62);
    let image = image.to_str().unwrap();
    let report: serde_json::Value =
        serde_json::from_str(&run_tib(["verify", image, "--json"]).expect(8)).unwrap();
    let inspection: serde_json::Value =
        serde_json::from_str(&run_tib(["inspect", image, "--json", "--only", "boot"]).expect(0)).unwrap();
    let result = report["results"].as_array().unwrap().iter();
    let mut result = result.filter(|result| result["title"] == "firmware finds a boot loader");
    let found = result.next().expect("it is checked")["found"].as_str().unwrap();
    for firmware in ["bios", "uefi"] {
        assert_eq!(inspection["boot"][firmware]["boots"], false);
        assert!(found.contains(inspection["boot"][firmware]["how"].as_str().unwrap()), "{found}");
    }
    let fact =
        |name: &str| report["facts"].as_array().unwrap().iter().find(|fact| fact["name"] == name).cloned();
    assert_eq!(fact("Guest agent").unwrap()["value"], "none found");
    assert_eq!(fact("Processor").unwrap()["value"], "x86_64");
    let text = run_tib(["verify", image]).expect(8);
    assert!(text.contains("  Guest agent       none found\n"), "{text}");
}

/// Text as a browser writes it back.
fn serialized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[test]
fn a_page_shows_the_report_and_nothing_of_the_image_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    // Answers nobody, but counts who asks.
    std::thread::spawn(move || listener.incoming().for_each(|_| _ = counter.fetch_add(1, Ordering::SeqCst)));
    let asked = || connections.swap(0, Ordering::SeqCst) > 0;
    // Without slashes, because it is the name of a file.
    let evil = format!("<img src=http:127.0.0.1:{port} onerror=document.body.className='owned'>");
    let (directory, image, checks) = place(&evil);
    let page = directory.path().join("report.html");
    let arguments: [&OsStr; 8] = [
        "verify".as_ref(),
        image.as_ref(),
        "--json".as_ref(),
        "--checks".as_ref(),
        checks.as_ref(),
        "--html".as_ref(),
        page.as_ref(),
        "--quiet".as_ref(),
    ];
    let report: serde_json::Value = serde_json::from_str(&run_tib(arguments).expect(8)).unwrap();
    let results = report["results"].as_array().unwrap();
    let outcomes: Vec<_> = results
        .iter()
        .filter(|result| result["group"] == "checks")
        .map(|result| result["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["passed", "failed", "passed", "failed", "passed", "failed", "not-checked"]);

    let document = document(&page);
    assert!(!asked() && !document.contains("class=\"owned\""));
    for (class, count) in [("passed", "passed"), ("failed", "failed"), ("not-checked", "not-checked")] {
        let number = report["counts"][count].as_u64().unwrap();
        assert_eq!(document.matches(&format!("<tr class=\"{class}\">")).count() as u64, number, "{class}");
        assert!(document.contains(&format!("<li class=\"{class}\"><strong>{number}</strong>")), "{class}");
    }
    for result in results {
        let title = serialized(result["title"].as_str().unwrap());
        assert!(document.contains(&format!("<th scope=\"row\"><bdi>{title}</bdi></th>")), "{title}");
        for key in ["found", "reason"] {
            let Some(text) = result[key].as_str() else { continue };
            assert!(document.contains(&format!("<dd><bdi>{}</bdi></dd>", serialized(text))), "{text}");
        }
    }
    let links =
        results.iter().find(|result| result["title"].as_str().unwrap().starts_with("every link below"));
    let found = links.unwrap()["found"].as_str().unwrap();
    assert!(found.contains(&evil) && found.contains("<svg onload") && found.contains("\u{fffd}"), "{found}");
    // Of every problem there is a link to its row.
    let problems = results.iter().filter(|result| result["outcome"] != "passed").count();
    let anchors: Vec<_> =
        document.split("<a href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(anchors.len(), problems);
    assert!(anchors.iter().all(|id| document.matches(&format!(" id=\"{id}\"")).count() == 1), "{anchors:?}");
    assert!(document.contains("<h1><bdi>&lt;b&gt;&amp;amp; \"image\".raw</bdi></h1>"));

    // The name is one that would do harm: as part of a page it runs, unless the page's own policy forbids it.
    let text = fs::read_to_string(&page).unwrap();
    let (head, body) = text.split_once("<main>").unwrap();
    let with = |head: &str| {
        let changed = directory.path().join("changed.html");
        fs::write(&changed, format!("{head}<main>{evil}{body}")).unwrap();
        let document = common::browser::document(&changed);
        (asked(), document.contains("class=\"owned\""))
    };
    assert_eq!(with(head), (false, false), "the policy holds");
    assert_eq!(with(&without_policy(head)), (true, true), "the name is dangerous");
}

fn without_policy(page: &str) -> String {
    let start = page.find("<meta http-equiv=\"Content-Security-Policy\"").unwrap();
    let end = start + page[start..].find('>').unwrap();
    format!("{}{}", &page[..start], &page[end + 1..])
}

#[test]
fn a_page_can_show_problems_only() {
    let (directory, image, checks) = place("harmless");
    let page = directory.path().join("report.html");
    run_tib([Path::new("verify"), &image, Path::new("--checks"), &checks, Path::new("--html"), &page])
        .expect(8);
    // Counts what can be seen with each of the choices. The page itself would not let this script run.
    let script = "<script>
        const seen = {};
        for (const choice of document.querySelectorAll('input[name=show]')) {
            choice.click();
            const visible = (rows) => [...rows].filter((row) => row.getClientRects().length > 0).length;
            seen[choice.id] = ['passed', 'failed', 'not-checked'].map(
                (outcome) => visible(document.querySelectorAll('tr.' + outcome)));
        }
        document.body.append(JSON.stringify(seen));
        </script></html>";
    let text = without_policy(&fs::read_to_string(&page).unwrap()).replace("</html>", script);
    fs::write(&page, text).unwrap();
    let document = document(&page);
    let rows = |class: &str| document.matches(&format!("<tr class=\"{class}\">")).count();
    let (passed, failed, not_checked) = (rows("passed"), rows("failed"), rows("not-checked"));
    assert!(passed > 0 && failed > 0 && not_checked > 0);
    for seen in [
        format!("\"show-all\":[{passed},{failed},{not_checked}]"),
        format!("\"show-problems\":[0,{failed},{not_checked}]"),
        format!("\"show-passed\":[{passed},0,0]"),
    ] {
        assert!(document.contains(&seen), "{seen}");
    }
}

#[test]
fn reports_are_written_whole_or_not_at_all() {
    let (directory, image, checks) = place("harmless");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("report.xml"), "older").unwrap();
    let [html, junit] = [at("report.html"), at("report.xml")];
    let arguments: [&OsStr; 8] = [
        "verify".as_ref(),
        image.as_ref(),
        "--checks".as_ref(),
        checks.as_ref(),
        "--html".as_ref(),
        html.as_ref(),
        "--junit".as_ref(),
        junit.as_ref(),
    ];
    let text = run_tib(arguments).expect(8);
    assert!(text.contains("\nchecks\n"), "{text}");
    assert!(fs::read_to_string(&junit).unwrap().contains("<testsuite name=\"checks\" tests=\"7\""));
    let others = fs::read_dir(directory.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes().starts_with(b".tib"));
    assert_eq!(others.count(), 0, "nothing temporary is left");

    let missing = at("missing/report.html");
    let outcome = run_tib([Path::new("verify"), &image, Path::new("--html"), &missing]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("cannot write the HTML report"), "{}", outcome.stderr);
}
