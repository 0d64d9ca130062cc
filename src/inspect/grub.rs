//! What GRUB offers: menu entries of `grub.cfg`, and which of them it starts.
//!
//! The file is a script. Generated ones are read as what they are: entries in nested menus, and one assignment
//! of the default that counts.

use std::collections::BTreeMap;

/// Entries kept; real menus have a dozen.
const ENTRY_LIMIT: usize = 1000;
/// Menus within menus.
const DEPTH_LIMIT: usize = 32;

/// What a `grub.cfg` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrubConfig {
    pub(crate) entries: Vec<GrubEntry>,
    /// The value of `default` that counts when nothing asks for another once.
    pub(crate) default: Option<String>,
    /// Entries come from the files in `loader/entries`.
    pub(crate) uses_loader_entries: bool,
}

/// A menu entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GrubEntry {
    /// Where it is: itself last, the menus it is in before.
    pub(crate) place: Vec<Place>,
    pub(crate) kernel: Option<String>,
    pub(crate) command_line: String,
    pub(crate) initrd: Vec<String>,
}

/// A menu or an entry among others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: usize,
    pub(crate) title: String,
    pub(crate) id: Option<String>,
}

/// A block of the script.
enum Block {
    Menu(Place, usize),
    Entry,
    Other,
}

impl GrubConfig {
    pub(crate) fn parse(text: &str) -> Self {
        let mut config = Self::default();
        let mut blocks: Vec<Block> = Vec::new();
        let mut next = 0;
        let mut current = GrubEntry::default();
        for line in text.lines().map(str::trim) {
            let words = words(line);
            let Some(first) = words.first() else { continue };
            let opens = words.last().is_some_and(|word| word == "{");
            match first.as_str() {
                "}" => match blocks.pop() {
                    Some(Block::Entry) if config.entries.len() < ENTRY_LIMIT => {
                        config.entries.push(std::mem::take(&mut current));
                    }
                    Some(Block::Menu(_, outer)) => next = outer,
                    _ => {}
                },
                "menuentry" | "submenu" if opens && blocks.len() < DEPTH_LIMIT => {
                    let place = Place { number: next, title: title(&words), id: id(&words) };
                    next += 1;
                    if first == "submenu" {
                        blocks.push(Block::Menu(place, next));
                        next = 0;
                    } else {
                        let menus = blocks.iter().filter_map(|block| match block {
                            Block::Menu(place, _) => Some(place.clone()),
                            _ => None,
                        });
                        current = GrubEntry { place: menus.chain([place]).collect(), ..GrubEntry::default() };
                        blocks.push(Block::Entry);
                    }
                }
                _ if opens && blocks.len() < DEPTH_LIMIT => blocks.push(Block::Other),
                "linux" | "linuxefi" | "linux16" => {
                    current.kernel = words.get(1).map(|path| without_device(path));
                    current.command_line = words.get(2..).unwrap_or_default().join(" ");
                }
                "initrd" | "initrdefi" | "initrd16" => {
                    current.initrd = words[1..].iter().map(|path| without_device(path)).collect();
                }
                "blscfg" => config.uses_loader_entries = true,
                "set" => {
                    if let Some(value) = words.get(1).and_then(|word| word.strip_prefix("default="))
                        && value != "${next_entry}"
                        && !value.is_empty()
                    {
                        config.default = Some(value.to_owned());
                    }
                }
                _ => {}
            }
        }
        config
    }

    /// The number of the entry that is started, with what GRUB remembers from boot to boot.
    pub(crate) fn default_entry(&self, remembered: &BTreeMap<String, String>) -> Option<usize> {
        let next = remembered.get("next_entry").filter(|value| !value.is_empty());
        let wanted = match (next, self.default.as_deref()) {
            (Some(next), _) => next.as_str(),
            (None, Some("${saved_entry}" | "$saved_entry")) => {
                remembered.get("saved_entry").map_or("0", String::as_str)
            }
            (None, Some(value)) => value,
            (None, None) => "0",
        };
        let parts: Vec<&str> = wanted.split('>').collect();
        let found = self.entries.iter().position(|entry| entry.is_at(&parts));
        // GRUB takes the first entry when there is none of that name.
        found.or_else(|| (!self.entries.is_empty()).then_some(0))
    }
}

impl GrubEntry {
    fn is_at(&self, parts: &[&str]) -> bool {
        parts.len() == self.place.len()
            && parts.iter().zip(&self.place).all(|(part, place)| {
                part.parse() == Ok(place.number) || *part == place.title || place.id.as_deref() == Some(*part)
            })
    }
}

