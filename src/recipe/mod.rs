//! What is wanted: recipes, resolved for one operating system, and the plan that follows from them.
//!
//! Pure: nothing here does I/O but reading recipe files.

mod check;
mod plan;
mod step;

pub use check::{Check, PathKind};
pub use plan::{Digest, Plan, Stage, StageName};
pub use step::{
    AgentStep, Content, FileStep, GroupStep, PackagesStep, RepositoryStep, ScriptStep, ServiceState,
    ServiceStep, Step, UserStep,
};
