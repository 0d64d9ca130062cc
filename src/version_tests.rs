use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;

/// Pairs of versions that differ a little, and the same ones in every run.
fn pairs(count: usize, epoch: &str, pieces: &'static [&'static str], release: &str) -> Vec<(String, String)> {
    let version = format!("({epoch})?[0-9][a-z0-9.+~^]{{0,4}}({release})?");
    let piece = || prop::sample::select(pieces);
    let near = (prop::collection::vec(piece(), 1..5), prop::collection::vec(piece(), 0..3), piece(), piece());
    let near = near.prop_map(|(start, end, a, b)| {
        let text = |middle: &str| format!("1{}{middle}{}", start.concat(), end.concat());
        (text(a), text(b))
    });
    let pair = prop_oneof![(version.as_str().prop_map_into(), version.as_str().prop_map_into()), near];
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count).map(|_| pair.new_tree(&mut runner).unwrap().current()).collect()
}

const KNOWN: [(&str, &str); 22] = [
    ("1.0", "1.0"),
    ("1.0", "1.0-1"),
    ("1.0-0", "1.0"),
    ("1.0~rc1", "1.0"),
    ("1.0~rc1-1", "1.0-1"),
    ("1.0~~", "1.0~"),
    ("1:1.0", "2.0"),
    ("0:1.0", "1.0"),
    ("1.10", "1.9"),
    ("1.0010", "1.10"),
    ("1.0a", "1.0"),
    ("1.0a", "1.0b"),
    ("1.0+b1", "1.0"),
    ("1.0+dfsg-1", "1.0-1"),
    ("1.0.1", "1.0+1"),
    ("10.11.6-0+deb12u1", "10.11.6-0+deb12u2"),
    ("5:7.0.15-1~deb12u1", "5:7.0.15-1"),
    ("99999999999999999999999999", "99999999999999999999999998"),
    ("1a1", "1a01"),
    ("2.38.1-5+deb12u3", "2.38.1-5+deb12u3+b1"),
    ("1.0-1.el9", "1.0-1.el9_4"),
    ("1-2-3", "1-2-4"),
];

fn sign(ordering: Ordering) -> &'static str {
    match ordering {
        Ordering::Less => "lt",
        Ordering::Equal => "eq",
        Ordering::Greater => "gt",
    }
}

#[test]
fn dpkg_says_the_same() {
    let mut cases: Vec<_> = KNOWN.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    cases.extend(pairs(
        600,
        "[0-2]:",
        &["", "1", "01", "a", "Z", "~", "+", ".", "-", "rc1", "~rc1", "-1"],
        "-[0-9a-z.+~]{1,3}",
    ));
    // One shell, because a process for each pair would take its time.
    let mut script = String::new();
    let usable = |text: &str| !text.contains('^') && !text.ends_with('-');
    cases.retain(|(a, b)| usable(a) && usable(b));
    for (a, b) in &cases {
        script += &format!(
            "if dpkg --compare-versions '{a}' lt '{b}'; then echo lt; elif dpkg --compare-versions '{a}' eq '{b}'; then echo eq; else echo gt; fi\n"
        );
    }
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(cases.len() > 300, "{}", cases.len());
    assert_eq!(output.lines().count(), cases.len());
    for ((a, b), expected) in cases.iter().zip(output.lines()) {
        assert_eq!(sign(dpkg(a, b)), expected, "{a} {b}");
    }
}

#[test]
fn rpm_says_the_same() {
    let mut cases: Vec<_> = KNOWN.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    cases.extend(pairs(
        600,
        "[0-2]:",
        &["", "1", "01", "a", "Z", "~", "^", "+", ".", "_", "rc1", "~rc1", "^git1", "-1"],
        "-[0-9a-z.~^]{1,3}",
    ));
    let usable = |text: &str| text.matches('-').count() < 2 && !text.contains("-~") && !text.ends_with('-');
    cases.retain(|(a, b)| usable(a) && usable(b));
    assert!(cases.len() > 300, "{}", cases.len());
    let lua: String =
        cases.iter().map(|(a, b)| format!("print(rpm.vercmp('{a}', '{b}') .. ' ')\n")).collect();
    let output = Command::new("rpm").args(["--eval", &format!("%{{lua: {lua} }}")]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let found: Vec<_> = text.split_whitespace().collect();
    assert_eq!(found.len(), cases.len(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    for ((a, b), expected) in cases.iter().zip(found) {
        let expected = match expected {
            "-1" => "lt",
            "0" => "eq",
            _ => "gt",
        };
        assert_eq!(sign(rpm(a, b)), expected, "{a} {b}");
    }
}

proptest! {
    #[test]
    fn orders_are_orders(a in ".{0,8}", b in "[0-9a-z~^:.-]{0,8}", c in "[0-9a-z~^:.-]{0,8}") {
        for compare in [dpkg, rpm] {
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
        if dpkg(&a, &b).is_le() && dpkg(&b, &c).is_le() {
            prop_assert!(dpkg(&a, &c).is_le());
        }
    }
}
