//! The kernel: its parameters, modules and mounts.

use super::{PATH, STATE, Shape, TypeSpec, may, must};
use crate::wire::action::{check_fstab, check_module, check_params};

pub(super) static SYSCTL: TypeSpec = TypeSpec {
    name: "sysctl",
    about: "A kernel parameter, now and at every boot.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Text, "The name with dots."),
        may("value", Shape::Text, "The value, in quotes."),
        STATE,
    ],
};

pub(super) static KERNEL_MODULE: TypeSpec = TypeSpec {
    name: "kernel_module",
    about: "A kernel module, now and at every boot.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        must("name", Shape::Checked(check_module), "The module's own name."),
        may("params", Shape::Checked(check_params), "Its parameters: NAME=VALUE NAME=VALUE."),
        may("state", Shape::Words(&["loaded", "blocked", "absent"]), "What it should be; absent: neither [loaded]."),
    ],
};

pub(super) static MOUNT: TypeSpec = TypeSpec {
    name: "mount",
    about: "A file system, in /etc/fstab and now.",
    alternatives: &[],
    needs_one: false,
    fields: &[
        PATH,
        may("source", Shape::Checked(check_fstab), "What is mounted: UUID=..., a device, tmpfs, server:/export."),
        may("fstype", Shape::Checked(check_fstab), "The type of the file system."),
        may("options", Shape::Checked(check_fstab), "Options with commas between them [defaults]."),
        may(
            "state",
            Shape::Words(&["mounted", "unmounted", "present", "absent"]),
            "In fstab and now, in fstab but not now, in fstab, or neither [mounted].",
        ),
    ],
};
