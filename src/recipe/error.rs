//! What can be wrong with a recipe, or with what is asked of it.

use crate::error::{Diagnose, Exit, io_exit};
use crate::toml_text::Place;
use crate::toml_text::did_you_mean;

/// A recipe could not be loaded, or no plan follows from it.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// A line of a recipe is wrong.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong with it.
        message: String,
    },
    /// No recipe has this name.
    #[error("{}there is no recipe `{name}`{}", prefix(from), did_you_mean(near.as_deref()))]
    NotFound {
        /// The name asked for.
        name: String,
        /// The recipe that extends it, if one does.
        from: Option<Place>,
        /// The nearest name there is.
        near: Option<String>,
        /// All names there are.
        known: Vec<String>,
    },
    /// Recipes extend each other in a circle.
    #[error("recipes extend each other in a circle: {}", .0.join(" -> "))]
    Cycle(Vec<String>),
    /// There is no recipe file of that name.
    #[error("there is no recipe file `{0}`")]
    NoFile(String),
    /// A recipe file, or a file it names, could not be read.
    #[error("cannot read recipe `{recipe}`, or a file that it names")]
    Read {
        /// The recipe.
        recipe: String,
        /// The cause, which names the file.
        source: std::io::Error,
    },
    /// The constraints for the agent's requirements could not be read.
    #[error("cannot read the constraints")]
    Constraints(
        /// The cause, which names the file.
        #[source]
        std::io::Error,
    ),
    /// `--set` names an option the recipe does not have.
    #[error("recipe `{recipe}` has no option `{name}`{}", did_you_mean(near.as_deref()))]
    UnknownOption {
        /// The recipe.
        recipe: String,
        /// The option asked for.
        name: String,
        /// The nearest one there is.
        near: Option<String>,
        /// All options there are.
        known: Vec<String>,
    },
    /// An option has no value for this operating system.
    #[error("option `{name}` of recipe `{recipe}` has no value for {os}")]
    Unset {
        /// The recipe.
        recipe: String,
        /// The option.
        name: String,
        /// The operating system.
        os: String,
    },
    /// An option cannot have this value.
    #[error("option `{name}` of recipe `{recipe}` cannot be `{value}`")]
    UnknownValue {
        /// The recipe.
        recipe: String,
        /// The option.
        name: String,
        /// The value.
        value: String,
        /// Those that it can have.
        known: Vec<String>,
    },
    /// What is asked for cannot be had, as the recipe says.
    #[error("recipe `{recipe}` cannot be built so: {because}")]
    Refused {
        /// The recipe that says so.
        recipe: String,
        /// Why.
        because: String,
        /// What can be had in its place.
        instead: String,
    },
    /// The recipe is not made for this operating system.
    #[error("recipe `{recipe}` does not support {os}")]
    Unsupported {
        /// The recipe, or the one it extends, that says so.
        recipe: String,
        /// The operating system.
        os: String,
    },
    /// `--agent` on a recipe that has no agent.
    #[error("recipe `{0}` has no `[agent]`: it cannot take one")]
    NoAgent(String),
    /// `--agent` does not say where an agent comes from.
    #[error("`{text}` does not say where the agent comes from{}", .problem.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    AgentSource {
        /// What it says, without credentials.
        text: String,
        /// What is wrong with it, if it is nearly right.
        problem: Option<String>,
    },
    /// `--constraints` is a URL that cannot be fetched.
    #[error("the constraints cannot be had: {problem}")]
    ConstraintsUrl {
        /// What is wrong with the URL.
        problem: String,
    },
    /// A list of requirements says more than what to install.
    #[error("`{file}` is no list of requirements: line {line} {problem}")]
    Requirements {
        /// The file.
        file: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no package of the agent for this system in the place that was named.
    #[error("{problem}")]
    NoAgentPackage {
        /// What is missing where.
        problem: String,
        /// What there is.
        hint: String,
    },
    /// `--embed-container` on a recipe whose databases are no containers.
    #[error("recipe `{0}` runs no containers: none can be embedded")]
    NoContainers(String),
    /// `--embed-container` does not say which container, or where it comes from.
    #[error("`{text}` is no container to embed: {reason}")]
    EmbedContainer {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `--artifact` does not say which artifact, or where it is.
    #[error("what is given for an artifact makes no sense: {reason}")]
    ArtifactText {
        /// What is wrong with it.
        reason: String,
    },
    /// `--artifact` gives what the recipe has no use for.
    #[error("recipe `{recipe}` has no artifact `{name}`{}", did_you_mean(near.as_deref()))]
    UnknownArtifact {
        /// The recipe.
        recipe: String,
        /// The name given.
        name: String,
        /// The nearest one there is.
        near: Option<String>,
        /// All artifacts there are.
        known: Vec<String>,
    },
    /// The recipe needs a file that only a person can bring.
    #[error("recipe `{recipe}` needs the artifact `{name}`: {description}")]
    MissingArtifact {
        /// The recipe.
        recipe: String,
        /// The artifact.
        name: String,
        /// What it is, and where a person gets it.
        description: String,
    },
    /// Nobody has accepted the licence of an artifact.
    #[error("the licence of the artifact `{name}` is not accepted: {license}")]
    License {
        /// The artifact.
        name: String,
        /// Its licence.
        license: String,
    },
    /// SSH keys without a user to give them to.
    #[error("recipe `{0}` makes no user that SSH keys could be for")]
    NoKeyUser(String),
    /// Not a public SSH key.
    #[error("SSH key {number} {reason}")]
    SshKey {
        /// Which of the keys given, from 1.
        number: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
}

fn prefix(from: &Option<Place>) -> String {
    from.as_ref().map(|place| format!("{place}: ")).unwrap_or_default()
}

impl Diagnose for RecipeError {
    fn exit(&self) -> Exit {
        match self {
            Self::Read { source, .. } => io_exit(source, Exit::Recipe),
            Self::Constraints(source) => io_exit(source, Exit::Usage),
            Self::AgentSource { .. }
            | Self::ConstraintsUrl { .. }
            | Self::Requirements { .. }
            | Self::NoAgentPackage { .. }
            | Self::SshKey { .. }
            | Self::NoKeyUser(_)
            | Self::NoAgent(_)
            | Self::NoContainers(_)
            | Self::EmbedContainer { .. }
            | Self::ArtifactText { .. }
            | Self::UnknownArtifact { .. }
            | Self::MissingArtifact { .. }
            | Self::License { .. } => Exit::Usage,
            _ => Exit::Recipe,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoFile(_) => Some(
                "name a file (what it can hold: docs/recipes.md), or one of the recipes that `tib recipe list` lists".to_owned(),
            ),
            Self::NotFound { known, .. } => Some(format!("recipes are: {}", known.join(", "))),
            Self::UnknownOption { known, .. } if known.is_empty() => {
                Some("it has no options at all".to_owned())
            }
            Self::UnknownOption { known, .. } => Some(format!("its options are: {}", known.join(", "))),
            Self::UnknownValue { known, .. } => Some(format!("it can be {}", known.join(", "))),
            Self::Refused { instead, .. } => Some(instead.clone()),
            Self::Unset { name, .. } => Some(format!("give it one with `--set {name}=VALUE`")),
            Self::Unsupported { .. } => {
                Some("take another base image, or write a recipe of your own for it".to_owned())
            }
            Self::NoAgent(_) => Some("leave out `--agent`, or extend `guest-agent` in the recipe".to_owned()),
            Self::AgentSource { .. } => Some(
                "say `none`, `pypi`, `pypi:VERSION`, `git:BRANCH`, `git:URL@REF`, `package`, `package:rdo@RELEASE`, or \
                 `path:` and a directory or file"
                    .to_owned(),
            ),
            Self::ConstraintsUrl { .. } => {
                Some("say `auto`, `none`, a file, or a URL with or without `@sha256:DIGEST`".to_owned())
            }
            Self::NoContainers(_) => Some(
                "leave out `--embed-container`, or take `trove-guest`, whose databases run as containers".to_owned(),
            ),
            Self::EmbedContainer { .. } => Some(
                "write `mariadb:11.4`, or with where it comes from `mariadb:11.4=docker://quay.io/…/mariadb:11.4`, \
                 `mariadb:11.4=oci:DIR:TAG`, `mariadb:11.4=docker-archive:FILE`"
                    .to_owned(),
            ),
            Self::ArtifactText { .. } => {
                Some("write `NAME=FILE` or `NAME=URL`, with or without `@sha256:DIGEST` at its end".to_owned())
            }
            Self::UnknownArtifact { known, .. } if known.is_empty() => Some("it has none at all".to_owned()),
            Self::UnknownArtifact { known, .. } => Some(format!("its artifacts are: {}", known.join(", "))),
            Self::MissingArtifact { name, .. } => {
                Some(format!("bring the file, and give it with `--artifact {name}=FILE`"))
            }
            Self::License { .. } => {
                Some("read it; `--set accept_license=true` accepts it, and the image is not to be passed on".to_owned())
            }
            Self::Requirements { .. } => Some(
                "write one requirement a line, such as `oslo.log>=5`; constraints are for `--constraints`, an index for \
                 pip's own settings"
                    .to_owned(),
            ),
            Self::NoAgentPackage { hint, .. } => Some(hint.clone()),
            Self::NoKeyUser(_) => Some("extend `guest-agent`, which has a user for them".to_owned()),
            Self::SshKey { .. } => Some(
                "give the file that ends in `.pub`; its one line starts with `ssh-ed25519` or alike"
                    .to_owned(),
            ),
            Self::Cycle(_) => Some("remove one of the `extends`".to_owned()),
            Self::Constraints(_) => Some("give a file in pip's format, `--constraints FILE`".to_owned()),
            Self::Invalid { .. } | Self::Read { .. } => None,
        }
    }
}