/// What GRUB remembers: `grubenv`, lines of `name=value` in a block of fixed size.
pub(crate) fn environment(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn title(words: &[String]) -> String {
    words.get(1).cloned().unwrap_or_default()
}

/// `--id NAME`, or what generated files have in its place: a variable that stands for it.
fn id(words: &[String]) -> Option<String> {
    let at = words.iter().position(|word| word == "--id" || word == "$menuentry_id_option")?;
    words.get(at + 1).cloned()
}

/// GRUB's paths may begin with a device: `($root)/vmlinuz`.
fn without_device(path: &str) -> String {
    match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((_, path)) => path.to_owned(),
        None => path.to_owned(),
    }
}

/// The words of a line, quotes taken off; a comment ends it.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() || c == ';' => words.extend(word.take()),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), c) if c == open => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = r#"
if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="DEFAULT"
fi
function savedefault {
  if [ -z "${boot_once}" ]; then
    save_env saved_entry
  fi
}
menuentry 'Debian GNU/Linux' --class debian --class os $menuentry_id_option 'gnulinux-simple-1' {
	insmod gzio
	if [ x$grub_platform = xxen ]; then insmod xzio; fi
	linux	/boot/vmlinuz-6.1 root=UUID=1 ro  quiet
	initrd	/boot/initrd.img-6.1
}
submenu 'Advanced options' $menuentry_id_option 'gnulinux-advanced-1' {
	menuentry 'Debian, with Linux 6.1' --class debian $menuentry_id_option 'gnulinux-6.1-advanced-1' {
		linux	/boot/vmlinuz-6.1 root=UUID=1 ro
	}
	menuentry "It's \"old\"" --id old {
		linux	($root)/vmlinuz-5.10 root=UUID=1 single
		initrd	(hd0,gpt1)/a /b
	}
}
menuentry 'UEFI Firmware Settings' $menuentry_id_option 'uefi-firmware' {
	fwsetup # linux /not/this
}
"#;

    fn with_default(default: &str) -> GrubConfig {
        GrubConfig::parse(&DEBIAN.replace("DEFAULT", default))
    }

    #[test]
    fn menus_and_entries() {
        let config = with_default("0");
        let titles: Vec<Vec<&str>> = config
            .entries
            .iter()
            .map(|entry| entry.place.iter().map(|p| p.title.as_str()).collect())
            .collect();
        assert_eq!(
            titles,
            [
                vec!["Debian GNU/Linux"],
                vec!["Advanced options", "Debian, with Linux 6.1"],
                vec!["Advanced options", "It's \"old\""],
                vec!["UEFI Firmware Settings"],
            ]
        );
        assert_eq!(config.entries[0].kernel.as_deref(), Some("/boot/vmlinuz-6.1"));
        assert_eq!(config.entries[0].command_line, "root=UUID=1 ro quiet");
        assert_eq!(config.entries[2].kernel.as_deref(), Some("/vmlinuz-5.10"));
        assert_eq!(config.entries[2].initrd, ["/a", "/b"]);
        assert_eq!(config.entries[3].kernel, None);
    }

    #[test]
    fn the_entry_that_is_started() {
        let remembered = |pairs: &str| environment(pairs);
        for (default, grubenv, expected) in [
            ("0", "", 0),
            ("1>1", "", 2),
            ("2", "", 3),
            ("UEFI Firmware Settings", "", 3),
            ("gnulinux-advanced-1>gnulinux-6.1-advanced-1", "", 1),
            ("Advanced options>old", "", 2),
            ("no such entry", "", 0),
            ("${saved_entry}", "", 0),
            ("${saved_entry}", "# GRUB Environment Block\nsaved_entry=uefi-firmware\n####", 3),
            ("0", "next_entry=2\n", 3),
            ("0", "next_entry=\n", 0),
        ] {
            assert_eq!(
                with_default(default).default_entry(&remembered(grubenv)),
                Some(expected),
                "{default}"
            );
        }
        assert_eq!(GrubConfig::parse("").default_entry(&BTreeMap::new()), None);
    }

    /// GRUB's own parser takes the same text for a script.
    #[test]
    fn the_sample_is_a_script() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("grub.cfg");
        fs_err::write(&path, DEBIAN).unwrap();
        // Debian's name and Fedora's.
        let check = |program: &str| std::process::Command::new(program).arg(&path).output();
        let output = check("grub-script-check").or_else(|_| check("grub2-script-check")).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "((menuentry|submenu|linux|set|}|\\{)?[ '\"\\\\a-z={}#$>]{0,12}\\n){0,30}") {
            let config = GrubConfig::parse(&text);
            config.default_entry(&environment(&text));
            proptest::prop_assert!(config.entries.len() <= text.matches("menuentry").count());
        }
    }
}
