//! Tests of goss about a running system: a question for the guest, as a shell command, and what its answer must be.

use regex::bytes::Regex;

use super::{flag, texts};
use crate::check::pattern;
use crate::os::yaml::Yaml;
use crate::shell::quote;

/// How long a command may take if its test does not say; goss' own default.
const SECONDS: u32 = 10;
/// The longest that one may ask for.
const MAX_SECONDS: u32 = 300;

/// Prints `HTTP` and the status, then the body. Its arguments: URL, and `insecure` if no certificate is checked.
const HTTP: &str = "import ssl, sys, urllib.request, urllib.error
context = ssl.create_default_context() if sys.argv[2] == 'secure' else ssl._create_unverified_context()
try:
    answer = urllib.request.urlopen(sys.argv[1], context=context)
except urllib.error.HTTPError as error:
    answer = error
print('HTTP', answer.status)
print(answer.read(1 << 16).decode('utf-8', 'replace'))";

/// A test of a running system.
#[derive(Debug, Clone)]
pub struct RunningTest {
    /// What must hold: `port tcp:22 is listening`.
    pub title: String,
    /// The shell command that the guest runs.
    pub command: String,
    /// How long it may take.
    pub seconds: u32,
    /// Whether the image at rest is judged by it, too.
    pub at_rest: bool,
    /// The exit code that is expected, if one is.
    exit: Option<i32>,
    stdout: Vec<Pattern>,
    stderr: Vec<Pattern>,
}

impl PartialEq for RunningTest {
    fn eq(&self, other: &Self) -> bool {
        (&self.title, &self.command) == (&other.title, &other.command)
    }
}

impl Eq for RunningTest {}

/// What a command printed, and how it ended.
#[derive(Debug, Clone, Copy)]
pub struct Printed<'a> {
    /// Its exit code; negative if it did not come to its end.
    pub code: i32,
    /// Lines of its standard output.
    pub stdout: &'a [String],
    /// Lines of its standard error.
    pub stderr: &'a [String],
}

impl RunningTest {
    fn new(title: String, command: String) -> Self {
        Self {
            title,
            command,
            seconds: SECONDS,
            at_rest: false,
            exit: Some(0),
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// A question that is answered by yes or no.
    fn whether(title: String, question: &str, wanted: bool) -> Self {
        let command = format!("if {question}; then exit 0; else exit 1; fi");
        Self { exit: Some(i32::from(!wanted)), ..Self::new(title, command) }
    }

    fn prints(mut self, patterns: Vec<Pattern>) -> Self {
        self.stdout = patterns;
        self
    }

    /// What is wrong with an answer.
    pub fn wrong(&self, printed: Printed<'_>) -> Option<String> {
        let last = |lines: &[String]| lines.last().map(|line| format!(" ({line})")).unwrap_or_default();
        if printed.code < 0 {
            return Some(format!("it did not end within {} s{}", self.seconds, last(printed.stderr)));
        }
        if let Some(exit) = self.exit.filter(|exit| *exit != printed.code) {
            let said = if printed.stderr.is_empty() { printed.stdout } else { printed.stderr };
            return Some(format!("exit code {} instead of {exit}{}", printed.code, last(said)));
        }
        let streams =
            [("", &self.stdout, printed.stdout), (" on standard error", &self.stderr, printed.stderr)];
        streams.into_iter().find_map(|(stream, patterns, lines)| {
            let wrong = patterns.iter().find(|pattern| !pattern.fits(lines))?;
            Some(match wrong.wanted {
                true => format!("`{}` is not printed{stream}{}", wrong.text, last(lines)),
                false => format!("`{}` is printed{stream}", wrong.text),
            })
        })
    }
}

/// What must be, or must not be, in one of several lines.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    wanted: bool,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Part,
    /// A whole line, in which runs of spaces count as one.
    Line,
    Expression(Regex),
}

impl Pattern {
    /// As goss writes it: text, `/expression/`, `!` in front of what must not be there, `\` in front of a text that begins so.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (wanted, rest) = match text.strip_prefix('!') {
            Some(rest) => (false, rest),
            None => (true, text),
        };
        let expression = rest.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let form = match expression {
            Some(expression) => Form::Expression(pattern(expression)?),
            None => Form::Part,
        };
        let text = expression.unwrap_or_else(|| rest.strip_prefix('\\').unwrap_or(rest)).to_owned();
        Ok(Self { text, wanted, form })
    }

    fn line(text: impl Into<String>) -> Self {
        Self { text: text.into(), wanted: true, form: Form::Line }
    }

    fn part(text: impl Into<String>) -> Self {
        Self { text: text.into(), wanted: true, form: Form::Part }
    }

    fn fits(&self, lines: &[String]) -> bool {
        let found = lines.iter().any(|line| match &self.form {
            Form::Part => line.contains(&self.text),
            Form::Line => line.split_whitespace().eq(self.text.split_whitespace()),
            Form::Expression(expression) => expression.is_match(line.as_bytes()),
        });
        found == self.wanted
    }
}

