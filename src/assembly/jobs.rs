//! What a build does to its disk, one job after the other, each of which leaves a layer.

use crate::digest::Digest;
use crate::engine;
use crate::recipe::{ArtifactStep, Plan, Stage, Step};

use super::resolution::{Resolution, ResolvedStage};

/// One job, and the layer that it leaves.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) layer: LayerId,
    /// The digest that names what it starts from: the layer before, or the base.
    pub(crate) before: Digest,
    pub(crate) work: Work<'a>,
}

/// What is done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work<'a> {
    /// Running a stage of the plan, with what was resolved for it.
    Stage(&'a Stage, &'a ResolvedStage),
    /// Taking out what instances must not share.
    Seal,
}

/// A job's name and the digest that names its layer.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct LayerId {
    /// Name of the stage, or `seal`.
    pub(crate) stage: String,
    /// Digest of everything that went into it.
    pub(crate) digest: Digest,
}

/// All jobs of a build, in order.
#[derive(Debug)]
pub(crate) struct Jobs<'a> {
    before: Vec<Job<'a>>,
    /// The one that finishes the disk.
    last: Job<'a>,
}

impl<'a> Jobs<'a> {
    /// The stages of a plan, and sealing. Each digest covers the one before, the first one the base and the size of the disk.
    pub(crate) fn of(plan: &'a Plan, resolution: &'a Resolution) -> Self {
        let mut digest = resolution.start();
        let mut below = resolution.base.digest;
        let stages = plan.stages.iter().zip(&resolution.stages).enumerate();
        let before = stages.map(|(index, (stage, resolved))| {
            digest = plan.stage_digest(index, digest, resolved.digest(), engine::SEMANTICS);
            let layer = LayerId { stage: resolved.stage.name().to_owned(), digest };
            let before = std::mem::replace(&mut below, digest);
            Job { layer, before, work: Work::Stage(stage, resolved) }
        });
        let before: Vec<_> = before.collect();
        let digest =
            Digest::of(format!("seal {digest} {}", engine::seal_text(&plan.os, &plan.identities)).as_bytes());
        let layer = LayerId { stage: "seal".to_owned(), digest };
        let last = Job { layer, before: below, work: Work::Seal };
        Self { before, last }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Job<'a>> {
        self.before.iter().chain([&self.last])
    }

    pub(crate) fn layers(&self) -> Vec<LayerId> {
        self.iter().map(|job| job.layer.clone()).collect()
    }

    /// Whether the job of this number, counted from 0, is the last one.
    pub(crate) fn is_last(&self, index: usize) -> bool {
        index >= self.before.len()
    }

    /// What is left to do when the first `done` jobs are: all but the last, and the last.
    pub(crate) fn missing(&self, done: usize) -> (&[Job<'a>], &Job<'a>) {
        (self.before.get(done..).unwrap_or_default(), &self.last)
    }
}

impl Work<'_> {
    /// Whether it goes to the network from inside the guest.
    pub(crate) fn needs_network(&self) -> bool {
        match self {
            Self::Stage(stage, resolved) => resolved.needs_network(stage),
            Self::Seal => false,
        }
    }

    /// Whether it brings container images into the guest.
    pub(crate) fn brings_containers(&self) -> bool {
        match self {
            Self::Stage(stage, _) => stage.steps.iter().any(|step| matches!(step, Step::Containers { .. })),
            Self::Seal => false,
        }
    }

    /// What a person has brought for it.
    pub(crate) fn artifacts(&self) -> impl Iterator<Item = &ArtifactStep> {
        let steps = match self {
            Self::Stage(stage, _) => stage.steps.as_slice(),
            Self::Seal => &[],
        };
        steps.iter().filter_map(|step| match step {
            Step::Artifact(step) => Some(&**step),
            _ => None,
        })
    }

    /// What is going to happen, for a person.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Stage(stage, _) => format!("{} steps", stage.steps.len()),
            Self::Seal => "taking out what must not be shared".to_owned(),
        }
    }
}
