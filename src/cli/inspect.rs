//! `tib inspect`

use crate::error::{Exit, Result};
use crate::inspect;
use crate::inspect::{InspectOptions, Inspection, Part, Style};

use super::args::InspectArgs;
use super::{Context, put, put_json};

pub(super) fn run(args: &InspectArgs, context: &Context) -> Result<Exit> {
    let Some(path) = args.image.as_deref().filter(|_| !args.schema) else {
        put_json(&inspect::schema())?;
        return Ok(Exit::Done);
    };
    let options = InspectOptions { only: args.only.clone(), top: args.top };
    let mut image = context.open(path)?;
    let layout = image.layout()?.clone();
    let of_system = if Part::ALL.iter().any(|part| *part != Part::Disk && options.wants(*part)) {
        context.read(image, |tree| Ok(inspect::inspect(tree, path, Some(layout.clone()), &options)))
    } else {
        Ok(Inspection::of_disk(path, layout.clone(), None, &options))
    };
    context.printer.finish();
    let (inspection, failure) = match of_system {
        Ok(inspection) => (inspection, None),
        // The disk is known, whatever became of the rest.
        Err(failure) => {
            (Inspection::of_disk(path, layout, Some(failure.to_string()), &options), Some(failure))
        }
    };
    if args.json {
        put_json(&inspection)?;
    } else {
        let style = Style { color: context.settings.colors.stdout, all: args.all };
        put(&inspection.to_text(style))?;
    }
    match failure {
        Some(failure) => Err(failure),
        None if inspection.problems.is_empty() => Ok(Exit::Done),
        None => Ok(Exit::Checks),
    }
}
