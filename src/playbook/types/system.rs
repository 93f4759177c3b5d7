//! What the machine as a whole is called, what time it shows, and what language it speaks.

use super::{Shape, TypeSpec, must};
use crate::wire::action::{check_hostname, check_locale, check_timezone};

pub(super) static HOSTNAME: TypeSpec = TypeSpec {
    name: "hostname",
    about: "The machine's name.",
    alternatives: &[],
    needs_one: false,
    fields: &[must("name", Shape::Checked(check_hostname), "The name, alone or with its domain.")],
};

pub(super) static TIMEZONE: TypeSpec = TypeSpec {
    name: "timezone",
    about: "The machine's time zone.",
    alternatives: &[],
    needs_one: false,
    fields: &[must("name", Shape::Checked(check_timezone), "A name of the time zone database: Europe/Berlin.")],
};

pub(super) static LOCALE: TypeSpec = TypeSpec {
    name: "locale",
    about: "The system's language and character set; generated where it is missing.",
    alternatives: &[],
    needs_one: false,
    fields: &[must("name", Shape::Checked(check_locale), "The name: en_US.UTF-8, C.UTF-8.")],
};
