//! The main job on real nodes: real systemd, real cloud-init, real sshd. Needs root.
//!
//! Every test's name begins with `node_`, so that those who are not root can leave these out.

mod broken;
mod brought;
mod changes;
mod control_plane;
mod converge;
mod crash;
mod declared;
mod fleet;
mod flows;
mod guard;
mod hosts;
mod identity;
mod images;
mod import;
mod large;
mod main_job;
mod rebuild;
mod secret;
mod suites;
mod suspend;
mod sweep;
mod types;
mod workbench;

#[path = "../support/collector.rs"]
mod collector;
#[path = "../support/postgres.rs"]
mod postgres;
