//! What must hold of an instance once it runs: what listens, and tests of goss.

use super::probe::{GuestState, Listening};
use crate::check::{Listens, ListensOn, Protocol};
use crate::report::{CheckGroup, CheckResult, Outcome};
use crate::verify::{Printed, RunningTest};

/// Bytes of all commands: Nova takes 64 KiB of user data, in which each stands twice in base64.
pub(crate) const COMMANDS: usize = 16 << 10;
/// DHCP clients listen there.
const DHCP_CLIENT: [u16; 2] = [68, 546];

/// What must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demands {
    /// What the recipe says of ports; if it says nothing, none is asked for.
    pub(crate) listens: Option<Vec<Listens>>,
    /// TCP ports that may be open besides.
    pub(crate) allowed: Vec<u16>,
    /// The tests, in the order of their numbers.
    pub(crate) tests: Vec<RunningTest>,
}

/// How one of them stands: not known yet, or what is wrong if anything is.
type State = Option<Option<String>>;

impl Demands {
    /// Whether anything is asked for.
    pub(crate) fn any(&self) -> bool {
        self.listens.is_some() || !self.tests.is_empty()
    }

    /// Whether all hold.
    pub(crate) fn hold(&self, guest: &GuestState) -> bool {
        self.states(guest).iter().all(|(_, state)| *state == Some(None))
    }

    /// Those that are known not to hold, if all have been looked at.
    pub(crate) fn wrong(&self, guest: &GuestState) -> Option<Vec<String>> {
        let states = self.states(guest).into_iter();
        let known: Option<Vec<_>> = states.map(|(title, state)| state.map(|state| (title, state))).collect();
        let wrong = known?.into_iter().filter_map(|(title, wrong)| Some(format!("{title}: {}", wrong?)));
        Some(wrong.collect())
    }

    /// Each as a check.
    pub(crate) fn results(&self, guest: &GuestState) -> Vec<CheckResult> {
        let result = |(title, state): (String, State)| CheckResult {
            title,
            group: CheckGroup::Boot,
            outcome: match state {
                None => Outcome::NotChecked { reason: "the instance did not come so far".to_owned() },
                Some(None) => Outcome::Passed,
                Some(Some(found)) => Outcome::Failed { found },
            },
            why: None,
            fix: None,
        };
        self.states(guest).into_iter().map(result).collect()
    }

    /// Ports that are open to all addresses without having been named, as `TCP 5355`.
    pub(crate) fn unnamed(&self, guest: &GuestState) -> Vec<String> {
        let named = self.listens.as_deref().unwrap_or_default();
        let expected = |one: &Listening| match one.protocol {
            Protocol::Tcp if self.allowed.contains(&one.port) => true,
            Protocol::Udp if DHCP_CLIENT.contains(&one.port) => true,
            protocol => named.iter().any(|listens| {
                listens.port == one.port && listens.protocol == protocol && listens.on == ListensOn::Any
            }),
        };
        let open = guest.listening.iter().filter(|one| one.is_open() && !expected(one));
        let mut ports: Vec<_> = open.map(|one| format!("{} {}", one.protocol, one.port)).collect();
        ports.dedup();
        ports
    }

    fn states(&self, guest: &GuestState) -> Vec<(String, State)> {
        let mut states = Vec::new();
        if let Some(listens) = &self.listens {
            let known = guest.is_settled() && !guest.listening.is_empty();
            for listens in listens {
                let wrong = known.then(|| not_listening(listens, guest));
                states.push((listens.to_string(), wrong));
            }
            let title = "nothing else listens on all addresses".to_owned();
            let unnamed = self.unnamed(guest);
            let wrong = known.then(|| (!unnamed.is_empty()).then(|| unnamed.join(", ")));
            states.push((title, wrong));
        }
        for (number, test) in self.tests.iter().enumerate() {
            let answer = guest.tests.get(&number);
            let wrong = answer.map(|answer| {
                test.wrong(Printed { code: answer.code, stdout: &answer.out, stderr: &answer.err })
            });
            states.push((test.title.clone(), wrong));
        }
        states
    }
}

