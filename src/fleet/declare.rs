//! The named things that a fleet's files declare, gathered from all files before any of them is read, so that each may
//! name the others wherever they stand.

use std::collections::BTreeMap;

use super::model::Provider;
use super::name::{check_label, check_slug};
use super::{Field, FileSet};

/// One kind's declarations, by name, in the order of the files.
#[derive(Default)]
pub(super) struct Declarations<'a>(Vec<(&'a str, Field<'a>, Field<'a>)>);

/// Everything declared.
#[derive(Default)]
pub(super) struct Kinds<'a> {
    pub(super) providers: Declarations<'a>,
    pub(super) tiers: Declarations<'a>,
    pub(super) workspaces: Declarations<'a>,
}

/// What declarations may name.
pub(super) struct Known<'a> {
    /// Those that were read without a mistake.
    pub(super) providers: &'a BTreeMap<String, Provider>,
    /// Every name, also of those with mistakes: to name one of them is no second mistake.
    pub(super) names: &'a Kinds<'a>,
    pub(super) files: &'a FileSet,
}

impl<'a> Declarations<'a> {
    /// Takes a declaration; a name that another file gave already is reported.
    pub(super) fn add(&mut self, what: &str, key: Field<'a>, value: Field<'a>) {
        let name = value.name();
        let check = if what == "workspace" { check_slug } else { check_label };
        // The key is checked as text: 7 and true are legal labels.
        if key.take(check(name)).is_none() {
            return;
        }
        if let Some((_, first, _)) = self.0.iter().find(|(known, ..)| *known == name) {
            return key.error_hint(
                format!("the {what} {name:?} is declared twice"),
                format!("the other one is at {}", first.span()),
            );
        }
        self.0.push((name, key, value));
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().map(|(name, ..)| *name)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Turns each into its type; what has mistakes is left out, having been reported.
    pub(super) fn read<T>(&self, mut read: impl FnMut(&str, Field<'a>) -> Option<T>) -> BTreeMap<String, T> {
        self.0.iter().filter_map(|(name, _, value)| Some(((*name).to_owned(), read(name, *value)?))).collect()
    }
}

impl Known<'_> {
    /// The name of a provider that is declared.
    pub(super) fn provider(&self, field: Field<'_>) -> Option<String> {
        reference(field, "provider", &self.names.providers)
    }

    /// The name of a tier that is declared.
    pub(super) fn tier(&self, field: Field<'_>) -> Option<String> {
        reference(field, "tier", &self.names.tiers)
    }
}

fn reference(field: Field<'_>, what: &str, known: &Declarations<'_>) -> Option<String> {
    let name = field.node().scalar_text().filter(|name| known.contains(name));
    if let Some(name) = name {
        return Some(name.to_owned());
    }
    field.str()?;
    if known.0.is_empty() {
        field.error_hint(format!("no {what} is declared"), format!("declare one under {what}s"));
    } else {
        field.unknown(what, known.names());
    }
    None
}
