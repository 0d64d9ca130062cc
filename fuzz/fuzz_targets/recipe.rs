//! Any text given as a recipe is refused with a message or makes the same plan every time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tib::distro::well_known;
use tib::recipe::{Recipe, Request, render};

fuzz_target!(|text: &str| {
    let Some(os) = well_known("debian-12") else { return };
    let outcome = || {
        let plan = Recipe::from_text("x", text).and_then(|recipe| recipe.plan(&Request::new(&os)));
        plan.map(|plan| render(&plan)).map_err(|error| error.to_string())
    };
    assert_eq!(outcome(), outcome());
});