/// What a test of goss comes to, and the keys of it that were understood.
pub(super) struct Asked {
    pub(super) tests: Vec<RunningTest>,
    pub(super) known: &'static [&'static str],
}

/// The tests of one entry of a kind that is about a running system; nothing if there is no such kind. `Err` says what is
/// wrong with the entry.
pub(super) fn asked(kind: &str, name: &str, test: &Yaml) -> Result<Option<Asked>, String> {
    let (mut tests, known): (Vec<_>, &'static [&'static str]) = match kind {
        "command" => (vec![command(name, test)?], &["exec", "exit-status", "stdout", "stderr"]),
        "port" => (port(name, test)?, &["listening", "ip"]),
        "process" => (process(name, test)?, &["running", "comm"]),
        "mount" => (mount(name, test)?, &["mountpoint", "exists", "opts", "source", "filesystem"]),
        "interface" => (interface(name, test)?, &["name", "exists", "addrs", "mtu"]),
        "addr" => (vec![address(name, test)?], &["address", "reachable"]),
        "dns" => (dns(name, test)?, &["resolve", "resolvable", "resolveable", "addrs"]),
        "http" => (vec![http(name, test)?], &["url", "status", "body", "allow-insecure"]),
        _ => return Ok(None),
    };
    if let Some(milliseconds) = test.get("timeout").and_then(Yaml::text) {
        let milliseconds: u32 = milliseconds
            .parse()
            .map_err(|_| format!("{kind} {name}: `{milliseconds}` are no milliseconds"))?;
        tests.iter_mut().for_each(|test| test.seconds = milliseconds.div_ceil(1000).clamp(1, MAX_SECONDS));
    }
    Ok(Some(Asked { tests, known }))
}

/// Whether a unit runs.
pub(super) fn service(title: &str, unit: &str, running: bool) -> RunningTest {
    let state = if running { "runs" } else { "does not run" };
    let question = format!("systemctl is-active --quiet -- {}", quote(unit));
    RunningTest::whether(format!("{title} {state}"), &question, running)
}

/// The value that the kernel has now.
pub(super) fn kernel(title: &str, key: &str, value: &str) -> RunningTest {
    let path = format!("/proc/sys/{}", key.replace('.', "/"));
    let test = RunningTest::new(format!("{title} is {value}"), format!("cat -- {}", quote(&path)));
    RunningTest { at_rest: true, ..test.prints(vec![Pattern::line(value)]) }
}

fn command(name: &str, test: &Yaml) -> Result<RunningTest, String> {
    let exec = test.get("exec").and_then(Yaml::text).unwrap_or(name);
    let exit = match test.get("exit-status") {
        None => Some(0),
        Some(text) => {
            let text = text.text().unwrap_or_default();
            Some(text.parse().map_err(|_| format!("command {name}: `{text}` is no exit code"))?)
        }
    };
    let patterns = |key: &str| -> Result<Vec<_>, String> { texts(test, key).map(Pattern::parse).collect() };
    Ok(RunningTest {
        exit,
        stdout: patterns("stdout")?,
        stderr: patterns("stderr")?,
        ..RunningTest::new(format!("command `{name}` says what it should"), exec.to_owned())
    })
}

fn port(name: &str, test: &Yaml) -> Result<Vec<RunningTest>, String> {
    let unknown = || format!("`{name}` is no port: write it like tcp:22 or udp6:53");
    let (protocol, number) = name.split_once(':').unwrap_or(("tcp", name));
    let number: u16 = number.parse().map_err(|_| unknown())?;
    let options = match protocol {
        "tcp" => "-t4",
        "tcp6" => "-t6",
        "udp" => "-u4",
        "udp6" => "-u6",
        _ => return Err(unknown()),
    };
    let listening = flag(test, "listening")?.unwrap_or(true);
    let state = if listening { "is listening" } else { "is not listening" };
    let sockets = format!("ss -H -l -n {options} 'sport = :{number}'");
    let question = format!("command -v ss >&2 || exit 127; {sockets} | grep -q .");
    let mut tests = vec![RunningTest::whether(format!("port {name} {state}"), &question, listening)];
    for address in texts(test, "ip") {
        let socket = match address.contains(':') {
            true => format!("[{address}]:{number}"),
            false => format!("{address}:{number}"),
        };
        let test = RunningTest::new(format!("port {name} is listening on {address}"), sockets.clone());
        tests.push(test.prints(vec![Pattern::part(socket)]));
    }
    Ok(tests)
}

