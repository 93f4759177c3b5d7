//! Booting an image's own disk, in QEMU: with KVM where the host has it, else by emulation, which takes minutes.
//!
//! What a container shows of kernel settings, modules, the boot loader and encryption is the host's; this machine shows the
//! image's.

pub mod boot_test;
pub mod console;
pub mod phases;
pub mod qemu;
pub mod seed;
