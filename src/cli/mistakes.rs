//! Mistakes in playbooks and images, all of them at once, before anything is begun with them.

use std::collections::BTreeSet;

use super::printer::Printer;
use crate::image::{self, Definition};
use crate::workflow::flows::{Choice, Desired, playbooks};
use crate::{Error, Kind, Result};

/// What was found to be whole.
pub(super) struct Sound<'a> {
    /// Tasks and blocks over the workspaces' plans.
    pub(super) tasks: usize,
    /// The images, by name.
    pub(super) images: BTreeSet<&'a str>,
}

/// Compiles the plans of these workspaces, and the definitions and plans of the images that these tiers name.
///
/// # Errors
/// Fails with every mistake; where there are several, they are printed, and the error counts them.
pub(super) fn look<'a>(
    printer: &Printer,
    desired: &'a Desired,
    slugs: impl IntoIterator<Item = &'a String>,
    choice: &Choice,
    tiers: impl IntoIterator<Item = &'a crate::fleet::Tier>,
) -> Result<Sound<'a>> {
    let (mut errors, mut tasks) = (Vec::new(), 0);
    for slug in slugs {
        match playbooks::plan(desired, slug, choice) {
            Ok(plan) => tasks += plan.plays.iter().map(|play| play.steps.len()).sum::<usize>(),
            Err(error) => errors.push(error),
        }
    }
    let images: BTreeSet<&str> =
        tiers.into_iter().filter_map(|tier| Some(tier.image.as_ref()?.name.as_str())).collect();
    for name in &images {
        let compiled = Definition::load(&desired.files, name)
            .and_then(|definition| image::plan::compile(&desired.files, &definition));
        errors.extend(compiled.err());
    }
    // One mistake in a playbook is one for every workspace that uses it.
    let mut told = BTreeSet::new();
    errors.retain(|error| told.insert(error.to_string()));
    match errors.len() {
        0 => Ok(Sound { tasks, images }),
        1 => Err(errors.remove(0)),
        many => {
            errors.iter().for_each(|error| printer.error(error));
            Err(Error::new(Kind::Input, format!("{many} mistakes in the fleet's files"))
                .hint("the errors above tell file, line and what to write instead"))
        }
    }
}
