//! Tells Cargo what the program embeds, so that a new file in one of these folders is not missed.

fn main() {
    for folder in ["images", "migrations", "playbooks", "templates"] {
        if std::path::Path::new(folder).exists() {
            println!("cargo::rerun-if-changed={folder}");
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
