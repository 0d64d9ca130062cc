//! Conditions: for which operating systems, and with which agent, an item of a recipe counts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::StrDeserializer;
use serde::de::{IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::contract::Contract;
use crate::distro::{Arch, Family, OsRelease};

/// A condition. Everything that is said must hold; where a list is given, one of its entries must.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// `ID` of os-release: `debian`, `ubuntu`, `rocky`, …
    distro: Option<OneOrMany<String>>,
    /// `debian`, `rhel` or `suse`.
    family: Option<OneOrMany<Family>>,
    /// A release such as `12` or `24.04`, or a bound such as `>=12`.
    release: Option<OneOrMany<Release>>,
    /// `x86_64` or `aarch64`.
    arch: Option<OneOrMany<Arch>>,
    /// Whether an agent is installed.
    agent: Option<bool>,
    /// What the recipe that is built promises its agent.
    contract: Option<Contract>,
    /// Values of the recipe's options: `{ origin = "vendor" }`.
    option: Option<BTreeMap<String, OneOrMany<String>>>,
}

/// What conditions are decided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub(super) os: &'a OsRelease,
    pub(super) agent: bool,
    pub(super) contract: Option<Contract>,
    /// The value of every option.
    pub(super) options: &'a BTreeMap<String, String>,
}

impl When {
    pub(super) fn holds(&self, now: &Situation<'_>) -> bool {
        fn any<T>(list: &Option<OneOrMany<T>>, test: impl Fn(&T) -> bool) -> bool {
            list.as_ref().is_none_or(|list| list.0.iter().any(test))
        }
        any(&self.distro, |id| *id == now.os.id)
            && any(&self.family, |family| *family == now.os.family)
            && any(&self.release, |release| release.holds(now.os.release()))
            && any(&self.arch, |arch| *arch == now.os.arch)
            && self.agent.is_none_or(|agent| agent == now.agent)
            && self.contract.is_none_or(|contract| Some(contract) == now.contract)
            && self
                .asked()
                .all(|(name, values)| now.options.get(name).is_some_and(|value| values.contains(value)))
    }

    /// An option that it asks for and the recipe does not have.
    pub(super) fn unknown_option(&self, options: &BTreeMap<String, String>) -> Option<&str> {
        self.asked().map(|(name, _)| name.as_str()).find(|name| !options.contains_key(*name))
    }

    fn asked(&self) -> impl Iterator<Item = (&String, &Vec<String>)> {
        self.option.iter().flatten().map(|(name, values)| (name, &values.0))
    }
}

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                let deserializer: StrDeserializer<'_, E> = text.into_deserializer();
                T::deserialize(deserializer).map(|value| vec![value])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                Ok(values)
            }
        }

        deserializer.deserialize_any(Either(PhantomData)).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// A release, or a bound on it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Release {
    accepts: &'static [Ordering],
    version: Vec<u32>,
}

impl Release {
    fn holds(&self, release: &str) -> bool {
        // A release that is no number (Debian testing has none) lies after every bound.
        numbers(release).map_or(self.accepts.contains(&Ordering::Greater), |version| {
            self.accepts.contains(&version.cmp(&self.version))
        })
    }
}

fn numbers(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|part| part.parse().ok()).collect()
}

impl TryFrom<String> for Release {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        use Ordering::{Equal, Greater, Less};
        let bounds: [(&str, &'static [Ordering]); 6] = [
            (">=", &[Equal, Greater]),
            ("<=", &[Less, Equal]),
            (">", &[Greater]),
            ("<", &[Less]),
            ("=", &[Equal]),
            ("", &[Equal]),
        ];
        bounds
            .iter()
            .find_map(|(sign, accepts)| text.strip_prefix(sign).map(|rest| (*accepts, rest.trim())))
            .and_then(|(accepts, rest)| Some(Self { accepts, version: numbers(rest)? }))
            .ok_or_else(|| {
                format!("release `{text}` is neither a number such as `12` nor a bound such as `>=12`")
            })
    }
}

impl JsonSchema for Release {
    fn schema_name() -> Cow<'static, str> {
        "Release".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(>=|<=|>|<|=)? *[0-9]+(\\.[0-9]+)*$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::well_known;

    #[test]
    fn conditions() {
        let cases = [
            ("", true, true, true),
            ("distro = 'debian'", true, false, false),
            ("distro = ['debian', 'rocky']", true, false, true),
            ("distro = []", false, false, false),
            ("family = 'debian'", true, true, false),
            ("family = ['rhel', 'suse']", false, false, true),
            ("release = '12'", true, false, false),
            ("release = '>=12'", true, true, false),
            ("release = '<24.04'", true, false, true),
            ("release = ['9', '> 20']", false, true, true),
            ("family = 'debian'\nrelease = '>12'", false, true, false),
            ("arch = 'aarch64'", false, false, false),
            ("agent = true", true, true, true),
            ("agent = false", false, false, false),
            ("contract = 'classic'", true, true, true),
            ("contract = 'container'", false, false, false),
            ("option.origin = 'vendor'", true, true, true),
            ("option.origin = ['vendor', 'x']\nrelease = '12'", true, false, false),
            ("option = { origin = 'vendor', series = '2' }", false, false, false),
            ("option.none = 'x'", false, false, false),
        ];
        let options = [("origin", "vendor"), ("series", "1")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (text, debian, ubuntu, rocky) in cases {
            let when: When = toml::from_str(text).unwrap();
            for (label, wanted) in [("debian-12", debian), ("ubuntu-24.04", ubuntu), ("rocky-9", rocky)] {
                let os = well_known(label).unwrap();
                let contract = Some(Contract::Classic);
                let now = Situation { os: &os, agent: true, contract, options: &options };
                assert_eq!(when.holds(&now), wanted, "{text} on {label}");
            }
        }
    }

    #[test]
    fn a_release_without_a_number_is_newer_than_all() {
        let mut os = well_known("debian-13").unwrap();
        os.version = "sid".to_owned();
        let now = Situation { os: &os, agent: false, contract: None, options: &BTreeMap::new() };
        for (text, wanted) in
            [("release = '>=12'", true), ("release = '12'", false), ("release = '<14'", false)]
        {
            assert_eq!(toml::from_str::<When>(text).unwrap().holds(&now), wanted, "{text}");
        }
    }
}