fn not_listening(listens: &Listens, guest: &GuestState) -> Option<String> {
    let sockets =
        guest.listening.iter().filter(|one| one.port == listens.port && one.protocol == listens.protocol);
    let on: Vec<_> = sockets.map(|one| one.on.as_str()).collect();
    let right = match listens.on {
        ListensOn::Any => on.contains(&"any"),
        ListensOn::Loopback => !on.is_empty() && on.iter().all(|on| *on == "loopback"),
    };
    let found = match on.first() {
        Some(&"any") => "it is listened on, on all addresses",
        Some(&"loopback") => "it is listened on, on a loopback address",
        Some(_) => "it is listened on, on one address",
        None => "nothing listens there",
    };
    (!right).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::Goss;

    fn guest(listening: &[(u16, &str, &str)]) -> GuestState {
        let mut guest = GuestState::default();
        let listening: Vec<_> = listening
            .iter()
            .map(|(port, protocol, on)| serde_json::json!({ "port": port, "protocol": protocol, "on": on }))
            .collect();
        for (key, value) in [
            ("listening", serde_json::json!(listening)),
            ("system", serde_json::json!({ "state": "running" })),
        ] {
            guest.hear(serde_json::json!({ "key": key, "value": value }).to_string().as_bytes());
        }
        guest
    }

    fn wrong(demands: &Demands, guest: &GuestState) -> Vec<String> {
        demands.wrong(guest).unwrap()
    }

    #[test]
    fn ports_are_compared_with_what_the_recipe_says() {
        let listens = |port, on| Listens { port, protocol: Protocol::Tcp, on };
        let demands = Demands {
            listens: Some(vec![listens(3306, ListensOn::Loopback), listens(443, ListensOn::Any)]),
            allowed: vec![22],
            ..Demands::default()
        };
        let good = [(22, "tcp", "any"), (443, "tcp", "any"), (3306, "tcp", "loopback"), (68, "udp", "any")];
        assert_eq!(wrong(&demands, &guest(&good)), Vec::<String>::new());
        assert!(demands.hold(&guest(&good)));
        let bad = [(3306, "tcp", "any"), (443, "tcp", "one"), (5355, "udp", "any"), (53, "udp", "loopback")];
        let expected = [
            "TCP port 3306 is listened on, on loopback addresses alone: it is listened on, on all addresses",
            "TCP port 443 is listened on, on all addresses: it is listened on, on one address",
            "nothing else listens on all addresses: TCP 3306, UDP 5355",
        ];
        assert_eq!(wrong(&demands, &guest(&bad)), expected);
        assert_eq!(
            wrong(&demands, &guest(&[(22, "tcp", "any")]))[0].rsplit_once(": ").unwrap().1,
            "nothing listens there"
        );
        assert_eq!(demands.wrong(&GuestState::default()), None, "nobody has looked yet");
        assert!(!demands.hold(&GuestState::default()));
    }

    #[test]
    fn answers_are_judged_as_they_come() {
        let tests =
            Goss::parse(b"command: {'echo a': {stdout: [a]}, 'false': {exit-status: 1}}").unwrap().running;
        let demands = Demands { tests, ..Demands::default() };
        let mut guest = guest(&[]);
        assert_eq!((demands.any(), demands.hold(&guest), demands.wrong(&guest)), (true, false, None));
        guest.hear(br#"{"key": "test 0", "value": {"code": 0, "out": ["b"], "err": []}}"#);
        guest.hear(br#"{"key": "test 1", "value": {"code": 1, "out": [], "err": []}}"#);
        assert_eq!(wrong(&demands, &guest), ["command `echo a` says what it should: `a` is not printed (b)"]);
        guest.hear(br#"{"key": "test 0", "value": {"code": 0, "out": ["a"], "err": []}}"#);
        assert!(demands.hold(&guest));
        let outcomes: Vec<_> = demands.results(&guest).iter().map(CheckResult::passed).collect();
        assert_eq!(outcomes, [true, true]);
        guest.hear(br#"{"key": "test none", "value": {"code": 0}}"#);
        guest.hear(br#"{"key": "test 1", "value": 7}"#);
        assert!(demands.hold(&guest));
    }
}
