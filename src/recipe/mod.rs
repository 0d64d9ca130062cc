//! What is wanted: recipes, resolved for one operating system, and the plan that follows from them.
//!
//! Pure: nothing here does I/O but reading recipe files and the files they name.
//!
//! A [`Library`] finds recipes and follows what they extend; a [`Recipe`] and a [`Request`] make a [`Plan`].
//! How a recipe is written is in `docs/recipes.md`.

mod agent_items;
mod agent_source;
mod apparmor;
mod apparmor_items;
mod artifact;
mod artifact_items;
mod constraints;
mod container_steps;
mod containers;
mod content;
mod contract;
mod derive;
mod embedded;
mod error;
mod identity;
mod identity_items;
mod items;
mod library;
mod lower;
mod lowering;
mod model;
mod parse;
mod plan;
mod reference;
mod render;
mod request;
mod selinux;
mod selinux_items;
mod step;
mod unsupported;
mod values;
mod when;

#[cfg(test)]
mod tests;

pub use agent_source::{AgentCode, AgentPackage, AgentSource, GitSource};
pub use apparmor::{ApparmorMode, ApparmorStep};
pub use artifact::{ArtifactPlace, ArtifactSource, ArtifactStep, FoundArtifact, GivenArtifact};
pub use constraints::{ConstraintsFrom, ConstraintsSource, ConstraintsUrl};
pub use containers::{CONTAINERS, CONTAINERS_UNIT, Container, ContainerSource, EmbedContainer};
pub use content::Content;
pub use contract::Contract;
pub use error::RecipeError;
pub use identity::IdentityRule;
pub use library::{Library, OptionInfo, Recipe, Summary};
pub use plan::{Plan, Stage, StageName};
pub use reference::ImageReference;
pub use render::render;
pub use request::Request;
pub use selinux::{FcontextKind, FcontextRule, PortRule, SelinuxStep};
pub use step::{
    AgentStep, FileStep, GroupStep, PackagesStep, RepositoryStep, ScriptStep, ServiceStep, Step, UserStep,
    package_name,
};

/// The JSON Schema of a recipe file.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(model::RecipeFile).to_value()
}