fn process(name: &str, test: &Yaml) -> Result<Vec<RunningTest>, String> {
    let comm = test.get("comm").and_then(Yaml::text).unwrap_or(name);
    let running = flag(test, "running")?.unwrap_or(true);
    let state = if running { "is running" } else { "is not running" };
    // The kernel keeps 15 bytes of a name.
    let kept =
        comm.char_indices().take_while(|(at, _)| *at < 15).map(|(_, letter)| letter).collect::<String>();
    let question = format!("cat /proc/[0-9]*/comm 2>/dev/null | grep -qxF -- {}", quote(&kept));
    Ok(vec![RunningTest::whether(format!("process {comm} {state}"), &question, running)])
}

fn mount(name: &str, test: &Yaml) -> Result<Vec<RunningTest>, String> {
    let point = test.get("mountpoint").and_then(Yaml::text).unwrap_or(name);
    let exists = flag(test, "exists")?.unwrap_or(true);
    let state = if exists { "is mounted" } else { "is not mounted" };
    let find = |column: &str| format!("findmnt -n -o {column} --mountpoint {}", quote(point));
    let question = format!("{} >&2", find("SOURCE"));
    let mut tests = vec![RunningTest::whether(format!("{point} {state}"), &question, exists)];
    for (key, column) in [("source", "SOURCE"), ("filesystem", "FSTYPE")] {
        for wanted in texts(test, key) {
            let test = RunningTest::new(format!("{key} of {point} is {wanted}"), find(column));
            tests.push(test.prints(vec![Pattern::line(wanted)]));
        }
    }
    for option in texts(test, "opts") {
        let command = format!("{} | tr , '\\n'", find("OPTIONS"));
        let test = RunningTest::new(format!("{point} is mounted with {option}"), command);
        tests.push(test.prints(vec![Pattern::line(option)]));
    }
    Ok(tests)
}

fn interface(name: &str, test: &Yaml) -> Result<Vec<RunningTest>, String> {
    let name = test.get("name").and_then(Yaml::text).unwrap_or(name);
    let exists = flag(test, "exists")?.unwrap_or(true);
    let state = if exists { "exists" } else { "does not exist" };
    let directory = format!("/sys/class/net/{name}");
    let question = format!("test -e {}", quote(&directory));
    let mut tests = vec![RunningTest::whether(format!("interface {name} {state}"), &question, exists)];
    for address in texts(test, "addrs") {
        let command = format!("ip -o address show dev {} | awk '{{print $4}}'", quote(name));
        let test = RunningTest::new(format!("interface {name} has {address}"), command);
        tests.push(test.prints(vec![Pattern::line(address)]));
    }
    for mtu in texts(test, "mtu") {
        let command = format!("cat {}", quote(&format!("{directory}/mtu")));
        let test = RunningTest::new(format!("interface {name} has MTU {mtu}"), command);
        tests.push(test.prints(vec![Pattern::line(mtu)]));
    }
    Ok(tests)
}

fn address(name: &str, test: &Yaml) -> Result<RunningTest, String> {
    let address = test.get("address").and_then(Yaml::text).unwrap_or(name);
    let target = address.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':'));
    let Some((host, port)) = target.filter(|(_, port)| port.parse::<u16>().is_ok()) else {
        return Err(format!("addr {name}: tib reaches addresses like tcp://controller:5672 only"));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let reachable = flag(test, "reachable")?.unwrap_or(true);
    let state = if reachable { "is reachable" } else { "is not reachable" };
    let question = format!("bash -c 'exec 3<>\"/dev/tcp/$0/$1\"' {} {}", quote(host), quote(port));
    Ok(RunningTest::whether(format!("{address} {state}"), &question, reachable))
}

fn dns(name: &str, test: &Yaml) -> Result<Vec<RunningTest>, String> {
    let name = test.get("resolve").and_then(Yaml::text).unwrap_or(name);
    let resolvable = match flag(test, "resolvable")? {
        Some(resolvable) => resolvable,
        None => flag(test, "resolveable")?.unwrap_or(true),
    };
    let state = if resolvable { "resolves" } else { "does not resolve" };
    let question = format!("getent ahosts {} >&2", quote(name));
    let mut tests = vec![RunningTest::whether(format!("{name} {state}"), &question, resolvable)];
    for address in texts(test, "addrs") {
        let command = format!("getent ahosts {} | awk '{{print $1}}'", quote(name));
        let test = RunningTest::new(format!("{name} resolves to {address}"), command);
        tests.push(test.prints(vec![Pattern::line(address)]));
    }
    Ok(tests)
}

fn http(name: &str, test: &Yaml) -> Result<RunningTest, String> {
    let url = test.get("url").and_then(Yaml::text).unwrap_or(name);
    let secure = if flag(test, "allow-insecure")? == Some(true) { "insecure" } else { "secure" };
    let mut patterns = Vec::new();
    for status in texts(test, "status") {
        patterns.push(Pattern::line(format!("HTTP {status}")));
    }
    for text in texts(test, "body") {
        patterns.push(Pattern::parse(text)?);
    }
    let command = format!("python3 -c {} {} {secure}", quote(HTTP), quote(url));
    Ok(RunningTest::new(format!("{url} answers as it should"), command).prints(patterns))
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;
