//! The guest's Python, in the words of pip.

use crate::distro::Arch;

/// The Python that the code is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) minor: u8,
    pub(crate) arch: Arch,
    pub(crate) glibc: (u32, u32),
}

impl Target {
    /// Wheel platform tags that run on the guest, best first.
    pub(crate) fn platforms(&self) -> Vec<String> {
        let arch = self.arch.name();
        // manylinux1 means glibc 2.5 and knew x86_64; the first tag for 64-bit ARM is manylinux2014's.
        let oldest = match self.arch {
            Arch::X86_64 => 5,
            Arch::Aarch64 => 17,
        };
        let mut tags = Vec::new();
        for minor in (oldest..=self.glibc.1).rev() {
            tags.push(format!("manylinux_2_{minor}_{arch}"));
            match minor {
                17 => tags.push(format!("manylinux2014_{arch}")),
                12 => tags.push(format!("manylinux2010_{arch}")),
                5 => tags.push(format!("manylinux1_{arch}")),
                _ => {}
            }
        }
        tags.push(format!("linux_{arch}"));
        tags
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        // Until 3.7 the ABI's name told the memory allocator.
        let abi = if self.minor < 8 { format!("cp3{}m", self.minor) } else { format!("cp3{}", self.minor) };
        let mut arguments = vec!["--python-version".to_owned(), format!("3.{}", self.minor)];
        arguments.extend(
            ["--implementation", "cp", "--abi", &abi, "--abi", "abi3", "--abi", "none"].map(str::to_owned),
        );
        for platform in self.platforms() {
            arguments.extend(["--platform".to_owned(), platform]);
        }
        arguments
    }

    /// The guest's environment markers. The patch level is not known before a guest runs; `.0` makes
    /// requirements of backports (`python_full_version < "3.11.3"`) hold, which costs a small file at worst.
    pub(super) fn markers(&self) -> serde_json::Value {
        let full = format!("3.{}.0", self.minor);
        serde_json::json!({
            "python_version": format!("3.{}", self.minor),
            "python_full_version": full,
            "implementation_version": full,
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
            "platform_machine": self.arch.name(),
            "platform_system": "Linux",
            "sys_platform": "linux",
            "os_name": "posix",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platform_tags_follow_the_guests_glibc() {
        let tags = |arch, glibc| Target { minor: 11, arch, glibc }.platforms();
        let debian = tags(Arch::X86_64, (2, 36));
        assert_eq!(debian[0], "manylinux_2_36_x86_64");
        let place = |tag: &str| debian.iter().position(|t| t == tag);
        assert!(place("manylinux_2_17_x86_64") < place("manylinux2014_x86_64"));
        assert!(place("manylinux2014_x86_64") < place("manylinux1_x86_64"));
        assert_eq!(debian.last().unwrap(), "linux_x86_64");
        assert_eq!(
            tags(Arch::Aarch64, (2, 17)),
            ["manylinux_2_17_aarch64", "manylinux2014_aarch64", "linux_aarch64"]
        );
        let old = Target { minor: 6, arch: Arch::X86_64, glibc: (2, 28) }.arguments();
        assert!(old.contains(&"cp36m".to_owned()));
    }
}
