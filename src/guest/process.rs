//! Finding and ending the processes that libguestfs starts for a session.
//!
//! `guestfs_get_pid` answers only after launch, and by a call that waits for the one that is running. So qemu is
//! found by a tag in its command line among the children of this process.

use rustix::process::{Pid, Signal, getpid, kill_process};

/// Ends the qemu that carries `tag`, and supermin with its helpers if it is building an appliance right now.
pub(super) fn kill_appliance(tag: &str) {
    let own = getpid().as_raw_nonzero().get();
    let table = processes();
    for process in table.iter().filter(|process| process.parent == own) {
        if process.name.starts_with("qemu-system") && command_line(process.pid).contains(tag) {
            kill(process.pid);
        } else if process.name == "supermin" {
            // supermin works in a directory of its own and renames at the end: nothing half-made is left in use.
            table.iter().filter(|child| child.parent == process.pid).for_each(|child| kill(child.pid));
            kill(process.pid);
        }
    }
}

/// Process ids of the running qemus that carry `tag`.
#[cfg(test)]
pub(super) fn appliances(tag: &str) -> Vec<i32> {
    processes().iter().map(|process| process.pid).filter(|pid| command_line(*pid).contains(tag)).collect()
}

#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    name: String,
}

fn processes() -> Vec<Process> {
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(&fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// Reads `/proc/PID/stat`; the name is in brackets and may itself hold spaces and brackets.
fn parse_stat(text: &str) -> Option<Process> {
    let (before, after) = text.rsplit_once(')')?;
    let (pid, name) = before.split_once('(')?;
    let mut fields = after.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    // A zombie is gone already, only libguestfs has not looked yet.
    (state != "Z").then_some(())?;
    Some(Process { pid: pid.trim().parse().ok()?, parent, name: name.to_owned() })
}

fn command_line(pid: i32) -> String {
    let bytes = fs_err::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_lines_are_read_whatever_the_name() {
        let process = |pid, parent, name: &str| Some(Process { pid, parent, name: name.to_owned() });
        assert_eq!(parse_stat("12 (qemu-system-x86) S 7 12 12 0"), process(12, 7, "qemu-system-x86"));
        assert_eq!(parse_stat("12 (a) b (c)) R 7 1"), process(12, 7, "a) b (c)"));
        assert_eq!(parse_stat("12 (gone) Z 7 1"), None);
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("x (y) S z"), None);
    }

    #[test]
    fn only_what_carries_the_tag_is_found() {
        let mut child = std::process::Command::new("sleep").arg("97531").spawn().unwrap();
        // A program is started a moment before the kernel knows its arguments.
        let started = std::time::Instant::now();
        while command_line(i32::try_from(child.id()).unwrap()).is_empty() && started.elapsed().as_secs() < 10
        {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let found = appliances("97531");
        kill_appliance("97531");
        let running = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [i32::try_from(child.id()).unwrap()]);
        assert!(running, "a process that is not qemu is left alone");
    }
}
